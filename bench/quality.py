"""Compare models with systems that need no training, on tracks of artists that they were not trained on.

    bash recipes/music.sh recipes/music_test.csv FOLDER
    python bench/quality.py FOLDER [MODEL ...] [--seconds 30] [--every 1] [--to quality]

    python recipes/voices.py VOICES
    python bench/quality.py VOICES --seconds 15 --to quality_voices

    python bench/quality.py RECORDINGS --set test         # to be run once, for a model that is to ship
    python bench/quality.py RECORDINGS --set validation   # to choose by

FOLDER is the music to judge by, each MODEL a model folder, whose name is its row's; by default the model
that comes with overtone. Every track gives so many seconds of its middle, low-passed by a zero-phase elliptic
filter at four cutoffs. RECORDINGS holds real recordings with their voices (recipes/music.md);
bench/recordings.py says which excerpts of them are taken, 12 s each. A row is then a mean over artists, and
the files are quality_real and quality_validation.

OVERTONE_JOBS tracks are scored at a time. Writes bench/results/quality.md, quality.csv (every track), and
quality.json for the model's card; a slow network is scored on less of the music, all other rows with it, into
files of another name. ViSQOL takes most of the time: where the table that is there already has a row whose
other scores come out the same, its ViSQOL is kept. Without that table, all is scored again. --keep NAME
leaves the rows of a model whose weights are gone as that table has them, if what needs no training scores
there what it does now, so that they are of the same sound; the probe, which needs the sound itself, has no
figure then.
"""

import argparse
import json
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import quality_tables
import recordings
import soundfile
import torch

from overtone import formats
from overtone.audio import resample
from overtone.audio.bandwidth import measure_bandwidth
from overtone.core import parallel
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.comparison.chunks import lowpass, middle
from overtone.evaluation.comparison.systems import run_network
from overtone.evaluation.metrics import balance, c2st, distances, visqol
from overtone.evaluation.metrics.two_f import two_f
from overtone.evaluation.metrics.zimtohrli import zimtohrli
from overtone.models import registry

RATE = 44100
CUTOFFS = (4000, 5500, 8000, 11000)
SAME = 2e-4  # two scores of one signal, rounded to four places, on two processors
# Taken from the table that is there where the other scores come out the same.
SLOW = {"visqol": visqol.visqol, "two_f": two_f}
SLOW |= {"zimtohrli": zimtohrli} if find_spec("zimtohrli") else {}
REAL = "original"  # its features are what the probe compares with


def load(path, seconds):
    """The seconds in a file's middle, (1 or 2, time) at 44.1 kHz."""
    return at_model_rate(*read_middle(path, seconds))


