"""The one-page report of a run, the tables for the terminal, the files for other programs."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.markup import escape
from rich.table import Table

from res2net.errors import counted
from res2net.files import write_text
from res2net.tasks.scores import Ended
from res2net.tasks.selection import History, epochs, lowest, part_of, series

if TYPE_CHECKING:
    from res2net.tasks.classify.scores import ClassifyScores, ClassScore

WORST = 20  # classes in the terminal's table
EXTREMES = 5  # best and worst classes in the report, if there are more than twice as many
PAIRS = 10  # most confused pairs


def report(scores: ClassifyScores, end: Ended) -> str:
    """The page of a run: network and data, scores, how to resume it."""
    card, images, run = end.card, end.job.images, shlex.quote(str(end.folder))
    side = card.preprocess.size
    facts = {
        "network": f"{card.network} {card.options or ''}".strip(),
        "parameters": f"{end.parameters:,}",
        "data": f"{card.data}: {len(images.train)} training, {len(images.val)} validation images "
        f"({scores.images} measured), {counted(len(images.classes), 'class')}",
        "validated on": part_of(images.validation),
        "weights": end.weights,
        "input": f"{side}x{side} pixels",
        "recipe": card.recipe,
        "versions": ", ".join(f"{name} {value}" for name, value in card.versions.items()),
        "commit": card.commit or "(installed package)",
        "evaluate": f"res2net evaluate {run} --data {shlex.quote(card.data)}",
        "predict": f"res2net predict {run} IMAGE_OR_FOLDER",
        "resume": f"res2net train --config {run}/config.yaml --out {run} --resume",
    }
    return page(
        title=f"{card.network} on {images.name}",
        facts=facts,
        scores=scores,
        history=end.history,
        pictures=("curves.png", *end.pictures),
    )


def page(
    *,
    title: str,
    facts: Mapping[str, str],
    scores: ClassifyScores,
    history: History,
    pictures: Sequence[str],
) -> str:
    """Markdown.

    Args:
        title: the heading.
        facts: label and text, in the order to show. A text that starts with
            ``res2net`` is a command and goes under "Commands".
        history: rows as for ``draw_curves``; may be empty.
        pictures: names of files to show.
    """
    commands = {label: text for label, text in facts.items() if text.startswith("res2net ")}
    described = [(label, text) for label, text in facts.items() if label not in commands]
    parts = [
        f"# {_inline(title)}",
        f"**Top-1 error {_percent(scores.top1_error)}** "
        f"on {counted(scores.images, 'image')} of {counted(len(scores.classes), 'class')}.",
        _section("Run", _markdown_table(("", ""), described + _training(history))),
        _section("Result", _result(scores)),
        _section("Classes", _class_table(scores)),
        _section("Most confused", _pair_table(scores)),
        _section("Pictures", "\n\n".join(map(_picture, pictures))),
        _section("Commands", _code_block(commands)),
    ]
    return "\n\n".join(part for part in parts if part)


def save_tables(folder: Path, scores: ClassifyScores) -> None:
    """Write ``per_class.csv``, ``images.csv`` and ``mistakes.csv``.

    Raises:
        UserError: a file cannot be written.
    """
    classes = ((c.name, c.support, c.precision, c.recall, c.f1) for c in scores.per_class)
    columns: tuple[str, ...] = ("class", "support", "precision", "recall", "f1")
    write_text(folder / "per_class.csv", _csv(columns, classes))
    names = scores.names
    images = zip(
        names or ("",) * scores.images,
        *([scores.classes[k] for k in each] for each in (scores.targets, scores.predicted)),
        scores.confidence.tolist(),
        scores.true_probability.tolist(),
        strict=True,
    )
    columns = ("image", "true", "predicted", "confidence", "true_probability")
    write_text(folder / "images.csv", _csv(columns, images))
    mistakes = (
        (
            each.index,
            names[each.index] if names else None,
            each.true,
            each.predicted,
            each.confidence,
            each.true_probability,
        )
        for each in scores.mistakes()
    )
    columns = ("index", "file", "true", "predicted", "confidence", "true_probability")
    write_text(folder / "mistakes.csv", _csv(columns, mistakes))


# ---- terminal


def evaluation_table(scores: ClassifyScores) -> tuple[Table, Table, Table]:
    """Summary, classes (the worst 20 at most) and most confused pairs, for a rich console."""
    return _summary(scores), _classes(scores), _pairs(scores)


def _summary(scores: ClassifyScores) -> Table:
    table = Table(
        "", title=f"{counted(scores.images, 'image')}, {counted(len(scores.classes), 'class')}"
    )
    table.add_column("error", justify="right")
    table.add_column("accuracy", justify="right")
    for name, *values in accuracies(scores):
        table.add_row(name, *values)
    table.add_section()
    for name, value in further(scores):
        table.add_row(name, "", value)
    return table


def _classes(scores: ClassifyScores) -> Table:
    ranked = _ranked(scores)
    more = len(ranked) > WORST
    title = f"The {WORST} worst classes" if more else "Classes, the worst first"
    caption = f"all {len(ranked):,} in per_class.csv" if more else None
    table = Table("class", title=title, caption=caption)
    for name in ("images", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for each in ranked[:WORST]:
        name, *values = _class_row(each)
        table.add_row(_shown(name), *values)
    return table


def _pairs(scores: ClassifyScores) -> Table:
    pairs = scores.confused_pairs(PAIRS)
    caption = None if pairs else "none: no image is classified wrongly"
    table = Table("true", "predicted", title="Most confused", caption=caption)
    table.add_column("images", justify="right")
    table.add_column("of the true class", justify="right")
    for pair in pairs:
        share = _percent(100 * pair.share)
        table.add_row(_shown(pair.true), _shown(pair.predicted), f"{pair.count:,}", share)
    return table


def _shown(name: str) -> str:
    """A name unchanged: brackets are no markup, bytes that are not text become question marks."""
    return escape(name.encode(errors="replace").decode())


# ---- shared by terminal and page


def accuracies(scores: ClassifyScores) -> list[tuple[str, str, str]]:
    """Name, error, accuracy."""
    k = scores.top_k
    top5 = "top-5" if k == 5 else f"top-{k} (there are only {k} classes)"
    return [
        ("top-1", _percent(scores.top1_error), _percent(scores.top1_accuracy)),
        (top5, _percent(scores.top5_error), _percent(scores.top5_accuracy)),
    ]


def further(scores: ClassifyScores) -> list[tuple[str, str]]:
    return [
        ("balanced accuracy (mean recall)", _percent(scores.balanced_accuracy)),
        ("loss (negative log-likelihood, nats)", f"{scores.loss:.4f}"),
        ("expected calibration error", _percent(100 * scores.calibration_error)),
    ]


def _ranked(scores: ClassifyScores) -> list[ClassScore]:
    """The classes, worst F1 first, those without images last."""
    return sorted(scores.per_class, key=lambda each: 2.0 if each.f1 is None else each.f1)


def _class_row(each: ClassScore) -> tuple[str, str, str, str, str]:
    rates = (each.precision, each.recall, each.f1)
    precision, recall, f1 = ("" if rate is None else _percent(100 * rate) for rate in rates)
    return each.name, f"{each.support:,}", precision, recall, f1


def _percent(value: float) -> str:
    return f"{value:.2f} %"


# ---- page


def _section(heading: str, body: str) -> str:
    return f"## {heading}\n\n{body}" if body else ""


def _training(history: History) -> list[tuple[str, str]]:
    """Duration and best epoch, as far as the history has them."""
    if not history:
        return []
    count = len(epochs(history))
    text = f"{count} epoch{'s' * (count > 1)}"
    seconds = sum(series(history, "seconds").values())
    if seconds:
        text += f" in {timedelta(seconds=round(seconds))} (h:mm:ss)"
    best = lowest(history, "val/top1_error")
    if best:
        text += f"; lowest validation top-1 error {_percent(best[1])}, epoch {best[0]:g}"
    return [("trained", text)]


def _result(scores: ClassifyScores) -> str:
    rows = [*accuracies(scores), *((name, "", value) for name, value in further(scores))]
    return _markdown_table(("", "error", "accuracy"), rows)


def _class_table(scores: ClassifyScores) -> str:
    """All classes, or the best and the worst; those without images are only counted."""
    ranked = [each for each in reversed(_ranked(scores)) if each.support]
    absent = len(scores.classes) - len(ranked)
    notes = []
    if len(ranked) > 2 * EXTREMES:
        notes.append(f"The {EXTREMES} best and the {EXTREMES} worst of {len(ranked):,} by F1.")
        ranked = ranked[:EXTREMES] + ranked[-EXTREMES:]
    if absent:
        notes.append(f"Classes without images: {absent:,}.")
    notes.append("Every class: [per_class.csv](per_class.csv).")
    header = ("class", "images", "precision", "recall", "F1")
    return f"{_markdown_table(header, map(_class_row, ranked))}\n\n{' '.join(notes)}"


def _pair_table(scores: ClassifyScores) -> str:
    pairs = scores.confused_pairs(PAIRS)
    rows = [(p.true, p.predicted, f"{p.count:,}", _percent(100 * p.share)) for p in pairs]
    if not rows:
        return "None: every image is classified correctly."
    table = _markdown_table(("true", "predicted", "images", "of the true class"), rows)
    return f"{table}\n\nEvery mistake: [mistakes.csv](mistakes.csv)."


def _picture(name: str) -> str:
    return f"![{_inline(PurePath(name).stem)}]({quote(name)})"


def _code_block(commands: Mapping[str, str]) -> str:
    lines = "\n".join(f"{command}  # {label}" for label, command in commands.items())
    return f"```sh\n{lines}\n```" if lines else ""


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with columns of numbers to the right; nothing when there are no rows."""
    cells = [[_inline(cell) for cell in row] for row in rows]
    columns = zip(*cells, strict=True)
    numbers = [all(not cell or cell[0].isdigit() for cell in column) for column in columns]
    rule = ["---:" if number and i else "---" for i, number in enumerate(numbers)]
    lines = [header, rule, *cells] if cells else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _inline(text: str) -> str:
    """One line of Markdown that shows ``text`` as it is."""
    text = re.sub(r"([\\`*<|\[\]$])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word _ is harmless


# ---- files


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV text; None is a blank."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
