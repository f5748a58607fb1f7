"""Numbers in sentences: those that the code gives are generated, all others are reported.

A generated number stands between ``<!-- = WHAT -->`` and ``<!-- . -->``. WHAT is a source below
with its arguments, or a value of the package by its path (``data.split.USUAL``) with a form.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from doc_tables.markup import ROOT
from res2net.deploy.targets import TARGETS
from res2net.experiments.studies import find_study
from res2net.paper.claims import CLAIMS
from res2net.paper.networks import find_variant
from res2net.paper.published import published
from res2net.paper.recipes import find_recipe
from res2net.paper.structure import tally
from res2net.paper.variant import split_channels
from res2net.paper.widths import choose_width
from res2net.weights.catalogue import CATALOGUE

SPOT = re.compile(r"(<!-- = ([^\n]+?) -->)[^\n]*?(<!-- \. -->)")

# ---------------------------------------------------------------- generated numbers


def plain(value: Any) -> str:
    """A number as the pages print it: 1,000, 0.5, 1e-5, or a list of numbers."""
    if isinstance(value, (tuple, list)):
        return ", ".join(map(plain, value))
    if isinstance(value, int):
        return f"{value:,}"
    return re.sub(r"e([+-])0", r"e\1", f"{value:g}")


FORMS: Mapping[str, Callable[[Any], str]] = {
    "": plain,
    "percent": lambda value: f"{100 * value:g} %",
    "count": lambda value: plain(len(value)),
    "least": lambda value: plain(min(value)),
    "most": lambda value: plain(max(value)),
    "KiB": lambda value: f"{value >> 10} KiB",
    "GiB": lambda value: f"{value >> 30} GiB",
    "degrees": lambda value: f"{value * 57.2957795:.0f}°",
}


def code(path: str, form: str = "") -> str:
    """A constant of the package, by module and name."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            value: Any = import_module(".".join(("res2net", *parts[:length])))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = value[int(part)] if part.isdigit() else getattr(value, part)
        return FORMS[form](value)
    raise KeyError(path)


def params(network: str, decimals: str = "1", *options: str) -> str:
    """Millions of parameters of a network, or of its variant (``scale=1``)."""
    given = {name: int(value) for name, value in (each.split("=") for each in options)}
    return f"{tally(find_variant(network, given)).params / 1e6:.{decimals}f}"


def added(network: str, base: str) -> str:
    """Millions of parameters that a network has more than another."""
    more = tally(find_variant(network)).params - tally(find_variant(base)).params
    return f"{more / 1e6:.3f}"


def macs(network: str, decimals: str = "2") -> str:
    """Billions of multiply-adds."""
    return f"{tally(find_variant(network)).macs / 1e9:.{decimals}f}"


def macs_ratio(network: str, base: str) -> str:
    """Multiply-adds of a network over those of another."""
    return f"{tally(find_variant(network)).macs / tally(find_variant(base)).macs:.2f}"


def norms(network: str) -> str:
    """The number of batch norms."""
    return str(sum(layer.kind == "batch_norm" for layer in tally(find_variant(network)).layers))


def error(item: str, *networks: str) -> str:
    """Published top-1 errors of a table ("table3")."""
    rows = published(item.replace("table", "Table "))
    found: dict[str | None, float] = {}
    for row in rows:
        if row.metric == "top1_error":
            found.setdefault(row.network, row.value)  # of several settings the first
    return ", ".join(f"{found[network]:.2f}" for network in networks)


def gain(item: str, ours: str, base: str) -> str:
    """The difference of two published top-1 errors of a table."""
    return f"{float(error(item, base)) - float(error(item, ours)):.2f}"


def claimed(label: str) -> str:
    """The gain in top-1 error that the paper's text gives for a row of Table 1."""
    return plain(next(claim.claimed for claim in CLAIMS if claim.ours[0] == label))


