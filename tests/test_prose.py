"""A number in a sentence of README, CONTRIBUTING or docs comes from the code, or has a reason."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))  # where the scripts that write the docs lie
from doc_tables import prose  # noqa: E402

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}


@pytest.mark.parametrize("page", TEXTS)
def test_every_number_has_a_source(page: str) -> None:
    assert prose.faults(page, TEXTS[page]) == []


@pytest.mark.parametrize("page", TEXTS)
def test_no_line_begins_with_the_comment_of_a_number(page: str) -> None:
    """Markdown ends a paragraph there, and shows links in that line as they are typed."""
    assert re.findall(r"^\s*(?:<!-- [=.]|-->).*", TEXTS[page], re.MULTILINE) == []


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        ("The segmenters have 40.4 M parameters.", "40.4"),
        ("It is 2 times as fast.", "2"),
        ("Trained for 12 epochs.", "12"),
        ("The error is 20.80.", "20.80"),
        ("At least 7 % of the images.", "7"),
        ("They agree to 1e-5.", "1"),
        ("| `resnet50` | 405 | 352 |", "405"),
        ("Tests: 4,300 of them.", "4,300"),
        ("It took 3 ms.", "3"),
    ],
)
@pytest.mark.parametrize("page", ["README.md", "training.md", "errata.md"])
def test_a_planted_number_is_reported(page: str, sentence: str, number: str) -> None:
    lines = TEXTS[page].count("\n") + 2
    found = prose.faults(page, f"{TEXTS[page]}\n{sentence}\n")
    assert any(f":{lines}: {number} has no source" in line for line in found), found


def test_a_number_that_was_changed_by_hand_is_reported() -> None:
    spot = "<!-- = data.split.USUAL percent -->{}<!-- . -->"
    assert prose.render_spots(spot.format("30 %")) == spot.format("20 %")
    text = TEXTS["errata.md"]
    assert prose.faults("errata.md", text.replace("22.96", "22.97")) == [
        "errata.md:14: 22.97 has no source: generate it, drop it, or see doc_tables.prose",
        "errata.md: quoted number 22.96 is gone: update QUOTED",
    ]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("params res2net50_26w_4s 3", "25.699"),
        ("params res2next29_6c24w_4s 2 scale=1", "7.01"),
        ("macs_ratio res2net50_26w_4s resnet50", "1.04"),
        ("error table1 res2net50_26w_4s", "22.01"),
        ("gain table1 dla60_res2net dla60", "1.79"),
        ("splits 26 4", "104, 208, 416, 832"),
        ("norms resnet50", "53"),
        ("study cifar-twins train.epochs", "8"),
        ("bench.parity.EVALUATION", "1e-5"),
        ("export agreement openvino bf16", "99 %"),
        ("data.embeddings.BY_TSNE most", "5,000"),
        ("serve.connection.LONGEST_HEAD KiB", "32 KiB"),
    ],
)
def test_a_source_gives_its_number(what: str, text: str) -> None:
    assert prose.value_of(what) == text


def test_a_name_that_is_no_constant_is_an_error() -> None:
    with pytest.raises((KeyError, AttributeError)):
        prose.value_of("data.split.UNUSUAL")


@pytest.mark.parametrize("kind", prose.ALLOWED)
def test_every_allowed_kind_occurs(kind: str) -> None:
    assert any(re.search(kind, text, re.MULTILINE) for text in TEXTS.values()), prose.ALLOWED[kind]


def test_every_section_of_the_notebook_has_its_date_and_commit() -> None:
    sections = re.split(r"^## ", TEXTS[prose.HISTORY], flags=re.MULTILINE)[1:]
    assert len(sections) > 15
    for section in sections:
        head, when = section.splitlines()[:2]
        assert re.search(r"\d{4}-\d\d-\d\d.*commits? [0-9a-f]{7}", when), head
