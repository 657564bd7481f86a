"""The pipeline's stages: each a thin script over the library, run as ``python -m stages.NAME``.

This checkout's own ``src`` goes first on the path: with an editable install, ``dvc exp run --temp``
and ``--queue`` would otherwise import the code of the tree they were copied from. The folders that Git
ignores are in none of these copies, and a copy is deleted when its run ends, so there the stages use
those of the tree: unfinished runs, downloaded archives, outside programs.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"OVERTONE_RUNS": ".runs", "OVERTONE_DOWNLOADS": ".downloads", "OVERTONE_PROGRAMS": ".programs"}

sys.path.insert(0, str(ROOT / "src"))


def share_folders(copy: Path) -> None:
    """In one of DVC's copies, name the shared folders of the tree that it was copied from.

    DVC makes them in ``.dvc/tmp/exps`` of that tree.
    """
    tree = next((folder.parent for folder in copy.parents if folder.name == ".dvc"), None)
    if tree and copy.is_relative_to(tree / ".dvc/tmp/exps"):
        for variable, name in SHARED.items():
            os.environ.setdefault(variable, str(tree / name))


share_folders(ROOT)


def run(main: Callable[[], None], check: bool = True) -> None:
    """Run a stage; a fault in what was given, or a full disk, is one line on stderr and exit code 2.

    Args:
        main: the stage.
        check: whether to check the params of all stages first.
    """
    from overtone.core.disk_space import is_full_disk
    from overtone.core.errors import OvertoneError
    from stages.checked import check_params

    try:
        if check:
            check_params(ROOT)
        main()
    except OvertoneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not is_full_disk(error):
            raise
        where = os.path.dirname(os.path.abspath(error.filename or "."))
        print(f"error: the disk of {where} is full; make room and run again", file=sys.stderr)
        sys.exit(2)
