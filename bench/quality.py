"""Compare models with systems that need no training, on tracks of artists that they were not trained on.

    bash recipes/music.sh recipes/music_test.csv FOLDER
    python bench/quality.py FOLDER [MODEL ...] [--seconds 30] [--every 1] [--to quality]

    python recipes/voices.py VOICES
    python bench/quality.py VOICES --seconds 15 --to quality_voices

FOLDER is the music to judge by, each MODEL a model folder, whose name is its row's; by default the model
that comes with overtone. Every track gives so many seconds of its middle, low-passed by a zero-phase elliptic
filter at four cutoffs. OVERTONE_JOBS tracks are scored at a time. Writes bench/results/quality.md,
quality.csv (every track), and quality.json for the model's card; a slow network is scored on less of the
music, all other rows with it, into files of another name. ViSQOL takes most of the time: where the table
that is there already has a row whose other scores come out the same, its ViSQOL is kept. Without that table,
all is scored again. --keep NAME leaves the rows of a model whose weights are gone as that table has them, if
what needs no training scores there what it does now, so that they are of the same sound; the probe, which
needs the sound itself, has no figure then.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from overtone import formats
from overtone.audio import resample
from overtone.audio.bandwidth import measure_bandwidth
from overtone.core import parallel
from overtone.evaluation.comparison import intervals
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.comparison.chunks import lowpass, middle
from overtone.evaluation.comparison.systems import run_network
from overtone.evaluation.metrics import c2st, distances, visqol
from overtone.models import registry

RATE = 44100
CUTOFFS = (4000, 5500, 8000, 11000)
SURE = ("lsd_high", "visqol")  # shown with intervals and paired tests
RESAMPLES = 5000  # more than the 2^12 patterns of signs of a dozen tracks
SAME = 2e-4  # two scores of one signal, rounded to four places, on two processors
REAL = "original"  # its features are what the probe compares with

NOTES = """\
LSD high, LSD: log-spectral distance in bels, from the cutoff and from 0 Hz to each track's own bandwidth.
ViSQOL: 1 to 4.73, on the middle 10 s at most, channels mixed. Level: error of the level above the cutoff in
dB. Onsets: correlation of onset strengths above the cutoff. Flatness: error of the spectral flatness in dB,
in half-octave bands. Partials: correlation of bins' levels over their neighbours'. Image and coherence:
error of the level difference in dB, and of the coherence, between left and right in half-octave bands.
Probe: how many of 100 seconds a linear classifier tells from real ones, on tracks it did not learn from; 50
is best. docs/metrics.md says what each misses."""

COLUMNS = {
    "lsd_high": "LSD high",
    "lsd": "LSD",
    "snr": "SNR dB",
    "visqol": "ViSQOL",
    "level_error": "level dB",
    "onsets": "onsets",
    "flatness_error": "flatness dB",
    "partials": "partials",
    "image_level": "image dB",
    "image_coherence": "coherence",
    "probe": "probe %",
}


def load(path, seconds):
    """The seconds in a file's middle, (1 or 2, time) at 44.1 kHz."""
    with soundfile.SoundFile(path) as file:
        length = min(file.frames, seconds * file.samplerate)
        file.seek((file.frames - length) // 2)
        samples = file.read(length, dtype="float32", always_2d=True).T[:2]
        samples = resample.resample(np.ascontiguousarray(samples), file.samplerate, RATE)
    return torch.from_numpy(samples)


def score(original, estimate, cutoff, reach, known):
    """The columns of one row but for the probe; ``known`` is the row that there is already, if any."""
    both, ranges = (original, estimate), [(cutoff, reach), (0, reach)]
    by_range = distances.log_spectral_distances(*both, RATE, ranges)
    values = {
        "lsd_high": by_range[0],
        "lsd": by_range[1],
        "snr": distances.snr(*both),
        "visqol": None,  # its place among the columns
        **distances.measure_high_band(*both, RATE, cutoff, reach),
    }
    same = known is not None and all(
        abs(value - known[key]) <= SAME for key, value in values.items() if key != "visqol"
    )
    values["visqol"] = (
        known["visqol"]
        if same
        else visqol.visqol(*(middle(sound, visqol.EXCERPT_SECONDS, RATE) for sound in both), RATE)
    )
    return values


def kept(name, rows, known):
    """One track's rows of a system in the table that there is already, at the cutoffs of the new rows."""
    for row in rows:
        before = known.get((row["cutoff"], row["system"]), {})
        same = all(abs(row[key] - before.get(key, np.inf)) <= SAME for key in ("lsd_high", "lsd", "snr"))
        if row["system"] in BASELINES and not (same and (row["cutoff"], name) in known):
            raise SystemExit(f"{row['track']} is not what {name} was scored on: leave out --keep")
    cutoffs = dict.fromkeys(row["cutoff"] for row in rows)
    return [
        {"cutoff": cutoff, "system": name, "track": rows[0]["track"], **known[cutoff, name]}
        for cutoff in cutoffs
    ]


def known_rows(path):
    """(cutoff, system) -> row, by track, of a table that an earlier run wrote; nothing if there is none."""
    if not path.exists():
        return {}
    table = pd.read_csv(path)
    return {
        track: rows.set_index(["cutoff", "system"]).drop(columns="track").to_dict("index")
        for track, rows in table.groupby("track")
    }


def restored(damaged, cutoff, nets):
    """Row's name -> what it makes of (channels, time) that end at a cutoff in Hz; fills first."""
    made = {name: system(damaged, cutoff, RATE) for name, system in BASELINES.items()}
    return made | {name: run_network(net, damaged, cutoff, RATE) for name, net in nets.items()}


def judge(track_id, path, folders, seconds, known):
    """One track under every system and cutoff: its rows, and what the probe sees of each."""
    torch.set_num_threads(1)
    nets = {name: registry.load(folder)[0] for name, folder in folders.items()}
    original = load(path, seconds)
    reach = measure_bandwidth(original.numpy(), RATE)
    rows, seen = [], {}
    for cutoff in CUTOFFS:
        if reach < cutoff + 2000:
            continue
        damaged = lowpass(original, cutoff, RATE)
        seen[cutoff, REAL] = c2st.features(original, RATE, cutoff, reach)
        for name, estimate in restored(damaged, cutoff, nets).items():
            values = score(original, estimate, cutoff, reach, known.get((cutoff, name)))
            rows.append({"cutoff": cutoff, "system": name, "track": track_id, **values})
            seen[cutoff, name] = c2st.features(estimate, RATE, cutoff, reach)
    return rows, seen


def name_rows(folders):
    """Row's name -> model folder: its last part, or all of it where two folders share that."""
    names = [folder.resolve().name for folder in folders]
    return {
        name if names.count(name) == 1 else str(folder): folder
        for name, folder in zip(names, folders, strict=True)
    }


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


def music_and_models(description, seconds):
    """A command line of music to judge by, models, and seconds of every track."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", type=Path, metavar="FOLDER", help="what to judge by")
    parser.add_argument("models", type=Path, nargs="*", default=[registry.SHIPPED], metavar="MODEL")
    parser.add_argument("--seconds", type=int, default=seconds, help="of every track, from its middle")
    return parser


def arguments():
    """What is asked for."""
    parser = music_and_models(__doc__, 30)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth track only")
    parser.add_argument("--to", default="quality", metavar="NAME", help="bench/results/NAME.md and so on")
    parser.add_argument("--keep", action="append", default=[], metavar="NAME", help="leave this model's rows")
    return parser.parse_args()


def main():
    """Score every system at every cutoff and write the results."""
    began = time.monotonic()
    asked = arguments()
    folders = name_rows(asked.models)
    paths = sorted(path for path in asked.music.rglob("*") if formats.is_sound(path))
    folder = Path(__file__).parent / "results"
    known = known_rows(folder / f"{asked.to}.csv")
    names = {path: str(path.relative_to(asked.music)) for path in paths[:: asked.every]}
    calls = [(name, path, folders, asked.seconds, known.get(name, {})) for path, name in names.items()]
    rows, seen = [], {}
    for call, (scored, features) in zip(calls, parallel.run_all(judge, calls), strict=True):
        rows += scored
        for name in asked.keep:
            rows += kept(name, scored, known.get(call[0], {}))
        for key, value in features.items():
            seen.setdefault(key, {})[call[0]] = value
        print(call[0], flush=True)
    table = pd.DataFrame(rows)
    means = table.drop(columns="track").groupby(["cutoff", "system"], sort=False).mean()
    for cutoff, name in means.index:
        if name in asked.keep:
            continue
        accuracy = c2st.accuracy(seen[cutoff, REAL], seen[cutoff, name])
        means.loc[(cutoff, name), "probe"] = 100 * accuracy
    # Mono has no place between the channels.
    columns = {key: name for key, name in COLUMNS.items() if key in means}
    means = means[list(columns)].sort_index(level="cutoff", sort_remaining=False)
    tracks = table.groupby("cutoff")["track"].nunique()
    left = f" Rows of {', '.join(asked.keep)} are an earlier run's." if asked.keep else ""
    text = [
        __doc__.splitlines()[0],
        "",
        f"Test tracks by cutoff: {tracks.to_dict()}, {asked.seconds} s of each. "
        f"Took {(time.monotonic() - began) / 60:.1f} minutes on {parallel.worker_count()} cores.{left}",
        "",
        NOTES,
        "",
        "| cutoff | system | " + " | ".join(columns.values()) + " |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for (cutoff, name), row in means.iterrows():
        cells = ["" if np.isnan(value) else f"{value:.2f}" for value in row]
        text.append(f"| {cutoff} | {name} | " + " | ".join(cells) + " |")
    first = next(iter(folders))
    text += [
        "",
        f"95 % intervals (bootstrap over tracks), and the mean difference to {first} track by track with the",
        "two-sided p of the sign-flip test (not corrected for the number of comparisons):",
        "",
        *compared(table, first),
    ]
    sources = by_source(table)
    systems = list(table["system"].unique())
    text += ["", "By source, means over the cutoffs (LSD high / ViSQOL):", ""]
    text += ["| source | tracks | " + " | ".join(systems) + " |", "| --- " * (len(systems) + 2) + "|"]
    for name, values in sources.items():
        cells = [" / ".join(f"{value:.2f}" for value in values[system].values()) for system in systems]
        text.append(f"| {name} | {values['tracks']} | " + " | ".join(cells) + " |")
    table.round(4).to_csv(folder / f"{asked.to}.csv", index=False)
    (folder / f"{asked.to}.md").write_text("\n".join(text) + "\n")
    figures = {
        str(cutoff): {
            name: {columns[key]: round(value, 3) for key, value in values.items() if not np.isnan(value)}
            for name, values in means.loc[cutoff].to_dict("index").items()
        }
        for cutoff in CUTOFFS
    } | {"by source": sources}
    (folder / f"{asked.to}.json").write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
