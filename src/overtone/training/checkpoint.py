"""Where an unfinished run keeps its place: a folder named by a hash of everything that decides it.

It is no DVC output: DVC deletes outputs before a stage runs, or, told to keep them, would start a
run with a changed learning rate from the old one's weights.
"""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from overtone.training.state import TrainState


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
        """Write the state so that a break at any moment leaves the old one or the new one whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")  # two workers may have the same run
        # Not found at any moment: the other one has ended, and taken the folder away.
        with suppress(FileNotFoundError):
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._file)

    def delete(self) -> None:
        """Remove the run's folder; the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
