"""Restoring: the low band stays, seams do not show, lengths are exact."""

import itertools
import threading

import numpy as np
import pytest
import soxr
import torch
from scipy import signal

from overtone.core.errors import OvertoneError
from overtone.models import device, registry, windowed
from overtone.restoration.stream import restorer as restorer_module
from overtone.restoration.stream import stereo_balance
from overtone.restoration.stream.analysis import analyze
from overtone.restoration.stream.load import open_model
from overtone.restoration.stream.resampling import Unchanged
from overtone.restoration.stream.restorer import Restorer
from tests.helpers.sound import CUTOFF, RATE, band, level, make

# Of full scale: a network sums in another order for another number of frames or on another processor.
CUT_TOLERANCE = 1e-6


@pytest.fixture(params=["unet", "spectral"])
def net(request):
    return make(request.param)


@pytest.fixture
def quiet(low):
    """The same, far from full scale with any band that a random network adds."""
    return low / 10


def run(net, samples, rate=RATE, cuts=(), **options):
    """Restore samples given in blocks that end at `cuts`."""
    options = {"cutoff": CUTOFF, "peak": float(np.abs(samples).max())} | options
    restorer = Restorer(net, rate, len(samples), **options)
    blocks = [restorer.process(block) for block in np.split(samples, cuts, axis=1)]
    return np.concatenate([*blocks, restorer.flush()], axis=1)


@pytest.mark.parametrize(
    "cuts", [(1,), (44100,), (0, 5, 40000, 40001), tuple(range(1000, 88000, 7777))], ids=str
)
def test_windows_and_blocks_leave_no_trace(net, low, monkeypatch, cuts):
    whole = run(net, low)
    monkeypatch.setattr(restorer_module, "CHUNK", 5000)
    monkeypatch.setattr(windowed, "WINDOW", 1 << 14)
    chunks = run(net, low, cuts=cuts)
    assert level(whole - low) > -60  # something is added
    assert level(chunks - whole) - level(whole - low) < -70


@pytest.mark.parametrize("under", [20, 40])
def test_what_is_added_keeps_its_distance_however_soft_it_all_is(net, quiet, under):
    most = np.abs(quiet).max()
    loud, soft = (run(net, quiet, peak=peak) for peak in (most, most * 10 ** (under / 20)))
    assert level(loud - quiet) > -80
    assert level(soft - loud) - level(loud - quiet) < -40


def test_a_click_changes_nothing_a_second_away(net, low):
    quiet = 0.01 * np.concatenate([low, low], axis=1)
    clicked = quiet.copy()
    clicked[:, 20000] = 1
    before, after = (run(net, samples)[:, 70000:] for samples in (quiet, clicked))
    added = level(before - quiet[:, 70000:])
    assert added > -100
    assert level(after - before) - added < -40


def test_the_caller_may_write_over_blocks_given_and_taken(low, monkeypatch):
    monkeypatch.setattr(restorer_module, "CHUNK", 5000)
    net = make("spectral")
    restorer, outputs = Restorer(net, RATE, 2, CUTOFF), []
    for part in np.array_split(low, 100, axis=1):
        block = part.copy()
        out = restorer.process(block)
        outputs.append(out.copy())
        block[:], out[:] = 1, 1
    outputs.append(restorer.flush())
    assert np.abs(np.concatenate(outputs, axis=1) - run(net, low, peak=1.0)).max() < CUT_TOLERANCE


def test_the_output_lags_by_no_more_than_the_latency(net, low, monkeypatch):
    monkeypatch.setattr(restorer_module, "CHUNK", 5000)
    monkeypatch.setattr(windowed, "WINDOW", 1 << 14)
    restorer, behind, most = Restorer(net, RATE, 2, CUTOFF), 0, 0
    for block in np.split(np.concatenate([low, low], axis=1), 100, axis=1):
        behind += block.shape[1] - restorer.process(block).shape[1]
        most = max(most, behind)
    assert 0.7 < most / RATE / restorer.latency <= 1


@pytest.mark.parametrize("rate", [12000, 44100])
def test_below_the_cutoff_the_output_is_the_input(net, low, rate):
    samples = low if rate == RATE else soxr.resample(low.T, RATE, rate).T
    cutoff = min(CUTOFF, 5400 * rate / 12000)
    out = run(net, samples, rate, cutoff=cutoff, out_rate=RATE)
    same = soxr.resample(samples.T, rate, RATE, quality="VHQ").T
    assert band(out, 8000, 20000) > band(same, 8000, 20000) + 20
    assert band(out - same[:, : out.shape[1]], 0, cutoff) - band(same, 0, cutoff) < -80


