"""What a reader must know about each metric, and which of them stand in which table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """How a metric is shown, and what a reader must know about it.

    Attributes:
        heading: the head of its column.
        unit: "dB", "bel" (log10 of a ratio of powers), or empty for a plain number.
        higher_is_better: which way is better.
        decimals: digits shown after the point.
        says: one line, what it rewards and what it misses.
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
    "mse": Score("MSE", "", False, 4, "as L1, and the loud low notes drown all else; misses the treble"),
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
        "LSD up to Nyquist, as publications have it; hears what is put above that",
    ),
    "lsd_low": Score(
        "LSD low", "bel", False, 2, "LSD below the cutoff: rewards leaving alone what was still there"
    ),
    "lsd_high": Score(
        "LSD high",
        "bel",
        False,
        2,
        "LSD from cutoff to bandwidth: the treble's level, plausible or true alike",
    ),
    "lsd_octave_1": Score("LSD 1st", "bel", False, 2, "LSD high in the first octave above the cutoff"),
    "lsd_octave_2": Score("LSD 2nd", "bel", False, 2, "LSD high in the second octave, if the track has one"),
    "level_error": Score(
        "level", "dB", False, 1, "treble's level over the whole track; misses when and where in it"
    ),
    "flatness_error": Score(
        "flatness", "dB", False, 1, "noise where tones were, tones where noise was; misses which tones"
    ),
    "partials": Score(
        "partials",
        "",
        True,
        2,
        "tones at the right bins (correlation, 1 at best); noise and smooth spectra get 0",
    ),
    "onsets": Score(
        "onsets", "", True, 2, "attacks in their place (correlation, 1 at best); misses how strong they are"
    ),
    "image_level": Score(
        "image", "dB", False, 1, "left against right in level; misses all else, rewards two tracks in one"
    ),
    "image_coherence": Score(
        "coherence", "", False, 2, "how alike left and right are; misses where the sound sits"
    ),
    "si_sdr": Score(
        "SI-SDR", "dB", True, 1, "waveform up to its level; misses level, sign, and nearly all treble"
    ),
    "snr": Score("SNR", "dB", True, 1, "waveform; rewards silence above the cutoff over treble out of phase"),
    "visqol": Score(
        "ViSQOL", "", True, 2, "listeners' grade as a model guesses it, 1 to 4.73; mono, forgives level"
    ),
    "probe": Score(
        "probe", "%", False, 0, "seconds that a classifier tells from real ones, 50 at best; misses the music"
    ),
}
# Why a table may lack some of them.
ABSENT = {
    "image_level": "music is mono",
    "visqol": "evaluate.visqol is off",
    "probe": "it takes 5 test tracks with treble",
}
# The tables that the text has, each narrow enough for a terminal.
VIEWS = {
    "Treble": (
        "lsd_high",
        "lsd_octave_1",
        "lsd_octave_2",
        "level_error",
        "flatness_error",
        "partials",
        "onsets",
        "probe",
    ),
    "Whole sound and stereo": ("visqol", "lsd", "lsd_full", "lsd_low", "image_level", "image_coherence"),
    "Waveform and the paper's metrics": ("snr", "si_sdr", "l1", "mse", "stft", "mrstft"),
}
IN_GENRES = ("lsd_high", "snr")  # what the rows per genre show: the treble, and what it cost
TESTED = ("lsd_high", "lsd", "flatness_error", "onsets", "snr", "visqol")  # compared track by track
