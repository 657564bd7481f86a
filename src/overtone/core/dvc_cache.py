"""Find the disk on which DVC keeps its own copy of what a stage writes.

::

    stage writes        data/pairs/             |
    DVC commits         .dvc/cache/files/md5/   | a copy, unless the file system shares blocks (reflink) or
                                                | cache.type begins with hardlink
"""

import os
from pathlib import Path
from typing import Any

MOVE_CACHE = "`dvc cache dir --local FOLDER` puts the cache on another disk"


def find_second_copy(folder: Path) -> Path | None:
    """Return an existing folder on the disk that DVC copies an output to; None if nothing is copied.

    Args:
        folder: an existing one on the disk of the output.
    """
    # DVC sets this for the commands of stages. A stage run by hand is not committed.
    if "DVC_STAGE" not in os.environ:
        return None
    try:
        from dvc.repo import Repo

        with Repo() as repo:
            cache = repo.cache.local
            path = Path(cache.path)
            path.mkdir(parents=True, exist_ok=True)
            return None if _shares_blocks(folder, cache) else path
    except ImportError:  # DVC runs in an environment of its own
        return Path(".dvc")


def _shares_blocks(folder: Path, cache: Any) -> bool:
    """Return whether a file of the folder takes no further space in DVC's cache.

    Source: dvc.output.Output.commit, dvc_objects.fs.generic.transfer.
    """
    from dvc.fs import LocalFileSystem
    from dvc_objects.fs.generic import test_links

    links = ["reflink", "hardlink"] if cache.cache_types[0] == "hardlink" else ["reflink"]
    return bool(test_links(links, LocalFileSystem(), str(folder), cache.fs, str(Path(cache.path, "link"))))
