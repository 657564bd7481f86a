"""Name the command's exit codes."""

ALL_GOOD, SOME_FAILED, NOTHING_DONE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141
