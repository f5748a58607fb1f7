"""An options file: YAML with options by name, and groups of options one level deep."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from res2net.errors import UserError

FORMAT = 1  # format number of config.yaml
HEAD, END = "# res2net configuration, format", "# end of the configuration"
LONGEST = 100_000  # bytes of an options file; a run's own has about 1,500
LARGEST = 2**32  # largest integer; a seed is smaller


class _Loader(yaml.SafeLoader):
    """Plain YAML, in which a key that is given twice is a mistake and ``1e-4`` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r:.50} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"]
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The named values in a YAML file: options, and groups of options one level deep.

    Raises:
        UserError: unreadable, cut off, of a newer format, or not options by name.
    """
    text = _text_of(path)
    _check_whole(text, path)
    try:
        content = yaml.load(text, _Loader)
    except RecursionError:
        raise UserError(f"{path}: nested too deeply for an options file") from None
    except Exception as error:  # a value that does not fit its tag can raise anything
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if "int_max_str_digits" in problem:
            problem = "a number of more than 4,300 digits"
        raise UserError(f"{path}: not YAML ({line}{problem:.100})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold options by name, such as `model: res2net50_26w_4s`")
    for key, value in content.items():
        _check_plain(key, value, str(path))
        for name, item in value.items() if isinstance(value, dict) else ():
            _check_plain(name, item, f"{path}: {key}", of_group=True)
    return content


def flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their full names: ``train.epochs``."""
    full: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            full.update({f"{name}.{own}": each for own, each in value.items()})
        else:
            full[name] = value
    return full


def _text_of(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait
            raise UserError(f"{path}: not a regular file; give an options file")
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > LONGEST:
        raise UserError(f"{path}: too long for an options file (more than {LONGEST:,} bytes)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not YAML (byte {error.start} is not UTF-8); save the file as UTF-8"
        ) from None


def _check_whole(text: str, path: Path) -> None:
    """Check that a file saved by a run is complete; other options files have no marks."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith(HEAD):
        return
    number = lines[0].removeprefix(HEAD).strip()
    if END not in (line.rstrip() for line in lines):
        raise UserError(f"{path}: cut off, its last line `{END}` is missing; copy the file again")
    if number != str(FORMAT):
        raise UserError(
            f"{path}: its format is {number[:20]!r}, and this version of res2net reads {FORMAT}; "
            "update res2net"
        )


def check_number(value: Any, name: str) -> None:
    """Refuse an integer that is too large.

    Raises:
        UserError: names the option.
    """
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UserError(f"{name} is too large; whole numbers go up to {LARGEST:,}")


def _check_plain(key: Any, value: Any, where: str, *, of_group: bool = False) -> None:
    """Allow strings, numbers and lists of them (aliases make deep structures of little text)."""
    if not isinstance(key, str) or len(key) > 100:
        raise UserError(f"{where}: a key is {str(key)[:50]!r}; keys are names of options")
    plain = (str, int, float, NoneType)
    flat = isinstance(value, list) and all(isinstance(item, plain) for item in value)
    if not (flat or isinstance(value, plain) or (isinstance(value, dict) and not of_group)):
        kind = {"date": "date; put it in quotes", "dict": "group", "list": "nested list"}
        named = kind.get(type(value).__name__, type(value).__name__)
        raise UserError(f"{where}: '{key}' must be a value or a list of values, not a {named}")
    for item in value if flat else (value,):
        check_number(item, f"{where}: '{key}'")
