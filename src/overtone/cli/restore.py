"""Run ``overtone restore``: all inputs in order, standard input and output among them."""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from overtone.cli.exit_codes import ALL_GOOD, NOTHING_DONE, SOME_FAILED
from overtone.cli.inputs import STANDARD, Job, plan, save_standard_input
from overtone.cli.processes import Failure, Pool, Progress, Work
from overtone.cli.terminal import Bar, complain, drop_output, libraries_silenced, printable
from overtone.core.errors import OvertoneError, need
from overtone.core.machine import free_memory, processor_count

if TYPE_CHECKING:
    from overtone.models.network import Network
    from overtone.restoration.reference import Recording
    from overtone.restoration.result import Report
    from overtone.restoration.stream.separation import Separator

    _Results: TypeAlias = Generator[Report | Failure, None, None]

# Memory of a process that restores, in bytes; and bytes of files that are worth another process: about a
# minute of sound, which takes as long to restore as a process takes to start.
PROCESS_BYTES, WORTH_A_PROCESS = 600_000_000, 4_000_000


def run(args: argparse.Namespace) -> int:
    """Restore all inputs and return the exit code; a failure is a line and does not stop the others."""
    planned = plan(args.inputs, args.output, args.force)
    for failure in planned.failures:
        complain(failure)
    if planned.skipped:
        line = f"{planned.skipped} there already, skipped (--force restores them again)"
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)
    done = _restore_all(planned.jobs, args) if planned.jobs else 0
    if done == len(planned.jobs) and not planned.failures and (done or planned.skipped):
        return ALL_GOOD
    return SOME_FAILED if done or planned.skipped else NOTHING_DONE


@dataclass(frozen=True)
class _Setup:
    """Hold what all files of a command share."""

    args: argparse.Namespace
    net: "Network"
    separator: "Separator | None"
    reference: "Recording | None"


def _restore_all(jobs: list[Job], args: argparse.Namespace) -> int:
    """Restore files, with a line for each in their order; return how many succeeded."""
    done = 0
    bar = Bar("")
    count = choose_count(jobs, args)
    results = _in_processes(jobs, args, bar, count) if count > 1 else _one_by_one(jobs, args, bar)
    # One that breaks off ends its processes at once, not when it is collected.
    with libraries_silenced(), contextlib.closing(results):
        for job, result in zip(jobs, results, strict=True):
            bar.clear()
            if isinstance(result, Failure):
                complain(result.line)
                continue
            done += 1
            # Standard output may be the sound itself.
            out = sys.stderr if job.target == STANDARD else sys.stdout
            line = json.dumps(result.json()) if args.json else printable(result.line())
            print(line, file=out, flush=True)
    return done


def _one_by_one(jobs: list[Job], args: argparse.Namespace, bar: Bar) -> "_Results":
    """Yield the reports of files that are restored one after the other."""
    setup = _prepare(args)
    for number, job in enumerate(jobs):
        bar.start(f"{f'[{number + 1}/{len(jobs)}] ' if len(jobs) > 1 else ''}{job.source.name or job.source}")
        try:
            yield _attempt(job, setup, bar.show)
        finally:
            bar.clear()


