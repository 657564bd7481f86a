"""The command: what each sub-command does, and its exit code; heavy parts load when needed."""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from overtone.cli import parser
from overtone.cli.inputs import STANDARD, Job, plan, save_standard_input
from overtone.cli.terminal import Bar, complain, drop_output, libraries_silenced, printable
from overtone.core.errors import OvertoneError, need
from overtone.version import __version__

if TYPE_CHECKING:
    from overtone.models.registry import Network
    from overtone.restoration.reference import Recording
    from overtone.restoration.result import Report
    from overtone.restoration.stream.separation import Separator

ALL_GOOD, SOME_FAILED, NOTHING_DONE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        # One that is closed would leave its number to the next file that is opened.
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r+"))
    for stream in (sys.stdout, sys.stderr):
        # A file's name need not be valid text.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Windows has no terminal that hangs up.
    for ends in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        # Ends like an error, so that temporary files are removed; nohup has the second ignored.
        if signal.getsignal(ends) != signal.SIG_IGN:
            signal.signal(ends, lambda number, _: sys.exit(128 + number))
    try:
        args = parser.parser().parse_args(argv)
        code = COMMANDS[args.command](args)
        sys.stdout.flush()
    except OvertoneError as error:
        complain(str(error))
        return NOTHING_DONE
    except KeyboardInterrupt:
        # Nothing is left but to wait for what threads are at: a second Ctrl-C ends that at once.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            complain(f"{error.filename}: {error.strerror}")
            return NOTHING_DONE
        # What names no file is the line that could not be printed.
        drop_output()
        complain(f"standard output cannot be written: {error.strerror or error}")
        return NOTHING_DONE
    return code


def _restore(args: argparse.Namespace) -> int:
    """Restore all inputs; a failure is a line and does not stop the others."""
    jobs, failures, skipped = plan(args.inputs, args.output, args.force)
    for failure in failures:
        complain(failure)
    if skipped:
        said = f"{skipped} there already, skipped (--force restores them again)"
        print(said, file=sys.stderr if args.json else sys.stdout, flush=True)
    if not jobs:
        return (SOME_FAILED if failures else ALL_GOOD) if skipped else NOTHING_DONE
    if args.parts:
        from overtone.restoration.stream.narrowband import check_alone

        check_alone(args.cutoff, args.stems)
    if args.picture:
        need("picture", "matplotlib")
    from overtone.restoration.stream.load import open_model

    net = open_model(args.model, args.device)
    separator = None
    if args.stems:
        from overtone.restoration.stream.separation import open_separator

        separator = open_separator(args.device)
    from overtone.restoration.reference import open_reference

    done = 0
    with libraries_silenced():
        reference = open_reference(args.like)
        for number, job in enumerate(jobs):
            bar = Bar(f"[{number + 1}/{len(jobs)}] " if len(jobs) > 1 else "", job.source)
            try:
                report = _restore_one(job, net, separator, reference, args, bar)
            except (OvertoneError, OSError, MemoryError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                bar.clear()
                complain(str(error) or "out of memory")
                continue
            finally:
                bar.clear()
            done += 1
            # Standard output may be the sound itself.
            out = sys.stderr if job.target == STANDARD else sys.stdout
            print(json.dumps(report.json()) if args.json else printable(report.line()), file=out, flush=True)
    if done == len(jobs) and not failures:
        return ALL_GOOD
    return SOME_FAILED if done or skipped else NOTHING_DONE


def _restore_one(
    job: Job,
    net: "Network",
    separator: "Separator | None",
    reference: "Recording | None",
    args: argparse.Namespace,
    bar: "Bar",
) -> "Report":
    """Restore one file, by way of temporary files for standard input and output."""
    from overtone.restoration.restore_file import restore_file

    with contextlib.ExitStack() as stack:
        source, target = job
        if STANDARD in job:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="overtone-")))
        if source == STANDARD:
            source = folder / "standard input"
            save_standard_input(source)
        if target == STANDARD:
            target = folder / "standard output.wav"
        picture_path = target.with_suffix(".png")
        if args.picture and job.target == STANDARD:
            raise OvertoneError("--picture is named after the output file; name one with -o")
        if args.picture and os.path.exists(picture_path) and not args.force:
            raise OvertoneError(f"{picture_path} exists; overwrite it with --force")
        try:
            report = restore_file(
                source,
                target,
                cutoff=args.cutoff,
                model=net,
                out_rate=args.rate,
                bits=args.bits,
                force=args.force,
                progress=bar.show,
                separator=separator,
                parts=args.parts,
                track=args.track,
                accept_truncated=args.accept_truncated,
                like=reference,
                strength=args.strength,
                brightness=args.brightness,
                amount=args.amount,
                top=args.top,
            )
        except OvertoneError as error:
            if STANDARD not in job:
                raise
            said = str(error).replace(f"{folder}{os.sep}", "")
            if "cannot be written" in said and job.target == STANDARD:
                said += f"; temporary files are in {folder.parent}: name another folder in TMPDIR"
            raise OvertoneError(said) from None
        if args.picture:
            from overtone.cli import spectrogram
            from overtone.restoration.files.decode import open_sound

            opened = {
                "before": open_sound(source, args.track, args.accept_truncated),
                "after": open_sound(target),
            }
            spectrogram.draw(opened, picture_path, report.seconds, report.cutoff.hz, job.source.name)
        if job.target == STANDARD:
            try:
                with target.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                drop_output()
                raise OvertoneError(f"standard output cannot be written: {error.strerror}") from None
        return dataclasses.replace(report, source=job.source, target=job.target)


