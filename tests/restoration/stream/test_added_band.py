"""The gain curve is what the controls say; the crossover and a mix of two signals go by the same one."""

import dataclasses

import numpy as np
import pytest

from overtone.core.errors import OvertoneError
from overtone.restoration.stream.added_band import (
    OFF,
    Band,
    Controls,
    GainCurve,
    impulse_response,
)
from overtone.restoration.stream.analysis import RestorerOptions, analyze, open_restorer
from overtone.restoration.stream.crossover import TAPS, highpass_taps, keep_high_band, keep_low_band
from overtone.restoration.stream.resampling import Unchanged
from overtone.restoration.stream.restorer import Restorer
from tests.helpers.sound import CUTOFF, RATE, band, level, make

BANDS = (Band(6000, 6700, 3.0), Band(6700, 7400, -2.0), Band(7400, 8100, -12.0))
CURVES = {
    "brightness": GainCurve(CUTOFF, Controls(brightness=6.0)),
    "amount": GainCurve(CUTOFF, Controls(amount=-6.0)),
    "top": GainCurve(CUTOFF, Controls(top=12000.0)),
    "bands": GainCurve(CUTOFF, Controls(strength=1.0), BANDS),
    "all": GainCurve(CUTOFF, Controls(1.0, -3.0, 4.0, 15000.0), BANDS),
}


def response(taps, hertz, rate=RATE):
    """Gain in dB of taps at frequencies in Hz."""
    size = 1 << 16
    gain = np.abs(np.fft.rfft(taps, size))
    return 20 * np.log10(np.interp(hertz, np.fft.rfftfreq(size, 1 / rate), gain) + 1e-12)


def convolved(samples, taps):
    """Each channel convolved with linear-phase taps, their delay taken out."""
    return np.stack([np.convolve(channel, taps, "same") for channel in samples])


def run(restorer, samples):
    return np.concatenate([restorer.process(samples), restorer.flush()], axis=1)


@pytest.mark.parametrize("rate", [RATE, 48000, 192000])
@pytest.mark.parametrize("name", CURVES)
def test_the_taps_have_the_curve(name, rate):
    curve = CURVES[name]
    top = curve.controls.top or 20000
    hertz = np.linspace(200, top - 300, 300)
    wanted = curve.decibels(hertz)
    # The bands' corners are rounded off by the taps' length.
    assert np.abs(response(impulse_response(curve, rate), hertz, rate) - wanted).max() < 0.15


def test_the_controls_are_in_their_units():
    octave = np.array([CUTOFF / 2, CUTOFF, 2 * CUTOFF])
    assert CURVES["brightness"].decibels(octave) == pytest.approx([0, 0, 6])
    assert CURVES["amount"].decibels(octave) == pytest.approx([-6, -6, -6])
    assert CURVES["bands"].decibels(np.array([6350.0, 6700.0, 7050.0, 20000.0])) == pytest.approx(
        [3, 0.5, -2, -12]
    )


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_nothing_is_above_the_top(rate):
    hertz = np.linspace(12100, 20000, 500)
    assert response(impulse_response(CURVES["top"], rate), hertz, rate).max() < -80


def test_a_curve_that_changes_nothing_is_an_impulse():
    taps = impulse_response(GainCurve(CUTOFF))
    assert GainCurve(CUTOFF).flat
    assert not CURVES["all"].flat
    assert taps[TAPS] == pytest.approx(1)
    assert np.abs(np.delete(taps, TAPS)).max() < 1e-7


@pytest.mark.parametrize("name", CURVES)
def test_nothing_passes_below_the_cutoff(name):
    taps = np.convolve(highpass_taps(CUTOFF), impulse_response(CURVES[name]))
    assert response(taps, np.linspace(0, CUTOFF, 500)).max() < -80


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("out_rate", [RATE, 48000])
def test_a_restorer_gives_what_the_parts_mixed_through_the_taps_give(low, name, out_rate):
    curve, mono = CURVES[name], low[:1, :40000]
    common = make("unet"), RATE, 1, CUTOFF, 1.0, out_rate
    dry, added = run(Restorer(*common, apart=True), mono)
    mixed = dry + convolved([added], impulse_response(curve, out_rate))[0]
    once = run(Restorer(*common, curve=curve), mono)[0]
    # Equal to float32's rounding of the sum, from the first sample to the last.
    assert level(mixed - once) < level(once) - 130
    assert level(once - dry - added) > level(added) - 30  # or nothing was changed


def test_apart_the_sum_is_the_restored_signal(low):
    common = make("spectral"), RATE, 2, CUTOFF
    low = low / 10  # within full scale with what is added
    dry, added = np.split(run(Restorer(*common, apart=True), low), 2)
    assert np.abs(dry + added - run(Restorer(*common), low)).max() < 1e-6
    assert np.abs(dry - low).max() == 0


def test_nothing_is_added_when_the_amount_is_off(low):
    options = RestorerOptions(curve=GainCurve(CUTOFF, Controls(amount=OFF)))
    stream = open_restorer(analyze(low, RATE, CUTOFF), make("unet"), RATE, options)
    assert isinstance(stream, Unchanged)
    assert not impulse_response(options.curve).any()


def test_stems_are_restored_with_the_curve(low):
    from overtone.restoration.stream.separation import Separator
    from overtone.restoration.stream.stems import StemsRestorer

    halves = Separator("halves", ("a", "b"), RATE, 2, 44100, lambda mix: np.stack([mix / 2, mix / 2]))
    common = make("unet"), RATE, 2, CUTOFF, 1.0, RATE
    curve = GainCurve(CUTOFF, Controls(amount=-12.0))
    plain = run(StemsRestorer(halves, *common), low)
    quieter = run(StemsRestorer(halves, *common, curve=curve), low)
    assert band(plain, 8000, 20000) - band(quieter, 8000, 20000) == pytest.approx(12, abs=0.1)


def test_the_low_and_the_high_band_are_the_whole(low):
    samples = low
    both = keep_low_band(samples, 3000.0) + keep_high_band(samples, 3000.0)
    assert np.allclose(both, samples, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"strength": 1.5}, "the strength is 1.5; it is 0 to 1"),
        ({"brightness": 41.0}, "the brightness is 41 dB; it is -40 to 40"),
        ({"brightness": float("nan")}, "the brightness is nan dB"),
        ({"amount": -50.0}, "the amount is -50 dB; it is -40 to 40, or off"),
        ({"top": 10.0}, "the top is 10 Hz; it is 1000 or more"),
    ],
)
def test_a_control_out_of_range_is_a_line(change, line):
    with pytest.raises(OvertoneError, match=line):
        Controls(**change)


def test_a_top_below_the_added_band_is_a_line():
    with pytest.raises(OvertoneError, match="the top is 5000 Hz, and the added band begins at 6000 Hz"):
        GainCurve(CUTOFF, Controls(top=5000.0))


def test_the_curve_is_told_as_a_clause_and_as_plain_values():
    line = dataclasses.replace(CURVES["all"], controls=Controls(0.6, 3.0, -2.0, 15000.0)).line()
    assert line == (
        "by the reference at strength 0.60 (from 6.0 kHz -3.7 dB), brightness +3 dB, amount -2 dB, "
        "nothing above 15 kHz"
    )
    assert CURVES["bands"].json()["bands"][2] == {"low": 7400, "high": 8100, "decibels": -12.0}
    assert GainCurve(CUTOFF, Controls(amount=OFF)).json()["amount"] == "off"