def read_middle(path, seconds):
    """The seconds in a file's middle, (channels, time), and their rate."""
    with soundfile.SoundFile(path) as file:
        length = min(file.frames, seconds * file.samplerate)
        file.seek((file.frames - length) // 2)
        return file.read(length, dtype="float32", always_2d=True).T, file.samplerate


def at_model_rate(samples, rate):
    """The first two channels of (channels, time), at 44.1 kHz."""
    return torch.from_numpy(resample.resample(np.ascontiguousarray(samples[:2]), rate, RATE))


def score(original, estimate, cutoff, reach, known):
    """The columns of one row but for the probe; ``known`` is the row that there is already, if any."""
    both, ranges = (original, estimate), [(cutoff, reach), (0, cutoff), (0, reach)]
    by_range = distances.log_spectral_distances(*both, RATE, ranges)
    values = {
        "lsd_high": by_range[0],
        "lsd_low": by_range[1],
        "lsd": by_range[2],
        "snr": distances.snr(*both),
        "visqol": None,  # its place among the columns
        "clipped": distances.clipped(estimate, RATE),
        **distances.measure_high_band(*both, RATE, cutoff, reach),
    }
    same = known is not None and all(
        abs(value - known[key]) <= SAME for key, value in values.items() if key != "visqol" and key in known
    )
    excerpts = [middle(sound, visqol.EXCERPT_SECONDS, RATE) for sound in both]
    for key, slow in SLOW.items():
        values[key] = known[key] if same and key in known else slow(*excerpts, RATE)
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


def judge(track_id, path, folders, seconds, louder, known):
    """One track under every system and cutoff: its rows, what the probe sees of each, and their seams."""
    torch.set_num_threads(1)
    nets = {name: registry.load(folder)[0] for name, folder in folders.items()}
    read = recordings.read_excerpt(path, seconds) if louder else read_middle(path, seconds)
    original = at_model_rate(*read)
    reach = measure_bandwidth(original.numpy(), RATE)
    rows, seen, profiles = [], {}, {}
    for cutoff in CUTOFFS:
        if reach < cutoff + 2000:
            continue
        damaged = lowpass(original, cutoff, RATE)
        seen[cutoff, REAL] = c2st.features(original, RATE, cutoff, reach)
        true = balance.mean_powers(original, RATE, cutoff, reach)
        for name, estimate in restored(damaged, cutoff, nets).items():
            values = score(original, estimate, cutoff, reach, known.get((cutoff, name)))
            rows.append({"cutoff": cutoff, "system": name, "track": track_id, **values})
            seen[cutoff, name] = c2st.features(estimate, RATE, cutoff, reach)
            made = balance.mean_powers(estimate, RATE, cutoff, reach)
            profiles[cutoff, name] = balance.seam_profile(true, made, RATE, cutoff, reach)
    return rows, seen, profiles


def name_rows(folders):
    """Row's name -> model folder: its last part, or all of it where two folders share that."""
    names = [folder.resolve().name for folder in folders]
    return {
        name if names.count(name) == 1 else str(folder): folder
        for name, folder in zip(names, folders, strict=True)
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
    parser = music_and_models(__doc__, None)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth track only")
    parser.add_argument("--set", choices=recordings.SETS, help="FOLDER holds these real recordings")
    parser.add_argument(
        "--per-artist",
        type=int,
        default=recordings.PER_ARTIST,
        metavar="N",
        help="recordings of each, of a set",
    )
    parser.add_argument("--to", metavar="NAME", help="bench/results/NAME.md and so on")
    parser.add_argument("--keep", action="append", default=[], metavar="NAME", help="leave this model's rows")
    asked = parser.parse_args()
    asked.to = asked.to or {None: "quality", "test": "quality_real"}.get(asked.set, f"quality_{asked.set}")
    asked.seconds = asked.seconds or (12 if asked.set else 30)
    return asked


def tracks_of(asked):
    """Name -> sound file of every track that is asked for."""
    if asked.set:
        chosen = recordings.choose(asked.set, asked.music, asked.per_artist)[:: asked.every]
        return dict(chosen)
    paths = sorted(path for path in asked.music.rglob("*") if formats.is_sound(path))
    return {str(path.relative_to(asked.music)): path for path in paths[:: asked.every]}


def by_artist(table, seen):
    """Excerpts' rows and the probe's features, by artist: the mean of the rows, all features."""
    artists = table["track"].str.rpartition("/")[0]
    means = table.assign(track=artists).groupby(["cutoff", "system", "track"], sort=False).mean()
    joined = {}
    for key, by_track in seen.items():
        for track, features in by_track.items():
            joined.setdefault(key, {}).setdefault(track.rpartition("/")[0], []).append(features)
    return means.reset_index(), {
        key: {artist: np.concatenate(parts) for artist, parts in of_artists.items()}
        for key, of_artists in joined.items()
    }


def score_all(asked, folders, known):
    """Score every track: rows, what the probe sees by cutoff, system and track, and the mean seams."""
    calls = [
        (name, path, folders, asked.seconds, bool(asked.set), known.get(name, {}))
        for name, path in tracks_of(asked).items()
    ]
    rows, seen, profiles = [], {}, {}
    for call, (scored, features, seams) in zip(calls, parallel.run_all(judge, calls), strict=True):
        rows += scored
        for name in asked.keep:
            rows += kept(name, scored, known.get(call[0], {}))
        for key, value in features.items():
            seen.setdefault(key, {})[call[0]] = value
        for key, value in seams.items():
            profiles.setdefault(key, []).append(value)
        print(call[0], flush=True)
    return pd.DataFrame(rows), seen, {key: np.mean(found, axis=0) for key, found in profiles.items()}


def main():
    """Score every system at every cutoff and write the results."""
    began = time.monotonic()
    asked = arguments()
    folders = name_rows(asked.models)
    folder = Path(__file__).parent / "results"
    excerpts, seen, profiles = score_all(asked, folders, known_rows(folder / f"{asked.to}.csv"))
    table, seen = by_artist(excerpts, seen) if asked.set else (excerpts, seen)
    means = table.drop(columns="track").groupby(["cutoff", "system"], sort=False).mean()
    for cutoff, name in means.index:
        if name in asked.keep:
            continue
        accuracy = c2st.accuracy(seen[cutoff, REAL], seen[cutoff, name])
        means.loc[(cutoff, name), "probe"] = 100 * accuracy
    # Mono has no place between the channels.
    columns = {key: name for key, name in quality_tables.COLUMNS.items() if key in means}
    means = means[list(columns)].sort_index(level="cutoff", sort_remaining=False)
    tracks = table.groupby("cutoff")["track"].nunique()
    unit = f"Artists of the {asked.set} set of real recordings" if asked.set else "Test tracks"
    of_each = f", {excerpts['track'].nunique()} excerpts" if asked.set else ""
    left = f" Rows of {', '.join(asked.keep)} are an earlier run's." if asked.keep else ""
    sources = quality_tables.by_source(table)
    first = next(iter(folders))
    text = [
        __doc__.splitlines()[0],
        "",
        f"{unit} by cutoff: {tracks.to_dict()}{of_each}, {asked.seconds} s of each. "
        f"Took {(time.monotonic() - began) / 60:.1f} minutes on {parallel.worker_count()} cores.{left}",
        "",
        quality_tables.NOTES,
        "",
        *quality_tables.of_means(means),
        "",
        quality_tables.SIGN_NOTES,
        "",
        *quality_tables.of_means(quality_tables.signs(table, profiles)),
        "",
        f"95 % intervals (bootstrap over {'artists' if asked.set else 'tracks'}), and the mean difference to "
        f"{first}, one by one, with the",
        "two-sided p of the sign-flip test (not corrected for the number of comparisons):",
        "",
        *quality_tables.compared(table, first),
        "",
        "By source, means over the cutoffs (LSD high / ViSQOL):",
        "",
        *quality_tables.of_sources(sources, list(table["system"].unique())),
    ]
    excerpts.round(4).to_csv(folder / f"{asked.to}.csv", index=False)
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
