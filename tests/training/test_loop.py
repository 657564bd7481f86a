import copy
import dataclasses
import math
import shutil

import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.data.dataset.batch import Batch
from overtone.models.unet import UNet, UNetSettings
from overtone.training import batches, loop
from overtone.training.discriminators import AdversarialSettings
from overtone.training.loop import Trainer
from overtone.training.state import Observer
from tests.helpers.sound import make

CPU = torch.device("cpu")
ADVERSARIAL = AdversarialSettings(weight=1.0, feature_matching=1.0, lr=0.001, start=2)
# Compiled kernels add in another order, and Adam makes steps of gradients that are nothing but rounding: the
# validation loss of two epochs differed by 1.0e-4 on an EPYC.
COMPILED = 1e-3
TERMS = ("adversarial_loss", "feature_matching_loss", "discriminator_loss")


class Noise:
    """Segments of noise, the degraded ones half as loud."""

    rate = 44100
    side = False

    def __init__(self, count, seed=0, length=512):
        self.original = torch.rand(count, length, generator=torch.Generator().manual_seed(seed)) - 0.5
        self.asked = []

    def __len__(self):
        return len(self.original)

    def batch(self, indices):
        self.asked.append(indices)
        original = self.original[indices]
        cutoff, bandwidth = torch.full((len(indices),), 8000.0), torch.full((len(indices),), 20000.0)
        return Batch(original / 2, original, cutoff, bandwidth)


class Linear(torch.nn.Linear):
    """A network without batch norm."""

    def __init__(self):
        super().__init__(512, 512)

    def forward(self, samples, cutoff):
        return super().forward(samples)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return UNet(UNetSettings((2, 2, 2, 2)))


def fit(net, settings, data=None, precision="float32", state=None, **observed):
    """Train on noise; returns the progress. Keywords are what an observer has."""
    trainer = Trainer(net, settings, CPU, precision, Observer(**observed))
    if state is not None:
        trainer.load_state_dict(state)
    return trainer.fit(data or Noise(10), Noise(4, seed=9))


def test_training_lowers_the_loss_and_leaves_the_best_weights(net, train_settings):
    settings = train_settings(epochs=8, lr=0.01)
    history = fit(net, settings).history
    assert [row["epoch"] for row in history] == list(range(1, 9))
    best = min(row["validation_loss"] for row in history)
    assert best < history[0]["validation_loss"]
    again = Trainer(net, settings, CPU, "float32").validate(Noise(4, seed=9))
    assert again == pytest.approx(best, rel=1e-6)


def test_frozen_weights_stay_and_the_others_learn(net, train_settings):
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    frozen = {name for name in before if name.endswith("weight")}
    assert frozen
    assert frozen != set(before)
    fit(net, train_settings(epochs=2, lr=0.01, freeze=("weight",)))
    kept = {name for name, weight in net.named_parameters() if torch.equal(weight, before[name])}
    assert kept == frozen


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (("nothing.weight",), "train.freeze is 'nothing.weight'; it is the end of a weight's name, such as "),
        (("weight", "bias"), r"train.freeze is \['weight', 'bias'\]; it is some weights, not all"),
    ],
)
def test_what_cannot_be_frozen_is_one_line(net, train_settings, ends, message):
    with pytest.raises(OvertoneError, match=message):
        fit(net, train_settings(freeze=ends))


