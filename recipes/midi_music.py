"""Render music from MIDI files: full band, no codec, drums in every mix, sound and balance drawn for each.

    python recipes/midi_music.py SOURCES OUT [--hours 20] [--from 0]

Needs fluidsynth, sox and the sound fonts and drum kits of Debian's packages fluid-soundfont-gm,
timgm6mb-soundfont, musescore-general-soundfont, fluidr3mono-gm-soundfont, avldrums.lv2-soundfont and
hydrogen-drumkits, and mido. SOURCES holds one folder a collection, as `python recipes/bring_repositories.py
recipes/midi_sources.csv SOURCES` brings them. OUT gets FLAC files and table.csv, a row each: path, source,
artist, licence, font, kit, seconds. What number N sounds like depends on N and the files alone
(music_midi.csv was made with Debian 12's); what is there already is kept. A minute of music takes some four
seconds of one core.
"""

import argparse
import csv
import math
import random
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

RATE = 44100
FONTS = {
    "FluidR3": "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "MuseScore": "/usr/share/sounds/sf3/MuseScore_General_Full.sf3",
    "FluidR3Mono": "/usr/share/sounds/sf3/FluidR3Mono_GM.sf3",
    "TimGM6mb": "/usr/share/sounds/sf2/TimGM6mb.sf2",
}
FONT_WEIGHTS = (4, 4, 1, 1)
DRUM_FONTS = {
    "Black Pearl": "/usr/share/sounds/sf2/Black_Pearl_4_LV2.sf2",
    "Red Zeppelin": "/usr/share/sounds/sf2/Red_Zeppelin_4_LV2.sf2",
}
DRUM_KITS = Path("/usr/share/hydrogen/data/drumkits")
LEAST_SECONDS, MOST_SECONDS = 40, 100
# General MIDI programs by what they are good for.
LEADS = (
    0,
    4,
    5,
    11,
    12,
    22,
    24,
    25,
    26,
    27,
    29,
    30,
    40,
    41,
    42,
    52,
    53,
    54,
    56,
    57,
    59,
    61,
    64,
    65,
    66,
    68,
    71,
    73,
    74,
    75,
    80,
    81,
)
PADS = (16, 17, 18, 19, 21, 46, 48, 49, 50, 51, 52, 61, 62, 88, 89, 90, 91, 92, 94, 95)
COMPS = (0, 1, 2, 4, 5, 6, 7, 8, 16, 24, 25, 26, 27, 28, 45, 46, 105, 106, 107, 13, 14)
BASSES = (32, 33, 34, 35, 36, 38, 39, 43)
# Drum sounds by their General MIDI keys, and what in a kit's names tells them.
KEYS = {"kick": 36, "snare": 38, "stick": 37, "clap": 39, "closed": 42, "pedal": 44, "open": 46, "crash": 49}
KEYS |= {"ride": 51, "bell": 53, "china": 52, "splash": 55, "tom1": 50, "tom2": 47, "tom3": 43, "shaker": 70}
KEYS |= {"tambourine": 54, "cowbell": 56}
NAMES = {
    "kick": ("kick", "bass drum", "bd", "bass"),
    "snare": ("snare", "sd"),
    "stick": ("stick", "rim"),
    "closed": ("closed", "hat close", "hh c", "hihat 1", "hat", "hh"),
    "pedal": ("pedal", "foot", "closed", "hat", "hh"),
    "open": ("open", "hat o", "hihat 2", "hh"),
    "crash": ("crash", "china", "splash", "cr"),
    "ride": ("ride", "rd", "cymbal"),
    "bell": ("bell", "cup", "ride"),
    "tom1": ("tom 1", "tom hi", "hi tom", "tom"),
    "tom2": ("tom 2", "tom mid", "mid tom", "tom"),
    "tom3": ("floor", "tom 3", "tom lo", "low tom", "tom"),
    "shaker": ("shake", "marac", "cabasa", "tamb", "hat"),
    "tambourine": ("tamb", "shake", "hat"),
    "clap": ("clap", "snare"),
    "cowbell": ("cow", "ride"),
}
# Patterns over sixteen steps: sound -> velocities, 0 for none.
PATTERNS = (
    {"kick": "9000000090900000", "snare": "0000900000009001", "closed": "9060906090609060"},
    {
        "kick": "9000000090000000",
        "snare": "0000900000009000",
        "closed": "8464846484648464",
        "open": "0000000000000060",
    },
    {
        "kick": "9000900090009000",
        "clap": "0000900000009000",
        "open": "0080008000800080",
        "closed": "5050505050505050",
    },
    {"kick": "9009000000900900", "snare": "0000900100009010", "closed": "7373737373737373"},
    {
        "kick": "9000000000900000",
        "snare": "0000000090000000",
        "ride": "8040804080408040",
        "bell": "0000000000000070",
    },
    {
        "kick": "7000000070000000",
        "stick": "0000700000007000",
        "shaker": "7353735373537353",
        "ride": "6000000060000000",
    },
    {
        "kick": "9000000090000000",
        "snare": "0000900000009000",
        "ride": "8050805080508050",
        "pedal": "0000600000006000",
    },
    {
        "kick": "6000000060000000",
        "snare": "0010001000100020",
        "ride": "8000805080008050",
        "pedal": "0000700000007000",
    },
    {"kick": "9090000090900000", "snare": "0000900000009000", "crash": "7000700070007000"},
    {
        "kick": "9000009000900000",
        "snare": "0009000000090000",
        "cowbell": "7070707070707070",
        "shaker": "5353535353535353",
    },
    {
        "kick": "9000000090000000",
        "snare": "0000800000008000",
        "tambourine": "6040604060406040",
        "closed": "7000700070007000",
    },
    {
        "kick": "8000000000000000",
        "tom3": "0060006000600060",
        "tom2": "0000500000005000",
        "shaker": "4444444444444444",
    },
)


