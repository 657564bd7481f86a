import dataclasses

import numpy as np
import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE as RATE
from overtone.models.harmonics import REACH
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.spectral_frames import HOP, N_FFT

TIME = 16384


@pytest.fixture
def net():
    torch.manual_seed(3)
    net = Spectral(SpectralSettings(features=16, blocks=3, expansion=2, harmonics=1.0)).eval()
    torch.nn.init.normal_(net.leave.weight, std=0.05)  # as if it had learnt something
    return net


@pytest.fixture
def samples():
    return torch.randn(2, TIME, generator=torch.Generator().manual_seed(4)) / 10


def level(samples, frequency, width=20):
    """Power around a frequency in Hz, of the middle, through a Hann window."""
    middle = samples[..., 4096:-4096] * torch.hann_window(samples.shape[-1] - 8192)
    power = torch.fft.rfft(middle).abs().square()
    spacing = RATE / middle.shape[-1]
    return power[..., round((frequency - width) / spacing) : round((frequency + width) / spacing) + 1].sum(-1)


@pytest.mark.parametrize("time", [1, HOP - 1, N_FFT, 10_001])
def test_the_output_is_as_long_as_the_input(net, time):
    assert net(torch.zeros(2, time), torch.tensor([4000.0, 8000.0])).shape == (2, time)


def test_bins_below_the_cutoff_are_the_inputs(net, samples):
    cutoff = torch.tensor([4000.0, 8000.0])
    difference = torch.fft.rfft((net(samples, cutoff) - samples).detach() * torch.hann_window(TIME))
    reference = torch.fft.rfft(samples * torch.hann_window(TIME))
    for row, edge in enumerate((4000, 8000)):
        bins = slice(0, round((edge - 100) / (RATE / TIME)))
        error = difference[row, bins].abs().square().sum() / reference[row, bins].abs().square().sum()
        assert 10 * torch.log10(error) < -80


def test_each_signal_of_a_batch_has_a_cutoff_of_its_own(net, samples):
    cutoff = torch.tensor([4000.0, 8000.0])
    both = net(samples, cutoff)
    for row in range(2):
        torch.testing.assert_close(both[row], net(samples[row : row + 1], cutoff[row : row + 1])[0])


def test_what_lies_above_the_cutoff_is_not_heard(net, samples):
    cutoff = torch.tensor([6000.0])
    spectrum = torch.fft.rfft(samples[:1])
    spectrum[:, round(7000 / (RATE / TIME)) :] *= 5
    louder = torch.fft.irfft(spectrum, n=TIME)
    difference = net(louder, cutoff) - net(samples[:1], cutoff)
    # Where the signal breaks off at its ends it has all frequencies.
    assert difference[:, N_FFT:-N_FFT].abs().max() < 1e-5


