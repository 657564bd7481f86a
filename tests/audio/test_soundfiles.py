import numpy as np
import pytest
import soundfile

from overtone.audio import resample, soundfiles
from overtone.core.errors import OvertoneError
from tests.helpers.sound import forget_length


def noise_file(path, rng, seconds, rate=8000, channels=2):
    samples = rng.uniform(-0.5, 0.5, (int(seconds * rate), channels)).astype(np.float32)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return samples.T


@pytest.mark.parametrize("seconds", [0.4, 2, 3.5, 4, 5, 6.2])
def test_parts_cover_a_file_once_and_carry_their_context(tmp_path, rng, seconds):
    whole = noise_file(tmp_path / "a.wav", rng, seconds)
    own, at = [], 0
    for samples, rate, before, after in soundfiles.read_chunks(tmp_path / "a.wav", seconds=2, context=1):
        length = samples.shape[1] - before - after
        assert before == min(at, rate)
        np.testing.assert_array_equal(samples, whole[:, at - before : at + length + after])
        own.append(samples[:, before : before + length])
        at += length
    np.testing.assert_array_equal(np.concatenate(own, axis=1), whole)


def test_flac_that_does_not_know_its_length_is_read_whole(tmp_path, rng):
    whole = rng.integers(-9000, 9000, (8000 * 5, 2)) / 32768
    soundfile.write(tmp_path / "a.flac", whole, 8000)
    forget_length(tmp_path / "a.flac")
    own = [
        part[:, before:][:, : 2 * 8000]
        for part, _, before, _ in soundfiles.read_chunks(tmp_path / "a.flac", 2, 1)
    ]
    np.testing.assert_array_equal(np.concatenate(own, axis=1), whole.T.astype(np.float32))


def test_no_part_is_longer_than_asked(tmp_path, rng):
    noise_file(tmp_path / "a.wav", rng, 9)
    longest = max(
        part.shape[1] for part, *_ in soundfiles.read_chunks(tmp_path / "a.wav", seconds=2, context=1)
    )
    assert longest == 4 * 8000


def test_a_file_that_is_no_audio_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"not audio at all")
    with pytest.raises(OvertoneError, match=r"a\.mp3 does not decode: Format not recognised; FFmpeg"):
        list(soundfiles.read_chunks(path, seconds=2, context=1))


def test_a_file_without_samples_is_an_error_that_names_it(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), 8000)
    with pytest.raises(OvertoneError, match=r"a\.wav holds no samples"):
        list(soundfiles.read_chunks(tmp_path / "a.wav", seconds=2, context=1))


@pytest.mark.parametrize(("rate", "other"), [(48000, 44100), (44100, 48000), (22050, 44100)])
def test_resampling_keeps_a_tone_in_its_place(rate, other):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)[None]
    expected = np.sin(2 * np.pi * 1000 * np.arange(other) / other)
    converted = resample.resample(tone, rate, other)
    assert converted.shape == (1, other)
    middle = slice(other // 10, -other // 10)
    assert np.abs(converted[0, middle] - expected[middle]).max() < 1e-4  # -80 dB


def test_writing_clips_what_lies_beyond_full_scale(tmp_path):
    soundfiles.write(tmp_path / "a.flac", np.array([[0.5, 1.5, -2.0]], dtype=np.float32), 8000)
    written, rate = soundfile.read(tmp_path / "a.flac")
    assert rate == 8000
    np.testing.assert_allclose(written, [0.5, 1, -1], atol=1e-4)
