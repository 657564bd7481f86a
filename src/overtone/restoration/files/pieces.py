"""Plan the reading of a file: the sound files joined in it, what each promises, and what is damaged."""

from dataclasses import dataclass, field
from pathlib import Path

from overtone.restoration.files import flac, mpeg, ogg, riff, structure
from overtone.restoration.files.file_bytes import FileBytes


@dataclass(frozen=True)
class Piece:
    """A range of bytes that is a sound file of its own.

    Attributes:
        start, end: bytes.
        patches: bytes that correct its header, by their offset in the piece.
        promised, there: samples per channel by its header, and by a scan of its frames; None if not known.
        kind: rate in Hz and channels, if a scan has found them.
    """

    start: int
    end: int
    patches: dict[int, bytes] = field(default_factory=dict)
    promised: int | None = None
    there: int | None = None
    kind: tuple[int, int] | None = None


@dataclass
class Plan:
    """Say how a file is read.

    Attributes:
        pieces: the sound files that it is joined of.
        fault: why it cannot be read to its end, damage in the middle.
        cut: what says that its end is missing.
        notes: what people should know of it.
        several: whether there are pictures or more than one sound track in it.
        size: of the file in bytes.
    """

    pieces: list[Piece]
    fault: str = ""
    cut: str = ""
    notes: list[str] = field(default_factory=list)
    several: bool = False
    size: int = 0

    @property
    def is_plain(self) -> bool:
        """Return whether the file is read as it is: one piece, nothing corrected, nothing skipped."""
        return len(self.pieces) == 1 and self.pieces[0].start == 0 and not self.pieces[0].patches


def plan(path: Path, kind: str) -> Plan | None:
    """Look through a file for the sound files in it and for damage.

    Args:
        path: a file of at least one byte.
        kind: ``mpeg``, ``ogg`` or another format.

    Returns:
        None if it is not of that kind.
    """
    with FileBytes(path) as data:
        made = {"mpeg": _plan_mpeg, "ogg": _plan_ogg}.get(kind, _plan_other)(data)
        if made:
            made.size = len(data)
        if made and kind not in ("mpeg", "ogg") and len(made.pieces) == 1:
            _check_end(path, data, made)
    return made


def _plan_mpeg(data: FileBytes) -> Plan | None:
    found = mpeg.scan(data)
    if not found.is_sound:
        return None
    made = Plan([])
    for run in found.runs:
        frame = run.kind
        piece = Piece(run.start, run.end, {}, run.promised, run.there, (frame.rate, frame.channels))
        made.pieces.append(piece)
    if len(made.pieces) == 1 and not found.junk:
        only = made.pieces[0]
        made.pieces = [Piece(0, len(data), {}, only.promised, only.there, only.kind)]
    for junk in found.inner_junk():
        size = junk.end - junk.start
        if size > mpeg.LARGEST_FRAME:
            made.fault = f"{size:,} bytes {junk.seconds:.1f} s in are no sound"
            break
    first = found.runs[0].start
    skipped = sum(junk.end - junk.start for junk in found.junk if junk.start < first)
    if skipped > mpeg.LARGEST_FRAME:
        made.notes.append(f"its first {skipped:,} bytes are no sound and were passed over")
    return made


def _plan_ogg(data: FileBytes) -> Plan | None:
    links = ogg.scan(data)
    if not links:
        return None
    made = Plan([Piece(link.start, link.end) for link in links])
    if len(links) == 1 and not links[0].start:
        made.pieces = [Piece(0, len(data))]
    made.several = any(link.others or len(link.sounds) > 1 for link in links)
    for link in links:
        if link.faults:
            at, seconds = link.faults[0]
            made.fault = f"the page at byte {at:,}, {seconds:.1f} s in, does not agree with its checksum"
            break
    if links[-1].cut:
        made.cut = "it ends inside a page"
    return made


def _plan_other(data: FileBytes) -> Plan:
    starts = structure.joints(data)
    ends = [*starts[1:], len(data)]
    made = Plan([Piece(start, end) for start, end in zip(starts, ends, strict=True)])
    made.cut = structure.shortage(data)
    made.pieces = [_check_flac(data, piece, made) for piece in made.pieces]
    return made


def _check_flac(data: FileBytes, piece: Piece, made: Plan) -> Piece:
    """Compare the header of a FLAC with its last frame, and look at what follows that; other formats pass."""
    begin = piece.start
    while tag := mpeg.tag_size(data, begin) if data[begin : begin + 3] == b"ID3" else 0:
        begin += tag
    if data[begin : begin + 4] != b"fLaC":
        return piece
    info, end = flac.read_info(data, begin), flac.sound_end(data, piece.end)
    last = flac.last_frame(data, begin, end)
    rest = data[last.at if last else max(begin + 4, end - flac.TAIL) : end]
    if 0 <= data.find(b"OggS\0\2", begin) < end or structure.holds_sound(rest):
        made.fault = "another sound file follows its last frame"
    elif last and info.samples and last.end > info.samples and info.rate:
        patches = flac.count_patch(data, begin, last.end)
        made.notes.append(
            f"its header tells of {info.samples / info.rate:.1f} s, and {last.end / info.rate:.1f} s are "
            "there: all were read"
        )
        shift = begin - piece.start
        return Piece(piece.start, piece.end, {at + shift: patch for at, patch in patches.items()})
    return piece


def _check_end(path: Path, data: FileBytes, made: Plan) -> None:
    """Look at what follows the sound of a WAV, AIFF or AU: another file, or more sound than it tells of."""
    found = riff.read(path)
    if found and len(sizes := riff.sound_sizes(found)) > 1:
        made.fault = f"its sound is in {len(sizes)} chunks, of which decoders read the first"
        return
    end = riff.sound_end(found) if found else structure.au_end(data)
    for begin in (end, end + end % 2):
        if 0 < begin < len(data) - riff.LEAST_REST and structure.foreign(data, begin):
            made.fault = f"another sound file of {len(data) - begin:,} bytes follows that does not fit it"
            return
    if not found and 0 < end <= len(data) - riff.LEAST_REST and not data.is_zero(end, len(data)):
        # AU: its size is unknown, and all to the end is sound.
        made.pieces = [Piece(0, len(data), {8: b"\xff" * 4})]
        made.notes.append(f"its header leaves out the last {len(data) - end:,} bytes of sound: all were read")
    if found and (repair := riff.repair(path, found)):
        made.pieces = [Piece(0, made.pieces[0].end, repair.patches)]
        made.notes.append(
            f"its header tells of {repair.promised:.1f} s, and {repair.there:.1f} s are there (did the "
            "recorder not finish?): all were read"
        )
