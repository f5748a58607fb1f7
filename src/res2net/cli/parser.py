"""One parser for all commands: no abbreviations, one line on error with the nearest name."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
import shutil
import sys
import textwrap
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse

from res2net.errors import UserError, did_you_mean, option
from res2net.optionfile import flat, read_yaml

_NUMBERS = re.compile(r"-?[\d.][\d.eE+-]*(?:,-?[\d.][\d.eE+-]*)+")  # a list: 0,4095
_COMMENT = re.compile(r"^    (\w+):[^#]*#\s*(.+)$")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows the default after each help text, and no names of Python types."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns - 2)
        super().__init__(prog, max_help_position=30, width=width)

    def _expand_help(self, action: argparse.Action) -> str:
        text = super()._expand_help(action)
        default = action.default
        if action.required and action.option_strings:
            return f"{text}; required"
        is_flag = action.nargs == 0 or not action.option_strings
        if is_flag or default is None or default in ((), "", argparse.SUPPRESS):
            return text
        text = text.partition("; default:")[0]  # a recipe's value replaces it
        if isinstance(default, list | tuple):
            return f"{text} {json.dumps(default)}"
        return f"{text} [{json.dumps(default) if isinstance(default, bool) else default}]"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        hint = getattr(action, "_typehint", action.type)
        if {int, float} & {hint, *typing.get_args(hint)}:
            return "N"
        return re.split("[._]", action.dest)[-1].upper()


class Parser(jsonargparse.ArgumentParser):
    """jsonargparse with this project's names, help and error messages.

    Args:
        command: the usage line after ``res2net``.
        summary: first lines of the help.
        examples: command lines shown at the end of the help.
    """

    def __init__(self, command: str, summary: str, examples: Sequence[str] = ()) -> None:
        text = "examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else None
        words = re.match(r"[a-z][a-z-]*(?: [a-z][a-z-]*)*", command)
        super().__init__(
            prog=f"res2net {words[0] if words else command}",
            usage=f"res2net {command}",
            description=textwrap.fill(summary, 90),
            epilog=text,
            allow_abbrev=False,
            formatter_class=HelpFormatter,
            print_config=None,
        )

    def parse_args(self, args: Any = None, *rest: Any, **options: Any) -> Any:
        """As jsonargparse, after checking names and replacing old spellings.

        Raises:
            UserError: an unknown option, or an invalid value.
        """
        words = self._as_spelled_now(list(args or ()))
        try:
            return super().parse_args(words, *rest, **options)
        except OverflowError:  # a whole number too large for a float
            for before, word in pairwise(["a number", *words]):
                if len(word) > 300:
                    self.error(f"{word.split('=')[0] if '=' in word else before} is too large")
            raise

    def _as_spelled_now(self, words: list[str]) -> list[str]:
        """The same words; options spelled with underscores, the old way, get hyphens.

        A note lists them. ``typed`` is set to the names of all options, in order.
        """
        self.typed = []
        now: list[str] = []
        old: dict[str, str] = {}
        for at, word in enumerate(words):
            if word == "--":  # only words follow
                return now + words[at:]
            spelled, equals, value = word.partition("=")
            if spelled.startswith("--"):
                name = spelled[2:].replace("-", "_")
                self._check_name(spelled[2:])
                if value == "--":  # argparse drops it, and reads no value
                    self.error(f"{spelled} needs a value other than --")
                self.typed.append(name)
                if spelled != option(name):
                    old[spelled] = option(name)
                word = f"{option(name)}{equals}{value}"
            now.append(word)
        now = self._with_lists(now)
        if old:
            verb = "is" if len(old) == 1 else "are"
            listed, spelt = ", ".join(old), ", ".join(old.values())
            warnings.warn(f"{listed} {verb} spelled {spelt} now", stacklevel=3)
        return now

    def _with_lists(self, words: list[str]) -> list[str]:
        """The same words, with ``--input.range 0,4095`` as ``--input.range=[0,4095]``."""
        joined: list[str] = []
        for word in words:
            name, equals, value = word.partition("=")
            if joined and _NUMBERS.fullmatch(word) and self._takes_list(joined[-1]):
                joined[-1] = f"{joined[-1]}=[{word}]"
            elif equals and _NUMBERS.fullmatch(value) and self._takes_list(name):
                joined.append(f"{name}=[{value}]")
            else:
                joined.append(word)
        return joined

    def _takes_list(self, name: str) -> bool:
        hint = getattr(self._option_string_actions.get(name), "_typehint", None)
        return any(typing.get_origin(each) is tuple for each in (hint, *typing.get_args(hint)))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the error as a ``UserError``."""
        raise UserError(self._in_one_line(message)) from ex

    def names(self) -> list[str]:
        """Every option without its dashes."""
        return [s.removeprefix("--") for s in self._option_string_actions if s.startswith("--")]

    def _check_name(self, name: str) -> None:
        """Refuse an option, in either spelling, that does not exist; suggest the nearest."""
        names = self.names()
        if (hyphened := name.replace("_", "-")) not in names:
            hint = nearest(hyphened, names).replace(" '", " '--")
            raise UserError(f"unknown option '--{name}'.{hint} `{self.prog} --help` lists all.")

    def read_file(self, file: Path) -> dict[str, Any]:
        """The options in a YAML file, by their full names (``train.max_steps``), unconverted.

        Raises:
            UserError: it cannot be read, or has an unknown key (the message suggests the nearest).
        """
        keys = [
            name.replace("-", "_")
            for name in self.names()
            if name not in ("config", "help", "preview")
        ]
        values = flat(read_yaml(file))
        for key in values:
            if key not in keys:
                raise UserError(
                    f"{file}: unknown key '{key}'.{nearest(key, keys)} `{self.prog} --help` lists "
                    "all options."
                )
        return values

    def checked(self, file: Path, values: dict[str, Any]) -> jsonargparse.Namespace:
        """The options of a file, converted to their types.

        Raises:
            UserError: an invalid value; the message names the file.
        """
        try:
            return self.parse_object(values, defaults=False)
        except UserError as error:
            raise UserError(f"{file}: {error}") from error

    def _in_one_line(self, message: str) -> str:
        text = " ".join(message.split())
        if found := re.search(r"[Uu]nrecognized arguments: (.+)$", text):
            stranger = found.group(1).split()[0]
            return f"unexpected argument {stranger!r}; `{self.prog} --help` lists its arguments"
        if found := re.search(r"Option '(\w+)' is required but not provided", text):
            name = option(found[1])
            missing = name if name in self._option_string_actions else found[1]
            return f"missing: {missing}; `{self.prog} --help` explains it"
        if found := re.search(r"arguments are required: (.+)$", text):
            known = self.names()
            free = {action.dest for action in self._actions if action.nargs == "*"}  # may be empty
            words = (
                f"--{name}" if name in known else name
                for name in found[1].split(", ")
                if name not in free
            )
            return f"missing: {', '.join(words)}; `{self.prog} --help` explains it"
        if found := re.search(r"argument (\S+): expected", text):
            return f"{found.group(1)} needs a value; `{self.prog} --help` explains it"
        if found := re.search(r"argument (\S+): ignored explicit argument (.+)$", text):
            return f"{found.group(1)} takes no value, got {found.group(2)}"
        if found := re.search(r"argument (\S+): invalid choice: (.+) \(choose from (.+)\)", text):
            choices = found.group(3).removesuffix(", None")  # of an option without a default
            return f"{found.group(1)}: must be one of {choices}, not {found.group(2)}"
        if found := re.search(r'key "([\w.]+)": (.+)$', text):
            return f"{option(found[1])}: {_plain_type_error(found[2])}"
        return text


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "tuple": "a list such as 30,60",
}


