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
    """

    heading: str
    unit: str
    higher_is_better: bool
    decimals: int
    says: str


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
    "Full band and stereo": ("visqol", "lsd", "lsd_full", "lsd_low", "image_level", "image_coherence"),
    "Waveform and the paper's metrics": ("snr", "si_sdr", "l1", "mse", "stft", "mrstft"),
}
IN_GENRES = ("lsd_high", "snr")  # the columns by genre: the high band, and the cost in the waveform
TESTED = ("lsd_high", "lsd", "flatness_error", "onsets", "snr", "visqol")  # compared track by track
# The means that DVC shows of a system: those tested, and the low band, which a system should leave alone.
SUMMARY = ("lsd_high", "lsd", "lsd_low", "flatness_error", "onsets", "snr", "visqol")