def notes(path: Path) -> list[tuple[float, float, int, int, int, int]]:
    """(start, end, pitch, velocity, track, channel) in seconds, and program changes are left out."""
    midi = mido.MidiFile(path, clip=True)
    tempos, at = [(0, 500000)], 0
    for message in mido.merge_tracks(midi.tracks):
        at += message.time
        if message.type == "set_tempo":
            tempos.append((at, message.tempo))
    tempos.sort(key=lambda pair: pair[0])
    ticks = np.array([tick for tick, _ in tempos], float)
    seconds = np.concatenate(
        [[0], np.cumsum(np.diff(ticks) * [t for _, t in tempos[:-1]]) / midi.ticks_per_beat / 1e6]
    )

    def when(tick: int) -> float:
        place = int(np.searchsorted(ticks, tick, "right")) - 1
        return float(seconds[place] + (tick - ticks[place]) * tempos[place][1] / midi.ticks_per_beat / 1e6)

    found = []
    for number, track in enumerate(midi.tracks):
        open_notes: dict[tuple[int, int], tuple[float, int]] = {}
        at = 0
        for message in track:
            at += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            key = (message.channel, message.note)
            if key in open_notes:
                start, velocity = open_notes.pop(key)
                found.append((start, when(at), message.note, velocity, number, message.channel))
            if message.type == "note_on" and message.velocity:
                open_notes[key] = (when(at), message.velocity)
    return sorted(found)


def beat_of(path: Path) -> float:
    """Seconds of a beat, by the first tempo but one that is given, held to a likely range."""
    midi = mido.MidiFile(path, clip=True)
    tempos = [message.tempo for message in mido.merge_tracks(midi.tracks) if message.type == "set_tempo"]
    beat = (tempos[min(1, len(tempos) - 1)] if tempos else 500000) / 1e6
    while beat < 0.33:
        beat *= 2
    while beat > 1.0:
        beat /= 2
    return beat


def drums(dice: random.Random, length: float, beat: float) -> list[tuple[float, str, int]]:
    """(time, sound, velocity): patterns by sections, fills, crashes where sections begin, human timing."""
    step, swing = beat / 4, dice.choice([0, 0, 0, 0.1, 0.25])
    hits, at, section = [], dice.uniform(0, 0.2), 0
    pattern = dice.choice(PATTERNS)
    while at < length:
        if section % 8 == 0:
            if dice.random() < 0.6:
                pattern = dice.choice(PATTERNS)
            if dice.random() < 0.7:
                hits.append((at, dice.choice(["crash", "crash", "china", "splash"]), dice.randint(85, 125)))
        loud = dice.uniform(0.75, 1.0)
        fill = section % 8 == 7 and dice.random() < 0.6
        for sound, steps in pattern.items():
            for number, digit in enumerate(steps):
                if digit == "0" or (fill and number >= 8 and sound in ("snare", "closed", "ride")):
                    continue
                time = at + number * step + (swing * step if number % 2 else 0) + dice.gauss(0, 0.004)
                hits.append((max(0, time), sound, int(min(127, 13 * int(digit) * loud + dice.gauss(6, 5)))))
        if fill:
            for number in range(8, 16):
                if dice.random() < 0.8:
                    sound = dice.choice(["snare", "tom1", "tom2", "tom3"])
                    hits.append((at + number * step, sound, dice.randint(70, 120)))
        at += 16 * step
        section += 1
    return sorted((time, sound, max(1, velocity)) for time, sound, velocity in hits if time < length)


