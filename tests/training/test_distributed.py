"""Two and four real processes over gloo do what one does."""

import copy
import dataclasses
import math
import multiprocessing
import os
import re

import pytest
import torch
from torch import distributed as dist
from torch import nn

from overtone.core.errors import OvertoneError
from overtone.data.dataset.batch import Batch, BatchRows
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.unet import UNet, UNetSettings
from overtone.training import distributed, loop
from overtone.training.augment import KINDS, AugmentSettings, augment
from overtone.training.discriminators import AdversarialSettings
from overtone.training.loop import Trainer
from overtone.training.settings import TrainSettings
from overtone.training.state import Observer
from tests.helpers import ROOT

CPU = torch.device("cpu")
DAMAGE = AugmentSettings(
    filters=True,
    kinds=KINDS,
    lowest=3000.0,
    highest=16000.0,
    gain_db=20.0,
    speed=1.25,
    tilt_db=4.0,
    mix=0.5,
    coded=0.5,
    coded_whole=0.5,
)


class Noise:
    """Segments of noise, the degraded ones half as loud; each with a band of its own."""

    rate = 44100
    side = False

    def __init__(self, count, seed=0):
        self.original = torch.rand(count, 4096, generator=torch.Generator().manual_seed(seed)) - 0.5
        self.bandwidth = torch.linspace(12000, 20000, count)
        self.read = set()

    def __len__(self):
        return len(self.original)

    def batch(self, indices):
        self.read.update(indices)
        original = self.original[indices]
        return Batch(original / 2, original, torch.full((len(indices),), 6000.0), self.bandwidth[indices])


def unet():
    return UNet(UNetSettings((2, 2, 2, 2)))


def spectral():
    return Spectral(SpectralSettings(features=8, blocks=1, expansion=1))


# Ten segments: batches of four, four and two, the last one fewer than four ranks.
CASES = {
    "batch norm": (unet, {"loss": {"l1": 1.0, "stft": 0.1}}, "float32"),
    "micro-batches": (unet, {"loss": {"stft_magnitude": 1.0}, "batch": 8, "lr": 1e-5}, "float32"),
    "damage": (spectral, {"loss": {"high_band": 1.0}, "augment": DAMAGE}, "float32"),
    "discriminators": (
        spectral,
        {
            "loss": {"high_band": 1.0, "lsd": 1.0},
            "batch": 8,
            "schedule": "cosine",
            "adversarial": AdversarialSettings(weight=1.0, feature_matching=1.0, lr=0.001, start=1),
        },
        "float32",
    ),
    "bfloat16": (spectral, {"loss": {"high_band": 1.0}}, "bfloat16"),
}


def train(name, whole, state=None, **observed):
    """Train one of the cases; `whole` are the settings that it changes, keywords what an observer has."""
    make, changes, precision = CASES[name]
    torch.manual_seed(1)
    net = make()
    settings = dataclasses.replace(whole, **changes)
    trainer = Trainer(net, settings, CPU, precision, Observer(**observed))
    if state is not None:
        # A state handed to several processes lies in memory that they share.
        trainer.load_state_dict(copy.deepcopy(state))
    return trainer.fit(Noise(10), Noise(5, seed=9)).history, net.state_dict()


def all_cases(whole):
    return {name: train(name, whole) for name in CASES}


def member(rank, size, folder, work, arguments):
    """One rank: joins the others, works, leaves what came out as a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    try:
        result = work(*arguments)
    except OvertoneError as error:
        result = str(error)
    torch.save(result, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Run a function in a number of ranks; returns what each returned, or its error's line."""
    # The server looks for this checkout's code, as pytest does, whatever is installed.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
        yield _runner(tmp_path_factory)


