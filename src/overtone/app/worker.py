"""Restore the files of all tabs one after the other, in a thread.

::

    source ─┬─► decode, resample ─► dry.f32
            └─► restore_apart ────► added.f32

The input and the added band are kept apart, so that the page mixes them again when a control moves.
"""

import queue
import threading
import time
from collections.abc import Callable

from overtone.app import library
from overtone.app.curve import Reference
from overtone.app.library import Item, check_space, discard
from overtone.app.signals import BYTES, RawSignal
from overtone.core.errors import OvertoneError
from overtone.formats import UNKNOWN
from overtone.models.network import Network
from overtone.restoration.files.decode import BLOCK, open_sound
from overtone.restoration.reference import default_strength, measure_error, open_reference
from overtone.restoration.restore_apart import AddedBand, restore_apart
from overtone.restoration.stream.limits import MAX_CHANNELS, check_rate, default_rate
from overtone.restoration.stream.resampling import Unchanged
from overtone.restoration.stream.spectral_balance import BalanceMeter

# Shares of the work: decoding takes about a tenth of the time of restoring.
DECODED = 0.08
SPACE = 1 << 26  # bytes that are left free on the disk


class CancelledError(Exception):
    """The user has cancelled a file."""


class Worker:
    """A thread that restores what is put into its queue.

    Args:
        net: the network, on its device.
        restore: gives a file's added band, as `restore_apart` does.
    """

    def __init__(self, net: Network, restore: Callable[..., AddedBand] = restore_apart) -> None:
        self._net, self._restore = net, restore
        self._queue: queue.SimpleQueue[tuple[Item, Callable[[Item], None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="restore", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Queue an item."""
        item.state, item.share, item.message = library.WAITING, 0.0, ""
        item.stop.clear()
        self._queue.put((item, self._process))

    def put_reference(self, item: Item) -> None:
        """Queue the measurement of an item's reference."""
        self._queue.put((item, self._measure))

    def close(self) -> None:
        """End the thread once its item is finished or cancelled."""
        self._queue.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            item, work = task
            work(item)

    def _process(self, item: Item) -> None:
        """Restore one item; its state tells the outcome."""
        if item.stop.is_set():
            item.state = library.CANCELLED
            return
        item.state, item.began = library.RUNNING, time.monotonic()
        try:
            if "rate" not in item.facts:
                _decode(item)
            self._restore_to(item)
            if item.reference_name:
                self._measure(item)
            item.share, item.state = 1.0, library.READY
            item.version += 1
        except CancelledError:
            item.state = library.CANCELLED
        except (OvertoneError, OSError, MemoryError) as error:
            _fail(item, getattr(error, "strerror", None) or str(error) or "out of memory")
        except Exception as error:
            # The server goes on with the next file, whatever this one holds.
            _fail(item, f"it could not be restored ({type(error).__name__})")
        if not item.source.exists():
            discard(item.folder)  # removed while it was worked on

    def _measure(self, item: Item) -> None:
        """Measure an item's reference at the item's cutoff; a reference that does not serve is dropped."""
        item.reference = None
        try:
            recording = open_reference(item.reference_path)
            assert recording is not None
            start = item.facts["start"]
            bands = measure_error(recording, start, self._net)
            meter = BalanceMeter(item.facts["rate"])
            for at in range(0, item.dry.length, BLOCK):
                meter.add(item.dry.read(at, min(BLOCK, item.dry.length - at)))
            strength = round(default_strength(recording, meter.levels(), start), 3)
            item.reference = Reference(bands, strength)
            item.message = ""
        except (OvertoneError, OSError, MemoryError) as error:
            item.message = str(error).replace(str(item.reference_path), item.reference_name)
            item.reference_name = ""
        item.version += 1

    def _restore_to(self, item: Item) -> None:
        """Restore an item's source, store what is added, and note the measurements."""
        item.began = time.monotonic() - DECODED * 10  # decoding says little about the time that is left
        dry, added = item.dry, RawSignal(item.folder / "added.part", item.dry.channels)
        check_space(item.folder, dry.length * dry.channels * BYTES + SPACE)
        added.path.write_bytes(b"")
        found = self._restore(
            item.source,
            added.append,
            net=self._net,
            cutoff=item.wanted_cutoff,
            progress=lambda share: _report(item, DECODED + share * (1 - DECODED)),
        )
        if found.added and added.length != dry.length:
            raise OvertoneError(f"{item.name} changed while it was read; add it again")
        with item.using:
            if found.rate != item.facts["rate"]:
                _decode(item, found.rate)  # what needs nothing keeps its own rate
            added.path.replace(item.added.path)
            item.facts |= _facts(item, found)


def _fail(item: Item, message: str) -> None:
    """Set an item's state and a message without folders of this machine."""
    name = item.name
    for path, shown in (
        (item.source, name),
        (item.folder, "the work folder"),
    ):
        message = message.replace(str(path), shown)
    # A full disk leaves stretches of samples that nothing would use.
    for part in item.folder.glob("*.part"):
        part.unlink(missing_ok=True)
    # The state comes last: who sees it finds all else done.
    item.message = message
    item.state = library.FAILED


def _report(item: Item, share: float) -> None:
    """Note the progress, or break off.

    Raises:
        CancelledError: the user has cancelled the item.
    """
    if item.stop.is_set():
        raise CancelledError
    item.share = share


def _decode(item: Item, out_rate: int | None = None) -> None:
    """Decode an item's source to its dry signal, at the output's rate in Hz."""
    part = item.folder / "dry.part"
    part.unlink(missing_ok=True)
    with open_sound(item.source) as file:
        rate, channels = check_rate(file.samplerate), file.channels
        if channels > MAX_CHANNELS:
            raise OvertoneError(f"{item.name} has {channels} channels; up to {MAX_CHANNELS} are allowed")
        out_rate = out_rate or default_rate(rate)
        known = file.frames if file.frames < UNKNOWN else 0
        check_space(item.folder, known * out_rate // rate * channels * BYTES + SPACE)
        resampler, dry, done = Unchanged(rate, channels, out_rate), RawSignal(part, channels), 0
        for block in file.blocks():
            dry.append(resampler.process(block))
            done += block.shape[1]
            _report(item, DECODED * min(1.0, done / known) if known else 0.0)
        dry.append(resampler.flush())
    part.replace(item.folder / "dry.f32")
    length = RawSignal(item.folder / "dry.f32", channels).length
    item.facts |= {"rate": out_rate, "channels": channels, "length": length}
    item.version += 1


def _facts(item: Item, found: AddedBand) -> dict[str, object]:
    """Select what the page shows of a restored file."""
    return {
        "cutoff": round(found.cutoff.hz, 1),
        "start": found.start,
        "kind": found.cutoff.kind,
        "confidence": round(found.cutoff.confidence, 3),
        "added": found.added,
        "peak": found.peak,
        "notes": [note.replace(str(item.source), item.name) for note in found.notes],
    }
