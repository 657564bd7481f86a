"""Freed memory kept for the next large array, in a process of our own."""

import ctypes

# The numbers of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed() -> None:
    """Have malloc keep what is freed, where it is glibc's; elsewhere nothing happens.

    By default an array of more than 32 MB is fetched from the system and given back every time, page by
    page. On a machine busy with other work a restored file took a sixth less processor time so; on a quiet
    one a training step took as long either way.
    The command calls this, the library does not: it is a setting of the whole process,
    in which the peak of one piece of work can no longer be told from that of another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    # Threads that share one pool of memory can reuse what another one freed.
    mallopt(M_ARENA_MAX, 1)
