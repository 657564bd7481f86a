"""Tables of bench/quality.py: columns, intervals, and means by source."""

import numpy as np
import pandas as pd

from overtone.evaluation.comparison import intervals
from overtone.evaluation.metrics.balance import largest_step

SURE = ("lsd_high", "visqol")  # shown with intervals and paired tests
RESAMPLES = 5000  # more than the 2^12 patterns of signs of a dozen tracks

NOTES = """\
LSD high, low, all: log-spectral distance in bels, from the cutoff to each track's own bandwidth, from 0 Hz to
the cutoff, and over both.
ViSQOL: 1 to 4.73, on the middle 10 s at most, channels mixed. Zimtohrli: its distance times 1000, on the
same, if the extra is installed. 2f: the 2f-model's grade, 0 to 100, on the same. Level: error of the level
above the cutoff in dB. Onsets: correlation of onset strengths above the cutoff. Flatness: error of the
spectral flatness in dB, in half-octave bands. Partials: correlation of bins' levels over their neighbours'.
Image and coherence: error of the level difference in dB, and of the coherence, between left and right in
half-octave bands. Probe: how many of 100 seconds a linear classifier tells from real ones, on tracks it did
not learn from; 50 is best. docs/metrics.md says what each misses."""

COLUMNS = {
    "lsd_high": "LSD high",
    "lsd_low": "LSD low",
    "lsd": "LSD",
    "snr": "SNR dB",
    "visqol": "ViSQOL",
    "zimtohrli": "zimtohrli",
    "two_f": "2f",
    "level_error": "level dB",
    "onsets": "onsets",
    "flatness_error": "flatness dB",
    "partials": "partials",
    "image_level": "image dB",
    "image_coherence": "coherence",
    "probe": "probe %",
}


SIGN_NOTES = """\
Errors with their sign: 0 is best; above 0 is too loud, too wide, too flat. Level: of the first and the second
octave above the cutoff in dB, medians, and means of the absolute values. Bright: level in the brightest tenth
of the frames in dB, median. Width: side over middle in dB, median. Flat, steady: flatness of the magnitudes
over frequency and over half seconds, of the restored less the original, means. Comb: dB, mean. Seam: the
largest step in dB between bands of 100 Hz around the cutoff, in the mean over all. Clips: how many of 100
have more samples beyond full scale than the input."""


SIGN_COLUMNS = {
    "level_octave_1": "level 1st dB",
    "level_octave_2": "level 2nd dB",
    "bright_frames": "bright dB",
    "side_width": "width dB",
    "flatness_change": "flat",
    "flatness_time_change": "steady",
    "comb_change": "comb dB",
    "clips": "clips %",
}


def signs(table, profiles):
    """What `SIGN_NOTES` says, by cutoff and system.

    Args:
        table: rows of all tracks.
        profiles: (cutoff, system) -> mean of `balance.seam_profile` over the tracks.
    """
    own = table[table["system"] == "input"].set_index(["cutoff", "track"])["clipped"]
    before = own.reindex(pd.MultiIndex.from_frame(table[["cutoff", "track"]])).to_numpy()
    octaves = ["level_octave_1", "level_octave_2"]
    table = table.assign(clips=100.0 * (table["clipped"] > before), **_absolute(table, octaves))
    groups = table.groupby(["cutoff", "system"], sort=False)
    keys = [key for key in (*octaves, "bright_frames", "side_width") if key in table]
    found = groups[keys].median().rename(columns=SIGN_COLUMNS)
    found[["level 1st abs", "level 2nd abs"]] = groups[["abs_1", "abs_2"]].mean()
    for key in ("flatness_change", "flatness_time_change", "comb_change", "clips"):
        found[SIGN_COLUMNS[key]] = groups[key].mean()
    found["seam dB"] = [
        largest_step(profiles[key]) if key in profiles else np.nan for key in found.index.tolist()
    ]
    return found.sort_index(level="cutoff", sort_remaining=False)


def _absolute(table, octaves):
    """The absolute levels; music of a low bandwidth may lack the second."""
    return {f"abs_{n}": abs(table[key]) if key in table else np.nan for n, key in enumerate(octaves, start=1)}


def of_means(means):
    """Figures by cutoff and system, as lines of Markdown."""
    lines = [
        "| cutoff | system | " + " | ".join(COLUMNS.get(key, key) for key in means) + " |",
        "| --- " * (len(means.columns) + 2) + "|",
    ]
    for (cutoff, name), row in means.iterrows():
        cells = ["" if np.isnan(value) else f"{value:.2f}" for value in row]
        lines.append(f"| {cutoff} | {name} | " + " | ".join(cells) + " |")
    return lines


def compared(table, first):
    """Intervals by cutoff, and the paired test of each system against one, as lines of Markdown."""
    heads = [f"{COLUMNS[key]} | minus {first}" for key in SURE]
    lines = ["| cutoff | system | " + " | ".join(heads) + " |", "| --- " * (2 + 2 * len(SURE)) + "|"]
    for cutoff, rows in table.groupby("cutoff"):
        by_system = {
            name: of_system.set_index("track")[list(SURE)].to_dict("index")
            for name, of_system in rows.groupby("system", sort=False)
        }
        genres = dict.fromkeys(rows["track"], "")
        found = intervals.summarize(by_system, genres, RESAMPLES, against=first)
        for name, values in found["systems"].items():
            cells = []
            for key in SURE:
                cells.append("{mean:.2f} [{low:.2f}, {high:.2f}]".format(**values[key]))
                difference = found["paired"]["systems"].get(name, {}).get(key)
                cells.append("{mean:+.2f}, p = {p:.4f}".format(**difference) if difference else "")
            lines.append(f"| {cutoff} | {name} | " + " | ".join(cells) + " |")
    return lines


def by_source(table):
    """Means over cutoffs and tracks by folder of the music (of the test music: a game) and system."""
    source = table["track"].str.rpartition("/")[0].rename("source")
    means = table.groupby([source, "system"], sort=False)[list(SURE)].mean().round(3)
    count = table.groupby(source)["track"].nunique()
    return {
        name: {"tracks": int(count[name])}
        | {
            system: {COLUMNS[key]: value for key, value in row.items()}
            for system, row in rows.droplevel(0).to_dict("index").items()
        }
        for name, rows in means.groupby(level=0, sort=False)
    }


def of_sources(sources, systems):
    """What `by_source` found, as lines of Markdown."""
    lines = ["| source | tracks | " + " | ".join(systems) + " |", "| --- " * (len(systems) + 2) + "|"]
    for name, values in sources.items():
        cells = [" / ".join(f"{value:.2f}" for value in values[system].values()) for system in systems]
        lines.append(f"| {name} | {values['tracks']} | " + " | ".join(cells) + " |")
    return lines
