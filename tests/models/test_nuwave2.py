import copy
import dataclasses
import math

import numpy as np
import pytest
import soundfile
import torch

from overtone.cli import main
from overtone.cli.onnx_export import export
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE as RATE
from overtone.data.dataset.batch import Batch
from overtone.models import nuwave2, registry, windowed
from overtone.models.nuwave2 import (
    BINS,
    HOP,
    N_FFT,
    PERIOD,
    BandTransform,
    FourierConvolution,
    NuWave2,
    NuWave2Settings,
)
from overtone.models.nuwave2_schedule import diffuse, log_snr, sampling_levels, step
from overtone.restoration.stream.restorer import Restorer
from overtone.training import loop
from overtone.training.loop import Trainer
from overtone.training.state import Observer
from tests.helpers.sound import band

CPU = torch.device("cpu")
CUTOFF = torch.tensor([5000.0])
LEVELS = [-20.0, -2.6, 0.0, 9.8, 20.0]


def build(channels=4, layers=2, steps=2):
    """A small network with random weights, also in the last layer, which starts out silent."""
    torch.manual_seed(0)
    net = NuWave2(NuWave2Settings(channels, layers, steps)).eval()
    torch.nn.init.normal_(net.leave.weight)
    return net


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ diffusion


@pytest.mark.parametrize("level", LEVELS)
def test_the_forward_process_keeps_unit_variance_and_has_the_log_snr_that_it_says(level):
    music, dirt = noise(100_000, seed=1), noise(100_000, seed=2)
    at = torch.tensor(level, dtype=torch.float64)
    assert diffuse(music, dirt, at).var().item() == pytest.approx(1, rel=0.02)
    kept, added = diffuse(music, torch.zeros(1), at), diffuse(torch.zeros(1), dirt, at)
    assert (kept.square().sum() / added.square().sum()).log().item() == pytest.approx(level, abs=0.03)


def test_the_schedule_is_a_cosine_from_clean_to_noise():
    time = torch.linspace(0, 1, 101, dtype=torch.float64)
    level = log_snr(time)
    assert level[[0, 50, 100]].tolist() == pytest.approx([20, 0, -20], abs=1e-6)
    # The music's factor is a cosine whose angle grows evenly with time.
    angle = level.sigmoid().sqrt().acos()
    torch.testing.assert_close(angle.diff(), (angle[-1] - angle[0]).expand(100) / 100)


