"""``res2net COMMAND [TARGET] --option value``."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import res2net
from res2net import processor
from res2net.errors import UserError, did_you_mean

# command → what it does; each has its module in this room, imported when it runs
COMMANDS = {
    "demo": "train a small Res2Net on real scans in two minutes and show what it learnt",
    "train": "train a network of the model table on your images",
    "evaluate": "measure a trained network: error, per class, calibration, worst mistakes",
    "predict": "say what is in an image or in a folder of images",
    "explain": "show where a network looks, and measure whether it looks at the objects",
    "serve": "a local page, and JSON over HTTP: drop a photo, see what a network finds in it",
    "export": "turn a trained network into a fast, verified artifact for OpenVINO or ONNX Runtime",
    "models": "list the networks with parameters, multiply-adds and their tables in the paper",
    "info": "show the inside of a network: stages, levels, receptive field, cost",
    "receptive-field": "count the paths of a network by how much they see, beside its plain twin",
    "weights": "published weights and files of them: list, fetch, verify, convert",
    "reproduce": "a table or figure of the paper: published, counted and measured, small or full",
    "study": "train several networks under one recipe and seeds, row by row",
    "bench": "time training steps and data loading beside other implementations",
}
EXTRAS = {"serve": "serve"}  # command → what pip installs for it, where it is not "train"

OVERVIEW = """\
usage: res2net COMMAND [TARGET] [--option value ...]

Res2Net, the multi-scale backbone: every network of the paper, with one command.

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
    """Run a command and return its exit code: 0, 2 (a mistake of the user's), 130 (stopped)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        lines = "\n".join(f"  {name:<15} {what}" for name, what in COMMANDS.items())
        print(OVERVIEW.format(commands=lines))
        return 0
    if arguments[0] == "--version":
        print(f"res2net {res2net.__version__}")
        return 0
    try:
        processor.level()  # a wrong one is a mistake of any command
        processor.keep_to_quota()
        with warnings_as_notes():
            _run(arguments[0], arguments[1:])
    except UserError as error:
        _say(_one_line(error))
        return 2
    except KeyboardInterrupt as error:
        _say(_one_line(error) or "stopped")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _run(command: str, arguments: Sequence[str]) -> None:
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
        _say(f"note: {_one_line(message)}")

    with warnings.catch_warnings():
        if not sys.warnoptions:  # -W and PYTHONWARNINGS go before
            warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _say(message: str) -> None:
    print(f"res2net: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