def write_midi(path: Path, events: list[tuple[float, int, mido.Message]]) -> None:
    """Messages at times in seconds, of one track at 1,000 ticks a second."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500000)])
    last = 0
    for time, _, message in sorted(events, key=lambda event: event[:2]):
        tick = max(last, round(time * 1000))
        track.append(message.copy(time=tick - last))
        last = tick
    midi = mido.MidiFile(type=0, ticks_per_beat=500)
    midi.tracks.append(track)
    midi.save(path)


def synthesize(midi: Path, font: str, wav: Path, dice: random.Random) -> np.ndarray:
    """(time, 2) by fluidsynth with a room drawn, or none."""
    room = (
        ["-R", "0"]
        if dice.random() < 0.4
        else ["-R", "1", "-o", f"synth.reverb.room-size={dice.uniform(0.1, 0.9):.2f}"]
    )
    if room[1] == "1":
        room += [
            "-o",
            f"synth.reverb.level={dice.uniform(0.2, 0.9):.2f}",
            "-o",
            f"synth.reverb.damp={dice.uniform(0, 0.5):.2f}",
        ]
    chorus = ["-C", str(int(dice.random() < 0.3))]
    command = [
        "fluidsynth",
        "-n",
        "-i",
        "-q",
        "-F",
        str(wav),
        "-r",
        str(RATE),
        "-O",
        "float",
        "-g",
        "0.4",
        *room,
        *chorus,
    ]
    subprocess.run([*command, font, str(midi)], check=True, capture_output=True)
    return soundfile.read(wav, dtype="float32", always_2d=True)[0]


def kit_sounds(kit: Path) -> dict[str, list[list[Path]]]:
    """Sound -> layers, softest first, of a Hydrogen kit; of a layer one file."""
    root = ET.parse(kit / "drumkit.xml").getroot()
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    instruments = []
    for instrument in root.iter("instrument"):
        name = (instrument.findtext("name") or "").lower()
        layers = [
            (float(layer.findtext("min") or 0), kit / str(layer.findtext("filename")))
            for layer in instrument.iter("layer")
        ]
        if not layers and instrument.findtext("filename"):
            layers = [(0.0, kit / str(instrument.findtext("filename")))]
        layers = [(least, path) for least, path in sorted(layers) if path.is_file()]
        if layers:
            instruments.append((name, [path for _, path in layers]))
    found = {}
    for sound, words in NAMES.items():
        for word in words:
            fitting = [layers for name, layers in instruments if word in name]
            if fitting:
                found[sound] = fitting
                break
    return found


def play_kit(hits: list[tuple[float, str, int]], kit: Path, length: float, dice: random.Random) -> np.ndarray:
    """(time, 2): a kit's samples at their places; each sound stays where it was put."""
    sounds = kit_sounds(kit)
    out = np.zeros((round((length + 3) * RATE), 2), np.float32)
    places = {sound: dice.uniform(-0.6, 0.6) * (sound not in ("kick", "snare")) for sound in NAMES}
    chosen = {sound: dice.choice(fitting) for sound, fitting in sounds.items()}
    read: dict[Path, np.ndarray] = {}
    for time, sound, velocity in hits:
        layers = chosen.get(sound) or chosen.get("crash" if sound in ("china", "splash") else "closed")
        if not layers:
            continue
        path = layers[min(len(layers) - 1, velocity * len(layers) // 128)]
        if path not in read:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            samples = samples[: 4 * rate, :2].repeat(2 // min(2, samples.shape[1]), axis=1)
            if rate != RATE:
                samples = soxr.resample(samples, rate, RATE)
            read[path] = samples / max(1e-3, float(np.abs(samples).max()))
        angle = (places.get(sound, 0) + 1) * math.pi / 4
        gain = (velocity / 127) ** 1.5 * (
            0.5 if sound in ("closed", "ride", "shaker", "tambourine", "pedal") else 0.8
        )
        samples = read[path] * np.float32([math.cos(angle), math.sin(angle)]) * np.float32(gain)
        start = round(time * RATE)
        end = min(len(out), start + len(samples))
        out[start:end] += samples[: end - start]
    return out


def arrange(path: Path, dice: random.Random, length: float) -> tuple[list, float, float]:
    """A song's notes from somewhere on as messages, with instruments drawn; the beat, and how long it is."""
    found = [note for note in notes(path) if note[5] != 9]
    if not found:
        raise ValueError("no notes")
    end = max(note[1] for note in found)
    start = dice.uniform(0, max(0, end - length))
    found = [(s - start, e - start, *rest) for s, e, *rest in found if start <= s < start + length]
    if len(found) < 20:
        raise ValueError("too few notes")
    faster, shift = dice.uniform(0.85, 1.2), dice.randint(-5, 6)
    tracks = sorted({(note[4], note[5]) for note in found})[:12]
    keep = length / faster
    events = []
    for number, track in enumerate(tracks):
        channel = number if number < 9 else number + 1
        own = [note for note in found if (note[4], note[5]) == track]
        chord = len(own) / max(1, len({round(note[0], 1) for note in own}))
        low = np.mean([note[2] for note in own]) < 48
        program = dice.choice(
            BASSES
            if low
            else PADS
            if chord > 1.3 and dice.random() < 0.35
            else COMPS
            if chord > 1.3
            else LEADS
        )
        doubled = (
            channel + 8
            if number < 3 and len(tracks) <= 4 and dice.random() < 0.5 and channel + 8 != 9
            else None
        )
        voices = [(channel, program)] + (
            [(doubled, dice.choice(PADS + LEADS))] if doubled is not None else []
        )
        for voice, sound in voices:
            events += [
                (0.0, 0, mido.Message("program_change", channel=voice, program=sound)),
                (
                    0.0,
                    0,
                    mido.Message("control_change", channel=voice, control=7, value=dice.randint(70, 120)),
                ),
                (
                    0.0,
                    0,
                    mido.Message("control_change", channel=voice, control=10, value=dice.randint(15, 112)),
                ),
                (
                    0.0,
                    0,
                    mido.Message("control_change", channel=voice, control=91, value=dice.randint(0, 90)),
                ),
            ]
            for s, e, pitch, velocity, *_ in own:
                tone = min(127, max(0, pitch + shift))
                s, e = s / faster + dice.gauss(0.01, 0.004), min(e, s + 8) / faster
                loud = min(127, max(1, int(velocity + dice.gauss(0, 6))))
                events.append(
                    (max(0.0, s), 1, mido.Message("note_on", channel=voice, note=tone, velocity=loud))
                )
                events.append((max(s + 0.03, e), 0, mido.Message("note_off", channel=voice, note=tone)))
    if len(tracks) <= 4:
        # A bass of its own: the lowest note of every beat.
        beat = beat_of(path) / faster
        sound = dice.choice(BASSES)
        events.append((0.0, 0, mido.Message("program_change", channel=15, program=sound)))
        events.append(
            (0.0, 0, mido.Message("control_change", channel=15, control=7, value=dice.randint(80, 120)))
        )
        at = 0.0
        while at < keep:
            near = [note[2] for note in found if at - 0.05 <= note[0] / faster < at + beat]
            if near and dice.random() < 0.9:
                tone = (min(near) + shift) % 12 + 36
                events.append(
                    (at, 1, mido.Message("note_on", channel=15, note=tone, velocity=dice.randint(75, 115)))
                )
                events.append((at + beat * 0.9, 0, mido.Message("note_off", channel=15, note=tone)))
            at += beat
    return events, beat_of(path) / faster, keep


def effects(dice: random.Random) -> list[str]:
    """A master chain of sox: some equaliser, sometimes a room, sometimes a compressor."""
    chain = [
        "bass",
        f"{dice.uniform(-4, 4):.1f}",
        "treble",
        f"{dice.uniform(-5, 5):.1f}",
        f"{dice.uniform(3000, 9000):.0f}",
    ]
    if dice.random() < 0.3:
        chain += ["reverb", str(dice.randint(5, 40)), str(dice.randint(0, 40)), str(dice.randint(20, 100))]
    if dice.random() < 0.5:
        chain += ["compand", "0.02,0.2", f"6:-60,-60,-30,-{dice.randint(14, 28)},0,-6"]
    return chain


def render(number: int, songs: list[Path], sources: Path, out: Path) -> dict[str, object]:
    """Render one piece; its row."""
    dice = random.Random(number)
    length = dice.uniform(LEAST_SECONDS, MOST_SECONDS)
    song = dice.choice(songs)
    events, beat, length = arrange(song, dice, length)
    font = dice.choices(list(FONTS), FONT_WEIGHTS)[0]
    hits = drums(dice, length, beat)
    kits = sorted(path.parent for path in DRUM_KITS.glob("*/drumkit.xml"))
    kit = dice.choice([*DRUM_FONTS, *DRUM_FONTS, font, *(path.name for path in kits)])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_midi(work / "band.mid", events)
        band = synthesize(work / "band.mid", FONTS[font], work / "band.wav", dice)
        if kit in DRUM_FONTS or kit == font:
            messages = [
                (
                    0.0,
                    0,
                    mido.Message(
                        "program_change", channel=9, program=dice.choice([0, 0, 8, 16, 24, 25, 32, 40])
                    ),
                )
            ]
            for time, sound, velocity in hits:
                messages.append(
                    (time, 1, mido.Message("note_on", channel=9, note=KEYS[sound], velocity=velocity))
                )
                messages.append((time + 0.1, 0, mido.Message("note_off", channel=9, note=KEYS[sound])))
            write_midi(work / "drums.mid", messages)
            beats = synthesize(
                work / "drums.mid", DRUM_FONTS.get(kit) or FONTS[font], work / "drums.wav", dice
            )
        else:
            beats = play_kit(hits, DRUM_KITS / kit, length, dice)
        time = min(round((length + 2) * RATE), max(len(band), len(beats)))
        parts = [np.pad(x[:time], ((0, max(0, time - len(x))), (0, 0))) for x in (band, beats)]
        loud = [max(1e-4, float(np.sqrt(np.mean(x**2)))) for x in parts]
        mix = parts[0] / loud[0] + parts[1] / loud[1] * 10 ** (dice.uniform(-9, 3) / 20)
        mix *= 0.5 / np.abs(mix).max()
        soundfile.write(work / "mix.wav", mix, RATE, subtype="FLOAT")
        name = f"{number:05d}.flac"
        level = f"{-dice.uniform(0.1, 4):.1f}"
        command = ["sox", "-D", str(work / "mix.wav"), "-b", "16", "-C", "3", str(out / f".{name}")]
        command[-1] = str(work / name)
        subprocess.run([*command, *effects(dice), "norm", level], check=True, capture_output=True)
        (out / name).write_bytes((work / name).read_bytes())
    where = song.relative_to(sources)
    row = {"path": name, "source": str(where), "artist": f"{where.parts[0]}/{song.stem}"}
    row |= {"licence": "of the MIDI file, see midi_sources.csv", "font": font, "kit": kit}
    return row | {"seconds": round(soundfile.info(out / name).duration, 1)}


def main() -> None:
    """Render until there are so many hours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=20)
    parser.add_argument("--from", dest="start", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    by_folder = {
        folder: sorted(path for path in folder.rglob("*.mid") if "versions" not in path.parts)
        for folder in sorted(asked.sources.iterdir())
    }
    # A collection of few songs counts for as many as 60.
    songs = [song for found in by_folder.values() if found for song in found * max(1, 60 // len(found))]
    table = asked.out / "table.csv"
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    done, seconds, number = (
        {row["path"] for row in rows},
        sum(float(row["seconds"]) for row in rows),
        asked.start,
    )
    while seconds < asked.hours * 3600:
        if f"{number:05d}.flac" not in done:
            try:
                row = render(number, songs, asked.sources, asked.out)
            except (
                ValueError,
                OSError,
                EOFError,
                KeyError,
                IndexError,
                subprocess.CalledProcessError,
            ) as error:
                print(f"{number}: {type(error).__name__}: {error}", flush=True)
            else:
                new = not table.exists()
                with table.open("a", newline="") as file:
                    writer = csv.DictWriter(file, row)
                    if new:
                        writer.writeheader()
                    writer.writerow(row)
                seconds += row["seconds"]
        number += 1


if __name__ == "__main__":
    main()