@pytest.mark.parametrize("following", LEVELS[1:])
def test_a_step_with_the_true_noise_is_the_forward_process_at_the_next_level(following):
    music, dirt = noise(1000, seed=1), noise(1000, seed=2)
    noisy = diffuse(music, dirt, torch.tensor(-2.6))
    exact = diffuse(music, dirt, torch.tensor(following))
    torch.testing.assert_close(step(noisy, dirt, -2.6, following), exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_sampling_with_a_predictor_that_knows_the_music_gives_the_music(steps, monkeypatch):
    music = noise(2, 3000) / 10

    def oracle(self, x, samples, cutoff, level):
        alpha, sigma = level.sigmoid().sqrt()[:, None], (-level).sigmoid().sqrt()[:, None]
        return (x - alpha * music) / sigma

    monkeypatch.setattr(NuWave2, "predict", oracle)
    restored = build(steps=steps)(music / 2, CUTOFF.expand(2))
    # What is left is the noise at a log-SNR of 20.
    assert (restored - music).square().mean() < 2 * math.exp(-20)


def test_the_steps_begin_at_the_papers_levels_or_on_the_line_through_them():
    assert sampling_levels(8) == [-2.6, -0.8, 2.0, 6.4, 9.8, 12.9, 14.4, 17.2]
    more = sampling_levels(15)
    assert more[::2] == sampling_levels(8)
    assert more == sorted(more)
    assert sampling_levels(1) == [-2.6]


# ------------------------------------------------------------------ the parts


def test_bsft_follows_the_mask_near_a_bin_and_nowhere_else():
    torch.manual_seed(1)
    band, x = BandTransform(4, 6), noise(1, 6, 3, BINS)
    mask = torch.stack([torch.arange(BINS) < 100, torch.arange(BINS) >= 100]).float()[None]
    changed = mask.clone()
    changed[:, :, 100] = torch.tensor([1.0, 0.0])  # one more bin can be heard
    differs = (band(x, mask) != band(x, changed)).any(2).any(1)[0]
    # Two convolutions over three bins.
    assert differs.nonzero()[:, 0].tolist() == [98, 99, 100, 101, 102]


def test_stfc_moves_with_its_input_by_whole_frames():
    torch.manual_seed(1)
    convolution, x, mask = FourierConvolution(4, 2, 4), noise(1, 2, 8192), torch.ones(1, 2, BINS)
    whole, shifted = convolution(x, mask), convolution(x[..., 3 * HOP :], mask)
    inside = slice(N_FFT, -N_FFT)
    torch.testing.assert_close(whole[..., 3 * HOP :][..., inside], shifted[..., inside], atol=1e-5, rtol=1e-4)
    between = convolution(x[..., 3 * HOP + 100 :], mask)
    assert (whole[..., 3 * HOP + 100 :][..., inside] - between[..., inside]).abs().max() > 1e-3


def test_stfc_without_its_spectrum_is_two_layers_over_channels():
    torch.manual_seed(1)
    convolution, x = FourierConvolution(4, 2, 4), noise(1, 2, 3000)
    torch.nn.init.constant_(convolution.band.scale.weight, 0)
    torch.nn.init.constant_(convolution.band.scale.bias, -1)  # every bin times nothing
    torch.nn.init.constant_(convolution.band.shift.weight, 0)
    torch.nn.init.constant_(convolution.band.shift.bias, 0)
    hidden = (convolution.enter.weight[..., 0] @ x + convolution.enter.bias[:, None]).clamp_min(0)
    expected = convolution.leave.weight[..., 0] @ hidden + convolution.leave.bias[:, None]
    torch.testing.assert_close(convolution(x, torch.ones(1, 2, BINS)), expected)


def test_stfc_gives_a_tone_back_at_its_own_frequency():
    """With the channels' mixing the identity, all that is added to a tone is that tone."""
    convolution = FourierConvolution(4, 1, 1)
    for layer in (convolution.enter, convolution.mix, convolution.leave):
        torch.nn.init.zeros_(layer.bias)
        layer.weight.data = torch.eye(layer.weight.shape[0])[..., None]
    for layer in (convolution.band.scale, convolution.band.shift):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    bin_ = 100
    tone = 1 + torch.sin(2 * torch.pi * bin_ / N_FFT * torch.arange(8192))[None, None]
    made = convolution(tone, torch.ones(1, 2, BINS)) - tone
    power = torch.fft.rfft(made[0, 0, N_FFT : 5 * N_FFT] * torch.hann_window(4 * N_FFT)).abs().square()
    assert power[4 * bin_] > 1
    assert power[4 * bin_ - 4 : 4 * bin_ + 5].sum() > 0.999 * power[9:].sum()  # without the tone's mean


def test_at_the_papers_size_it_has_the_papers_number_of_parameters():
    net = NuWave2(NuWave2Settings(channels=64, layers=15, steps=8))
    assert sum(weight.numel() for weight in net.parameters()) == pytest.approx(1.7e6, rel=0.02)


def test_the_prediction_follows_each_signals_own_cutoff_and_level():
    net, x = build(), noise(2, 4096)
    cutoff, level = torch.tensor([4000.0, 8000.0]), torch.tensor([-2.0, 5.0])
    both = net.predict(x, x / 2, cutoff, level)
    for row in range(2):
        one = slice(row, row + 1)
        alone = net.predict(x[one], x[one] / 2, cutoff[one], level[one])
        torch.testing.assert_close(both[one], alone, atol=1e-5, rtol=1e-4)
        for other in ((cutoff.flip(0), level), (cutoff, level.flip(0))):
            changed = net.predict(x[one], x[one] / 2, other[0][one], other[1][one])
            assert (changed - alone).abs().max() > 1e-4


# ------------------------------------------------------------------ the whole


@pytest.mark.parametrize("time", [1, HOP - 1, N_FFT, 10_001])
def test_the_output_is_as_long_as_the_input(time):
    assert build()(noise(2, time), CUTOFF.expand(2)).shape == (2, time)


def test_an_output_sample_depends_on_no_more_than_the_stated_context():
    net = build()
    time = 2 * net.context + 4 * HOP
    samples = noise(1, time).requires_grad_()
    net(samples, CUTOFF)[0, time // 2].backward()
    touched = samples.grad[0].nonzero()[:, 0]
    assert time // 2 - net.context <= touched.min() < time // 2 - net.context // 2
    assert time // 2 + net.context // 2 < touched.max() <= time // 2 + net.context


def test_the_noise_that_it_begins_with_is_white_and_of_unit_variance():
    first = build().first_noise(noise(1, PERIOD))[0]
    assert first.mean() == pytest.approx(0, abs=0.02)
    assert first.var() == pytest.approx(1, abs=0.02)
    for lag in (1, 2, HOP, N_FFT):
        assert (first[lag:] * first[:-lag]).mean() == pytest.approx(0, abs=0.02)


def test_channels_alike_have_the_same_noise_opposite_ones_the_opposite_and_others_none_in_common():
    net, samples = build(), noise(2, PERIOD)
    first, other = net.first_noise(samples)
    assert torch.equal(net.first_noise(0.3 * samples)[0], first)
    assert torch.equal(net.first_noise(-samples)[0], -first)
    assert (first * other).mean() == pytest.approx(0, abs=0.1)


def test_sampling_piece_by_piece_changes_nothing(monkeypatch):
    net, samples = build(), noise(1, 20_000)
    with torch.no_grad():
        whole = net(samples, CUTOFF)
        monkeypatch.setattr(nuwave2, "SEGMENT", 8 * HOP)
        torch.testing.assert_close(net(samples, CUTOFF), whole, atol=1e-4, rtol=1e-4)


def test_windows_leave_no_trace_and_every_run_is_the_same(monkeypatch):
    samples = (noise(1, 2 * PERIOD + 5000) / 10).numpy()

    def run():
        restorer = Restorer(build(channels=2), RATE, 1, 6000.0, peak=0.5)
        return np.concatenate([restorer.process(samples), restorer.flush()], axis=1)

    whole = run()
    assert np.array_equal(run(), whole)
    monkeypatch.setattr(windowed, "WINDOW", PERIOD)
    added = np.square(whole - samples).mean()
    assert added > 1e-6
    assert np.square(run() - whole).mean() < 1e-7 * added


def test_the_command_restores_a_file_with_it(tmp_path, low):
    registry.save(build(channels=2, layers=1), "nuwave2", tmp_path / "model", {})
    low = low[:, :50_000] / 50  # room for what random weights make
    soundfile.write(tmp_path / "low.wav", low.T, RATE, "FLOAT")
    words = ["restore", str(tmp_path / "low.wav"), "-o", str(tmp_path / "out.flac")]
    assert main.main([*words, "--model", str(tmp_path / "model"), "--cutoff", "6000"]) == 0
    out = soundfile.read(tmp_path / "out.flac")[0].T
    assert out.shape == (2, 50_000)
    assert band(out, 8000, 20000) > band(low, 8000, 20000) + 20
    # What the input's own low-pass has taken just under the cutoff is filled, from 6 % below it on at most.
    assert band(out - low, 0, 5600) < band(low, 0, 5600) - 30


# ------------------------------------------------------------------ training


class Music:
    """Segments of noise as long as two frames of the STFT, the degraded ones half as loud."""

    rate = RATE
    side = False

    def __init__(self, count):
        self.original = noise(count, 2 * N_FFT) / 4

    def __len__(self):
        return len(self.original)

    def batch(self, indices):
        original = self.original[indices]
        cutoff, bandwidth = torch.full((len(indices),), 8000.0), torch.full((len(indices),), 20000.0)
        return Batch(original / 2, original, cutoff, bandwidth)


def fit(net, settings, precision="float32", state=None, **observed):
    """Train on noise; returns the history. Keywords are what an observer has."""
    trainer = Trainer(net, settings, CPU, precision, Observer(**observed))
    if state is not None:
        trainer.load_state_dict(state)
    return trainer.fit(Music(6), Music(4)).history


def fresh(channels=2):
    torch.manual_seed(0)
    return NuWave2(NuWave2Settings(channels, 1, 2))


def test_an_untrained_network_predicts_no_noise_and_its_loss_is_the_noises_mean_magnitude():
    original = Music(8).original
    loss = fresh().training_loss(original / 2, original, CUTOFF.expand(8), list(range(8)))
    assert loss.item() == pytest.approx(math.sqrt(2 / math.pi), abs=0.01)


def test_each_segments_level_and_noise_are_those_of_its_seed_in_whatever_batch():
    net, original = build(), Music(3).original
    given = original / 2, original, CUTOFF.expand(3)
    together = net.training_loss(*given, [5, 6, 7])
    apart = [net.training_loss(*(g[i : i + 1] for g in given), [5 + i]) for i in range(3)]
    assert together.item() == pytest.approx(sum(loss.item() for loss in apart) / 3, rel=1e-5)
    assert len({loss.item() for loss in apart}) == 3


def test_training_finds_the_noise(train_settings):
    history = fit(fresh(4), train_settings(epochs=10, lr=0.01, batch=3, micro_batch=3))
    assert history[0]["validation_loss"] == pytest.approx(math.sqrt(2 / math.pi), rel=0.03)
    assert history[-1]["validation_loss"] < 0.75


def test_train_loss_has_no_say(train_settings):
    settings = train_settings(epochs=1)
    other = dataclasses.replace(settings, loss={"high_band": 1.0})
    assert fit(fresh(), settings) == fit(fresh(), other)


def test_steps_draw_levels_and_noise_of_their_own_and_micro_batches_add_up(train_settings):
    seen = []

    class Spy(NuWave2):
        def training_loss(self, degraded, original, cutoff, seeds):
            seen.append(seeds)
            return super().training_loss(degraded, original, cutoff, seeds)

    losses = []
    for micro in (3, 2):
        torch.manual_seed(0)
        net = Spy(NuWave2Settings(2, 1, 2))
        history = fit(net, train_settings(epochs=1, batch=3, micro_batch=micro))
        losses.append(history[0]["train_loss"])
    steps = [seeds for seeds in seen if seeds != [0, 1, 2] and max(seeds) > 10]
    assert [len(seeds) for seeds in steps] == [3, 3, 2, 1, 2, 1]
    assert len(set(steps[0] + steps[1])) == 6
    assert steps[2] + steps[3] == steps[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("stop", [0, 2, 3])
def test_going_on_from_any_state_gives_the_same_losses_to_the_last_digit(train_settings, monkeypatch, stop):
    monkeypatch.setattr(loop, "KEEP_SECONDS", -1.0)
    settings = train_settings(epochs=2, batch=3, micro_batch=3)
    states = []
    whole = fit(fresh(), settings, keep=lambda state: states.append(copy.deepcopy(state)))
    assert fit(fresh(), settings, state=states[stop]) == whole


def test_half_precision_trains_to_about_the_same_loss(train_settings):
    settings = train_settings(epochs=1)
    whole, half = (fit(fresh(), settings, precision)[0] for precision in ("float32", "bfloat16"))
    assert half["train_loss"] == pytest.approx(whole["train_loss"], rel=0.02)
    assert half["train_loss"] != whole["train_loss"]


# ------------------------------------------------------------------ what is refused


def test_it_cannot_be_exported(tmp_path):
    with pytest.raises(OvertoneError, match="a nuwave2 model cannot be exported"):
        export(fresh(), tmp_path / "net.onnx", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 3}, "model.nuwave2.channels is 3; it is an even number, 2 or more"),
        ({"channels": 0}, "model.nuwave2.channels is 0; it is an even number, 2 or more"),
        ({"layers": 0}, "model.nuwave2.layers is 0; it is a whole number, 1 or more"),
        ({"steps": 0}, "model.nuwave2.steps is 0; it is a whole number, 1 or more"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    with pytest.raises(OvertoneError) as caught:
        NuWave2Settings(**({"channels": 2, "layers": 1, "steps": 1} | changes))
    assert str(caught.value) == message
