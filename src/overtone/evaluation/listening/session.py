"""What one listener hears: which sounds together, in which order, under which meaningless names."""

import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from overtone.evaluation.listening.examples import ORIGINAL, Examples

OPINION, COMPARISON, REFERENCE = "opinion", "comparison", "reference"  # the parts of a test
ALLOWED = {OPINION: range(1, 6), COMPARISON: range(101)}  # what a rating may be


class Clip(NamedTuple):
    """What a name stands for; a listener never sees this."""

    part: str
    sample: str
    system: str


def clips(examples: Examples, secret: bytes) -> dict[str, Clip]:
    """Every clip of a test by its name.

    The opinion score is asked of the degraded and the restored versions, as the paper's listeners were; the
    comparison holds the original among them, and an open reference beside them. The same
    sound has another name in each part, so that no name says "this is the reference". Names stay the same
    for the same files and secret: a server started again goes on with the same test.
    """
    found = [
        Clip(part, sample, system)
        for sample, versions in examples.sounds.items()
        for part, systems in (
            (OPINION, [system for system in versions if system != ORIGINAL]),
            (COMPARISON, list(versions)),
            (REFERENCE, [ORIGINAL]),
        )
        for system in systems
    ]
    return {_name(secret, examples.test, clip): clip for clip in found}


def _name(secret: bytes, test: str, clip: Clip) -> str:
    return hmac.new(secret, "/".join((test, *clip)).encode(), hashlib.sha256).hexdigest()[:20]


def order(names: Mapping[str, Clip], listener: str, secret: bytes) -> list[dict[str, Any]]:
    """The trials of one listener: JSON that the page gets.

    Opinions come first: whoever has heard the original judges the rest against it. Within a part the
    samples, and within a sample the clips, stand in an order that the listener's id and the secret decide.

    Returns:
        ``{"part": "opinion", "clips": [name, ...]}`` for each sample, then
        ``{"part": "comparison", "reference": name, "clips": [name, ...]}``.
    """
    draw = random.Random(hmac.new(secret, listener.encode(), hashlib.sha256).digest())
    samples = sorted({clip.sample for clip in names.values()})
    trials = []
    for part in (OPINION, COMPARISON):
        draw.shuffle(samples)
        for sample in samples:
            # Sorted first: the order must not depend on how the names came in.
            own = sorted(name for name, clip in names.items() if clip[:2] == (part, sample))
            draw.shuffle(own)
            trial: dict[str, Any] = {"part": part, "clips": own}
            if part == COMPARISON:
                of_original = Clip(REFERENCE, sample, ORIGINAL)
                trial["reference"] = next(name for name, clip in names.items() if clip == of_original)
            trials.append(trial)
    return trials
