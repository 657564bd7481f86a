"""spectral: frames where SciPy puts them, ranges in Hz."""

import numpy as np
import pytest
import scipy.signal
import torch

from overtone.audio import stft
from overtone.audio.bandwidth import measure_bandwidth

RATE = 44_100


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("length", [1, 511, 512, 2048, 5000])
@pytest.mark.parametrize("channels", [(), (2,), (2, 3)])
def test_it_is_that_of_pytorch_whatever_the_library(channels: tuple[int, ...], length: int) -> None:
    samples = noise(*channels, length)
    flat, window = samples.reshape(-1, length), torch.hann_window(2048)
    expected = torch.stft(flat, 2048, 512, window=window, pad_mode="constant", return_complex=True)
    for spectrum in (stft.stft(samples), torch.from_numpy(stft.stft(samples.numpy()))):
        assert spectrum.shape == (*channels, 1025, length // 512 + 1)
        torch.testing.assert_close(spectrum.reshape(expected.shape), expected, atol=5e-5, rtol=0)


def test_a_frame_is_the_windowed_transform_centred_on_its_sample() -> None:
    samples = noise(9000)
    window = scipy.signal.get_window("hann", 2048)
    expected = np.fft.rfft(samples.numpy()[4 * 512 - 1024 : 4 * 512 + 1024] * window)
    np.testing.assert_allclose(stft.stft(samples)[:, 4].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("length", [100, 5000, 20_000])
def test_blocks_are_the_frames_of_stft(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(stft, "FRAMES", 7)
    samples = noise(2, length)
    blocks = list(stft.stft_blocks(samples))
    assert all(block.shape[-1] <= 7 for block in blocks)
    torch.testing.assert_close(torch.cat(blocks, dim=-1), stft.stft(samples), atol=1e-5, rtol=0)


def test_a_short_window_of_a_block_stands_in_the_middle_of_the_frame() -> None:
    (block,) = stft.stft_blocks(torch.ones(4096), 1024, 120, 600)
    # The transform at 0 Hz of a constant is the window's sum, and a periodic Hann window sums to half.
    assert float(block[0, 17].abs()) == pytest.approx(300, rel=1e-5)


def test_a_range_starts_with_the_first_bin_at_its_lower_edge() -> None:
    exactly = 223 * RATE / 2048
    assert stft.bins_between(exactly, None, RATE) == slice(223, 1025)
    assert stft.bins_between(exactly + 0.01, 2 * exactly, RATE) == slice(224, 446)
    assert stft.bins_between(exactly, exactly / 2, RATE) == slice(223, 223)
    assert stft.frequencies(RATE)[-1] == RATE / 2


@pytest.mark.parametrize("length", [44_100, 44_101])
def test_high_band_keeps_a_tone_above_and_removes_one_below(length: int) -> None:
    time = torch.arange(length, dtype=torch.float64) / RATE
    low, high = (torch.sin(2 * torch.pi * hertz * time) for hertz in (1000, 9000))
    kept = stft.keep_high_band((low + high).float(), 4800, RATE)
    inner = slice(4410, -4410)
    assert float((kept - high)[inner].abs().max()) < 1e-3


@pytest.mark.parametrize("edge", [5000, 16000, 19000])
@pytest.mark.parametrize("level", [1.0, 0.01])
def test_bandwidth_is_where_a_recording_ends_whatever_its_level(edge: int, level: float) -> None:
    samples = stft.keep_high_band(noise(1, 2 * RATE), 0, RATE)
    limited = level * (samples - stft.keep_high_band(samples, edge, RATE)) / 4
    rounded = (limited * 32767).round() / 32767  # its noise must not count as content
    assert measure_bandwidth(rounded.numpy(), RATE) == pytest.approx(edge, abs=350)


def test_bandwidth_of_what_reaches_the_nyquist_frequency_is_that() -> None:
    assert measure_bandwidth(noise(1, RATE).numpy() / 4, RATE) == RATE / 2


def test_bandwidth_of_silence_is_nothing() -> None:
    assert measure_bandwidth(np.zeros((1, RATE), np.float32), RATE) == 0
