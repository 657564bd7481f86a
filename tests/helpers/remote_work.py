"""What the tests have a cluster's workers do; they import it by this name."""

import os
import time

from overtone.data.preparation.shard_writer import ShardWriter


def shard_with_pauses(marks, number, tracks, folder, settings):
    """`write_shard`, leaving marks of who began and ended it, with a pause in the middle.

    From the fifth on it ends only after the mark ``late`` is there.
    """
    (marks / f"began-{os.getpid()}-{number}").touch()
    with ShardWriter(folder, number, settings) as writer:
        for track in tracks:
            writer.add(*track)
            time.sleep(0.1)
        while number > 4 and not (marks / "late").exists():
            time.sleep(0.02)
        made = writer.rows, writer.left_out, writer.name, writer.finish()
    (marks / f"ended-{os.getpid()}-{number}").touch()
    return made


def die(number):
    """Take the worker down, as the kernel does to one that wants too much memory."""
    os._exit(9)


def run_out_of_time():
    """Fail with an error that Dask's own waiting has too."""
    raise TimeoutError("the call's own")
