"""Read sound files from beginning to end, block by block: by libsndfile, else by FFmpeg, else say why not.

Files joined end to end (``cat a.mp3 b.mp3``, an advertisement put before a podcast) are read as one. What
a decoder does not deliver is noticed: what comes out is compared with what the container or a scan of its
frames holds.
"""

import contextlib
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import soundfile

from overtone.core.errors import OvertoneError
from overtone.formats import MISREAD, UNKNOWN
from overtone.restoration.files import header, pieces
from overtone.restoration.files.film import FilmSound
from overtone.restoration.files.mpeg import SLACK
from overtone.restoration.files.pieces import Piece, Plan
from overtone.restoration.files.sndfile import SndFile
from overtone.restoration.files.track import Track
from overtone.restoration.files.window import Window
from overtone.restoration.stream.limits import MAX_PEAK

if TYPE_CHECKING:
    from overtone.restoration.files.ffmpeg import FFmpegFile

_File: TypeAlias = "SndFile | FFmpegFile"

# Frames read at a time; libsndfile has crashed on much larger blocks of Vorbis.
BLOCK = 1 << 16
# Blocks that are decoded ahead: with one, decoder and meter wait for each other.
AHEAD = 4
# Full scales beyond which samples are whole numbers that were stored as floats: music of 16 bits that peaks
# at -50 dB has 104. Recorders of 32-bit float go up to some 30.
LOUDEST = 100.0


