"""The one page, the tables and the files of an evaluation."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from res2net.tasks.classify.report import evaluation_table, page, save_tables
from res2net.tasks.classify.scores import ClassifyScores, score

HISTORY = [
    {"epoch": 1.0, "val/top1_error": 30.0, "seconds": 61.2},
    {"epoch": 2.0, "val/top1_error": 20.0, "seconds": 60.0},
    {"epoch": 3.0, "val/top1_error": 25.0, "seconds": 60.0},
]
FACTS = {
    "network": "res2net50_26w_4s",
    "data": "folder:a|b",
    "evaluate": "res2net evaluate runs/x --data folder:photos",
    "resume": "res2net train --config runs/x/config.yaml --resume",
}


def simulated(classes: int, images: int = 200, names: list[str] | None = None) -> ClassifyScores:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(images) % classes
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), targets] += 2
    return score(logits, targets, names or [f"class {i}" for i in range(classes)])


def report(scores: ClassifyScores, **changes: object) -> str:
    arguments: dict[str, object] = {
        "title": "A run",
        "facts": FACTS,
        "history": HISTORY,
        "pictures": ["curves.png", "worst mistakes.png"],
    }
    return page(scores=scores, **{**arguments, **changes})  # type: ignore[arg-type]


def printed(evaluation: ClassifyScores) -> str:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(*evaluation_table(evaluation))
    console.file.close()
    return console.export_text()


# ---- the page


def test_report() -> None:
    found = simulated(10)
    text = report(found)
    assert text.startswith("# A run\n")
    for line in (
        f"**Top-1 error {found.top1_error:.2f} %** on 200 images of 10 classes.",
        "| network | res2net50_26w_4s |",
        r"| data | folder:a\|b |",
        "| trained | 3 epochs in 0:03:01 (h:mm:ss); "
        "lowest validation top-1 error 20.00 %, epoch 2 |",
        f"| top-1 | {found.top1_error:.2f} % | {found.top1_accuracy:.2f} % |",
        f"| top-5 | {found.top5_error:.2f} % | {found.top5_accuracy:.2f} % |",
        f"| expected calibration error |  | {100 * found.calibration_error:.2f} % |",
        "![curves](curves.png)",
        "![worst mistakes](worst%20mistakes.png)",
        "res2net evaluate runs/x --data folder:photos  # evaluate",
        "res2net train --config runs/x/config.yaml --resume  # resume",
    ):
        assert line in text.splitlines()
    assert "| evaluate |" not in text


def test_every_table_is_well_formed() -> None:
    names = ["a|b", "*c*", "_d_", "<e>", "`f`", "[g](h)", "i\nj", "\\", "k_l", "$m$"]
    text = report(simulated(10, names=names), title="x | y")
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        columns = {
            line.replace(r"\\", "").replace(r"\|", "").count("|") for line in table.split("\n")
        }
        assert len(columns) == 1
    for shown in (
        r"a\|b",
        r"\*c\*",
        r"\_d\_",
        r"\<e>",
        r"\`f\`",
        r"\[g\](h)",
        "i j",
        "k_l",
        r"\$m\$",
    ):
        assert f"| {shown} |" in text


def test_many_classes_show_the_best_and_the_worst() -> None:
    found = simulated(40)
    text = report(found)
    section = text.split("## Classes")[1].split("## ")[0]
    f1 = sorted((each.f1 or 0, each.name) for each in found.per_class)
    assert section.count("| class ") == 10 + 1  # and the header
    assert f"| {f1[0][1]} |" in section
    assert f"{100 * f1[-1][0]:.2f} %" in section
    assert "The 5 best and the 5 worst of 40 by F1." in section


def test_classes_without_images_are_counted() -> None:
    found = score(9.0 * torch.eye(3)[[0, 2]], torch.tensor([0, 2]), ["a", "b", "c"])
    section = report(found).split("## Classes")[1].split("## ")[0]
    assert "| b |" not in section
    assert "Classes without images: 1." in section


def test_a_perfect_run_of_two_classes_without_history() -> None:
    found = score(9.0 * torch.eye(2), torch.arange(2), ["a", "b"])
    text = report(found, facts={}, history=[], pictures=[])
    assert "None: every image is classified correctly." in text
    assert "| top-2 (there are only 2 classes) | 0.00 % | 100.00 % |" in text
    for absent in ("## Run", "## Pictures", "## Commands"):
        assert absent not in text


def test_history_with_holes() -> None:
    rows = [{"epoch": "1", "seconds": "", "val/top1_error": ""}]
    assert "| trained | 1 epoch |" in report(simulated(3), history=rows)


# ---- the files


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_files(tmp_path: Path) -> None:
    found = simulated(12, names=[f'na,me "{i}"' for i in range(12)])
    files = [os.fsdecode(b"caf\xe9 %d.jpg" % i) for i in range(200)]
    found = replace(found, names=files)
    save_tables(tmp_path, found)
    rows = read(tmp_path / "per_class.csv")
    assert [row["class"] for row in rows] == list(found.classes)
    assert [float(row["recall"]) for row in rows] == [each.recall for each in found.per_class]
    rows = read(tmp_path / "mistakes.csv")
    assert [int(row["index"]) for row in rows] == [each.index for each in found.mistakes()]
    assert [row["file"] for row in rows] == [files[each.index] for each in found.mistakes()]
    assert [float(row["confidence"]) for row in rows] == [m.confidence for m in found.mistakes()]


def test_blanks_in_the_files(tmp_path: Path) -> None:
    found = score(9.0 * torch.eye(3)[[0, 0]], torch.tensor([0, 2]), ["a", "b", "c"])
    save_tables(tmp_path, found)
    a, b, c = read(tmp_path / "per_class.csv")
    assert (a["precision"], a["recall"]) == ("0.5", "1.0")
    assert b == {"class": "b", "support": "0", "precision": "", "recall": "", "f1": ""}
    assert (c["support"], c["precision"], c["recall"], c["f1"]) == ("1", "", "0.0", "0.0")
    assert [row["file"] for row in read(tmp_path / "mistakes.csv")] == [""]


# ---- the terminal


def test_tables() -> None:
    found = simulated(10)
    text = printed(found)
    assert f"{found.top1_error:.2f} % │" in text
    assert f"{found.top5_accuracy:.2f} % │" in text
    assert "Classes, the worst first" in text
    assert "per_class.csv" not in text
    worst = min(found.per_class, key=lambda each: each.f1 or 0)
    assert text.index(f"│ {worst.name} ") < text.index("│ class ", text.index("worst first") + 400)


def test_only_the_worst_of_many_classes() -> None:
    found = simulated(30, images=600)
    summary, classes, pairs = evaluation_table(found)
    assert (summary.row_count, classes.row_count, pairs.row_count) == (5, 20, 10)
    assert classes.caption == "all 30 in per_class.csv"
    ranked = sorted(found.per_class, key=lambda each: each.f1 or 0)
    assert list(classes.columns[0].cells) == [each.name for each in ranked[:20]]


def test_classes_without_images_come_last_and_blank() -> None:
    found = score(9.0 * torch.eye(3)[[0, 0]], torch.tensor([0, 2]), ["a", "b", "c"])
    table = evaluation_table(found)[1]
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert [row[0] for row in rows] == ["c", "a", "b"]
    assert rows[2] == ("b", "0", "", "", "")
    assert rows[0] == ("c", "1", "", "0.00 %", "0.00 %")


def test_names_are_no_markup() -> None:
    names = ["[red]a", os.fsdecode(b"caf\xe9"), "c"]
    text = printed(simulated(3, names=names))
    assert "[red]a" in text
    assert "caf?" in text


def test_a_perfect_score_has_no_confused_pair() -> None:
    found = score(9.0 * torch.eye(2), torch.arange(2), ["a", "b"])
    assert "none: no image is classified wrongly" in printed(found)