def counted(item: str, what: str) -> str:
    """The smallest and the largest count of a table's networks at 224 pixels."""
    names = dict.fromkeys(
        row.network for row in published(item.replace("table", "Table ")) if row.setting == ""
    )
    found = [getattr(tally(find_variant(str(name))), what) for name in names]
    unit, decimals = (1e6, 0) if what == "params" else (1e9, 1)
    return f"{min(found) / unit:.{decimals}f} to {max(found) / unit:.{decimals}f}"


def measured_error(name: str) -> str:
    """The top-1 error of a published file, measured by others, as in its catalogue entry."""
    found = next(file for file in CATALOGUE if file.name == name)
    assert found.measured is not None
    return f"{found.measured[0]:.2f}"


def width(scale: str) -> str:
    """The width at which a number of splits has ResNet-50's parameters."""
    return str(choose_width(int(scale)))


def splits(width: str, scale: str = "1") -> str:
    """Channels of the splits in the four stages of a ResNet, times the number of splits."""
    return plain([int(scale) * split_channels(64 << stage, int(width)) for stage in range(4)])


def recipe(task: str, name: str, option: str) -> str:
    """A setting of a recipe."""
    return plain(find_recipe(name, task).settings[option])


def study(name: str, what: str) -> str:
    """A setting of a study, else of its recipe; or an attribute, such as ``images``."""
    found = find_study(name)
    if "." not in what:
        return plain(getattr(found, what))
    recipes = find_recipe(found.recipe, found.task).settings
    return plain({**recipes, **found.settings}[what])


def export(what: str, engine: str, precision: str) -> str:
    """The tolerance, or the percentage of agreement, of an export."""
    value = getattr(TARGETS[engine, precision], what)
    return f"{100 * value:g} %" if what == "agreement" else plain(value)


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(which: str) -> str:
    """The oldest, or the newest, version of Python in the classifiers."""
    start = "Programming Language :: Python :: 3."
    known = [
        int(c.removeprefix(start))
        for c in _project()["project"]["classifiers"]
        if re.fullmatch(re.escape(start) + r"\d+", c)
    ]
    return f"3.{min(known) if which == 'oldest' else max(known)}"


def coverage() -> str:
    """The percentage of lines that ``make coverage`` requires."""
    return f"{_project()['tool']['coverage']['report']['fail_under']} %"


def review(which: str) -> str:
    """A limit of ``measures.py``, in days."""
    return str(getattr(import_module("doc_tables.measures"), f"{which}_DAYS"))


_SOURCES = (
    *(params, added, macs, macs_ratio, norms, error, gain, claimed, counted, measured_error),
    *(width, splits, recipe, study, export, python, coverage, review),
)
SOURCES: Mapping[str, Callable[..., str]] = {each.__name__: each for each in _SOURCES}


def value_of(what: str) -> str:
    """The text of a spot."""
    name, *words = what.split()
    return SOURCES[name](*words) if name in SOURCES else code(name, *words)


def render_spots(text: str) -> str:
    """The text with every generated number written anew."""
    return SPOT.sub(lambda m: f"{m.group(1)}{value_of(m.group(2))}{m.group(3)}", text)


# ---------------------------------------------------------------- all other numbers