class SoundReader:
    """A sound file that is read once, from beginning to end.

    Channels come in the order of WAV's mask, whatever the file's own order is.

    Attributes:
        samplerate, channels: of the sound.
        frames: samples per channel by the header; `overtone.formats.UNKNOWN` if it does not say.
        layout: of the channels.
        track: the sound track that is read, if there are several.
        notes: what people should know of the file; complete once it is read.
        silences: start and end in seconds of what was not sent, filled while it is read.
        film: the sound's place in a film, known once it is read; None for other files.
    """

    def __init__(
        self, path: Path, file: _File, plan: Plan, accept_truncated: bool, track: int | None
    ) -> None:
        self.path, self._file, self._plan, self._accept = path, file, plan, accept_truncated
        self._track, self._ended = track, False
        self.samplerate, self.channels = file.samplerate, file.channels
        self.frames = file.frames
        if plan.pieces[0].promised is not None:
            self.frames = sum(piece.promised or 0 for piece in plan.pieces)
        elif len(plan.pieces) > 1:
            self.frames = UNKNOWN
        self.layout, self._order = header.channels(path, file)
        self.notes = [*plan.notes]
        self.silences: list[tuple[float, float]] = []
        self.film: FilmSound | None = None
        tracks = getattr(file, "tracks", [])
        self.track: Track | None = tracks[getattr(file, "track", 1) - 1] if len(tracks) > 1 else None

    def copy_metadata(self) -> dict[str, str]:
        """Return the tags that libsndfile or FFmpeg reads."""
        found: dict[str, str] = self._file.copy_metadata()
        return found

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all of the file as (channels, time) float32 blocks.

        Raises:
            OvertoneError: it is damaged or truncated, or of several kinds of sound.
        """
        self._check_kinds()
        if self._plan.fault:
            raise OvertoneError(f"{self.path} is damaged: {self._plan.fault}; get it whole, or cut it there")
        done, peak = 0, 0.0
        for index, piece in enumerate(self._plan.pieces):
            with contextlib.ExitStack() as opened:
                file = self._file if not index else opened.enter_context(_open(self.path, piece, self._track))
                self._check_kind((file.samplerate, file.channels), done / self.samplerate)
                began = done
                while (block := self._read(file, done)).size:
                    done += block.shape[1]
                    peak = max(peak, float(block.max()), -float(block.min()))
                    yield block
                self._finish(file, piece, done - began, began / self.samplerate)
        if self._plan.cut:
            self._shortage(self._plan.cut)
        if LOUDEST < peak < MAX_PEAK:
            raise OvertoneError(
                f"{self.path} peaks at {peak:,.0f} times full scale: whole numbers stored as floats are not "
                "scaled to 1; bring them there first, as ffmpeg -af volume does"
            )

    def _check_kinds(self) -> None:
        """Raise unless the files joined in it go together, as far as a scan has found."""
        seconds = 0.0
        for piece in self._plan.pieces:
            if piece.kind:
                self._check_kind(piece.kind, seconds)
            seconds += (piece.there or 0) / self.samplerate

    def _check_kind(self, kind: tuple[int, int], seconds: float) -> None:
        """Raise unless a file joined to the end of others has their rate and number of channels."""
        before = self.samplerate, self.channels
        if kind != before:
            raise OvertoneError(
                f"{self.path} is several sound files joined together, and the one at {seconds:.1f} s does "
                f"not fit those before it ({kind[0]} Hz, channels: {kind[1]}; before {before[0]} Hz, "
                f"{before[1]}); make one of them first, as ffmpeg -i IN OUT.flac does"
            )

    def _read(self, file: _File, done: int) -> np.ndarray:
        """Return the next block of a file, (channels, time), empty at its end; ``done`` samples are read."""
        if self._ended:
            return np.zeros((self.channels, 0), np.float32)
        # What libsndfile has decoded before a fault is in the array, and how much that is shows in the rest.
        given = np.full((BLOCK, self.channels), np.nan, np.float32) if isinstance(file, SndFile) else None
        try:
            block: np.ndarray = file.read(BLOCK, dtype="float32", always_2d=True, out=given).T
        except soundfile.SoundFileError as error:
            before = 0 if given is None else int(np.argmax(np.isnan(given).any(axis=1)))
            reason = error.error_string.rstrip(".").lower()
            if given is not None and done + before == self.frames:
                return given[:before].T  # a tag behind the last frame of FLAC
            said = f"it does not decode beyond {(done + before) / self.samplerate:.1f} s ({reason})"
            if given is None or not isinstance(file, SndFile) or not file.is_read_to_end():
                raise OvertoneError(f"{self.path} is truncated or damaged: {said}") from None
            self._shortage(said)
            self._ended = True
            block = given[:before].T
        return block if self._order is None else block[self._order]

    def _finish(self, file: _File, piece: Piece, samples: int, began: float) -> None:
        """Compare what a piece has given with what it holds, and keep what its clock says."""
        rate = self.samplerate
        if piece.there is not None and samples + SLACK < piece.there:
            raise OvertoneError(
                f"{self.path} is damaged: it does not decode beyond {began + samples / rate:.1f} s "
                f"({piece.there / rate:.1f} s of frames are there)"
            )
        if missing := header.missing(file, piece, samples):
            self._shortage(missing)
        if timeline := getattr(file, "timeline", None):
            self.silences += [(began + start, began + end) for start, end in timeline.silences]
            self.notes += [
                f"its clock jumps by {jump:+.1f} s at {began + at:.1f} s" for at, jump in timeline.jumps[:3]
            ]
            if self._plan.is_plain and not timeline.jumps:
                self.film = file.place(self.path)

    def _shortage(self, missing: str) -> None:
        """Refuse a file that lacks its end, or take note of it if it is accepted."""
        if not self._accept:
            raise OvertoneError(
                f"{self.path} is truncated: {missing}; get it whole, or insist with --accept-truncated "
                "(accept_truncated=True)"
            )
        self.notes.append(f"truncated: {missing}")


@contextlib.contextmanager
def open_sound(path: Path, track: int | None = None, accept_truncated: bool = False) -> Iterator[SoundReader]:
    """Open a file to be read from beginning to end; what is no sound file is an error that says why.

    Args:
        path: the file.
        track: number of the sound track, from 1 on, where there are several.
        accept_truncated: whether a file whose end is missing is read as far as it goes.

    Raises:
        OvertoneError: it cannot be read.
    """
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise OvertoneError(f"{path} is a folder; name a file")
        if not stat.S_ISREG(kind.st_mode):
            raise OvertoneError(f"{path} is no regular file, and it is read twice; save it as a file first")
        if kind.st_size == 0:
            raise OvertoneError(f"{path} is empty")
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(_open(path, Piece(0, kind.st_size), track))
            plan = _plan(path, file, track) or Plan([Piece(0, kind.st_size)])
            if not plan.is_plain or plan.cut or (plan.several and isinstance(file, SndFile)):
                opened.close()
                whole = not plan.cut
                file = opened.enter_context(_open(path, plan.pieces[0], track, plan.several, whole))
            yield SoundReader(path, file, plan, accept_truncated, track)
    except OSError as error:
        raise OvertoneError(f"{path} cannot be read: {error.strerror}") from None


def blocks(file: SoundReader, path: Path) -> Iterator[np.ndarray]:
    """Yield all of an open file as (channels, time) float32 blocks, as `SoundReader.blocks` does."""
    return file.blocks()


def ahead(decoded: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks, the next ones being decoded in a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = deque(reader.submit(next, decoded, None) for _ in range(AHEAD))
        while (block := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, decoded, None))
            yield block


@contextlib.contextmanager
def _open(
    path: Path, piece: Piece, track: int | None, by_ffmpeg: bool = False, whole: bool = True
) -> Iterator[_File]:
    """Open a piece of a file by libsndfile, and if that does not read it, by FFmpeg.

    Raises:
        OvertoneError: neither reads it; both reasons are in it.
    """
    with contextlib.ExitStack() as opened:
        plain = not piece.start and not piece.patches and piece.end == path.stat().st_size
        raw: Any = path.open("rb") if plain else Window(path, piece.start, piece.end, piece.patches)
        opened.enter_context(raw)
        reason = ""
        if not by_ffmpeg and track in (None, 1):
            try:
                # By number: a name would be taken for raw samples if it ended in .raw.
                file = SndFile(raw.fileno(), closefd=False) if plain else SndFile(raw)
            except soundfile.LibsndfileError as error:
                reason = error.error_string.rstrip(".").lower()
            else:
                opened.enter_context(file)
                if file.format not in MISREAD:
                    yield file
                    return
        raw.seek(0)
        yield opened.enter_context(_open_by_ffmpeg(path, raw, track, whole, reason))


def _open_by_ffmpeg(path: Path, raw: Any, track: int | None, whole: bool, reason: str) -> "FFmpegFile":
    """Open what libsndfile does not read for a reason."""
    from overtone.restoration.files.ffmpeg import FFmpegFile, Unreadable

    try:
        return FFmpegFile(raw, track, whole)
    except Unreadable as error:
        if track is not None and error.error_string.startswith("it has"):
            raise OvertoneError(f"{path}: {error.error_string}") from None
        said = "; ".join(
            f"{library}: {why}"
            for library, why in (("libsndfile", reason), ("FFmpeg", error.error_string))
            if why
        )
        raise OvertoneError(
            f"{path} is not audio that overtone reads, or damaged ({said}): wav, flac, mp3, ogg, opus, aiff, "
            "m4a, wma, films and more"
        ) from None


def _plan(path: Path, file: _File, track: int | None) -> Plan | None:
    """Look through a file of the kind that libsndfile or FFmpeg takes it for."""
    kind = {"MP3": "mpeg", "mp3": "mpeg", "OGG": "ogg", "ogg": "ogg"}.get(file.format, "other")
    plan = pieces.plan(path, kind)
    if plan is None and file.format == "mp3":
        raise OvertoneError(f"{path} is not audio that overtone reads: few of its bytes are frames of MP3")
    if plan and kind == "other":
        # What only looks like the beginning of a file belongs to the one before it.
        real = [0]
        for piece in plan.pieces[1:]:
            with contextlib.suppress(OvertoneError), _open(path, piece, track):
                real.append(piece.start)
        if len(real) < len(plan.pieces):
            plan.pieces = [Piece(*ends) for ends in zip(real, [*real[1:], plan.size], strict=True)]
    return plan