def test_there_is_no_hole_above_the_cutoff(low):
    """What the crossover takes away lies in 125 Hz."""
    out = run(make("spectral"), low)
    edges = CUTOFF + np.array([100, 160, 250, 400, 600])
    levels = [band(out, *pair) for pair in itertools.pairwise(edges)]
    assert max(levels) - min(levels) < 4


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000])
def test_there_is_no_hole_where_a_low_rate_ends(rng, rate):
    """The resampler falls before it, by 20 dB at 98 % and more: what is made begins where it does."""
    samples = rng.normal(0, 0.1, (1, 4 * rate)).astype(np.float32)
    out = run(make("spectral"), samples, rate, cutoff=rate / 2, out_rate=RATE)
    edges = rate / 2 * np.arange(0.8, 1.2, 0.02)
    levels = [band(out, *pair) for pair in itertools.pairwise(edges)]
    assert min(levels) > levels[0] - 3


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
def test_lengths_are_exact_at_every_rate(rng, rate):
    samples = rng.normal(0, 0.1, (1, 12347)).astype(np.float32)
    out_rate = 44100 if rate in (11025, 22050, 44100) else 48000
    assert run(make("unet"), samples, rate, cutoff=3000).shape == (1, round(12347 * out_rate / rate))
    unchanged = Unchanged(rate, 1, out_rate=22050)
    parts = [unchanged.process(samples[:, :5000]), unchanged.process(samples[:, 5000:]), unchanged.flush()]
    assert np.concatenate(parts, axis=1).shape == (1, round(12347 * 22050 / rate))


@pytest.mark.parametrize(
    "kind",
    [
        "spectral",
        # Of the side's digital silence the U-Net makes faint tones at multiples of 5.5 kHz (its strides).
        "unet",
    ],
)
def test_the_centre_stays_in_the_centre(kind, low):
    out = run(make(kind), np.stack([low[0], low[0]]))
    assert np.array_equal(out[0], out[1])


def test_weights_for_the_side_make_the_side_of_stereo_and_nothing_else(quiet):
    low = quiet / 10
    stereo = np.stack([low[0], 0.5 * low[1]])
    net = make("spectral")
    shared = run(net, stereo)
    net.give_side({"leave.bias": net.leave.bias.detach() + 1})  # 20 dB
    own = run(net, stereo)
    mid, side = own[0] + own[1], own[0] - own[1]
    assert level(mid - shared.sum(0)) - level(mid - stereo.sum(0)) < -100
    top = np.stack([side, shared[0] - shared[1]])
    loud, soft = (band(one[None], CUTOFF + 500, 20000) for one in top)
    assert loud - soft == pytest.approx(20, abs=1)
    for samples in (stereo[:1], np.concatenate([stereo, stereo[:1]])):
        with_side = run(net, samples)
        net.side = None
        assert np.array_equal(run(net, samples), with_side)
        net.give_side({"leave.bias": net.leave.bias.detach() + 1})


def test_a_silent_channel_stays_silent_and_a_far_softer_one_far_softer(low):
    """Whatever weights the side has: what is in one channel alone does not get into the other."""
    net = make("spectral")
    net.give_side({"leave.bias": net.leave.bias.detach() + 1})
    left = low[0]
    assert not run(net, np.stack([left, 0 * left]))[1].any()
    loud, soft = run(net, np.stack([left, 0.001 * left]))
    above = [band(one[None], CUTOFF + 500, 20000) for one in (loud, soft)]
    assert above[0] - above[1] > 60 - stereo_balance.MARGIN - 1


def test_abandoned_restorers_leave_the_number_of_threads_as_it_is(low):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        for _ in range(2):
            thread = threading.Thread(target=Restorer, args=(make("spectral"), RATE, 2, CUTOFF))
            thread.start()
            thread.join()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [4]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros(100, np.float32), r"float32 of shape \(100,\); it is float32 of shape \(2, time\)"),
        (np.zeros((1, 100), np.float32), r"float32 of shape \(1, 100\)"),
        (np.zeros((2, 100), np.int16), r"int16 of shape \(2, 100\)"),
    ],
)
def test_a_block_of_another_shape_or_type_is_an_error(block, message):
    with pytest.raises(OvertoneError, match=message):
        Restorer(make("spectral"), RATE, 2, CUTOFF).process(block)


def test_a_stream_that_has_ended_takes_nothing_more(low):
    restorer = Restorer(make("spectral"), RATE, 2, CUTOFF)
    restorer.process(low)
    restorer.flush()
    for call in (restorer.flush, lambda: restorer.process(low)):
        with pytest.raises(OvertoneError, match="has been ended by flush; make another one"):
            call()


def test_a_model_on_another_device_is_a_copy(monkeypatch):
    """Others may be at work with it where it is."""
    net = make("spectral")
    there = torch.device("meta")
    monkeypatch.setattr(device, "choose_device", lambda asked: there)
    moved = open_model(net, "meta")
    assert moved.device == there
    assert net.device.type == "cpu"
    assert open_model(None, "meta").device == there
    assert registry.load_shipped()[0].device.type == "cpu"


