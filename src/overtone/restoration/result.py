"""Report what was done to a file, in a line and as plain values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overtone.audio.cutoff import Cutoff
from overtone.restoration.files.track import Track
from overtone.restoration.stream.added_band import GainCurve
from overtone.restoration.stream.limiter import Limited
from overtone.restoration.stream.separation import Findings


@dataclass(frozen=True)
class Report:
    """Describes a restored file.

    Attributes:
        source, target: the files.
        seconds: length of the sound.
        rate, out_rate: sample rates of source and target in Hz.
        channels: their number.
        cutoff: where the source's spectrum ends; its kind is ``given`` if it was not measured.
        added: whether a band was added above it; otherwise the sound is the source's.
        clipped: samples beyond full scale that the target's format could not hold: the input's own.
        speed: seconds of sound per second of work, from reading to writing.
        stems: findings of the separation, if the band was added stem by stem.
        parts: start and end in seconds of the narrowband passages, if they were looked for; the band was
            added there alone if there are any.
        track: the sound track that was restored, if the source has several.
        silences: start and end in seconds of the silence that stands for what the source did not send.
        notes: what else is special about the source: a header that is wrong, bytes that are no sound.
        lost: what the source holds besides samples, and the target cannot.
        curve: what the controls and the reference changed in the added band, if anything.
        reference: the reference's file, if there was one.
        film: what was done to the other tracks, if the target is a film.
        limited: how much the added band was lowered to stay within full scale, if it was.
    """

    source: Path
    target: Path
    seconds: float
    rate: int
    out_rate: int
    channels: int
    cutoff: Cutoff
    added: bool
    clipped: int
    speed: float
    stems: Findings | None = None
    parts: tuple[tuple[float, float], ...] | None = None
    # True if a noise floor was found and continued above the cutoff.
    noise_floor: bool = False
    track: Track | None = None
    silences: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    curve: GainCurve | None = None
    reference: str | None = None
    film: str | None = None
    limited: Limited | None = None

    def line(self) -> str:
        """Summarize the report in one line."""
        hertz, kind = f"{self.cutoff.hz / 1000:.3g} kHz", self.cutoff.kind
        if self.parts:
            length, sure = sum(end - start for start, end in self.parts), self.cutoff.confidence
            where = f"{len(self.parts)} {'part' if len(self.parts) == 1 else 'parts'}, {length:.1f} s in all"
            found = f"cutoff {hertz} ({kind}, confidence {sure:.2f}) in {where}, treble added there"
        elif self.curve and self.curve.off:
            found = f"cutoff {hertz} ({kind}), nothing added"
        elif kind == "given":
            found = f"cutoff {hertz} (given), treble added"
        elif self.added:
            found = f"cutoff {hertz} ({kind}, confidence {self.cutoff.confidence:.2f}), treble added"
        elif kind == "silence":
            found = "silent (but for bass, if any), left as it is"
        elif self.cutoff.full_band:
            found = f"full band already (up to {hertz}), left as it is"
        else:
            found = (
                f"no clear cutoff (perhaps {hertz}, confidence {self.cutoff.confidence:.2f}), left as it is; "
                "name one to restore it all the same"
            )
        if self.parts == ():
            found = f"no parts that end lower than the rest; {found}"
        if self.noise_floor:
            found += " and its hiss continued"
        clipped = f"; {self.clipped:,} samples clipped" if self.clipped else ""
        took = f"{self.seconds:.1f} s at {self.speed:.3g} times real time"
        if self.stems:
            found += f" to {self.stems.line()}"
            took += f", {self.stems.seconds * self.speed / self.seconds:.0%} of it separating"
        if self.curve and self.added:
            found += f", {self.curve.line()}"
        if self.limited:
            found += (
                f", lowered for {self.limited.seconds:.2g} s by up to {self.limited.decibels:.1f} dB "
                "to stay within full scale"
            )
        return f"{self.source} -> {self.target}: {found}; {took}{clipped}{self._source_line()}"

    def _source_line(self) -> str:
        """Describe what is special about the source, each remark after a semicolon."""
        return "".join(f"; {words}" for words in self.source_notes())

    def source_notes(self) -> list[str]:
        """List what is special about the source: its track, gaps, a wrong header, metadata that is lost."""
        said = describe_source(self.track, self.silences, self.notes)
        if self.film:
            said.insert(0, self.film)
        return [*said, f"not kept: {', '.join(self.lost)}"] if self.lost else said

    def json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        stems = self.stems and self.stems.json()
        curve = self.curve and self.curve.json()
        track = self.track and self.track._asdict()
        paths = {"source": str(self.source), "target": str(self.target)}
        limited = self.limited and self.limited._asdict()
        values = {"stems": stems, "track": track, "curve": curve, "limited": limited}
        return asdict(self) | paths | values


def describe_source(
    track: Track | None, silences: Sequence[tuple[float, float]], notes: Sequence[str]
) -> list[str]:
    """List what is special about a source; arguments as the attributes of `Report`."""
    said = [str(track)] if track else []
    late = [end for start, end in silences if start == 0]
    gaps = [(start, end) for start, end in silences if start > 0]
    if late:
        said.append(f"the sound begins {late[0]:.2f} s late, silence before it")
    if gaps:
        length = sum(end - start for start, end in gaps)
        count = "a gap" if len(gaps) == 1 else f"{len(gaps)} gaps"
        said.append(
            f"silence for {count} of {length:.{1 if length >= 0.1 else 2}f} s from {gaps[0][0]:.1f} s on"
        )
    return [*said, *notes]
