"""Where music lies: a path of this machine or a shared folder, or an object store's address.

An address such as ``s3://bucket/music`` is read through fsspec; which store, and with which key, the
store's own variables say (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ... for S3).
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overtone.errors import OvertoneError

Place = Path | str
"""A path, or an address as text."""


def is_address(name: str) -> bool:
    """Whether a name is an object store's address and not a path."""
    return "://" in name and not name.startswith("file:")


def place(folder: Path, name: str) -> Place:
    """A name from a table as a place: an address as it is, a path from the folder made absolute."""
    return name if is_address(name) else (folder / name).absolute()


@contextmanager
def store(address: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address and the name in it; what goes wrong inside is one clear line.

    Raises:
        OvertoneError: the protocol is not known here, or the store refuses or does not answer.
    """
    try:
        import fsspec

        yield fsspec.core.url_to_fs(address)
    except OvertoneError:
        raise
    except (ImportError, ValueError) as error:
        raise OvertoneError(f"{address} cannot be read: {error}; for s3:// pip install 's3fs'") from None
    # Every store has exceptions of its own, botocore's among them: none is a fault in this code.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise OvertoneError(
            f"{address} cannot be read: {said}; check the address and the store's key"
        ) from None


@contextmanager
def local(place: Place) -> Iterator[Path]:
    """A file as a path to read from: itself, or a copy in the temporary folder that goes afterwards."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="overtone-") as folder:
        path = Path(folder) / place.rsplit("/", 1)[-1]
        with store(place) as (files, name):
            files.get_file(name, str(path))
        yield path


def below(address: str) -> list[tuple[str, int]]:
    """The addresses of all files below an address, sorted, with their bytes."""
    with store(address) as (files, name):
        found = files.find(name, detail=True)
        return sorted((str(files.unstrip_protocol(one)), int(about["size"])) for one, about in found.items())