@pytest.mark.parametrize("time", [1, 700, 5000, TIME + 3])
@pytest.mark.parametrize("piece", [1, 333, 2048, 7000])
def test_a_stream_gives_what_one_call_gives(net, time, piece):
    # Partials below the cutoff, some of which come and go, and with them those above it.
    seconds = torch.arange(time) / RATE
    partials = [torch.sin(2 * torch.pi * 440 * k * seconds) for k in range(1, 12)]
    samples = torch.stack(partials).sum(0)[None] * (seconds % 0.2 < 0.15) / 10
    samples = samples + torch.randn(1, time, generator=torch.Generator().manual_seed(5)) / 1000
    stream = net.stream(5000)
    blocks = samples.split(max(1, min(piece, time // 3)), dim=1)
    parts = [stream(block.numpy(), False) for block in blocks] + [stream(samples[:, :0].numpy(), True)]
    with torch.inference_mode():
        whole = torch.from_numpy(np.concatenate(parts, axis=1))
        torch.testing.assert_close(whole, net(samples, torch.tensor([5000.0])), atol=1e-6, rtol=1e-5)


def test_a_stream_lags_by_no_more_than_its_latency_and_holds_no_more(net):
    stream, behind = net.signal_stream(5000), []
    with torch.inference_mode():
        for samples in torch.randn(60, 1, 1000) / 10:
            behind.append(samples.shape[1] - stream(samples, False).shape[1])
    lag = torch.tensor(behind).cumsum(0)
    assert stream.latency - 2 * HOP < lag.max() <= stream.latency
    held = [value for value in vars(stream).values() if isinstance(value, torch.Tensor)]
    held += stream._layers._blocks._before
    reach = sum(net.blocks.reaches)
    # Of a frame there is its spectrum and its level, and of each convolution what it looks back at; of frames
    # that are through, what harmonics and samples to come need.
    most = (
        N_FFT + reach * (N_FFT // 2 + 2) + (REACH + 3) * (N_FFT // 2 + 1) + 2 * reach * net.settings.features
    )
    assert sum(value.numel() for value in held) - N_FFT <= most + 1  # without the window


def test_a_steady_tone_below_becomes_a_steady_tone_above(net):
    # A tone in the middle of the octave below 8 kHz goes up by the octave's width.
    first = -(-8000 // (RATE / N_FFT))
    up = (first // 2) * RATE / N_FFT
    tone = torch.sin(2 * torch.pi * 6000 * torch.arange(TIME, dtype=torch.float64) / RATE).float()[None]
    with torch.no_grad():
        net.leave.weight.zero_()  # the same level everywhere: what is left is the texture
    made = net(tone, torch.tensor([8000.0])).detach()
    assert level(made, 6000 + up) > 10 * level(made, 6000 + up + 300)


def test_levels_change_with_the_inputs(net, samples):
    # Loud enough for the floor of the log magnitudes not to matter; told how loud it is, a trained network
    # may still do otherwise.
    cutoff = torch.tensor([4000.0, 8000.0])
    with torch.no_grad():
        net.loudness.weight.zero_()
    torch.testing.assert_close(net(samples * 10, cutoff), net(samples, cutoff) * 10, atol=1e-2, rtol=1e-2)


def test_an_untrained_network_goes_on_at_minus_12_db_per_octave(samples):
    net = Spectral(SpectralSettings(features=16, blocks=3, expansion=2)).eval()
    cutoff = torch.full((2,), 4000.0)
    made = torch.fft.rfft(net(samples, cutoff).detach()).abs().square()

    def decibels(low, high):
        bins = slice(round(low / (RATE / TIME)), round(high / (RATE / TIME)))
        return 10 * torch.log10(made[:, bins].mean(-1))

    below = decibels(2000, 4000)
    # Moved phases do not agree from bin to bin as a signal's own would, which costs some decibels.
    steps = decibels(8000, 8400) - decibels(4200, 4400), decibels(16000, 16800) - decibels(8000, 8400)
    assert all(((step + 12).abs() < 2).all() for step in steps)
    assert ((decibels(4100, 4300) - below).abs() < 6).all()


def test_silence_in_is_silence_out(net):
    assert torch.equal(net(torch.zeros(1, 8192), torch.tensor([5000.0])), torch.zeros(1, 8192))


def test_gradients_reach_every_weight(net, samples):
    net(samples, torch.tensor([4000.0, 8000.0])).square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("key", ["features", "blocks", "expansion"])
def test_a_bad_param_is_one_line(key):
    values = {"features": 8, "blocks": 1, "expansion": 1} | {key: 0}
    with pytest.raises(OvertoneError, match=f"model.spectral.{key} is 0; it is a whole number, 1 or more"):
        SpectralSettings(**values)


def test_a_copy_under_other_settings_has_the_sides_weights(net, samples):
    net.give_side({"leave.bias": torch.ones(1025)})
    net.give_side({"leave.bias": torch.full((1025,), 0.5)})
    cutoff = torch.tensor([4000.0, 8000.0])
    smooth = net.under(dataclasses.replace(net.settings, harmonics=0.0, blocks=5))
    assert smooth.side.settings == smooth.settings
    again = smooth.under(dataclasses.replace(smooth.settings, harmonics=1.0))
    torch.testing.assert_close(again.side(samples, cutoff), net.side(samples, cutoff))
    torch.testing.assert_close(again(samples, cutoff), net(samples, cutoff))


def test_a_deeper_copy_is_the_same_function_at_first_and_can_learn(net, samples):
    cutoff = torch.tensor([4000.0, 8000.0])
    deeper = net.under(dataclasses.replace(net.settings, blocks=5))
    assert len(deeper.blocks) == 5
    assert torch.equal(deeper(samples, cutoff), net(samples, cutoff))
    deeper(samples, cutoff).square().sum().backward()
    assert all(block.scale.grad.any() for block in deeper.blocks)
