"""Parse the arguments of the command ``overtone``: sub-commands, options, and the text of ``--help``."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from overtone.cli import help_texts
from overtone.cli.terminal import printable
from overtone.version import __version__

_AddParser: TypeAlias = Callable[..., argparse.ArgumentParser]


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
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command; ``command`` of its result is the sub-command."""
    whole = _Parser(prog="overtone", description="Bandwidth extension (audio super-resolution) of music.")
    whole.add_argument("--version", action="version", version=f"overtone {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for add in (_add_restore, _add_score, _add_models, _add_export, _add_listen, _add_app):
        add(commands.add_parser)
    return whole


def _add_restore(add_parser: _AddParser) -> None:
    parser = add_parser(
        "restore",
        help="add the missing treble to sound files and films",
        description=help_texts.RESTORE,
        epilog=help_texts.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
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
        help="the frequency at which the input ends; measured if not given",
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
        help="of a FLAC or .mkv (16, 24), or a WAV or .mov (16, 24, 32 as float); by default 24",
    )
    add("--device", metavar="NAME", help="cpu (the default), cuda or mps; a GPU needs the extra torch")
    add(
        "--jobs",
        metavar="N",
        type=_number(int, "a number from 1 on", 1),
        help="restore N files at once, each in a process of its own; by default as many as there are "
        "processors, and memory for; with a GPU it is 1",
    )
    _add_input_options(parser)
    _add_controls(parser)
    add("--picture", action="store_true", help="draw the spectrogram before and after, as OUT with .png")
    add("--json", action="store_true", help="print a JSON object per file")


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what of an input is restored."""
    add = parser.add_argument
    add(
        "--stems",
        action="store_true",
        help="separate with Demucs first and restore each stem: many times slower (docs/systems.md)",
    )
    add(
        "--parts",
        action="store_true",
        help="add treble only to parts that end lower than the rest, under 9 kHz, such as a guest on the "
        "telephone; where there are none, to the whole file",
    )
    add(
        "--track",
        metavar="N",
        type=_number(int, "a number from 1 on", 1),
        help="restore sound track N of a film that has several; by default the one that players choose",
    )
    add(
        "--accept-truncated",
        action="store_true",
        help="restore what is there of a file whose header promises more",
    )


def _add_controls(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("controls of the added band").add_argument
    add(
        "--like",
        metavar="FILE",
        help="a full-band recording, best of the same song or band: what overtone gets wrong on it is "
        "corrected in the output",
    )
    add(
        "--strength",
        metavar="S",
        type=_number(float, "a number from 0 to 1", 0, 1),
        help="of the correction, 0 to 1; by default by how alike the recordings are below the cutoff",
    )
    add(
        "--brightness",
        metavar="DB",
        type=_number(float, "a number of dB, -40 to 40", -40, 40),
        default=0.0,
        help="dB at one octave above the cutoff, 0 at the cutoff: a tilt",
    )
    add(
        "--amount",
        metavar="DB",
        type=_amount,
        default=0.0,
        help="dB for all of the added band; off adds nothing",
    )
    add(
        "--top",
        metavar="HZ",
        type=_number(float, "a frequency in Hz, 1000 or more", 1000),
        help="add nothing above it",
    )


def _add_score(add_parser: _AddParser) -> None:
    parser = add_parser(
        "score",
        help="score restored files against a reference",
        description="Compare files with a full-band reference, by the metrics of the pipeline's test\n"
        "(docs/metrics.md): at 44.1 kHz, sample by sample, lengths alike to 0.1 s.",
        epilog=help_texts.SCORE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reference", metavar="REFERENCE", help="the original")
    parser.add_argument("restored", nargs="+", metavar="RESTORED", help="restored from a degraded copy of it")
    parser.add_argument(
        "--cutoff",
        metavar="HZ",
        type=_number(float, "a frequency in Hz, 500 or more", 500),
        help="the cutoff of the degraded copy; without it the high band has no scores of its own",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object per file")


def _add_models(add_parser: _AddParser) -> None:
    parser = add_parser(
        "models",
        help="say what a model was trained on, how, and how good it is",
        description="Say what a model was trained on, how, and how good it is.",
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="by default the shipped model")


def _add_export(add_parser: _AddParser) -> None:
    parser = add_parser(
        "export",
        help="write a model as ONNX, to run without PyTorch",
        description=help_texts.EXPORT,
        epilog=help_texts.EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", metavar="MODEL.onnx", help="the file to write")
    add("--side", action="store_true", help="the network for the side of stereo, left minus right")
    add(
        "--layers",
        choices=["float32", "int8"],
        help="only the learned layers, without weights: how the shipped model runs without PyTorch",
    )
    add("--model", metavar="FOLDER", help="what the pipeline's train stage wrote; by default the shipped one")
    add("--force", action="store_true", help="overwrite what is there")


def _add_listen(add_parser: _AddParser) -> None:
    parser = add_parser(
        "listen",
        help="serve a blind listening test of the examples",
        description=help_texts.LISTEN,
        epilog=help_texts.LISTEN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="by default 127.0.0.1, this machine alone")
    add(
        "--port",
        default=8765,
        metavar="PORT",
        type=_number(int, "a port, 0 to 65535", 0, 65535),
        help="by default 8765; 0 is any free one",
    )
    task = parser.add_mutually_exclusive_group()
    add = task.add_argument
    add("--export", metavar="FOLDER", help="write the page as a static folder, and end")
    add("--import", dest="take_in", nargs="+", metavar="FILE", help="store ratings that were sent, and end")
    add("--summary", action="store_true", help="write what all the ratings say, and end")


def _add_app(add_parser: _AddParser) -> None:
    parser = add_parser(
        "app",
        help="restore by ear, on a page in the browser",
        description=help_texts.APP,
        epilog=help_texts.APP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="by default 127.0.0.1, this machine alone")
    add(
        "--port",
        default=8766,
        metavar="PORT",
        type=_number(int, "a port, 0 to 65535", 0, 65535),
        help="by default 8766; 0 is any free one",
    )
    add(
        "--work",
        metavar="FOLDER",
        help="where files are kept while the server runs; by default a cache folder",
    )
    add(
        "--max-size",
        default=4.0,
        metavar="GB",
        type=_number(float, "a size in GB, 0.001 or more", 0.001),
        help="the largest file that is taken; by default 4",
    )
    add("--model", metavar="FOLDER", help="what the pipeline's train stage wrote; by default the shipped one")
    add("--device", metavar="NAME", help="cpu (the default), cuda or mps; a GPU needs the extra torch")


def _amount(text: str) -> float:
    """Convert dB, or off, which is minus infinity."""
    decibels = _number(float, "a number of dB, -40 to 40, or off", -40, 40)
    return -math.inf if text == "off" else float(decibels(text))


def _number(kind: type[int] | type[float], allowed: str, least: float, most: float = float("inf")) -> Any:
    """A converter for argparse that names what is allowed."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return convert
