"""overtone gives band-limited music its treble back.

``restore`` takes arrays, ``restore_file`` files, ``Restorer`` a stream of blocks. They are loaded when
they are first used: ``import overtone`` brings in neither PyTorch nor NumPy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from overtone.version import __version__

if TYPE_CHECKING:
    from overtone.core.errors import OvertoneError
    from overtone.restoration.restore_array import restore
    from overtone.restoration.restore_file import restore_file
    from overtone.restoration.result import Report
    from overtone.restoration.stream.restorer import Restorer

__all__ = ["OvertoneError", "Report", "Restorer", "__version__", "restore", "restore_file"]

_HOMES = {
    "OvertoneError": "overtone.core.errors",
    "Report": "overtone.restoration.result",
    "Restorer": "overtone.restoration.stream.restorer",
    "restore": "overtone.restoration.restore_array",
    "restore_file": "overtone.restoration.restore_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'overtone' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
