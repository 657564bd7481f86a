"""Systems: models and outside programs on the same chunks, each with and without its own low band."""

import numpy as np
import pytest
import torch

from overtone.evaluation.comparison import named_systems, systems
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.models import registry
from overtone.restoration.stream.analysis import RestorerOptions
from overtone.restoration.stream.restorer import Restorer
from tests.helpers.sound import CUTOFF, RATE, band, make
from tests.helpers.systems_table import Table


def test_the_baselines_come_first_and_every_other_system_has_its_low_band_both_ways(
    chunks, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/model", "other/one"):
        registry.save(make("unet"), "unet", tmp_path / folder, {})
    table = Table(["model", "other/one", "shipped"], chunks[:1], tmp_path)
    assert table.names == [
        *BASELINES,
        "model",
        "network alone",  # random weights change level and sign too much to align
        "other/one",
        "other/one alone",
        "shipped",
        "shipped alone",
    ]
    assert table.failed == {}
    assert torch.equal(table["input"], chunks[0].degraded)
    assert torch.equal(table["model"], table["other/one"])
    assert table.costs["model"]["seconds_per_second"] > 0


@pytest.mark.parametrize("kind", ["unet", "spectral"])
def test_the_low_band_put_back_is_what_restoring_keeps(chunks, kind):
    """Where no roll-off is known, a network's output alone becomes its restored file by the crossover."""
    # It swells: steady noise would go on above the cutoff, which is not the network's work.
    net, samples = make(kind), chunks[0].degraded * torch.linspace(0.01, 0.1, chunks[0].degraded.shape[1])
    alone = systems.run_network(net, samples, CUTOFF, RATE, RestorerOptions(keep_low=False))
    kept = systems.with_low_band(alone, samples, CUTOFF, RATE)
    stream = Restorer(net, RATE, len(samples), CUTOFF, float(samples.abs().max()))
    blocks = [stream.process(samples.numpy()), stream.flush()]
    restored = torch.from_numpy(np.concatenate(blocks, axis=1))
    assert (restored - samples).abs().max() > 1e-4
    assert (kept - restored).abs().max() < 1e-5 * alone.abs().max()


@pytest.mark.parametrize("rate", [44100, 48000])
def test_below_the_cutoff_what_is_put_back_is_the_input(rng, rate):
    samples, made = rng.normal(0, 0.1, (2, 2, rate)).astype(np.float32)
    kept = systems.with_low_band(torch.from_numpy(made), torch.from_numpy(samples), CUTOFF, rate).numpy()
    assert kept.shape == samples.shape
    inner = slice(2000, -2000)
    below, above = (0, CUTOFF), (CUTOFF + 300, 19000)
    assert band((kept - samples)[:, inner], *below, rate) < band(samples, *below, rate) - 70
    assert band((kept - made)[:, inner], *above, rate) < band(samples, *above, rate) - 70


def test_the_shipped_network_needs_no_correction_and_is_scored_as_it_is(chunks, tmp_path):
    """0 samples, 0 dB, and no third row."""
    table = Table(["shipped"], chunks[:1], tmp_path)
    net, _ = registry.load(registry.SHIPPED)
    for row, keep_low in (("shipped", True), ("shipped alone", False)):
        options = RestorerOptions(keep_low=keep_low)
        assert torch.equal(table[row], systems.run_network(net, chunks[0].degraded, CUTOFF, RATE, options))
        assert table.costs[row]["note"] == "no correction: 0 samples late, 0 dB"
        assert table.costs[row]["aligning"]["lag"] == table.costs[row]["aligning"]["gain_db"] == [0, 0]
    assert "shipped alone, aligned" not in table.names


def test_a_late_quiet_network_is_scored_as_it_is_and_aligned(chunks, tmp_path, network):
    name = network(lambda samples: 0.6 * torch.nn.functional.pad(samples, (100, 0))[:, : samples.shape[1]])
    table = Table([name], chunks[:1], tmp_path)
    assert table.names == [*BASELINES, name, f"{name} alone", f"{name} alone, aligned"]
    samples = chunks[0].degraded
    late = 0.6 * torch.nn.functional.pad(samples, (100, 0))[:, : samples.shape[1]]
    assert torch.equal(table[f"{name} alone"], late)
    aligned = table[f"{name} alone, aligned"]
    assert (aligned - samples)[:, :-200].abs().max() < 1e-4
    notes = [table.costs[row]["note"] for row in (name, f"{name} alone", f"{name} alone, aligned")]
    assert notes == [
        "no correction: 0 samples late, 0 dB",
        "not corrected: +100.00 samples late, -4.44 dB",
        "corrected: +100.00 samples late, -4.44 dB",
    ]


def test_a_network_that_inverts_and_lowers_its_input_is_marked_and_has_no_aligned_row(
    chunks, tmp_path, network
):
    name = network(lambda samples: -0.1 * samples)
    table = Table([name], chunks[:1], tmp_path)
    assert table.names == [*BASELINES, name, f"{name} alone"]
    assert torch.equal(table[f"{name} alone, aligned"], -0.1 * chunks[0].degraded)
    note = "not corrected: -20.00 dB, inverted; too much to align"
    assert table.costs[f"{name} alone"]["note"] == note
    assert table.costs[f"{name} alone"]["aligning"]["inverted"] == [True, True]


def test_a_network_with_another_output_is_scored_as_it_is(chunks, tmp_path, network):
    name = network(torch.zeros_like)
    table = Table([name], chunks[:1], tmp_path)
    assert table.names == [*BASELINES, name, f"{name} alone"]
    assert not table[f"{name} alone"].any()


def test_sides_are_restored_by_the_weights_for_them(chunks, tmp_path):
    half = chunks[0].degraded[:1, :RATE]
    chunk = chunks[0]._replace(degraded=half, original=half)
    outputs = []
    for side in (False, True):
        system = named_systems.prepare(["shipped"], list, CUTOFF, RATE, tmp_path, side).systems[-1]
        outputs.append(next(systems.run_system(system, chunk, CUTOFF, RATE, "cpu")).samples)
    net, _ = registry.load(registry.SHIPPED)
    expected = [
        systems.run_network(weights, chunk.degraded, CUTOFF, RATE)
        for weights in (net, registry.for_side(net))
    ]
    assert not torch.allclose(*expected)
    for output, wanted in zip(outputs, expected, strict=True):
        assert torch.equal(output, wanted)
