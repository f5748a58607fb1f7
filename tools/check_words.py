"""Phrases that people should not have to read in docs, help, messages and docstrings.

``make check`` runs it. A phrase occurs no more often than its number: whoever rewrites such
sentences lowers it, down to zero. Files may be given, to see every phrase of them.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# phrase, a regular expression in any case → what to write instead, and the most that there may be
PHRASES: dict[str, tuple[str, int]] = {
    "(?:goes|going) before": ("takes precedence over", 0),
    "(?:go|goes|going|went) on": ("resume, continue", 0),
    "(?:can|cannot|could|to) be had": ("is (not) available", 0),
    "salience": ("saliency", 0),
    "nothing has to be": ("automatically", 0),
    "(?:has|have) been seen": ("was tested, observed", 0),
    "the house": ("the layout", 0),
    "(?<![-/])twins?": ("cost-matched pair", 0),  # but in names of studies: cifar-twins
    "marked": ("annotated", 2),
    "said": ("reported, given", 0),
    "what is in": ("predict, contents of", 0),
    "came back": ("returned, was retried", 0),
    "knows?": ("predicts, has, reads", 1),
    "sees": ("takes, covers", 2),
    "wants?": ("needs, takes", 0),
    "says?": ("reports, states", 28),
    "told": ("given, stated", 0),
    "asked for": ("requested", 0),
    "looked at": ("inspected, examined", 0),
    "for ever": ("indefinitely", 0),
}
ANY = re.compile(
    "|".join(rf"(?P<_{i}>\b{each}\b)" for i, each in enumerate(PHRASES)).replace(" ", r"\s+"),
    re.IGNORECASE,
)
# What of Python people read: in an f-string of 3.12 and later, the parts between its values.
READ = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
BETWEEN = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
COMMENT = re.compile(r"<!--.*?-->")  # of a generated table or number
BRACES = re.compile(r"\{[^{}]*\}")  # a value in an f-string of 3.11
# The changelog tells what was; results/ holds what was printed.
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "docs/**/*.ipynb", "src/**/*.md")
PYTHON = ("src/**/*.py", "tools/**/*.py")


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """Line and text of what people read: strings and comments of Python, all of a page."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        yield from _python(source)
    elif file.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(source)["cells"], 1):
            yield number, "".join(cell["source"])
    else:
        yield 1, COMMENT.sub("", source)


def _python(source: str) -> Iterator[tuple[int, str]]:
    """Strings and comments; those that follow each other are one text, a line a token."""
    first, text, last = 0, "", -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in READ:
            if token.type not in BETWEEN:
                last = -1
            continue
        words = BRACES.sub("", token.string).strip("# rbfRBF\"'").replace(r"\n", " ")
        if token.start[0] <= last + 1:
            text += (" " if token.start[0] == last else "\n") + words
        else:
            yield first, text
            first, text = token.start[0], words
        last = token.end[0]
    yield first, text


def occurrences(file: Path) -> Iterator[tuple[str, int]]:
    """Phrase and line; a phrase may run over the end of a line."""
    for line, text in prose(file):
        for match in ANY.finditer(text):
            phrase = list(PHRASES)[int(str(match.lastgroup)[1:])]
            yield phrase, line + text.count("\n", 0, match.start())


def files() -> list[Path]:
    """Every page and every module, but this one."""
    found = {file for pattern in (*PAGES, *PYTHON) for file in ROOT.glob(pattern)}
    return sorted(found - {Path(__file__).resolve()})


def main(words: list[str]) -> int:
    """1 where a phrase occurs more often than its number; of files that are given, wherever."""
    places = [
        (phrase, f"{file}:{line}")
        for file in ([Path(word) for word in words] or files())
        for phrase, line in occurrences(file)
    ]
    counts = Counter(phrase for phrase, _ in places)
    wrong = {
        phrase: instead
        for phrase, (instead, most) in PHRASES.items()
        if counts[phrase] > (0 if words else most)
    }
    for phrase, place in places:
        if phrase in wrong:
            print(f"{place}: {phrase!r}: write {wrong[phrase]}")
    for phrase, (_, most) in PHRASES.items():
        if not words and counts[phrase] < most:
            print(f"note: {phrase!r} occurs {counts[phrase]} times: lower its number, {most}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