def _score(args: argparse.Namespace) -> int:
    """Print what files score against a reference; all of them, or what is wrong with the first bad one."""
    from overtone.cli import score
    from overtone.report import tables

    missing = ""
    try:
        need("visqol", "visqol")
    except OvertoneError as error:
        missing = str(error)
    with libraries_silenced():
        found = score.score_files(Path(args.reference), [*map(Path, args.restored)], args.cutoff, not missing)
    if args.json:
        for one in found:
            print(json.dumps(one.json()))
    else:
        told = "no cutoff told" if args.cutoff is None else f"cutoff {args.cutoff:g} Hz"
        print(printable(f"against {args.reference}: {told}, its own bandwidth {found[0].bandwidth:.0f} Hz"))
        print(tables.file_table({printable(str(one.restored)): one.values for one in found}), end="")
    if missing:
        complain(f"no ViSQOL score: {missing}")
    return ALL_GOOD


def _models(args: argparse.Namespace) -> int:
    """Print what is known of a model."""
    from overtone.cli import model_card
    from overtone.models import registry

    folder = Path(args.folder or registry.SHIPPED)
    net, about = registry.load(folder)
    print(f"model in {printable(str(folder))}")
    print(f"network: {type(net).__name__}, {sum(weight.numel() for weight in net.parameters()):,} parameters")
    for line in model_card.lines(about):
        print(printable(line))
    print(printable(f"all that is known of it: {folder / 'model.json'}"))
    return ALL_GOOD


def _export(args: argparse.Namespace) -> int:
    """Write a model as ONNX."""
    target = Path(args.target)
    if target.suffix != ".onnx":
        raise OvertoneError(f"{target} does not end in .onnx")
    if os.path.exists(target) and not args.force:
        raise OvertoneError(f"{target} exists; overwrite it with --force")
    from overtone.cli import onnx_export
    from overtone.models import registry

    folder = Path(args.model or registry.SHIPPED)
    net, _ = registry.load(folder)
    if args.side:
        if registry.for_side(net) is net:
            raise OvertoneError(f"the model in {folder} has no other network for the side: leave out --side")
        net = registry.for_side(net)
    onnx_export.export(net, target, {"made by": f"overtone {__version__}", "model": str(folder)})
    size = target.stat().st_size / 1e6
    print(printable(f"{folder} -> {target}: {type(net).__name__}, {size:.1f} MB"))
    return ALL_GOOD


def _listen(args: argparse.Namespace) -> int:
    """Serve the listening test, or move its ratings."""
    for name in ("pyloudnorm", "scipy", "matplotlib", "starlette", "uvicorn"):
        need("listen", name)
    from overtone.evaluation.listening import examples, exchange, store, summary

    folder, ratings = Path("data/examples"), Path("data/listening.sqlite")
    if args.take_in:
        base = store.Store(ratings, create=False)
        for path in args.take_in:
            count, new = exchange.import_ratings(path, base)
            print(printable(f"{path}: {count} ratings, {new} of them new"))
        return ALL_GOOD
    if args.summary:
        test, _ = examples.identify(folder)
        base = store.Store(ratings)
        results = summary.summarize(test, base.ratings(test))
        summary.write(results, Path("metrics/listening.json"), Path("plots/listening.png"))
        print(summary.text(results))
        if others := base.elsewhere(test):
            print(f"left out: {others} ratings of other examples than those in {folder}")
        print("written: metrics/listening.json, plots/listening.png")
        return ALL_GOOD
    found = examples.load(folder)
    base = store.Store(ratings)
    if args.export:
        exchange.export(found, base, args.export)
        print(printable(f"{args.export}: {len(found.sounds)} samples; what comes back goes in with --import"))
        return ALL_GOOD
    from overtone.evaluation.listening import server
    from overtone.web import serving

    bound = serving.listen_on(args.host, args.port)
    for address in serving.addresses(bound):
        print(f"listening test: {address}", flush=True)
    print(f"{len(found.sounds)} samples; ratings go into {ratings}; Ctrl-C ends it", flush=True)
    serving.serve(server.application(found, base, args.host), bound)
    return ALL_GOOD


def _app(args: argparse.Namespace) -> int:
    """Serve the page that restores files."""
    for name in ("pyloudnorm", "scipy", "starlette", "uvicorn"):
        need("app", name)
    from overtone.app import launch, work

    folder = Path(args.work) if args.work else work.default_folder()
    size = round(args.max_size * 1e9)
    settings = launch.Settings(args.host, args.port, folder, size, args.model, args.device)
    with libraries_silenced():
        launch.run(settings, lambda line: print(printable(line), flush=True))
    return ALL_GOOD


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "restore": _restore,
    "score": _score,
    "models": _models,
    "export": _export,
    "listen": _listen,
    "app": _app,
}
