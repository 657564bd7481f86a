"""overtone gives band-limited music its treble back.

``restore`` takes arrays, ``restore_file`` files, ``Restorer`` a stream of blocks. They are loaded when
they are first used: ``import overtone`` brings in neither PyTorch nor NumPy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overtone.arrays import restore
    from overtone.errors import OvertoneError
    from overtone.files import Report, restore_file
    from overtone.restoring import Restorer

__version__ = "0.1.0"
__all__ = ["OvertoneError", "Report", "Restorer", "restore", "restore_file"]

_HOMES = {
    "OvertoneError": "overtone.errors",
    "Report": "overtone.files",
    "Restorer": "overtone.restoring",
    "restore": "overtone.arrays",
    "restore_file": "overtone.files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'overtone' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