def _plain_type_error(text: str) -> str:
    if "Exceeds the limit" in text:
        return "is too large"
    value = re.search(r"(?:Got|Given) value: (.+?)(?: - Expected .*| Given value.*)?$", text)
    got = f", not {value.group(1)!r}" if value else ""
    expected = re.findall(r"Expected a <class '(\w+)'>", text)
    kind = next((each for each in expected if each != "NoneType"), None)
    if found := re.search(r"Literal\[(.+?)\]", text):
        number = f"{_TYPES[kind]} or " if kind in ("int", "float") else ""
        return f"must be {number}{'' if number else 'one of '}{found.group(1)}{got}"
    if kind:
        return f"must be {_TYPES.get(kind, kind)}{got}"
    return text


def add_fields(
    parser: Parser, group: str, kind: type, title: str, without: Sequence[str] = ()
) -> None:
    """Add an option ``--group.its-name`` for each field of a dataclass; its comment is the help.

    Without a group it is ``--field``. A field without a default is required.

    Args:
        without: full names of fields to leave out.
    """
    section = parser.add_argument_group(title)
    hints = typing.get_type_hints(kind)
    comments = field_comments(kind)
    for each in dataclasses.fields(kind):
        name = f"{group}.{each.name}" if group else each.name
        if name in without:
            continue
        action = section.add_argument(
            option(name),
            type=hints[each.name],
            required=each.default is dataclasses.MISSING,
            default=None if each.default is dataclasses.MISSING else each.default,
            help=comments.get(each.name, "").replace("%", "%%"),
        )
        parts = typing.get_args(hints[each.name])
        for part in parts:  # jsonargparse does so only for types without None
            if typing.get_origin(part) is typing.Literal:
                words = [*("N" for _ in {int, float} & {*parts}), *typing.get_args(part)]
                action.metavar = f"{{{','.join(map(str, words))}}}"


