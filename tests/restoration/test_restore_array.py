"""Arrays of any kind, shape and type go through, and what is no sound is refused."""

import doctest

import numpy as np
import pytest
import torch

import overtone
from overtone.core.errors import OvertoneError
from overtone.restoration import restore_array
from overtone.restoration.restore_array import restore
from overtone.restoration.stream.load import open_model
from overtone.restoration.stream.restorer import Restorer
from tests.helpers.sound import CUTOFF, RATE, band, make

FLOATS = [np.float16, np.float32, np.float64]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16]
TENSORS = [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int16, torch.int32, torch.uint8]


@pytest.fixture
def wave(low):
    return low[:, :20000] * 1.5


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_arrays_keep_their_type_and_shape(wave, dtype):
    # The U-Net, since its output follows small changes of its input smoothly.
    out = restore(wave.astype(dtype), RATE, cutoff=CUTOFF, model=make("unet"))
    assert (out.dtype, out.shape) == (dtype, wave.shape)
    error = np.abs(out.astype(float) - restore(wave, RATE, cutoff=CUTOFF, model=make("unet"))).max()
    assert error < 4 * np.finfo(np.float16).eps


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_full_scale_and_clipped(wave, dtype):
    wave = 4 * wave / np.abs(wave).max()
    half = 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    limits = np.iinfo(dtype)
    middle = half if limits.min == 0 else 0.0
    # Down by a little more than one step of float32, so that float64 holds the largest int64.
    given = (np.rint(np.clip(wave, -1, 1 - 1e-6) * (half - 1)) + middle).astype(dtype)
    # Resampling takes it over full scale.
    options = {"cutoff": CUTOFF, "model": make("unet"), "out_rate": 48000}
    out = restore(given, RATE, **options)
    assert out.dtype == dtype
    as_float = (given.astype(float) - middle) / half
    expected = restore(as_float, RATE, **options)
    assert expected.max() > 1.001  # or nothing would be clipped
    assert np.abs((out.astype(float) - middle) / half - np.clip(expected, -1, 1)).max() < 1 / half + 1e-6


@pytest.mark.parametrize("dtype", TENSORS, ids=str)
def test_tensors_stay_tensors(wave, dtype):
    scale = 1.0 if dtype.is_floating_point else torch.iinfo(dtype).max / 2
    given = torch.from_numpy(wave[0] * scale).clamp_min(0).to(dtype).requires_grad_(dtype.is_floating_point)
    out = restore(given, RATE, cutoff=CUTOFF, model=make("spectral"))
    assert (out.dtype, out.shape, out.device) == (dtype, given.shape, given.device)


def test_views_and_read_only_arrays_are_taken(wave):
    view = np.asfortranarray(wave)[:, ::-1]
    view.flags.writeable = False
    assert restore(view, RATE, cutoff=CUTOFF, model=make("unet")).shape == wave.shape


@pytest.mark.parametrize("kind", [np.float64, np.int16])
def test_full_band_comes_back_as_it_is(rng, kind):
    noise = (rng.normal(0, 0.1, RATE) * (1 if kind is np.float64 else 32768)).astype(kind)
    out = restore(noise, RATE, model="no such folder")
    assert out is not noise
    assert np.array_equal(out, noise)
    assert restore(noise, RATE, out_rate=48000).shape == (48000,)


def test_silence_comes_back_as_it_is():
    silence = torch.zeros(2, 5000, dtype=torch.int32)
    assert torch.equal(restore(silence, RATE), silence)
    assert restore(silence, 22050).shape == (2, 10000)


def test_the_cutoff_is_found(low):
    out = restore(low, RATE, model=make("spectral"))
    assert band(out, 7000, 20000) > band(low, 7000, 20000) + 20


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0), r"shape \(0,\); it is \(time,\) or \(channels, time\)"),
        (np.zeros(1), "2 samples or more"),
        (np.zeros((0, 9)), "2 samples or more"),
        (np.zeros((2, 2, 9)), r"shape \(2, 2, 9\)"),
        (np.zeros((44100, 2)), r"44100 channels; the shape is \(channels, time\).*transpose"),
        (np.array([0.0, np.nan]), "NaN or infinity"),
        (np.array([0.0, 1e300]), "NaN or infinity"),
        (torch.tensor([0.0, torch.inf]), "NaN or infinity"),
        (np.array([0.0, 1e18]), r"peaks at 1e\+18 times full scale; that is not sound"),
        (np.zeros(9, complex), "complex128; it is a float or an integer"),
        (np.zeros(9, bool), "bool; it is a float or an integer"),
        ([0.0, 0.1], "a list; it is a NumPy array or a tensor"),
    ],
)
def test_samples_that_are_none_are_an_error(samples, message):
    with pytest.raises(OvertoneError, match=message):
        restore(samples, RATE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 7999}, "7999 Hz; it is 8000 to 192000"),
        ({"out_rate": 200000}, "200000 Hz"),
        ({"cutoff": 30000}, "500 to 22050"),
        ({"model": "nowhere"}, "nowhere holds no model"),
        ({"device": "gpu"}, "'gpu', which cannot be used here; of cpu, cuda and mps there is"),
        ({"device": "cuda:99"}, "'cuda:99', which cannot be used"),
    ],
)
def test_options_that_do_not_fit_are_an_error(low, options, message):
    options = {"rate": RATE, "cutoff": CUTOFF, "model": make("unet")} | options
    with pytest.raises(OvertoneError, match=message):
        restore(low, **options)


def test_a_model_of_nan_is_an_error(low):
    net = make("unet")
    torch.nn.init.constant_(net.last.weight, torch.nan)
    with pytest.raises(OvertoneError, match="weights are damaged"):
        restore(low, RATE, cutoff=CUTOFF, model=net)


def test_a_network_is_taken_as_it_is():
    net = make("unet")
    assert open_model(net, None) is net
    assert open_model(net, "cpu") is net


def test_the_function_is_is_what_the_package_offers():
    assert overtone.restore is restore
    assert overtone.Restorer is Restorer
    assert {"restore", "restore_file", "Report", "OvertoneError"} <= set(dir(overtone))
    with pytest.raises(AttributeError, match="'overtone' has no attribute 'nothing'"):
        _ = overtone.nothing


def test_the_examples_run():
    assert doctest.testmod(restore_array) == (0, 3)
