"""Keep the state of an unfinished run, in a folder named by a hash of everything that decides it.

It is no DVC output: DVC deletes outputs before a stage runs, or, told to keep them, would start a
run with a changed learning rate from the old one's weights.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from overtone.core.atomic import replacing
from overtone.core.disk_space import naming_full_disk
from overtone.training.state import TrainState

ADVICE = "make room and run again: training continues from the last state kept"


def fingerprint(settings: dict[str, Any], files: Iterable[str | Path]) -> str:
    """Hash settings and the content of files (code, and indexes that hold the data's checksums)."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(map(str, files)):
        digest.update(f"\0{path}\0".encode())
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:20]


class Checkpoint:
    """The state of one run, kept in ``.runs/<fingerprint>`` or under ``OVERTONE_RUNS``."""

    def __init__(self, name: str) -> None:
        self.folder = Path(os.environ.get("OVERTONE_RUNS", ".runs")) / name
        self._file = self.folder / "state.pt"

    def load(self) -> TrainState | None:
        """The last state kept, or None; a file that does not load counts as none."""
        try:
            state: TrainState = torch.load(self._file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            return None
        return state

    def keep(self, state: TrainState) -> None:
        """Write the state so that an interruption at any moment leaves the old state or the new one.

        Raises:
            OvertoneError: the disk is full; the old state stays.
        """
        # Into memory first: PyTorch's own error on a full disk names no file.
        content = io.BytesIO()
        torch.save(state, content)
        size = content.getbuffer().nbytes
        self.folder.mkdir(parents=True, exist_ok=True)
        # Two workers may have the same run: when the other one has ended, it has deleted the folder.
        with (
            suppress(FileNotFoundError),
            naming_full_disk(self.folder, size, "the state of this run", ADVICE),
            replacing(self._file) as temporary,
            temporary.open("wb") as file,
        ):
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())

    def delete(self) -> None:
        """Remove the run's folder; the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
