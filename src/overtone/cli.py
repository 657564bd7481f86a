"""The command: ``restore``, ``score``, ``models``, ``export``, ``listen``; heavy parts load when needed."""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from overtone import __version__, memory
from overtone.errors import OvertoneError
from overtone.jobs import STANDARD, Job, plan
from overtone.terminal import Bar, complain, drop_output, libraries_silenced, printable

if TYPE_CHECKING:
    from overtone.files import Report
    from overtone.models import Network
    from overtone.stems import Separator

ALL_GOOD, SOME_FAILED, NOTHING_DONE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

RESTORE = """\
Find where the treble of each file stops, and make what is missing above anew. Below that
frequency the output is the input. Full-band and silent files come out as they are.

The output is IN.restored.flac beside the input, unless -o says otherwise; its suffix decides
the format: .flac, .wav, .ogg or .mp3. Folders are searched through, except for *.restored.*
files."""

EXAMPLES = """\
examples:
  overtone restore talk.mp3                   talk.restored.flac, beside it
  overtone restore talk.mp3 -o better.wav     WAV, 24 bits
  overtone restore tapes/ -o restored/        every sound file in tapes/, sub-folders kept
  overtone restore radio.ogg --cutoff 4000    the treble is known to stop at 4 kHz
  ffmpeg -i film.mkv -f wav - | overtone restore - -o - > film.wav

exit code:
  0  all files were restored, or needed nothing
  1  some files failed; there is a line on standard error for each
  2  nothing was done: wrong usage, or every file failed"""


EXPORT = """\
Write a model's network as ONNX, for ONNX Runtime and others that run without PyTorch.

inputs:
  samples   (batch, time), float32 at 44.1 kHz, the whole signal scaled to a peak of 1
  cutoff    (batch,), float32: where the treble of each ends, in Hz
output:
  restored  (batch, time); what lies below the cutoff is best taken from the input"""


LISTEN = """\
Serve a blind listening test of the examples that the pipeline's evaluate stage wrote, as a page for
the browser. Each rating is in data/listening.sqlite at once. docs/listening.md says how to run a test."""