_HIDDEN = (
    r"<!-- begin: ([\w-]+) -->.*?<!-- end: \1 -->",  # generated
    r"<!-- = [^\n]+? -->[^\n]*?<!-- \. -->",
    r"^```.*?^```|^ {4}[^\n]*|(`+)[^`].*?\1",  # code
    r"\]\([^)\n]*\)|<!--.*?-->",  # links
)
_N = r"\d+(?:[.,]\d+)*"
_LIST = rf"{_N}(?:(?:, | and | to | or |–){_N})*"
# What needs no source in a sentence, and why. Words for numbers ("two") are not read.
ALLOWED: Mapping[str, str] = {
    r'"[^"\n]+"': "quotations",
    rf"(?:Tables?|Figs?\.|[Ss]ections?|Eq\.)\s+{_LIST}": "the numbering of the paper",
    r"\b\d{4}-\d\d-\d\d\b(?: and -\d\d\b)?|\b(?:19|20)\d\d\b": "dates and years",
    r"^(?:#+ )?\d\. ": "steps of an instruction",
    r"\b(?:torch|timm|Python|Pillow|iOS|macOS|GCC|Zen|Lightning|Apache-|SA|GLIBCXX_|JPEG) ?"
    rf"{_N}": "versions",
    r"\b[A-Z][A-Za-z\d]*(?:-[A-Za-z\d]+)*-v?\d+D?(?:(?:, | and )-\d+)*|\bx86-64|v3\+": "names",
    r"\b\d+[cws](?:×\d+[cws])*\b|\b[ws] = \d+|[Ww]hy 26": "widths, scales and cardinalities",
    r"\b64 channels|\bhas 64\b": "the stage in which the width is defined",
    r"\b\d{1,2}×\d{1,2}s?\b(?!×)": "kernels, and the size of CIFAR's images",
    r"\b(?:224|299)[- ]pixels?|\b(?:crop|crops|side|at) (?:224|256|299)\b": "sizes in the paper",
    r"\([A-Z](?:, [^(),\n]+)+\)": "shapes of arrays",
    r"\b(?:\d\d?, )*\d\d?(?: or \d\d)?(?: significant)?[- ]bits?\b": "formats of numbers",
    r"\b(?:255|256\s+levels|0\.\.1|0\.\.255|1/256)\b": "the range of a byte",
    r"(?<![\d.,×])\d(?![\d.,]*\d)(?!\w| ?%| ms| s\b| [KMG]i?B| [MG]\b| points| times|°)": (
        "strides, scales and other digits of a definition, without a unit"
    ),
}
# page → the numbers on it that only its author can check, and why
QUOTED: Mapping[str, tuple[str, str]] = {
    "errata.md": (
        "the paper's text, other people's code and their reports, as the row states",
        "50 4.2 22.96 21.77 22.37 22.35 22.53 22.13 1.44 0.25 0.61 0.79 1.12 0.72 1.79 0.64 "
        "0.85 1.68 1.14 22.62 0.04 22.64 90 16 50 110 100 50 128 0.1 64 0.05 17.83 19.22 "
        "16.98 17.71 16.93 35.1 26.0 34.0 36.9 0.7 1.7 0.2 0.2 1.03 1.15 24.3 68.1 35.7 36.7 "
        "34.4 36.5 35.1 36.9 0.5 11 74.4 71.05 1.1 0.8 9,103 32 16 256 128 12,000 2,000 6,000 "
        "300 0.7 0.3 512 0.05 180,000 16 120,000 160,000 500 74 77.7 80.2 12 18 48 0.01 16 "
        "128 0.833 0.805 1 12,000 7,500 1 300 42.3 43.0 43.3 43.6 46.1 46.4 32 32 1.0.31 ",
    ),
}
HISTORY = "lab-notebook.md"  # numbers of a day: each section states its date and commit


def faults(page: str, text: str) -> list[str]:
    """One line per number of a page that nothing proves, and per quoted one that it lacks."""
    if page == HISTORY:
        return []
    found = list(unproven(text))
    known = Counter(QUOTED[page][1].split() if page in QUOTED else ())
    more, less = (
        Counter(number for _, number in found) - known,
        known - Counter(n for _, n in found),
    )
    lines = [
        f"{page}:{line}: {number} has no source: generate it, drop it, or see {__name__}"
        for line, number in found
        if number in more
    ]
    return lines + [f"{page}: quoted number {number} is gone: update QUOTED" for number in less]


def unproven(text: str) -> Iterator[tuple[int, str]]:
    """Line and number of each number in sentences that is neither generated nor allowed."""
    for pattern in (*_HIDDEN, *ALLOWED):
        text = re.sub(pattern, _blank, text, flags=re.DOTALL | re.MULTILINE)
    for match in re.finditer(rf"(?<![A-Za-z_\d]){_N}", text):
        yield text.count("\n", 0, match.start()) + 1, match.group()


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())