def _runner(tmp_path_factory):
    # A server that has imported what the ranks need, and has no threads, is quick and safe to fork.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["overtone.training.loop"])

    def run(size, work, *arguments):
        folder = tmp_path_factory.mktemp("ranks")
        members = [
            processes.Process(target=member, args=(rank, size, folder, work, arguments))
            for rank in range(size)
        ]
        for process in members:
            process.start()
        for process in members:
            process.join(120)
        assert [process.exitcode for process in members] == [0] * size
        return [torch.load(folder / f"{rank}.pt") for rank in range(size)]

    return run


@pytest.fixture(scope="module")
def alone(whole):
    return all_cases(whole)


@pytest.fixture(scope="module")
def whole():
    return TrainSettings(
        loss={"l1": 1.0},
        lr=0.001,
        batch=4,
        micro_batch=4,
        epochs=2,
        schedule="plateau",
        plateau_factor=0.5,
        plateau_patience=5,
        stop_patience=10,
        precision="float32",
        seed=1,
        augment=dataclasses.replace(DAMAGE, filters=False),
        adversarial=AdversarialSettings(weight=0.0, feature_matching=1.0, lr=0.001, start=1),
    )


@pytest.fixture(scope="module", params=[2, 4])
def parted(together, whole, request):
    """All cases trained by two ranks, and by four."""
    return together(request.param, all_cases, whole)


# Rounding alone does as much in one process. Biases ahead of a batch norm have no gradient but rounding,
# which Adam makes steps of, and the running mean lags behind: first weights 1e-7 larger do as much. And
# of four segments, each of four ranks has one: a network run on one at a time in one process rounds
# otherwise too, and the gradient of `high_band` on this noise then differs by 0.1 %.
@pytest.mark.parametrize(
    ("name", "two", "four"),
    [
        ("batch norm", 2e-3, 2e-3),
        ("micro-batches", 1e-5, 1e-4),
        ("damage", 1e-5, 2e-3),
        ("discriminators", 1e-4, 2e-3),
        ("bfloat16", 1e-2, 1e-2),
    ],
)
def test_ranks_have_the_loss_curve_of_one_process(parted, alone, name, two, four):
    tolerance = {2: two, 4: four}[len(parted)]
    expected, _ = alone[name]
    for history, _ in (result[name] for result in parted):
        assert [list(row) for row in history] == [list(row) for row in expected]
        for ours, theirs in zip(history, expected, strict=True):
            assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_every_rank_ends_with_the_same_losses_and_weights_to_the_last_digit(parted, name):
    history, weights = parted[0][name]
    for other, theirs in (result[name] for result in parted[1:]):
        assert other == history
        assert all(torch.equal(value, theirs[key]) for key, value in weights.items())