def test_more_channels_are_restored_each_for_itself(net, quiet):
    low = quiet
    out = run(net, np.stack([low[0], low[1], low[0]]))
    alone = run(net, low[:1], peak=float(np.abs(low).max()))
    assert np.abs(out[0] - alone[0]).max() < 1e-5
    assert np.abs(out[0] - out[2]).max() < 1e-5


def test_digital_silence_stays_digital_silence(net, low):
    low[:, 30000:60000] = 0
    assert not run(net, low)[:, 31000:59000].any()
    assert not run(net, np.zeros((2, 5000), np.float32)).any()


def test_loudness_scales_with_the_input(net, quiet):
    assert np.abs(run(net, quiet / 8) * 8 - run(net, quiet)).max() < 1e-5


def test_a_clipped_input_goes_through(net, low):
    assert np.isfinite(run(net, np.clip(low * 20, -1, 1))).all()


@pytest.mark.parametrize("cutoff", [499.0, 22051.0, float("nan")])
def test_a_cutoff_out_of_range_is_an_error(cutoff):
    with pytest.raises(OvertoneError, match=r"cutoff is .* 500 to 22050"):
        Restorer(make("unet"), RATE, 1, cutoff)


@pytest.mark.parametrize("cuts", [(), (30000, 30001)], ids=str)
def test_what_is_added_goes_over_full_scale_nowhere(low, cuts):
    loud = low * np.float32(0.99 / np.abs(low).max())
    dry, added = np.split(run(make("spectral"), loud, apart=True), 2)
    assert np.abs(dry + added).max() > 1.1
    out = run(make("spectral"), loud, cuts=cuts)
    assert np.abs(out).max() <= 1
    assert band(out - loud, 0, CUTOFF - 300) - band(loud, 0, CUTOFF - 300) < -80


class Copy:
    """A network whose output has all that the original has from the cutoff on, and the input's low band."""

    threads = 1
    on_processor = True

    def __init__(self, original):
        self.original = original

    def stream(self, cutoff, threads=1):
        original, done = self.original, [0]

        class Lines:
            latency = 0

            def __call__(self, samples, last):
                first, done[0] = done[0], done[0] + samples.shape[1]
                return original[:, first : done[0]] * np.float32(10 ** (-8 / 20))

        return Lines()


@pytest.mark.parametrize("kind", ["cliff", "resampler", "slow"])
def test_a_low_pass_is_filled_to_the_power_that_was_there(rng, kind):
    """The added band is other noise of the original's power: the sum's power is level through the cutoff."""
    noise, other = rng.normal(0, 0.05, (2, 1, 12 * RATE)).astype(np.float32)
    if kind == "resampler":
        limited = soxr.resample(soxr.resample(noise.T, RATE, 16000), 16000, RATE).T[:, : noise.shape[1]]
    else:
        filters = {"cliff": signal.ellip(10, 0.05, 40, 8000, fs=RATE, output="sos")}
        filters["slow"] = signal.butter(10, 8000, fs=RATE, output="sos")
        limited = signal.sosfiltfilt(filters[kind], noise).astype(np.float32)
    analysis = analyze(limited, RATE, noise=False)
    out = run(Copy(other), limited, cutoff=analysis.cutoff.hz, rolloff=analysis.rolloff)
    # Gain control, of which the stand-in knows nothing, is undone by its level: the noise is steady.
    added = out - limited
    scale = band(noise, 10000, 20000) - band(added, 10000, 20000)
    out = limited + added * np.float32(10 ** (scale / 20))
    edges = np.arange(7000, 9100, 100)
    levels = np.array([band(out, *pair) - band(noise, *pair) for pair in itertools.pairwise(edges)])
    assert np.abs(levels).max() < (3 if kind == "slow" else 2)
    assert np.abs(levels[1:-1] - (levels[:-2] + levels[2:]) / 2).max() < 1
    # Where the filter has taken next to nothing, nothing is added.
    assert band(added, 0, 5500) - band(limited, 0, 5500) < -80


def test_what_the_input_has_above_a_known_roll_off_stays(rng, low):
    """Real sound goes on above the cutoff found, 40 dB down: it is only added to."""
    tone = 1e-3 * np.sin(2 * np.pi * 9000 * np.arange(low.shape[1]) / RATE).astype(np.float32)
    samples = low / 10 + tone
    analysis = analyze(samples, RATE, CUTOFF, noise=False)
    assert analysis.rolloff is not None
    kept, gone = (
        run(Copy(0 * low[:1]), samples, rolloff=rolloff)[:, 5000:-5000]
        for rolloff in (analysis.rolloff, None)
    )
    assert np.abs(kept - samples[:, 5000:-5000]).max() < 1e-5
    assert band(gone, 8900, 9100) < band(kept, 8900, 9100) - 60
