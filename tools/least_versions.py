"""Constraints for ``make test-least``: the oldest versions that ``pyproject.toml`` allows.

``python tools/least_versions.py [EXTRA ...]`` prints ``name==version`` for each lower bound of the
light core and of the extras.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BOUND = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?[>=]=([\w.]+)")
OWN = re.compile(r"res2net\[([\w,-]+)\]")


def least(project: Mapping[str, Any], extras: Sequence[str] = ()) -> list[str]:
    """Constraints of the light core and of the extras, including extras that they require.

    Raises:
        ValueError: a requirement has a bound of another form, or an extra is unknown.
    """
    found = set()
    for requirement in _requirements(project, extras):
        if own := OWN.fullmatch(requirement):
            found.update(least(project, own[1].split(",")))
        elif read := BOUND.fullmatch(requirement):
            found.add(f"{read[1]}=={read[3]}")
        else:
            raise ValueError(f"{requirement}: a lower bound must have the form name>=version")
    return sorted(found)


def _requirements(project: Mapping[str, Any], extras: Sequence[str]) -> Iterator[str]:
    yield from project["dependencies"]
    offered = project["optional-dependencies"]
    for extra in extras:
        if extra not in offered:
            raise ValueError(f"unknown extra {extra}; it can be {', '.join(sorted(offered))}")
        yield from offered[extra]


if __name__ == "__main__":
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    print("\n".join(least(tomllib.loads(text)["project"], sys.argv[1:])))
