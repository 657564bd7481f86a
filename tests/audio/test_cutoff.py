import io
import math
import zipfile

import numpy as np
import pytest
import soundfile
import soxr
import torch
from scipy import signal
from torchaudio import functional

from overtone.audio.cutoff import FRAMES, SpectrumMeter
from overtone.training.codecs import mp3_level, round_trip
from tests.helpers import ROOT

RATE = 44100
BUNDLE = ROOT / "data/bundle/fma_mini.zip"
TOLERANCE = 0.05  # of the cutoff, or 200 Hz: what a crossover below it can take


def found(samples, rate=RATE):
    meter = SpectrumMeter(rate)
    meter.add(np.atleast_2d(samples).astype(np.float32))
    return meter.cutoff()


def noise(rng, rate=RATE, cutoff=None, seconds=2, slope=0.0):
    """White noise, or falling by `slope` dB per octave above 500 Hz, with nothing above the cutoff in Hz."""
    spectrum = np.fft.rfft(rng.normal(0, 0.1, int(seconds * rate)))
    frequency = np.fft.rfftfreq(int(seconds * rate), 1 / rate)
    spectrum *= np.maximum(frequency / 500, 1) ** (-slope / 6.02)
    spectrum[frequency > (cutoff or rate)] = 0
    return np.fft.irfft(spectrum)


def is_near(hz, cutoff):
    return abs(hz - cutoff) <= max(TOLERANCE * cutoff, 200)


@pytest.fixture(scope="module")
def clip():
    """Five seconds of a real song, (channels, time), that reaches 19 kHz."""
    with zipfile.ZipFile(BUNDLE) as archive:
        data = archive.read("fma_mini/900/900012.mp3")
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        file.seek(5 * RATE)
        return file.read(5 * RATE, dtype="float32").T


@pytest.mark.parametrize(
    ("rate", "cutoff"),
    [
        (8000, 3000),
        (16000, 5500),
        (22050, 8000),
        (44100, 3000),
        (44100, 14000),
        (96000, 8000),
        (192000, 4000),
    ],
)
def test_noise_of_known_bandwidth_is_measured(rng, rate, cutoff):
    result = found(noise(rng, rate, cutoff), rate)
    assert is_near(result.hz, cutoff)
    assert (result.kind, result.full_band) == ("cliff", False)
    assert result.confidence > 0.9


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000])
def test_what_reaches_the_end_of_a_low_rate_ends_there(rng, rate):
    result = found(noise(rng, rate), rate)
    assert is_near(result.hz, rate / 2)
    assert (result.kind, result.full_band) == ("sample rate", False)


@pytest.mark.parametrize("rate", [44100, 48000, 96000, 192000])
def test_what_reaches_the_end_of_a_high_rate_is_full_band(rng, rate):
    result = found(noise(rng, rate), rate)
    assert (result.kind, result.full_band) == ("full band", True)


@pytest.mark.parametrize("cutoff", [3000, 8000, 14000])
def test_resampled_music_ends_where_the_resampler_does(clip, cutoff):
    low = soxr.resample(clip.T, RATE, 2 * cutoff, quality="VHQ")
    result = found(soxr.resample(low, 2 * cutoff, RATE, quality="VHQ").T)
    assert is_near(result.hz, 0.946 * cutoff)  # 3 dB down there, by its impulse response
    assert result.confidence > 0.9


def by_torchaudio(samples, rate, to_rate):
    return functional.resample(torch.from_numpy(samples), rate, to_rate).numpy()


