"""Draw a listener's trials: the clips of each page, their order, and their meaningless names."""

import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from overtone.evaluation.listening.examples import ORIGINAL, Examples

OPINION, COMPARISON, REFERENCE = "opinion", "comparison", "reference"  # the kinds of trial
ALLOWED = {OPINION: range(1, 6), COMPARISON: range(101)}  # the values of a rating


class Clip(NamedTuple):
    """The meaning of a clip's name; a listener never sees it."""

    part: str
    sample: str
    system: str


def clips(examples: Examples, secret: bytes) -> dict[str, Clip]:
    """Name every clip of a test.

    Opinion trials hold the degraded and the restored versions, as in the paper. Comparison trials also hold
    the original, hidden among them, and an open reference. The same sound has another name in each kind of
    trial, so that no name reveals the reference. The same files and secret give the same names: a server
    that starts again continues the same test.

    Source: ITU-R BS.1534-3 (MUSHRA) for the comparison.
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
    """Draw the trials of one listener, as JSON for the page.

    Opinions come first: a listener who knows the original would compare with it. The order of samples within
    a kind of trial, and of clips within a trial, is drawn by a generator seeded by the listener's id and the
    secret.

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
            # Sorted first: the draw must not depend on the order of the argument.
            own = sorted(name for name, clip in names.items() if clip[:2] == (part, sample))
            draw.shuffle(own)
            trial: dict[str, Any] = {"part": part, "clips": own}
            if part == COMPARISON:
                of_original = Clip(REFERENCE, sample, ORIGINAL)
                trial["reference"] = next(name for name, clip in names.items() if clip == of_original)
            trials.append(trial)
    return trials
