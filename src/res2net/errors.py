"""Exceptions that end a command with one clear line: user errors and interruptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_TURNS = r"\u200e\u200f\u2028-\u202e\u2066-\u2069"  # text direction; line ends
_UNPRINTABLE = re.compile(rf"[{_CONTROLS}{_TURNS}\ud800-\udfff]")

_OPTION = re.compile(r"(?<![\w-])--([a-z][\w.-]*)")


class UserError(ValueError):
    """An error that the user can fix.

    The message is one line: which file or option, what is wrong, what to do. The command line
    prints it and exits with code 2. It is a ``ValueError``, so callers of the Python API can treat
    it as one.
    """


class TakenError(UserError):
    """Another process writes to the folder; the message names it."""


class Stopped(KeyboardInterrupt):
    """The user stopped the work (Ctrl-C, SIGTERM); the message is one line on how to resume."""


@contextmanager
def arguments_named() -> Iterator[None]:
    """Make errors of a Python call name its arguments: ``batch`` for ``--batch``."""
    try:
        yield
    except UserError as error:
        quoted = str(error).split("`")  # commands stand between back-ticks
        quoted[::2] = [_OPTION.sub(_argument, text) for text in quoted[::2]]
        error.args = ("`".join(quoted),)
        raise


@contextmanager
def single_values_explained(advice: str) -> Iterator[None]:
    """Turn batch norm's error on a single value per channel into advice."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(advice) from None


def _argument(option: re.Match[str]) -> str:
    return option[1].replace("-", "_")


def option(name: str) -> str:
    """An option as it is typed: ``--train.max-steps`` for ``train.max_steps``."""
    return f"--{name.replace('_', '-')}"


def counted(number: int, noun: str) -> str:
    """``"1 image"``, ``"2 images"``, ``"3 classes"``."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending * (number != 1)}"


def check_meaning(
    given: Iterable[str], reads: Mapping[str, Sequence[str]], subject: str, of: str = "--task {}"
) -> None:
    """Refuse an option that does not apply to a subject.

    Args:
        given: names of options, such as ``train.max_steps``.
        reads: option → subjects that read it; options not listed apply to all.
        of: format string that names a subject in messages.

    Raises:
        UserError: the first such option, and what it applies to.
    """
    for name in given:
        if subject not in reads.get(name, (subject,)):
            raise UserError(
                f"{option(name)} does not apply to {of.format(subject)}; it is for "
                f"{of.format(', '.join(reads[name]))}"
            )


def check_needs(given: Iterable[str], needs: Mapping[str, tuple[str, bool]]) -> None:
    """Refuse an option without what it needs.

    Args:
        given: names of options, such as ``train.max_steps``.
        needs: option → what it needs, in words, and whether that is there.

    Raises:
        UserError: the first such option.
    """
    for name in given:
        what, there = needs.get(name, ("", True))
        if not there:
            raise UserError(f"{option(name)} does not apply here; it needs {what}")


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.5) -> str:
    """``" Did you mean 'x'?"`` with the nearest of ``choices`` (up to three that begin alike).

    Returns ``""`` where nothing is near.
    """
    known = list(choices)
    near = [choice for choice in known if word and choice.startswith(word)][:3]
    if not near:
        import difflib  # takes milliseconds, and `res2net --help` does not need it

        near = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def no_such_path(path: Path, what: str = "file or folder", others: Iterable[str] = ()) -> UserError:
    """The error for a path at which nothing is, naming a similar entry of its folder.

    Args:
        path: as the user gave it.
        what: the kinds of things that were looked for.
        others: names that the user may have meant instead of a path.
    """
    near = did_you_mean(str(path), others)
    if not near and path.parent.is_dir():
        entries = islice(path.parent.iterdir(), 1000)  # of a huge folder the comparison takes long
        near = did_you_mean(path.name, [entry.name for entry in entries], 0.7)  # endings are alike
    return UserError(f"{path}: no such {what}.{near}")


def one_line(message: object) -> str:
    """A message as one line: white space becomes single spaces; an error without text, its name.

    The result is printable (see :func:`printable`), and very long words are shortened.
    """
    text = printable(" ".join(str(message).split())) or type(message).__name__
    return re.sub(r"\S{500,}", lambda word: f"{word[0][:60]}...{word[0][-20:]}", text)


def printable(text: object) -> str:
    """Escape a name or text from a file, so that a terminal takes none of it for a command.

    Control characters, text-direction marks, line ends (names may hold them) and bytes of file
    names that are not UTF-8 become escapes such as ``\\x1b``.
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), str(text))


def printable_lines(text: str) -> str:
    """:func:`printable` for each line of a report."""
    return "\n".join(map(printable, text.split("\n")))


def _escaped(character: str) -> str:
    code = ord(character)
    code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0  # how Python holds bytes of file names
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