def test_every_epoch_sees_every_segment_once_in_an_order_of_its_own(net, train_settings):
    data = Noise(10)
    fit(net, train_settings(epochs=2), data)
    epochs = [[place for batch in data.asked[at : at + 3] for place in batch] for at in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("stop", range(7))
def test_going_on_from_any_state_gives_the_same_losses_to_the_last_digit(
    net, train_settings, monkeypatch, stop
):
    monkeypatch.setattr(loop, "KEEP_SECONDS", -1.0)  # a state after every step
    drawn = dataclasses.replace(
        train_settings().augment,
        filters=True,
        gain_db=20.0,
        speed=1.25,
        tilt_db=4.0,
        mix=0.3,
        coded=0.5,
        coded_whole=0.5,
    )
    settings = train_settings(epochs=2, schedule="cosine", augment=drawn)
    states = []
    untouched = copy.deepcopy(net)
    whole = fit(net, settings, keep=lambda state: states.append(copy.deepcopy(state)))
    assert len(states) == 8  # three steps and an end, twice
    resumed = fit(untouched, settings, state=states[stop])
    assert resumed.history == whole.history
    for key, value in net.state_dict().items():
        assert torch.equal(value, untouched.state_dict()[key]), key


def test_the_same_seed_gives_the_same_losses(net, train_settings):
    twin = copy.deepcopy(net)
    assert fit(net, train_settings()).history == fit(twin, train_settings()).history


# Importing the compiler warns of what PyTorch itself uses.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_a_compiled_run_of_many_lengths_ends_as_one_that_is_not_compiled(train_settings, monkeypatch):
    drawn = dataclasses.replace(train_settings().augment, filters=True, speed=1.25)
    settings = train_settings(epochs=2, loss={"high_band": 1.0}, augment=drawn)
    # Once with gradients and once without, whatever the length.
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    # Without compiling trial programs that only tell which instructions the processor has.
    monkeypatch.setattr(torch._inductor.config.cpp, "vec_isa_ok", True)
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    histories, lengths, augment = [], set(), batches.augment

    def noted(*arguments):
        batch = augment(*arguments)
        lengths.add(batch.original.shape[1])
        return batch

    monkeypatch.setattr(batches, "augment", noted)
    for asked in "01":
        monkeypatch.setenv("OVERTONE_COMPILE", asked)
        net = make("spectral").train()
        trainer = Trainer(net, settings, CPU, "float32")
        data = Noise(24, length=16384), Noise(4, seed=9, length=16384)
        histories.append(trainer.fit(*data).history)
    assert len(lengths) > 8
    for plain, compiled in zip(*histories, strict=True):
        assert compiled["train_loss"] == pytest.approx(plain["train_loss"], rel=COMPILED)
        assert compiled["validation_loss"] == pytest.approx(plain["validation_loss"], rel=COMPILED)


def test_micro_batches_add_up_to_the_batch(train_settings):
    # Without batch norm, which sees micro-batches, the gradients are the same.
    nets = [Linear() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    losses = [
        fit(net, train_settings(batch=5, micro_batch=micro)).history[-1]["train_loss"]
        for net, micro in zip(nets, (5, 2), strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_training_stops_early_when_the_validation_loss_stalls(net, train_settings):
    progress = fit(net, train_settings(epochs=50, stop_patience=2, lr=1e-12))
    best = min(progress.history, key=lambda row: row["validation_loss"])
    assert len(progress.history) == best["epoch"] + 3 < 50


def test_the_learning_rate_falls_when_the_validation_loss_stalls(net, train_settings):
    settings = train_settings(epochs=12, lr=0.5, plateau_patience=0, plateau_factor=0.1, stop_patience=12)
    history = fit(net, settings).history
    assert history[-1]["lr"] < history[0]["lr"] == 0.5


def test_the_cosine_schedule_falls_to_nothing_over_all_epochs(net, train_settings):
    history = fit(net, train_settings(epochs=4, schedule="cosine", lr=0.01)).history
    # The rate of each epoch's last step, of three.
    expected = [0.01 * (1 + math.cos(math.pi * (epoch + 2 / 2.5) / 4)) / 2 for epoch in range(4)]
    assert [row["lr"] for row in history] == pytest.approx(expected)


def test_without_a_discriminator_a_step_is_adams_on_the_loss_alone(train_settings, monkeypatch):
    monkeypatch.setattr(loop, "Adversary", None)
    net, twin = Linear(), Linear()
    twin.load_state_dict(net.state_dict())
    data, settings = Noise(10), train_settings(epochs=1, batch=5, micro_batch=5)
    history = fit(net, settings, data).history
    optimiser, losses = torch.optim.Adam(twin.parameters(), lr=settings.lr), []
    for indices in data.asked[:2]:
        loss = (twin(data.original[indices] / 2, None) - data.original[indices]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert history[0]["train_loss"] == sum(loss * 5 for loss in losses) / 10
    assert torch.equal(net.weight, twin.weight)
    assert list(history[0]) == ["epoch", "train_loss", "validation_loss", "lr"]


@pytest.mark.parametrize("stop", [1, 4, 5])
def test_with_a_discriminator_going_on_from_any_state_gives_the_same_losses_to_the_last_digit(
    train_settings, monkeypatch, stop
):
    monkeypatch.setattr(loop, "KEEP_SECONDS", -1.0)
    settings = train_settings(epochs=2, schedule="cosine", adversarial=ADVERSARIAL)
    states, later = [], []
    net, untouched = Linear(), Linear()
    untouched.load_state_dict(net.state_dict())
    whole = fit(net, settings, keep=lambda state: states.append(copy.deepcopy(state)))
    resumed = fit(untouched, settings, state=copy.deepcopy(states[stop]), keep=later.append)
    assert resumed.history == whole.history
    assert torch.equal(net.weight, untouched.weight)
    ends = (kept[-1]["adversary"]["discriminator"] for kept in (states, later))
    for (key, value), again in zip(next(ends).items(), next(ends).values(), strict=True):
        assert torch.equal(value, again), key


def test_a_discriminator_begins_in_its_epoch_and_has_columns_from_then_on(train_settings):
    off = train_settings(epochs=2, schedule="cosine")
    on = train_settings(epochs=2, schedule="cosine", adversarial=ADVERSARIAL)
    twins = Linear(), Linear()
    twins[1].load_state_dict(twins[0].state_dict())
    (first, second), plain = (fit(net, s).history for net, s in zip(twins, (on, off), strict=True))
    assert first == plain[0]
    assert tuple(second) == (*plain[1], *TERMS)
    assert second["validation_loss"] != plain[1]["validation_loss"]


def test_with_a_discriminator_the_last_weights_are_kept_whatever_the_validation_loss(train_settings):
    adversarial = AdversarialSettings(weight=1.0, feature_matching=1.0, lr=0.001, start=1)
    settings = train_settings(epochs=3, schedule="cosine", stop_patience=0, lr=0.5, adversarial=adversarial)
    net, last = Linear(), {}
    progress = fit(net, settings, keep=lambda state: last.update(copy.deepcopy(state["net"])))
    losses = [row["validation_loss"] for row in progress.history]
    assert len(losses) == 3
    assert losses[-1] > min(losses)
    assert (progress.best_epoch, progress.best_loss) == (3, losses[-1])
    assert torch.equal(net.weight, last["weight"])


def test_a_loss_that_is_not_a_number_names_epoch_and_batch_and_keeps_the_last_good_state(
    net, train_settings, monkeypatch
):
    data = Noise(10)
    data.original[3] = math.nan
    monkeypatch.setattr(loop, "KEEP_SECONDS", -1.0)
    kept = [{"net": copy.deepcopy(net.state_dict())}]
    with pytest.raises(OvertoneError, match=r"the loss became nan in epoch 1, batch [123] of 3"):
        fit(net, train_settings(), data, keep=lambda state: kept.append(copy.deepcopy(state)))
    assert all(torch.isfinite(value).all() for value in kept[-1]["net"].values())


def test_half_precision_trains_to_about_the_same_loss(net, train_settings):
    twin = copy.deepcopy(net)
    settings = train_settings(epochs=4, lr=0.01)
    whole = fit(net, settings).history[-1]["validation_loss"]
    half = fit(twin, settings, precision="bfloat16").history[-1]
    assert half["validation_loss"] == pytest.approx(whole, rel=0.1)


def test_the_largest_seed_trains(net, train_settings):
    fit(net, train_settings(seed=1_000_000, epochs=1))


@pytest.mark.parametrize("batch", [5, 4])
def test_a_run_goes_on_from_the_last_step_of_an_epoch(net, train_settings, monkeypatch, batch):
    """Killed while it was validated; of 10 segments the last batch has 5, or 2 of 4."""
    monkeypatch.setattr(loop, "KEEP_SECONDS", -1.0)
    settings = train_settings(batch=batch, micro_batch=1, epochs=2)
    states, left = [], []
    twin = copy.deepcopy(net)
    whole = fit(net, settings, keep=lambda state: states.append(copy.deepcopy(state)))
    ends = [state for state in states if state["progress"]["step"] * batch >= 10]
    assert [state["progress"]["epoch"] for state in ends] == [1, 2]
    again = fit(twin, settings, state=ends[0], report=lambda history, seconds: left.append(seconds))
    assert again.history == whole.history
    assert all(seconds >= 0 for seconds in left)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "train.lr is 0.0; it is a learning rate, above 0 and up to 1"),
        ({"seed": -1}, "train.seed is -1; it is a whole number, 0 to 1,000,000"),
        ({"seed": 20240101}, "train.seed is 20240101"),
        ({"batch": 0}, "train.batch is 0; it is a number of segments, 1 or more"),
        ({"micro_batch": 9}, "train.micro_batch is 9; it is a number of segments, 1 to train.batch (4)"),
        ({"epochs": 0}, "train.epochs is 0"),
        ({"plateau_factor": 1.0}, "train.plateau_factor is 1.0"),
        ({"stop_patience": -1}, "train.stop_patience is -1"),
        ({"schedule": "step"}, "train.schedule is 'step'; it is one of plateau, cosine"),
        ({"precision": "half"}, "train.precision is 'half'; it is one of float32, bfloat16, auto"),
        ({"loss": {"mel": 1.0}}, "train.loss is 'mel'"),
        (
            {"adversarial": ADVERSARIAL},
            "train.schedule is 'plateau'; it is cosine when train.adversarial.weight is above 0",
        ),
        (
            {"adversarial": ADVERSARIAL, "schedule": "cosine", "epochs": 1},
            "train.adversarial.start is 2; it is an epoch, 1 to train.epochs (1)",
        ),
    ],
)
def test_a_bad_param_is_one_line(train_settings, changes, message):
    with pytest.raises(OvertoneError) as caught:
        train_settings(**changes)
    assert message in str(caught.value)