def by_scipy(samples, rate, to_rate):
    part = math.gcd(rate, to_rate)
    return signal.resample_poly(samples, to_rate // part, rate // part, axis=1)


@pytest.mark.parametrize(
    ("resample", "low", "corner"),
    [
        (by_torchaudio, 8000, 0.866),
        (by_torchaudio, 16000, 0.866),
        (by_scipy, 8000, 0.931),
        (by_scipy, 16000, 0.931),
        (by_scipy, 22050, 0.931),
    ],
)
def test_music_ends_where_a_short_resampler_is_3_db_down(clip, resample, low, corner):
    """Its fall goes on beyond the Nyquist frequency and is steepest there."""
    result = found(resample(resample(clip, RATE, low), low, RATE))
    assert result.hz == pytest.approx(corner * low / 2, rel=0.02)
    assert result.confidence > 0.5


def test_a_steep_filter_on_music_ends_it_at_its_corner(clip):
    result = found(signal.sosfilt(signal.butter(8, 5500, fs=RATE, output="sos"), clip))
    assert is_near(result.hz, 5500)
    assert result.kind == "steep filter"


def test_below_a_cliff_a_gentle_filter_is_part_of_the_music(rng):
    cliff = noise(rng, cutoff=8000)
    result = found(signal.sosfilt(signal.butter(2, 4800, fs=RATE, output="sos"), cliff))
    assert is_near(result.hz, 8000)


@pytest.mark.parametrize(
    ("kbit", "low", "high", "full"), [(64, 10000, 11500, False), (96, 14000, 15400, True)]
)
def test_mp3_ends_at_its_cliff(clip, kbit, low, high, full):
    level = mp3_level(RATE, kbit)
    coded = round_trip(clip.T, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    result = found(coded.T)
    assert low < result.hz < high
    assert result.full_band == full


@pytest.mark.parametrize(("end", "full"), [(14000, False), (16500, True)])
def test_what_goes_on_to_15_khz_above_a_codecs_cliff_is_full_band(rng, end, full):
    """A codec keeps what lies above its cliff in some frames: here in one of ten."""
    cliff, above = noise(rng, cutoff=13800, seconds=6), noise(rng, cutoff=end, seconds=6)
    kept = np.arange(len(cliff)) // 4096 % 10 == 0
    result = found(np.where(kept, above, cliff))
    assert result.full_band == full


def fading(rng, order, floor_db, end):
    """Noise that falls above 4 kHz as by a filter, but by so many dB at most, and ends at a cliff."""
    spectrum = np.fft.rfft(noise(rng, seconds=6))
    hertz = np.fft.rfftfreq(6 * RATE, 1 / RATE)
    fall = np.minimum(10 * np.log10(1 + (hertz / 4000) ** (2 * order)), -floor_db)
    spectrum *= 10 ** (-fall / 20)
    spectrum[hertz > end] = 0
    return np.fft.irfft(spectrum)


@pytest.mark.parametrize("floor", [-30, -35, -40])
def test_a_recording_that_fades_fast_but_goes_on_is_not_ended_by_a_filter(rng, floor):
    result = found(fading(rng, 9, floor, 9500))
    assert is_near(result.hz, 9500) or result.confidence < 0.5
    filtered = found(fading(rng, 9, -200, 20000))
    assert filtered.confidence > 0.5
    assert 3500 < filtered.hz < 4700


def test_a_recording_that_fades_in_most_frames_and_is_bright_in_a_few_is_not_ended_by_a_filter(rng):
    dull, bright = fading(rng, 9, -100, 20000), fading(rng, 2, -60, 20000)
    some = np.arange(len(dull)) // 4096 % 16 == 0
    assert found(dull).confidence > 0.5
    assert found(np.where(some, bright, dull)).confidence < 0.5


def test_full_band_music_is_said_to_be_so(clip):
    result = found(clip)
    assert result.full_band
    assert 17500 < result.hz < 19500


@pytest.mark.parametrize("tone", [12000, 15700, 19000])
def test_a_pilot_tone_above_the_cliff_is_not_content(rng, tone):
    limited = noise(rng, cutoff=5000)
    assert is_near(found(limited + 0.01 * np.sin(2 * np.pi * tone * np.arange(len(limited)) / RATE)).hz, 5000)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_floor_of_quantising_is_not_content(rng, bits):
    steps = 2 ** (bits - 1) - 1
    limited = noise(rng, cutoff=5000)
    result = found(np.round(limited * steps + rng.uniform(-0.5, 0.5, limited.shape)) / steps)
    assert is_near(result.hz, 5000)
    assert result.confidence > 0.9


def test_rare_clicks_are_not_content(rng):
    limited = noise(rng, cutoff=5000, seconds=4)
    limited[:: 2 * RATE] += 1
    assert is_near(found(limited).hz, 5000)


def test_the_splatter_of_clipping_is_not_content(clip):
    low = soxr.resample(clip.T, RATE, 16000, quality="VHQ")
    limited = soxr.resample(low, 16000, RATE, quality="VHQ").T
    assert is_near(found(np.clip(1.3 * limited, -1, 1)).hz, 7568)


def test_a_ledge_with_music_above_it_is_no_band_limit(rng):
    spectrum = np.fft.rfft(noise(rng, cutoff=19000))
    step_db = np.interp(np.linspace(0, RATE / 2, len(spectrum)), [7000, 9500], [0, -22])
    result = found(np.fft.irfft(spectrum * 10 ** (step_db / 20)))
    assert result.full_band


def test_the_cutoff_is_found_in_a_signal_that_is_mostly_silence_or_hiss(rng):
    sound = noise(rng, 8000, 3000, seconds=6)
    sound *= np.hanning(len(sound))  # an abrupt start would be a click
    padded = np.pad(sound, 5 * len(sound))
    assert is_near(found(padded, 8000).hz, 3000)
    assert is_near(found(padded + rng.normal(0, 3e-4, len(padded)), 8000).hz, 3000)


def test_an_offset_a_pause_and_a_silent_channel_change_nothing(rng):
    samples = np.stack([noise(rng, cutoff=5000), np.zeros(2 * RATE)])
    samples[0, RATE // 2 : RATE] = 0
    assert is_near(found(samples + 0.3).hz, 5000)


@pytest.mark.parametrize("slope", [18, 24, 36])
def test_soft_treble_that_fades_into_a_floor_is_no_sure_band_limit(rng, slope):
    soft = noise(rng, slope=slope)
    result = found(soft * np.linspace(0.2, 1, len(soft)) + rng.normal(0, 1e-5, len(soft)))
    assert result.kind == "slope"
    assert result.confidence < 0.5


@pytest.mark.parametrize(
    "samples",
    [np.zeros((2, 9000)), np.zeros((1, 0)), np.full((1, 50000), 0.5)],
    ids=["zeros", "no samples", "an offset"],
)
def test_where_there_is_nothing_to_judge_it_says_silence(samples):
    result = found(samples)
    assert (result.kind, result.confidence, result.full_band) == ("silence", 0, False)


def test_before_the_first_sample_it_says_silence():
    assert SpectrumMeter(RATE).cutoff().kind == "silence"


@pytest.mark.parametrize("length", [1, 2, 100, 3000])
def test_of_a_few_samples_nothing_is_sure(rng, length):
    assert found(rng.normal(0, 0.1, length)).confidence < 0.5


def test_a_tone_is_not_a_band_limit():
    assert found(0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).confidence < 0.5


@pytest.mark.parametrize("size", [317, 4096, 10000])
def test_the_result_does_not_depend_on_the_blocks(rng, size):
    samples = rng.normal(0, 0.1, (2, 3 * FRAMES * 1024)).astype(np.float32)  # 3 times what is held
    meter = SpectrumMeter(8000)
    for start in range(0, samples.shape[1], size):
        meter.add(samples[:, start : start + size])
    assert meter.cutoff() == found(samples, 8000)


@pytest.mark.parametrize(("wide", "expected"), [(slice(0, 7), 2500), (slice(50, 100), 3500)])
def test_all_parts_of_a_long_signal_count_alike_in_constant_memory(rng, wide, expected):
    """Of 100 parts some reach 3.5 kHz, the others 2.5 kHz: below a tenth of the time, it is not content."""
    cutoffs = np.full(100, 2500)
    cutoffs[wide] = 3500
    blocks = {hz: noise(rng, 8000, hz, seconds=1.28)[None].astype(np.float32) for hz in (2500, 3500)}
    meter = SpectrumMeter(8000)
    for hz in cutoffs:
        meter.add(blocks[hz])
    assert len(meter._levels) < FRAMES
    assert is_near(meter.cutoff().hz, expected)
