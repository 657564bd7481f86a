"""``python tools/push_runs.py [REMOTE]``: push all that DVC's run-cache here knows of to a remote.

``dvc push --run-cache`` (3.67.1) pushes the list of runs, but of their outputs only those of the workspace
that Git does not keep: metrics and plots stay behind, and a clone then runs ``train`` again, since DVC
restores all of a stage or nothing. They lie in DVC's cache like everything else, and this pushes them too.
"""

import sys
from collections.abc import Sequence

from overtone.core.errors import OvertoneError


def push(remote: str | None = None) -> tuple[int, int]:
    """Push the run-cache and every output that it names.

    Args:
        remote: its name in DVC's configuration, None for the default.

    Returns:
        (runs that the remote knows now, files and folders that it did not have).

    Raises:
        OvertoneError: there is no such remote, or not all reached it.
    """
    from dvc.exceptions import FileTransferError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            runs = repo.stage_cache.push(remote)
            pushed, failed = 0, 0
            for store, objects in repo.stage_cache.get_used_objs(runs).items():
                result = repo.cloud.push(objects, remote=remote, odb=store)
                pushed, failed = pushed + len(result.transferred), failed + len(result.failed)
    except FileTransferError as error:
        failed = error.amount
    # DVC's own errors, and those of a store, of which each has its own: none is a fault in this code.
    except Exception as error:
        raise OvertoneError(f"the runs cannot be pushed: {' '.join(str(error).split())}") from None
    if failed:
        raise OvertoneError(f"{failed} files did not reach the remote; DVC says above why; try again")
    return len(runs), pushed


def main(words: Sequence[str]) -> int:
    """Push, and say what was pushed; returns the exit code."""
    try:
        if len(words) > 1 or any(word.startswith("-") for word in words):
            raise OvertoneError("usage: python tools/push_runs.py [REMOTE]")
        runs, pushed = push(*words)
    except OvertoneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{runs} runs are there, {pushed} of their outputs new")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