LISTEN_EXAMPLES = """\
examples:
  overtone listen                       the page, for this machine alone
  overtone listen --host 0.0.0.0        also for phones in the same network
  overtone listen --export test/        the page as a folder, for any web server
  overtone listen --import ratings-*    what the listeners of such a folder sent back
  overtone listen --summary             metrics/listening.json and plots/listening.png"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; what was given is kept for `error`."""
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read on, and leave with 2."""
        for word in self._words:
            # A folder may hold -01.mp3, and then the shell's * gives what looks like an option.
            if word.startswith("-") and os.path.isfile(word):
                message = f"{word} begins with a dash and is taken for an option: write ./{word}"
        self.exit(NOTHING_DONE, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name need not be valid text.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Ends like an error, so that temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    memory.keep_freed()
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
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
        # Files name themselves; what is left is the line that could not be printed.
        drop_output()
        complain(f"standard output cannot be written: {error.strerror or error}")
        return NOTHING_DONE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="overtone", description="Give band-limited music its treble back.")
    parser.add_argument("--version", action="version", version=f"overtone {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    restore = commands.add_parser(
        "restore",
        help="restore the treble of sound files",
        description=RESTORE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    restore.set_defaults(run=_restore)
    add = restore.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="IN",
        help="files or folders; - is standard input; -x.wav is written ./-x.wav",
    )
    add(
        "-o",
        dest="output",
        metavar="OUT",
        help="a file; or a folder (always one for several inputs; end a new one in /); - is standard "
        "output, as WAV",
    )
    add("--force", action="store_true", help="overwrite what is there")
    add(
        "--cutoff",
        metavar="HZ",
        type=_number(float, "a frequency in Hz, 500 or more", 500),
        help="where the treble stops; found if not given",
    )
    add("--model", metavar="FOLDER", help="what the pipeline's train stage wrote; by default the shipped one")
    add(
        "--rate",
        metavar="HZ",
        type=_number(int, "a whole number of Hz, 8000 to 192000", 8000, 192000),
        help="the output's sample rate; by default 48000 for 8, 16, 24, 32, 48, 96 and 192 kHz, else 44100",
    )
    add(
        "--bits",
        type=int,
        choices=(16, 24, 32),
        default=24,
        help="of a FLAC (16, 24) or WAV (16, 24, 32 as float); by default 24",
    )
    add("--device", metavar="NAME", help="cpu, cuda or mps; by default a GPU if there is one")
    add(
        "--stems",
        action="store_true",
        help="separate with Demucs first, and add treble to each stem: many times slower (docs/systems.md)",
    )
    add("--picture", action="store_true", help="draw the spectrogram before and after, as OUT with .png")
    add("--json", action="store_true", help="print a JSON object per file")

    scored = commands.add_parser(
        "score",
        help="say how far restored files are from a reference",
        description="Compare files with a full-band reference, by the metrics of the pipeline's test "
        "(docs/metrics.md): at 44.1 kHz, sample by sample, lengths alike to 0.1 s.",
    )
    scored.set_defaults(run=_score)
    scored.add_argument("reference", metavar="REFERENCE", help="the original")
    scored.add_argument("restored", nargs="+", metavar="RESTORED", help="what was made of its lesser copy")
    scored.add_argument(
        "--cutoff",
        metavar="HZ",
        type=_number(float, "a frequency in Hz, 500 or more", 500),
        help="where the treble of the lesser copy stopped; without it the treble has no scores of its own",
    )
    scored.add_argument("--json", action="store_true", help="print a JSON object per file")

    shown = commands.add_parser(
        "models",
        help="say what a model was trained on, how, and how good it is",
        description="Say what a model was trained on, how, and how good it is.",
    )
    shown.set_defaults(run=_models)
    shown.add_argument("folder", nargs="?", metavar="FOLDER", help="by default the shipped model")

    exported = commands.add_parser(
        "export",
        help="write a model as ONNX, to run without PyTorch",
        description=EXPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    exported.set_defaults(run=_export)
    add = exported.add_argument
    add("target", metavar="MODEL.onnx", help="the file to write")
    add("--model", metavar="FOLDER", help="what the pipeline's train stage wrote; by default the shipped one")
    add("--force", action="store_true", help="overwrite what is there")

    listen = commands.add_parser(
        "listen",
        help="let people judge the examples, blind",
        description=LISTEN,
        epilog=LISTEN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listen.set_defaults(run=_listen)
    add = listen.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="by default 127.0.0.1, this machine alone")
    add(
        "--port",
        default=8765,
        metavar="PORT",
        type=_number(int, "a port, 0 to 65535", 0, 65535),
        help="by default 8765; 0 is any free one",
    )
    task = listen.add_mutually_exclusive_group()
    add = task.add_argument
    add("--export", metavar="FOLDER", help="write the page as a static folder, and end")
    add("--import", dest="take_in", nargs="+", metavar="FILE", help="store ratings that were sent, and end")
    add("--summary", action="store_true", help="write what all the ratings say, and end")
    return parser


def _number(kind: type[int] | type[float], allowed: str, least: float, most: float = float("inf")) -> Any:
    """A converter for argparse that names what is allowed."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return convert


def _restore(args: argparse.Namespace) -> int:
    """Restore all inputs; a failure is a line and does not stop the others."""
    jobs, failures = plan(args.inputs, args.output)
    for failure in failures:
        complain(failure)
    if not jobs:
        return NOTHING_DONE
    if args.picture:
        from overtone import picture

        picture.check_installed()
    from overtone.restoring import open_model

    net = open_model(args.model, args.device)
    separator = None
    if args.stems:
        from overtone import stems

        separator = stems.open_separator(args.device)
    done = 0
    with libraries_silenced():
        for number, job in enumerate(jobs):
            bar = Bar(f"[{number + 1}/{len(jobs)}] " if len(jobs) > 1 else "", job.source)
            try:
                report = _restore_one(job, net, separator, args, bar)
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
    return SOME_FAILED if done else NOTHING_DONE