def normed(samples):
    """A batch norm over this rank's part: what it gives, its gradients, its running statistics."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.BatchNorm1d(3))
    nn.init.uniform_(net[0].weight)
    distributed.sync_batch_norm(net)
    part = distributed.share_batch(len(samples), len(samples))
    own = samples[part.rows.own].clone().requires_grad_()
    made = net(own)
    (made**3).sum().backward()
    return part.rows.own, made.detach(), own.grad, net.state_dict()


def test_batch_norm_sees_all_ranks_in_values_gradients_and_running_statistics(together):
    samples = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(2)) + 3
    _, made, gradient, statistics = normed(samples)
    for rows, ours, slope, found in together(2, normed, samples):
        assert len(rows) in (2, 3)
        torch.testing.assert_close(ours, made[rows])
        torch.testing.assert_close(slope, gradient[rows], rtol=1e-4, atol=1e-4)
        assert list(found) == list(statistics)
        for key, value in statistics.items():
            torch.testing.assert_close(found[key], value)


def reads(whole):
    """Which segments an epoch of training has this rank read."""
    data = Noise(16)
    settings = dataclasses.replace(whole, epochs=1, batch=8, micro_batch=4)
    Trainer(unet(), settings, CPU, "float32").fit(data, Noise(4))
    return data.read


def test_each_rank_reads_its_own_part_of_an_epoch_and_no_more(together, whole):
    first, second = together(2, reads, whole)
    assert len(first) == len(second) == 8
    assert first | second == set(range(16))


def kept_in_the_middle(whole):
    """A state from within the first epoch."""
    states = []
    loop.KEEP_SECONDS = -1.0
    train("damage", whole, keep=lambda state: states.append(copy.deepcopy(state)))
    return states[1]


@pytest.mark.parametrize(("kept_by", "goes_on_with"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(together, whole, alone, kept_by, goes_on_with):
    state = together(kept_by, kept_in_the_middle, whole)[0]
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 2)
    history, _ = together(goes_on_with, train, "damage", whole, state)[0]
    expected = [list(row.values()) for row in alone["damage"][0]]
    assert [list(row.values()) for row in history] == [pytest.approx(row, rel=1e-5) for row in expected]


def on_bad_data(whole):
    data = Noise(8)
    data.original[0] = math.nan
    Trainer(unet(), dataclasses.replace(whole, batch=8), CPU, "float32").fit(data, Noise(4))


def test_a_loss_that_is_not_a_number_on_one_rank_stops_all_with_the_same_line(together, whole):
    lines = together(2, on_bad_data, whole)
    assert re.match("the loss became nan in epoch 1, batch 1 of 1", lines[0])
    assert lines[1] == lines[0]


def test_more_ranks_than_a_micro_batch_has_segments_is_one_line(monkeypatch, whole):
    monkeypatch.setattr(distributed, "rank_count", lambda: 8)
    with pytest.raises(OvertoneError) as caught:
        Trainer(unet(), whole, CPU, "float32")
    assert str(caught.value) == (
        "train.micro_batch is 4; it is a number of segments for all ranks together, 8 or more with so many"
    )


def talk():
    """What rank 0 says, and whether a name that each makes up by itself is agreed."""
    received = distributed.broadcast({"rank": distributed.rank_index()})
    assert distributed.check_agreement("same") == "same"
    try:
        distributed.check_agreement(f"run {distributed.rank_index() // 2}")
    except OvertoneError as error:
        return received, str(error)
    return received, ""


def test_a_rank_with_other_settings_is_found_and_all_are_told(together):
    for received, line in together(4, talk):
        assert received == {"rank": 0}
        assert line.startswith("rank 2 of 4 has another params.yaml, code, data/pairs")


@pytest.mark.parametrize("size", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_cover_a_batch_and_their_shares_average_to_one(monkeypatch, size, count):
    monkeypatch.setattr(distributed, "rank_count", lambda: count)
    micro_batch, parts = 4, []
    for rank in range(count):
        monkeypatch.setattr(distributed, "rank_index", lambda rank=rank: rank)
        parts.append(distributed.share_batch(size, micro_batch))
    assert {row for part in parts for row in part.rows.own} == set(range(size))
    for part in parts:
        assert sum(part.sizes) == len(part.rows.own)
        assert len(part.sizes) == len(part.shares) == math.ceil(size / micro_batch)
    assert sum(sum(part.shares) for part in parts) / count == pytest.approx(1)
    # Every segment counts alike, also where a micro-batch has fewer than there are ranks.
    weight = dict.fromkeys(range(size), 0.0)
    for part in parts:
        rows = iter(part.rows.own)
        for segments, share in zip(part.sizes, part.shares, strict=True):
            for _ in range(segments):
                weight[next(rows)] += share / segments / count
    assert list(weight.values()) == [pytest.approx(1 / size)] * size


@pytest.mark.parametrize("own", [[0, 1, 2], [3, 4], [0, 5], [2]])
def test_a_part_of_a_batch_gets_the_damage_that_it_gets_in_the_whole(own, monkeypatch):
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    data, rows = Noise(6), BatchRows(6, own)
    everything = augment(data.batch(list(range(6))), DAMAGE, 44100, seed=5)
    part = augment(data.batch(rows.read(DAMAGE.filters)), DAMAGE, 44100, 5, rows)
    for ours, theirs in zip(part, everything, strict=True):
        torch.testing.assert_close(ours, theirs[own])