@cache  # reading the source takes as long as building the rest of a parser
def field_comments(kind: type) -> Mapping[str, str]:
    """The comment after each field of a dataclass and of its bases."""
    kinds = [each for each in kind.__mro__ if dataclasses.is_dataclass(each)]
    lines = [line for each in kinds for line in inspect.getsource(each).splitlines()]
    found = (match for line in lines if (match := _COMMENT.match(line)))
    return {match.group(1): match.group(2) for match in found}


def nearest(name: str, names: Sequence[str]) -> str:
    """``" Did you mean 'train.lr'?"``: by its last part, or the most similar; "" for none."""
    last = name.rpartition(".")[2]
    by_last_part = {each.rpartition(".")[2]: each for each in names}
    if last in by_last_part:
        return f" Did you mean '{by_last_part[last]}'?"
    hint = did_you_mean(last, by_last_part)
    return did_you_mean(name, names) or re.sub(
        "'(.+?)'", lambda part: repr(by_last_part[part[1]]), hint
    )


def exit_after_help(argv: Sequence[str], make_parser: Callable[[], Parser]) -> None:
    """Print the help and exit if it is requested (before anything else can fail)."""
    if any(word in ("-h", "--help") for word in argv):
        make_parser().print_help()
        sys.exit(0)


def read_options(parser: Parser, argv: Sequence[str]) -> jsonargparse.Namespace:
    """Parse the command line: help first, then names, then values.

    Raises:
        UserError: an unknown option, or an invalid value.
    """
    exit_after_help(argv, lambda: parser)
    return parser.parse_args(list(argv))


def portable(argv: Sequence[str]) -> list[str]:
    """A command line for a record, without the folders of this machine."""
    return [_portable(word) for word in argv]


def _portable(word: str) -> str:
    kind, colon, text = word.rpartition(":")
    path = Path(text)
    elsewhere = path.is_absolute() or path.parts[:1] == ("..",)
    return f"{kind}{colon}{'/'.join(path.parts[-2:])}" if elsewhere else word
