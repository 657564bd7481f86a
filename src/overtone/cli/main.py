"""Run the command: its sub-commands, and its exit code; heavy parts load when needed."""

import argparse
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from overtone.cli import parser, restore
from overtone.cli.exit_codes import ALL_GOOD, BROKEN_PIPE, INTERRUPTED, NOTHING_DONE
from overtone.cli.terminal import complain, drop_output, exit_on_signals, libraries_silenced, printable
from overtone.core.errors import OvertoneError, need
from overtone.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        # One that is closed would leave its number to the next file that is opened.
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r+"))
    for stream in (sys.stdout, sys.stderr):
        # A file's name need not be valid text.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    exit_on_signals()
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
        cutoff = "no cutoff given" if args.cutoff is None else f"cutoff {args.cutoff:g} Hz"
        print(printable(f"against {args.reference}: {cutoff}, its own bandwidth {found[0].bandwidth:.0f} Hz"))
        print(tables.file_table({printable(str(one.restored)): one.values for one in found}), end="")
    if missing:
        complain(f"no ViSQOL score: {missing}")
    return ALL_GOOD


def _models(args: argparse.Namespace) -> int:
    """Print what is known of a model."""
    from overtone.cli import model_card
    from overtone.models.saved import SHIPPED, read_model

    folder = Path(args.folder or SHIPPED)
    saved = read_model(folder)
    if args.folder and importlib.util.find_spec("torch"):
        from overtone.models import registry

        registry.load(folder)  # raises if it cannot be built
    parameters = sum(weight.size for weight in saved.weights.values())
    print(f"model in {printable(str(folder))}")
    print(f"network: {saved.name}, {parameters:,} parameters")
    for line in model_card.lines(saved.about):
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
    if args.layers:
        return _export_layers(args, target)
    need("export", "torch")
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


def _export_layers(args: argparse.Namespace, target: Path) -> int:
    """Write the learned layers of a model as ONNX, without weights."""
    from overtone.cli.onnx_layers import export_layers
    from overtone.models.saved import SHIPPED, read_model
    from overtone.models.spectral_settings import SpectralSettings

    folder = Path(args.model or SHIPPED)
    saved = read_model(folder)
    if saved.name != "spectral":
        raise OvertoneError(f"the model in {folder} is {saved.name}: layers are of spectral models")
    export_layers(SpectralSettings(**saved.settings), target, args.layers == "int8")
    print(printable(f"{folder} -> {target}: layers in {args.layers}"))
    return ALL_GOOD


def _listen(args: argparse.Namespace) -> int:
    """Serve the listening test, or move its ratings."""
    for name in ("scipy", "matplotlib"):
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
    from overtone.app import launch, work

    folder = Path(args.work) if args.work else work.default_folder()
    size = round(args.max_size * 1e9)
    settings = launch.Settings(args.host, args.port, folder, size, args.model, args.device)
    with libraries_silenced():
        launch.run(settings, lambda line: print(printable(line), flush=True))
    return ALL_GOOD


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "restore": restore.run,
    "score": _score,
    "models": _models,
    "export": _export,
    "listen": _listen,
    "app": _app,
}
