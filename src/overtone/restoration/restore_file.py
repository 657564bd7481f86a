"""Restore a file of any length, in constant memory.

The first pass checks and measures it, the second restores it (`overtone.restoration.passes`) and writes the
target.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overtone.core.errors import OvertoneError
from overtone.models.network import Network
from overtone.restoration.files.encode import ALL_FORMATS, check_target, check_target_rate, suited_rate, write
from overtone.restoration.files.film import FilmSound, check_film, place_in_target
from overtone.restoration.files.formats import SoundForm, default_target
from overtone.restoration.files.metadata import Metadata, read_metadata
from overtone.restoration.passes import SourceFile, measure, restored_blocks
from overtone.restoration.reference import Recording, gain_curve, open_reference
from overtone.restoration.result import Report
from overtone.restoration.stream.added_band import Controls
from overtone.restoration.stream.analysis import Analysis, RestorerOptions, open_restorer
from overtone.restoration.stream.limits import check_rate
from overtone.restoration.stream.load import open_model
from overtone.restoration.stream.narrowband import check_alone
from overtone.restoration.stream.resampling import Unchanged
from overtone.restoration.stream.restorer import Restorer
from overtone.restoration.stream.separation import Separator
from overtone.restoration.stream.stems import StemsRestorer
from overtone.version import __version__

if TYPE_CHECKING:
    import torch

# What the encoder's tag begins with.
MAKER = "overtone"


def restore_file(
    source: str | Path,
    target: str | Path | None = None,
    *,
    cutoff: float | None = None,
    model: str | Path | Network | None = None,
    out_rate: int | None = None,
    bits: int = 24,
    device: "str | torch.device | None" = None,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
    separator: Separator | None = None,
    parts: bool = False,
    track: int | None = None,
    accept_truncated: bool = False,
    like: str | Path | Recording | None = None,
    strength: float | None = None,
    brightness: float = 0.0,
    amount: float = 0.0,
    top: float | None = None,
) -> Report:
    """Restore a sound file, or the sound of a film, of any length to another file, and copy its tags.

    Args:
        source: wav, flac, mp3, ogg, opus, aiff, or what FFmpeg reads, such as m4a, wma and films.
        target: flac, wav, ogg or mp3 by its suffix; of a film also mp4, mov, mkv or webm, to which its other
            tracks are copied. By default ``talk.restored.flac`` beside ``talk.mp3``, ``film.restored.mp4``
            beside ``film.mp4``. Its folder is made if need be.
        cutoff: frequency in Hz above which to predict the band; measured if not given.
        model: a folder that the pipeline's train stage wrote, or a network; by default the shipped one.
        out_rate: the target's rate in Hz; by default 48,000 if the source's is of that family, else 44,100;
            the source's own if nothing is added.
        bits: 16 or 24 for flac and mkv; 16, 24 or 32 (float) for wav and mov; without effect for others.
        device: of the network; by default the processor for the shipped one, else a GPU if there is one.
        force: whether to overwrite the target.
        progress: is called with the share that is done, 0 to 1.
        separator: of `overtone.restoration.stream.separation.open_separator`, to restore stem by stem.
        parts: whether to look for narrowband passages (`overtone.restoration.stream.narrowband`) and restore
            those alone; if there are none, the file is restored as a whole.
        track: number of the sound track, from 1 on, where there are several; by default FFmpeg's choice.
        accept_truncated: whether to restore what is there of a file whose header promises more.
        like: a reference, of whose kind the added band is to be: a file, or of
            `overtone.restoration.reference.open_reference`.
        strength: share of its correction that is applied, 0 to 1; by default by how alike the recordings are.
        brightness: tilt of the added band, in dB at one octave above the cutoff.
        amount: level of the added band in dB, or `overtone.restoration.stream.added_band.OFF`.
        top: Hz above which nothing is added.

    Raises:
        OvertoneError: the source does not decode, is truncated or holds no sound, the target cannot be
            written, or an option is not allowed; nothing is left behind then.

    Example:
        >>> restore_file("talk.mp3").line()  # doctest: +SKIP
        'talk.mp3 -> talk.restored.flac: cutoff 7.9 kHz (cliff, confidence 0.98), treble added; ...'
    """
    source = Path(source)
    target = default_target(source) if target is None else Path(target)
    check_target(source, target, bits, force)
    check_film(source, target, track)
    if out_rate is not None:
        check_rate(out_rate)
        check_target_rate(target, out_rate)
    if parts:
        check_alone(cutoff, separator)
    controls, recording = Controls(strength, brightness, amount, top), open_reference(like)
    given = SourceFile(
        source,
        cutoff,
        parts,
        recording is not None,
        track,
        accept_truncated,
        progress or (lambda share: None),
    )
    return _restore(_Job(given, target, out_rate, bits, separator, controls, recording), model, device)


@dataclass(frozen=True)
class _Job:
    """One call of `restore_file`: its options, checked."""

    source: SourceFile
    target: Path
    out_rate: int | None
    bits: int
    separator: Separator | None
    controls: Controls
    recording: Recording | None

    def target_rate(self, analysis: Analysis) -> int:
        """Choose the target's rate in Hz: that asked for, or the source's own if nothing is added to it."""
        return self.out_rate or suited_rate(self.target, analysis.rate, not analysis.needs_restoring)


def _restore(job: _Job, model: str | Path | Network | None, device: "str | torch.device | None") -> Report:
    """Run both passes."""
    began = time.monotonic()
    measured, path = measure(job.source), job.source.path
    analysis, file = measured.analysis, measured.reader
    rate, channels = job.target_rate(analysis), analysis.channels
    form = SoundForm(rate, channels, job.bits, _output_length(job, analysis, rate))
    net = open_model(model, device) if analysis.needs_restoring else None
    try:
        curve = None if net is None else gain_curve(analysis, net, job.controls, job.recording)
        stream = open_restorer(analysis, net, rate, RestorerOptions(separator=job.separator, curve=curve))
    except OvertoneError as error:
        raise OvertoneError(f"{path}: {error}") from None
    added = not isinstance(stream, Unchanged)
    film = place_in_target(path, job.target, file.film, job.out_rate is None and not added)
    metadata = _metadata(job, analysis, added, film)
    output = restored_blocks(job.source, measured, stream)
    try:
        clipped = write(job.target, output, form, metadata)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's
            raise
        raise OvertoneError(f"{path}: the device is out of memory; take another, such as cpu") from None
    job.source.progress(1.0)
    seconds = analysis.samples / analysis.rate
    return Report(
        path,
        job.target,
        seconds,
        analysis.rate,
        analysis.rate if film and film.copied else rate,
        channels,
        analysis.cutoff,
        added,
        clipped,
        speed=seconds / (time.monotonic() - began),
        stems=stream.findings if isinstance(stream, StemsRestorer) else None,
        parts=analysis.spans,
        noise_floor=isinstance(stream, Restorer) and any(analysis.floors),
        track=file.track,
        silences=() if film and film.copied else tuple(file.silences),
        notes=tuple(file.notes),
        lost=tuple(metadata.lost(job.target.suffix.lower(), channels)),
        curve=curve,
        reference=job.recording and job.recording.name,
        film=film.describe(job.target) if film else None,
        limited=None if isinstance(stream, Unchanged) or stream.limiter is None else stream.limiter.limited,
    )


def _output_length(job: _Job, analysis: Analysis, rate: int) -> int:
    """Compute the target's samples per channel, at its rate in Hz.

    Raises:
        OvertoneError: there are none, or the target does not hold so many channels.
    """
    most = ALL_FORMATS[job.target.suffix.lower()][2]
    if analysis.channels > most:
        raise OvertoneError(
            f"{job.source.path} has {analysis.channels} channels; a {job.target.suffix} holds {most} at "
            "most: take another suffix"
        )
    length = round(analysis.samples * rate / analysis.rate)
    if not length:
        raise OvertoneError(
            f"{job.source.path} holds {analysis.samples} samples at {analysis.rate} Hz, which leaves none at "
            f"{rate} Hz; name a higher rate with --rate (out_rate)"
        )
    return length


def _metadata(job: _Job, analysis: Analysis, added: bool, film: FilmSound | None) -> Metadata:
    """Read the source's metadata and add an encoder tag that says that the high band is predicted."""
    metadata = read_metadata(job.source.path, job.source.track, film)
    tags = metadata.tags
    encoder = tags.pop("encoder", "")
    restored_before = encoder.startswith(MAKER)
    # Simple readers of WAV take all that follows the sound for sound: nothing does if nothing must.
    if metadata.has_tags() or restored_before or job.target.suffix.lower() != ".wav":
        treble = f", treble above {analysis.cutoff.hz / 1000:.3g} kHz is predicted"
        own = f"{MAKER} {__version__}{treble if added else ''}"
        own += " in parts" if analysis.spans else ""
        # A band that was predicted once is not missing any more, and is not recorded either.
        tags["encoder"] = encoder if restored_before and not added else own
    return metadata
