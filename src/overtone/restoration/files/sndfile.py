"""Read sound files by libsndfile, in a thread if need be."""

import os
import threading
from typing import Any

import soundfile

from overtone.audio.soundfiles import ForwardFile


class LockedFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is closed only when no thread reads or writes it: libsndfile would crash.

    That the thread has been waited for is not enough: a signal may break off waiting, or starting a thread,
    which then runs and is unknown to its pool.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """As soundfile's."""
        with self._lock:
            return super().read(*args, **kwargs)

    def write(self, data: Any) -> None:
        """As soundfile's."""
        with self._lock:
            super().write(data)

    def close(self) -> None:
        """As soundfile's, once no thread reads or writes."""
        with self._lock:
            super().close()


class SndFile(ForwardFile, LockedFile):
    """A locked file read from beginning to end."""

    def is_read_to_end(self) -> bool:
        """Return whether libsndfile has read all bytes of the file; it reads ahead of what it decodes."""
        if not isinstance(self.name, int):
            at = self.name.tell()
            return bool(at >= self.name.seek(0, os.SEEK_END))
        return os.lseek(self.name, 0, os.SEEK_CUR) >= os.fstat(self.name).st_size
