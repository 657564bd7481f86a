"""All metrics by key: how each is shown, its limits in one line, and the tables that it stands in.

Nothing here imports torch, so that printing tables is instant.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """The display of a metric, and its meaning in one line.

    Attributes:
        heading: the head of its column.
        unit: "dB", "bel" (log10 of a ratio of powers), "%", or empty for a plain number.
        higher_is_better: the direction of improvement.
        decimals: digits shown after the point.
        says: one line: what it rewards and what it misses.
        signed: whether 0 is best, and the sign says in which direction an estimate errs.
    """

    heading: str
    unit: str
    higher_is_better: bool
    decimals: int
    says: str
    signed: bool = False

    def best(self, means: list[float]) -> float:
        """Return the best of several means."""
        if self.signed:
            return min(means, key=abs)
        return max(means) if self.higher_is_better else min(means)

    @property
    def arrow(self) -> str:
        """Direction of improvement: up, down, or towards 0."""
        return "→0" if self.signed else "↑" if self.higher_is_better else "↓"


SCORES: dict[str, Score] = {
    "l1": Score(
        "L1", "", False, 3, "sample error; rewards silence above the cutoff over a wrong guess at it"
    ),
    "mse": Score("MSE", "", False, 4, "as L1; loud low notes outweigh the rest; misses the high band"),
    "stft": Score(
        "STFT", "", False, 3, "the paper's; linear magnitudes, so mostly the bass; misses sign and phase"
    ),
    "mrstft": Score(
        "MR-STFT", "", False, 2, "auraloss's; log magnitudes to Nyquist; rewards silence where the track ends"
    ),
    "lsd": Score(
        "LSD",
        "bel",
        False,
        2,
        "spectrum on a log scale up to the track's own bandwidth; misses phase and sign",
    ),
    "lsd_full": Score(
        "LSD full",
        "bel",
        False,
        2,
        "LSD up to Nyquist, as publications have it; also counts the band above the track's bandwidth",
    ),
    "lsd_low": Score(
        "LSD low", "bel", False, 2, "LSD below the cutoff; rewards leaving the input's low band alone"
    ),
    "lsd_high": Score(
        "LSD high",
        "bel",
        False,
        2,
        "LSD from cutoff to bandwidth: level of the high band, plausible or true alike",
    ),
    "lsd_octave_1": Score("LSD 1st", "bel", False, 2, "LSD high in the first octave above the cutoff"),
    "lsd_octave_2": Score("LSD 2nd", "bel", False, 2, "LSD high in the second octave, if the track has one"),
    "level_error": Score(
        "level", "dB", False, 1, "level of the high band over the track; misses when and at which frequency"
    ),
    "flatness_error": Score(
        "flatness", "dB", False, 1, "noise in place of tones, tones in place of noise; misses which tones"
    ),
    "partials": Score(
        "partials",
        "",
        True,
        2,
        "tones at the right bins (correlation, 1 at best); noise and smooth spectra get 0",
    ),
    "onsets": Score(
        "onsets", "", True, 2, "attacks at the right time (correlation, 1 at best); misses their strength"
    ),
    "image_level": Score(
        "image", "dB", False, 1, "level of left against right; misses all else, rewards two tracks in one"
    ),
    "image_coherence": Score(
        "coherence", "", False, 2, "similarity of left and right; misses the direction of a sound"
    ),
    "level_octave_1": Score(
        "level 1st",
        "dB",
        False,
        1,
        "level of the first octave above the cutoff, too loud above 0; misses when",
        True,
    ),
    "level_octave_2": Score(
        "level 2nd", "dB", False, 1, "level of the second octave, if the track has one", True
    ),
    "bright_frames": Score(
        "bright", "dB", False, 1, "level in the brightest tenth of frames: sibilants, cymbals", True
    ),
    "seam": Score(
        "seam",
        "dB",
        False,
        1,
        "largest step between bands of 100 Hz around the cutoff; other notes count too",
    ),
    "side_width": Score("width", "dB", False, 1, "side over middle; misses which sound is where", True),
    "flatness_change": Score(
        "flat", "", False, 2, "noisier than the original above 0, more tonal below; misses which tones", True
    ),
    "flatness_time_change": Score(
        "steady", "", False, 2, "steadier than the original above 0; misses when it is not", True
    ),
    "comb_change": Score(
        "comb", "dB", False, 2, "lines at the same bins all the time, if the original has none", True
    ),
    "clipped": Score(
        "clipped", "", False, 1, "samples beyond full scale per second; the input's row has its own"
    ),
    "si_sdr": Score(
        "SI-SDR", "dB", True, 1, "waveform up to its level; misses level, sign, and nearly all high band"
    ),
    "snr": Score(
        "SNR", "dB", True, 1, "waveform; rewards silence above the cutoff over a high band out of phase"
    ),
    "visqol": Score(
        "ViSQOL", "", True, 2, "listeners' grade as a model predicts it, 1 to 4.73; mono, forgives level"
    ),
    "c2st": Score(
        "C2ST",
        "%",
        False,
        0,
        "seconds that a classifier separates from real ones, 50 at best; misses the music",
    ),
}
# Metrics that a table may lack, with the reason.
ABSENT = {
    "image_level": "mono music",
    "side_width": "mono music",
    "visqol": "evaluate.visqol is off",
    "c2st": "needs 5 tracks with a high band",
}
# The text tables, each narrow enough for a terminal.
VIEWS = {
    "High band": (
        "lsd_high",
        "lsd_octave_1",
        "lsd_octave_2",
        "level_error",
        "flatness_error",
        "partials",
        "onsets",
        "c2st",
    ),
    "Full band and stereo": (
        "visqol",
        "lsd",
        "lsd_full",
        "lsd_low",
        "image_level",
        "image_coherence",
        "clipped",
    ),
    "Balance of the high band": ("level_octave_1", "level_octave_2", "bright_frames", "side_width", "seam"),
    "Texture of the high band": ("flatness_change", "flatness_time_change", "comb_change"),
    "Waveform and the paper's metrics": ("snr", "si_sdr", "l1", "mse", "stft", "mrstft"),
}
IN_GENRES = ("lsd_high", "snr")  # the columns by genre: the high band, and the cost in the waveform
TESTED = ("lsd_high", "lsd", "flatness_error", "onsets", "snr", "visqol")  # compared track by track
# The means that DVC shows of a system: those tested, and the low band, which a system should leave alone.
SUMMARY = ("lsd_high", "lsd", "lsd_low", "flatness_error", "onsets", "snr", "visqol")
