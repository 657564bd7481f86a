"""Place decoded frames by their timestamps: what was not sent is silence, so that sound stays in step.

::

    packets     |0.0 s|0.02 s| ...        |5.0 s|5.02 s|        (nothing sent from 3 to 5 s)
    output      |sound|sound | ... silence |sound|sound |
"""

from fractions import Fraction

# Seconds by which sound may come late without being noticed beside a picture (EBU R 37: 40 to 60 ms).
GAP = Fraction(40, 1000)
# Seconds of a late start that are a container's rounding.
LATE = Fraction(2, 1000)
# Seconds by which the clock of a broadcast jumps if it was joined; FFmpeg takes as many for that.
JOINT = 10
# Seconds of silence that no file is believed to have left out.
LONGEST = 3600


class ClockError(ValueError):
    """Timestamps that jump farther than any silence."""


class Timeline:
    """Count samples against the timestamps of frames.

    Args:
        rate: samples per second.
        tick: seconds that the container's clock counts in.
        joined: whether the clock may begin again in the middle, as in a broadcast.

    Attributes:
        position: samples so far, silence included.
        silences: start and end of each in seconds.
        jumps: seconds at which the clock jumps, and by how many, and no silence was put in.
        first: when the first sample lies on the clock, in seconds; 0 where silence was put before the sound.
    """

    def __init__(self, rate: int, tick: Fraction, joined: bool) -> None:
        self._rate, self._tick, self._joined = rate, tick, joined
        self.position = 0
        self.silences: list[tuple[float, float]] = []
        self.jumps: list[tuple[float, float]] = []
        self._shift = self.first = Fraction(0)
        self._next: Fraction | None = None
        self.started = False

    def silence_before(self, seconds: Fraction | None, samples: int) -> int:
        """Return the samples of silence before a frame, and count both.

        Args:
            seconds: when the frame begins; None if its container does not say.
            samples: its length.

        Raises:
            ClockError: the clock jumps too far.
        """
        missing = 0
        if seconds is not None:
            missing = self._missing(seconds, samples) if self.started else self._missing_at_start(seconds)
            self._next = seconds + Fraction(samples, self._rate)
        elif self._next is not None:
            self._next += Fraction(samples, self._rate)
        if missing:
            self.fill(missing)
        self.position += samples
        self.started = True
        return missing

    def fill(self, samples: int) -> None:
        """Count silence."""
        start = self.position
        self.position += samples
        self.silences.append((start / self._rate, self.position / self._rate))

    def due(self, seconds: Fraction) -> int:
        """Return the sample at which a time of the container's clock lies in the output."""
        return round((seconds - self._shift) * self._rate)

    def _missing(self, seconds: Fraction, samples: int) -> int:
        late = seconds - self._shift - Fraction(self.position, self._rate)
        jump = seconds - self._next if self._next is not None else late
        if jump < -GAP or (self._joined and abs(jump) > JOINT):
            self.jumps.append((self.position / self._rate, float(jump)))
            self._shift += late
            return 0
        slack = 1.5 * self._tick
        if jump <= slack + Fraction(1, 1000):
            return 0
        # A clock that ticks in milliseconds rounds; whole frames were left out.
        frames = Fraction(round(jump * self._rate / samples) * samples if samples else 0, self._rate)
        whole = abs(jump - frames) <= slack
        # A frame of AAC is shorter than the gap that nobody notices, but all that follows would be early.
        if late <= GAP and not (whole and late >= frames - slack - LATE):
            return 0
        return self._checked(frames if whole else late)

    def _missing_at_start(self, seconds: Fraction) -> int:
        """Return the samples of silence before the first frame; a start that is hardly late is no silence."""
        missing = self._checked(seconds) if seconds > max(LATE, self._tick) else 0
        self._shift = self.first = seconds - Fraction(missing, self._rate)
        return missing

    def _checked(self, seconds: Fraction) -> int:
        if seconds > LONGEST:
            raise ClockError(f"its timestamps jump by {float(seconds):,.0f} s there")
        return round(seconds * self._rate)
