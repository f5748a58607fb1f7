"""``res2net COMMAND [TARGET] --option value``."""

from __future__ import annotations

import codecs
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import res2net
from res2net import processor
from res2net.errors import UserError, did_you_mean, one_line

# command → what it does; its module in this package is imported only when it runs
COMMANDS = {
    "demo": "train a small Res2Net on scanned digits in a few minutes and show its predictions",
    "data": "inspect a data set: format, parts, classes, sizes, faults, pictures of annotations",
    "train": "train a network of the model table on your images",
    "pretrain": "train a network on images without labels; `train --net.pretrained` starts from it",
    "evaluate": "measure a trained network: error, scores per class, calibration, worst mistakes",
    "compare": "compare two networks on the same images: differences with intervals",
    "convert": "train a network as it is and with Res2Net units in its blocks, and compare them",
    "predict": "predict an image or a folder of images",
    "embed": "write the pooled features of images to a file: Parquet or npz",
    "similar": "find images like a photo, near-duplicates and outliers among embedded images",
    "explain": "show which pixels decide a prediction, and measure how many lie on the objects",
    "serve": "serve networks: a local page that predicts dropped photos, and JSON over HTTP",
    "export": "turn a trained network into a fast, verified artifact for OpenVINO or ONNX Runtime",
    "models": "list the networks with parameters, multiply-adds and their tables in the paper",
    "info": "show the structure of a network: stages, levels, receptive field, cost",
    "receptive-field": "count a network's paths by receptive field, against the plain network",
    "weights": "list, fetch, verify and convert published weights",
    "reproduce": "reproduce a table or figure of the paper: published, counted and measured values",
    "study": "train several networks under one recipe and several seeds",
    "bench": "measure speed and memory on this machine, beside other libraries",
}
# what a terminal is shown that lacks these characters
_PLAIN = {"×": "x", "±": "+-", "−": "-", "–": "-", "²": "^2", "·": "*", "→": "->", "…": "..."}
EXTRAS = {"serve": "serve"}  # command → the extra that it needs, where it is not "train"

OVERVIEW = """\
usage: res2net COMMAND [TARGET] [--option value ...]

Res2Net, the multi-scale backbone: train, measure and export every network of the paper.

commands:
{commands}

examples:
  res2net demo
  res2net train --model res2net50_26w_4s --data photos/ --out runs/mine
  res2net evaluate runs/mine --data photos/
  res2net predict runs/mine holiday.jpg

`res2net COMMAND --help` explains a command; --version prints the version.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 (user error), 130 (stopped)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    settle_streams()
    try:
        try:
            return _carry_out(arguments)
        finally:
            sys.stdout.flush()  # a failure at exit would be a traceback
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        _drop(sys.stdout)
        return 0
    except OSError as error:
        _drop(sys.stdout)
        place = error.filename or "the output cannot be written"
        _say(one_line(f"{place}: {error.strerror}" if error.strerror else error))
        return 2


def _carry_out(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        lines = "\n".join(f"  {name:<15} {what}" for name, what in COMMANDS.items())
        print(OVERVIEW.format(commands=lines))
        return 0
    if arguments[0] == "--version":
        print(f"res2net {res2net.__version__}")
        return 0
    try:
        processor.level()  # an invalid level is an error of every command
        processor.keep_to_quota()
        with warnings_as_notes():
            _run(arguments[0], arguments[1:])
    except UserError as error:
        _say(one_line(error))
        return 2
    except PermissionError as error:  # a folder that may not be listed
        _say(f"{error.filename}: permission denied; check its permissions")
        return 2
    except KeyboardInterrupt as error:
        _say(one_line(error) if str(error) else "stopped")
        return 130
    return 0


def settle_streams() -> None:
    """Make stdin, stdout and stderr usable if closed, and able to print any character."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed by the caller: no other file may get its number
            with suppress(OSError):
                os.fstat(number)
                continue
            os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="res2net")


def _written_plainly(error: UnicodeError) -> tuple[str, int]:
    """Replace what a terminal cannot encode: × by x, the rest by escapes."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    escaped = (_PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in text)
    return "".join(escaped), error.end


codecs.register_error("res2net", _written_plainly)


def _drop(stream: Any) -> None:
    """Discard what is still to be written to a stream, also at exit."""
    with suppress(OSError, ValueError):  # ValueError: a stream without a number, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(command: str, arguments: Sequence[str]) -> None:
    for word in (command, *arguments):
        if "\0" in word:
            raise UserError(f"{word!r}: an argument cannot hold a NUL character")
    if command not in COMMANDS:
        raise UserError(
            f"unknown command {command!r}.{did_you_mean(command, COMMANDS)} "
            f"It can be {', '.join(COMMANDS)}."
        )
    try:
        importlib.import_module(module_of(command)).main(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("res2net", ""):
            raise
        raise UserError(
            f"`res2net {command}` needs {package}: "
            f"pip install 'res2net[{EXTRAS.get(command, 'train')}]'"
        ) from error


def module_of(command: str) -> str:
    """The module of a command."""
    return f"res2net.cli.{command.replace('-', '_')}"


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Show every warning as one line, ``res2net: note: ...``, without its place in the source."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _say(f"note: {one_line(message)}")

    with warnings.catch_warnings():
        if not sys.warnoptions:  # -W and PYTHONWARNINGS take precedence
            warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


def _say(message: str) -> None:
    try:
        print(f"res2net: {message}", file=sys.stderr, flush=True)
    except OSError:  # the message cannot be shown
        _drop(sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
