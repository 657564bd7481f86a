"""The pipeline's stages: each a thin script over the library, run as ``python -m stages.NAME``.

This checkout's own ``src`` goes first on the path: with an editable install, ``dvc exp run --temp``
and ``--queue`` would otherwise import the code of the tree they were copied from.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def run(main: Callable[[], None]) -> None:
    """Run a stage; a fault in what was given is one line on stderr and exit code 2."""
    from overtone.errors import OvertoneError

    try:
        main()
    except OvertoneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