def _restore_one(
    job: Job, net: "Network", separator: "Separator | None", args: argparse.Namespace, bar: "Bar"
) -> "Report":
    """Restore one file, by way of temporary files for standard input and output."""
    from overtone.files import restore_file

    with contextlib.ExitStack() as stack:
        source, target = job
        if STANDARD in job:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="overtone-")))
        if source == STANDARD:
            source = folder / "standard input"
            with source.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        if target == STANDARD:
            target = folder / "standard output.wav"
        picture_path = target.with_suffix(".png")
        if args.picture and job.target == STANDARD:
            raise OvertoneError("--picture is named after the output file; name one with -o")
        if args.picture and picture_path.exists() and not args.force:
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
            )
        except OvertoneError as error:
            if STANDARD not in job:
                raise
            raise OvertoneError(str(error).replace(f"{folder}{os.sep}", "")) from None
        if args.picture:
            from overtone import picture

            picture.draw(source, target, picture_path, report.cutoff.hz, job.source.name)
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
    from importlib.util import find_spec

    from overtone import scoring, tables

    heard = find_spec("visqol") is not None
    with libraries_silenced():
        found = scoring.score_files(Path(args.reference), [*map(Path, args.restored)], args.cutoff, heard)
    if args.json:
        for one in found:
            print(json.dumps(one.json()))
    else:
        told = "no cutoff told" if args.cutoff is None else f"cutoff {args.cutoff:g} Hz"
        print(printable(f"against {args.reference}: {told}, its own bandwidth {found[0].bandwidth:.0f} Hz"))
        print(tables.of_files({printable(str(one.restored)): one.values for one in found}), end="")
    if not heard:
        complain("no ViSQOL score: it needs an extra: pip install 'overtone[visqol]'")
    return ALL_GOOD


def _models(args: argparse.Namespace) -> int:
    """Print what is known of a model."""
    from overtone import models

    folder = Path(args.folder or models.SHIPPED)
    net, about = models.load(folder)
    print(f"model in {printable(str(folder))}")
    print(f"network: {type(net).__name__}, {sum(weight.numel() for weight in net.parameters()):,} parameters")
    _show(about, "")
    return ALL_GOOD


def _export(args: argparse.Namespace) -> int:
    """Write a model as ONNX."""
    target = Path(args.target)
    if target.suffix != ".onnx":
        raise OvertoneError(f"{target} does not end in .onnx")
    if target.exists() and not args.force:
        raise OvertoneError(f"{target} exists; overwrite it with --force")
    from overtone import export, models

    folder = Path(args.model or models.SHIPPED)
    net, _ = models.load(folder)
    export.export(net, target, {"made by": f"overtone {__version__}", "model": str(folder)})
    size = target.stat().st_size / 1e6
    print(printable(f"{folder} -> {target}: {type(net).__name__}, {size:.1f} MB"))
    return ALL_GOOD


def _listen(args: argparse.Namespace) -> int:
    """Serve the listening test, or move its ratings."""
    for name in ("scipy", "matplotlib", "starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise OvertoneError(
                f"listening needs {name}, which is not installed: pip install 'overtone[listen]'"
            )
    from overtone.listening import examples, exchange, store, summary

    folder, ratings = Path("data/examples"), Path("data/listening.sqlite")
    if args.take_in:
        base = store.Store(ratings)
        for path in args.take_in:
            given, new = exchange.take_in(path, base)
            print(printable(f"{path}: {given} ratings, {new} of them new"))
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
    from overtone.listening import server

    bound = server.listen_on(args.host, args.port)
    for address in server.addresses(bound):
        print(f"listening test: {address}", flush=True)
    print(f"{len(found.sounds)} samples; ratings go into {ratings}; Ctrl-C ends it", flush=True)
    server.serve(found, base, bound)
    return ALL_GOOD


def _show(values: dict[str, Any], indent: str) -> None:
    """Print nested values, a line each."""
    for key, value in values.items():
        label = printable(f"{indent}{key.replace('_', ' ')}:")
        if isinstance(value, dict):
            print(label)
            _show(value, indent + "  ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            print(label, printable(f"{value:.4g}" if isinstance(value, float) else text))
