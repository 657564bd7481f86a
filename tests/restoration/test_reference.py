"""What a network gets wrong on a reference is measured band by band, and taken off the added band."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from overtone.core.errors import OvertoneError
from overtone.restoration import reference
from overtone.restoration.reference import default_strength, gain_curve, measure_error, open_reference
from overtone.restoration.restore_array import restore
from overtone.restoration.restore_file import restore_file
from overtone.restoration.stream.added_band import OFF, Controls
from overtone.restoration.stream.analysis import analyze
from overtone.restoration.stream.crossover import keep_low_band
from tests.helpers.sound import CUTOFF, RATE, band, make

NOISE_SECONDS = 2


@pytest.fixture(scope="module")
def net():
    return make("unet")


@pytest.fixture(scope="module")
def noise():
    """White noise in full band, stereo."""
    samples = np.random.default_rng(5).normal(0, 0.1, (2, NOISE_SECONDS * RATE))
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def low(noise):
    """The same up to the cutoff."""
    return keep_low_band(noise, CUTOFF - 125)


@pytest.fixture
def unlimited(monkeypatch):
    """Corrections of any size: a network of random weights is far off."""
    monkeypatch.setattr(reference, "RAISE_DB", 200.0)
    monkeypatch.setattr(reference, "LOWER_DB", 200.0)


def by_band(curve_or_bands):
    return np.array([change.decibels for change in getattr(curve_or_bands, "bands", curve_or_bands)])


def louder_above(noise, low, decibels):
    """The noise with a louder band above the cutoff."""
    return low + 10 ** (decibels / 20) * (noise - low)


def test_bands_lie_side_by_side_from_the_cutoff_on(noise, net):
    bands = measure_error(open_reference(noise), CUTOFF, net)
    assert bands[0].low == CUTOFF
    assert bands[-1].high == 20500
    assert all(first.high == second.low for first, second in itertools.pairwise(bands))
    assert all(abs(change.high - change.low - 700) < 30 for change in bands)


@pytest.mark.usefixtures("unlimited")
def test_a_reference_that_is_louder_above_the_cutoff_changes_all_bands_by_as_much(noise, low, net):
    plain = by_band(measure_error(open_reference(noise), CUTOFF, net))
    # The peak moves, and with it the network's output a little.
    louder = by_band(measure_error(open_reference(louder_above(noise, low, 5)), CUTOFF, net))
    assert np.abs(louder - plain - 5).max() < 0.5


@pytest.mark.usefixtures("unlimited")
def test_loudness_of_the_reference_does_not_matter(noise, net):
    plain = by_band(measure_error(open_reference(noise), CUTOFF, net))
    assert by_band(measure_error(open_reference(0.01 * noise), CUTOFF, net)) == pytest.approx(plain, abs=0.05)


@pytest.mark.usefixtures("unlimited")
def test_with_itself_as_reference_a_recording_gets_its_levels_back(noise, low, net):
    # White noise is what a noise floor would go on as.
    whole = louder_above(noise, low, -6)
    plain = restore(low, RATE, cutoff=CUTOFF, model=net)
    matched = restore(low, RATE, cutoff=CUTOFF, model=net, like=whole, strength=1.0)
    errors = [reference._bands(reference._mean_difference(whole, made), CUTOFF) for made in (plain, matched)]
    assert np.abs(by_band(errors[1])).max() < 0.5
    assert np.abs(by_band(errors[0])).min() > 3  # or there was nothing to match
    assert np.abs(band(matched, 100, 5900) - band(plain, 100, 5900)) < 0.01


def test_half_the_strength_is_half_of_the_correction(noise, low, net):
    analysis, recording = analyze(low, RATE, CUTOFF, balance=True), open_reference(noise)
    whole = gain_curve(analysis, net, Controls(strength=1.0), recording)
    half = gain_curve(analysis, net, Controls(strength=0.5), recording)
    assert by_band(half) == pytest.approx(by_band(whole) / 2, abs=0.006)


def test_where_the_reference_ends_the_added_band_ends(noise, low, net):
    ends = keep_low_band(noise, 12000)
    assert 11500 < open_reference(ends).end < 12500
    matched = restore(low, RATE, cutoff=CUTOFF, model=net, like=ends, strength=1.0)
    plain = restore(low, RATE, cutoff=CUTOFF, model=net)
    assert band(matched, 13500, 20000) < band(plain, 13500, 20000) - 30
    assert band(matched, 7000, 11000) > band(plain, 7000, 11000) - 6


def test_corrections_are_limited(noise, low, net):
    plain = by_band(measure_error(open_reference(louder_above(noise, low, 35)), CUTOFF, net))
    assert plain.max() == reference.RAISE_DB
    ends = keep_low_band(noise, 12000)
    assert by_band(measure_error(open_reference(ends), CUTOFF, net)).min() >= -reference.LOWER_DB


def test_the_default_strength_falls_with_the_distance_below_the_cutoff(noise, low):
    def strength(like):
        recording = open_reference(like)
        return default_strength(recording, np.array(analyze(low, RATE, CUTOFF, balance=True).balance), CUTOFF)

    tilted = np.cumsum(noise, axis=1).astype(np.float32)
    assert strength(noise) > 0.98
    assert strength(noise[:, :RATE]) > 0.9
    assert strength(tilted - tilted.mean(axis=1, keepdims=True)) < 0.2


def test_the_default_strength_is_in_the_curve(noise, low, net):
    analysis = analyze(low, RATE, CUTOFF, balance=True)
    curve = gain_curve(analysis, net, Controls(brightness=2.0), open_reference(noise))
    assert curve.controls.strength > 0.98
    assert curve.controls.brightness == 2.0
    assert gain_curve(analysis, net, Controls()) is None
    assert gain_curve(analysis, net, Controls(amount=OFF), open_reference(noise)).off


def test_the_middle_of_a_long_reference_is_taken(tmp_path, noise, monkeypatch):
    monkeypatch.setattr(reference, "MOST_SECONDS", 1.2)
    samples = noise.copy()
    samples[:, : RATE // 3] = samples[:, -RATE // 3 :] = 0.5
    soundfile.write(tmp_path / "long.wav", samples.T, RATE, subtype="FLOAT")
    for recording in (open_reference(tmp_path / "long.wav"), open_reference(samples)):
        assert recording.samples.shape[1] == 1.2 * RATE
        assert (recording.samples != 0.5).all()


def test_more_than_two_channels_become_their_mean(noise):
    assert open_reference(np.concatenate([noise, noise])).samples.shape[0] == 1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda noise: noise[:, :40000], "is 0.91 s long; 1 s is the least"),
        (lambda noise: 0 * noise, "is silent"),
        (lambda noise: np.where(noise > 0.4, np.nan, noise), "holds NaN or infinity"),
    ],
)
def test_an_unfit_reference_is_a_line(tmp_path, noise, change, line):
    path = tmp_path / "ref.wav"
    soundfile.write(path, change(noise).T, RATE, subtype="FLOAT")
    for like in (path, change(noise)):
        with pytest.raises(OvertoneError, match=f"the reference .*{line}"):
            open_reference(like)


def test_a_reference_that_ends_below_the_cutoff_is_a_line(low, net):
    with pytest.raises(
        OvertoneError, match=r"ends at 5.\d kHz and says nothing of what is missing above 5.9"
    ):
        restore(low, RATE, cutoff=CUTOFF, model=net, like=low)


def test_a_strength_without_a_reference_is_a_line(low, net):
    with pytest.raises(OvertoneError, match="there is no reference"):
        restore(low, RATE, cutoff=CUTOFF, model=net, strength=0.5)


def test_tensors_and_integers_are_references(noise, low, net):
    wanted = restore(low, RATE, cutoff=CUTOFF, model=net, like=noise)
    tensor = restore(torch.from_numpy(low), RATE, cutoff=CUTOFF, model=net, like=torch.from_numpy(noise))
    assert np.abs(tensor.numpy() - wanted).max() < 1e-6
    integers = (noise * 32767 * 0.9).clip(-32768, 32767).astype(np.int16)
    assert np.abs(restore(low, RATE, cutoff=CUTOFF, model=net, like=integers) - wanted).max() < 0.02


def test_a_file_says_what_its_reference_changed(tmp_path, noise, low, net):
    soundfile.write(tmp_path / "song.wav", low.T, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "ref.flac", noise.T, RATE)
    report = restore_file(
        tmp_path / "song.wav", model=net, cutoff=CUTOFF, like=tmp_path / "ref.flac", top=16000
    )
    found = report.json()
    assert found["reference"] == str(tmp_path / "ref.flac")
    assert found["curve"]["top"] == 16000
    assert [list(change) for change in found["curve"]["bands"]][:1] == [["low", "high", "decibels"]]
    assert f"by the reference at strength {found['curve']['strength']:.2f} (from 5.9 kHz " in report.line()
    made, _ = soundfile.read(report.target, dtype="float32")
    expected = restore(low, RATE, model=net, cutoff=CUTOFF, like=tmp_path / "ref.flac", top=16000)
    assert np.abs(made.T - expected.clip(-1, 1 - 2**-23)).max() < 2**-22
    assert band(made.T, 16200, 20000) < band(made.T, 10000, 15000) - 60


def test_passages_are_restored_by_a_reference(net, noise):
    from overtone.restoration.stream.analysis import RestorerOptions, open_restorer

    telephone = keep_low_band(noise, 3875)
    analysis = replace(analyze(telephone, RATE, 4000, balance=True), spans=((0.0, 1.0),), floors=(None, None))
    curve = gain_curve(analysis, net, Controls(), open_reference(noise))
    streams = [open_restorer(analysis, net, RATE, RestorerOptions(curve=curve)) for curve in (None, curve)]
    plain, matched = (np.concatenate([each.process(telephone), each.flush()], axis=1) for each in streams)
    assert np.abs(matched - plain)[:, : RATE - 2000].max() > 1e-3
    assert np.array_equal(matched[:, RATE + 2000 :], plain[:, RATE + 2000 :])
    assert np.abs(matched - telephone)[:, RATE + 2000 :].max() == 0


def test_a_file_with_the_amount_off_is_left_as_it_is(tmp_path, low, net):
    soundfile.write(tmp_path / "song.wav", low.T, RATE, subtype="FLOAT")
    report = restore_file(tmp_path / "song.wav", model=net, cutoff=CUTOFF, amount=OFF)
    assert not report.added
    assert "cutoff 6 kHz (given), nothing added;" in report.line()
    assert report.json()["curve"]["amount"] == "off"
    made, _ = soundfile.read(report.target, dtype="float32")
    assert np.abs(made.T - low).max() < 2**-22