def _in_processes(jobs: list[Job], args: argparse.Namespace, bar: Bar, count: int) -> "_Results":
    """Yield the reports of files in their order, of which several are restored at once."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, processor_count() // count))
    pool = Pool(functools.partial(_open_work, args), count, {"OMP_NUM_THREADS": threads})
    sizes = [max(1, os.path.getsize(job.source)) if job.source.is_file() else 1 for job in jobs]
    bar.start("")

    def show() -> None:
        bar.label = f"[{sum(share == 1 for share in pool.shares)}/{len(jobs)}] up to {count} at once"
        bar.show(sum(size * share for size, share in zip(sizes, pool.shares, strict=True)) / sum(sizes))

    with contextlib.closing(pool.run(jobs, show)) as results:
        yield from results


def _open_work(args: argparse.Namespace) -> Work:
    """Load what a process needs to restore files; on a GPU one process is enough."""
    setup = _prepare(args)
    return Work(lambda job, progress: _attempt(job, setup, progress), setup.net.on_processor)


def choose_count(jobs: list[Job], args: argparse.Namespace) -> int:
    """Choose how many files are restored at once: as asked, else by processors, memory and files' sizes."""
    device = args.device or os.environ.get("OVERTONE_DEVICE") or "cpu"
    if len(jobs) == 1 or device != "cpu" or any(STANDARD in job for job in jobs):
        return 1
    if args.jobs:
        return int(min(args.jobs, len(jobs)))
    if args.stems:
        return 1  # Demucs uses all processors, and gigabytes
    size = sum(os.path.getsize(job.source) for job in jobs if job.source.is_file())
    memory = free_memory()
    fitting = len(jobs) if memory is None else max(1, memory // PROCESS_BYTES)
    return int(min(len(jobs), processor_count(), fitting, 1 + size // WORTH_A_PROCESS))


def _attempt(job: Job, setup: _Setup, progress: Progress) -> "Report | Failure":
    """Restore a file; return its report, or why it failed.

    Raises:
        BrokenPipeError: nobody reads standard output.
    """
    try:
        return _restore_one(job, setup, progress)
    except BrokenPipeError:
        raise
    except (OvertoneError, OSError, MemoryError) as error:
        return Failure(str(error) or "out of memory")


def _prepare(args: argparse.Namespace) -> _Setup:
    """Check the options that need no file, and load what the files share."""
    if args.parts:
        from overtone.restoration.stream.narrowband import check_alone

        check_alone(args.cutoff, args.stems)
    if args.picture:
        need("picture", "matplotlib")
    from overtone.restoration.reference import open_reference
    from overtone.restoration.stream.load import open_model

    net = open_model(args.model, args.device)
    separator = None
    if args.stems:
        from overtone.restoration.stream.separation import open_separator

        separator = open_separator(args.device)
    with libraries_silenced():
        return _Setup(args, net, separator, open_reference(args.like))


def _restore_one(job: Job, setup: _Setup, progress: Progress) -> "Report":
    """Restore one file, by way of temporary files for standard input and output, and draw its picture."""
    args = setup.args
    with _local_files(job) as local:
        picture = _picture_path(job, local.target, args) if args.picture else None
        report = _restore_file(local, setup, progress)
        if picture is not None:
            from overtone.cli import spectrogram
            from overtone.restoration.files.decode import open_sound

            opened = {
                "before": open_sound(local.source, args.track, args.accept_truncated),
                "after": open_sound(
                    local.target, report.track.number if report.film and report.track else None
                ),
            }
            spectrogram.draw(opened, picture, report.seconds, report.cutoff.hz, job.source.name)
        if job.target == STANDARD:
            _copy_to_standard_output(local.target)
    return dataclasses.replace(report, source=job.source, target=job.target)


def _restore_file(job: Job, setup: _Setup, progress: Progress) -> "Report":
    """Restore a file by the command's options."""
    from overtone.restoration.restore_file import restore_file

    args = setup.args
    return restore_file(
        job.source,
        job.target,
        cutoff=args.cutoff,
        model=setup.net,
        out_rate=args.rate,
        bits=args.bits,
        force=args.force,
        progress=progress,
        separator=setup.separator,
        parts=args.parts,
        track=args.track,
        accept_truncated=args.accept_truncated,
        like=setup.reference,
        strength=args.strength,
        brightness=args.brightness,
        amount=args.amount,
        top=args.top,
    )


@contextlib.contextmanager
def _local_files(job: Job) -> Iterator[Job]:
    """Give files in place of standard input and output; errors name them as the user knows them."""
    if STANDARD not in job:
        yield job
        return
    with tempfile.TemporaryDirectory(prefix="overtone-") as name:
        folder = Path(name)
        source, target = job
        if source == STANDARD:
            source = folder / "standard input"
            save_standard_input(source)
        if target == STANDARD:
            target = folder / "standard output.wav"
        try:
            yield Job(source, target)
        except OvertoneError as error:
            line = str(error).replace(f"{folder}{os.sep}", "")
            if "standard output.wav cannot be written" in line:
                line += f"; temporary files are in {folder.parent}: name another folder in TMPDIR"
            raise OvertoneError(line) from None


def _picture_path(job: Job, target: Path, args: argparse.Namespace) -> Path:
    """Return where the picture of a file is written to.

    Raises:
        OvertoneError: it has no name, or is there already.
    """
    if job.target == STANDARD:
        raise OvertoneError("--picture is named after the output file; name one with -o")
    path = target.with_suffix(".png")
    if os.path.exists(path) and not args.force:
        raise OvertoneError(f"{path} exists; overwrite it with --force")
    return path


def _copy_to_standard_output(path: Path) -> None:
    """Copy a restored file to standard output.

    Raises:
        OvertoneError: it cannot be written.
        BrokenPipeError: nobody reads it.
    """
    try:
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise OvertoneError(f"standard output cannot be written: {error.strerror}") from None
