"""Who divides the medians of a generated table finds its ratios; what a row lacks is a dash."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))  # where the scripts that write the docs lie
from doc_tables import markup, measures  # noqa: E402

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TEXT = "\n".join(page.read_text() for page in PAGES)
BLOCKS = dict(re.findall(r"<!-- begin: ([\w-]+) -->\n(.*?)<!-- end", TEXT, re.DOTALL))
RATIO = re.compile(r"×|share|time /|/ ResNet|of the peak")  # of a head
PAIRED = re.compile(r"[\d.]+ \([\d.]+ to [\d.]+\)")

Row = Mapping[str, str]
Found = Iterator[tuple[str, str, float | None]]  # head, printed ratio, that of printed medians


def table(name: str) -> list[dict[str, str]]:
    lines = [line for line in BLOCKS[name].splitlines() if line.startswith("| ")]
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def parts(name: str) -> list[str]:
    """The block, or of several kinds of processors a block for each."""
    found = re.split(r"^\*\*(AVX.*)\*\*$", BLOCKS[name], flags=re.M)[1:]
    BLOCKS.update(
        {f"{name}, {kind}": text for kind, text in zip(found[::2], found[1::2], strict=True)}
    )
    return [f"{name}, {kind}" for kind in found[::2]] or [name]


def column(rows: Sequence[Row], start: str) -> str:
    return next(head for head in rows[0] if head.startswith(start))


def deploy(name: str) -> Found:
    rows = table(name)

    def key(row: Row) -> tuple[str, ...]:
        maker, engine, precision = re.split(r",? ", row["engine"])
        return row["network"], maker, engine, precision, row["batch"]

    ms = {key(row): float(row["ms"]) for row in rows}
    resnet = "`resnet50`"
    for row in rows:
        network, maker, engine, precision, batch = key(row)
        own = float(row["ms"])
        peer = {"native": "openvino"}.get(engine, engine)
        timm = ms.get((network, "timm", peer, precision, batch)) if maker == "ours" else None
        eager = ms.get((network, "timm", "eager-nchw", "fp32", batch))
        alike = [
            v for k, v in ms.items() if (k[0], k[1], *k[3:]) == (resnet, maker, precision, batch)
        ]
        same = ms.get((resnet, maker, engine, precision, batch))
        is_eager = (maker, engine) == ("timm", "eager-nchw")
        for start, ratio in {
            "× timm, same engine": timm and timm / own,
            "time / ResNet-50": same and network != resnet and own / same,
            "/ ResNet-50 in": bool(alike) and network != resnet and own / min(alike),
            "× timm eager": eager and not is_eager and eager / own,
        }.items():
            head = column(rows, start)
            yield head, row[head], float(ratio) if ratio else None


def train_step(name: str) -> Found:
    rows = table(name)
    ms = {row["case"]: float(row["ms"]) for row in rows}
    for row in rows:
        maker, precision, layout, *_ = row["case"].split()
        equal = ms[f"timm {precision} {layout}"] if maker == "ours" else None
        default = ms["timm fp32 nchw"] if row["case"] == "ours bf16 nhwc" else None
        for start, other in (("× timm's default", default), ("× timm, same precision", equal)):
            head = column(rows, start)
            yield head, row[head], other / ms[row["case"]] if other else None


def tasks(name: str) -> Found:
    rows = table(name)
    head = column(rows, "time / ours")
    ms = {(row["task"], row["operation"], row["case"]): float(row["ms"]) for row in rows}
    assert len(ms) == len(rows)  # one figure a case
    for row in rows:
        ours = ms[row["task"], row["operation"], "ours fp32 nchw"]
        others = not row["case"].startswith("ours")
        yield head, row[head], float(row["ms"]) / ours if others else None


def evaluators(name: str) -> Found:
    rows = table(name)
    head = column(rows, "time / ours")
    ms = {row["case"]: float(row["ms"]) for row in rows}
    for row in rows:
        ours = f"{row['case'].split()[0]} ours"
        yield head, row[head], None if row["case"] == ours else float(row["ms"]) / ms[ours]


def folder(name: str) -> Found:
    rows = table(name)
    head = column(rows, "share")
    for row in rows:
        whole, alone = (float(row[f"{kind}, images/s"]) for kind in ("from files", "network alone"))
        yield head, row[head], 100 * whole / alone


def loading(name: str) -> Found:
    for row in table(name):
        share = 1 - float(row["epoch without reading, s"]) / float(row["epoch, s"])
        yield "share, %", row["share, %"], 100 * max(share, 0.0)  # what noise makes negative


def roofline(name: str) -> Found:
    peaks = dict(re.findall(r"(fp32|bf16|int8) (\d+\.\d+)", BLOCKS[name].rpartition("Peaks")[2]))
    for row in table(name):
        reached = row["GFLOP/s"]
        share = None if reached == "–" else 100 * float(reached) / float(peaks[row["precision"]])
        yield "of the peak, %", row["of the peak, %"], share


def in_brackets(base: str, name: str) -> Found:
    """Cells of milliseconds with the ratio to a row's."""
    rows = table(name)
    names = [head for head in rows[0] if "ms" in head]
    for row in rows:
        of_base = [r for r in rows if r["network"] == base and r.get("engine") == row.get("engine")]
        for head in names:
            own, _, ratio = row[head].partition(" (")
            if own == "–":
                continue
            other = of_base[0][head]
            expected = None if row["network"] == base else float(own) / float(other)
            yield head, ratio.strip("×)") or "–", expected


DEPLOY = (
    *("deploy", "deploy-gpu", "deploy-native", "deploy-native-batch8"),
    *("deploy-networks", "deploy-networks-int8", "deploy-batch8", "deploy-compiled"),
)
CHECKED: Mapping[str, Callable[[str], Found]] = {
    **dict.fromkeys(DEPLOY, deploy),
    **dict.fromkeys(("train-step", "gpu-train-step"), train_step),
    "tasks-speed": tasks,
    "evaluators": evaluators,
    "folder": folder,
    "loading": loading,
    "roofline": roofline,
    "deploy-sizes": lambda name: in_brackets("`resnet50`", name),
    "reproduce-runtime": lambda name: in_brackets("resnet50", name),
}
# Their medians have a decimal fewer than what was divided.
ROUNDED = {"reproduce-runtime": 0.004, "roofline": 0.001}


@pytest.mark.parametrize("name", CHECKED)
def test_a_reader_who_divides_the_medians_finds_the_ratio(name: str) -> None:
    ratios = 0
    for head, printed, expected in (each for part in parts(name) for each in CHECKED[name](part)):
        if markup.PAIRED in head:
            assert PAIRED.fullmatch(printed) or printed == "–", (head, printed)
            ratios += printed != "–"
        elif expected is None:
            assert printed == "–", (head, printed)
        else:
            half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
            allowed = half + ROUNDED.get(name, 0.0) * expected + 1e-9
            assert abs(float(printed) - expected) <= allowed, (head, printed, expected)
            ratios += 1
    assert ratios


def test_every_table_with_a_ratio_is_divided() -> None:
    known = {*CHECKED, "extra-runtime"}  # its medians stand in the tables of the same files
    for name, text in BLOCKS.items():
        head = next((line for line in text.splitlines() if line.startswith("| ")), "")
        if RATIO.search(head) and name not in ("networks", "weights", "widths"):
            assert name.partition(",")[0] in known, (name, head)


ABOUT = {
    "file": "x.csv",
    "date": "2026-01-02",
    "commit": "abc",
    "cores": "2",
    "cpu": "A",
    "torch": "2",
    "n": "5",
}


def timed(ratio: str = "", low: str = "", high: str = "", **more: str) -> dict[str, str]:
    return {**ABOUT, "command": "x", "over": ratio, "over_q1": low, "over_q3": high, **more}


def test_a_ratio_with_its_quartiles_is_printed_with_them_and_the_head_says_what_it_is() -> None:
    rows = [timed("1.196", "1.1", "1.25"), timed()]
    head, cells = markup.ratio_column("× it", rows, "over", lambda _: 9.0)
    assert head == "× it, median of per-round ratios (quartiles)"
    assert cells == ["1.196 (1.100 to 1.250)", "–"]


def test_a_ratio_without_quartiles_gives_way_to_that_of_the_medians() -> None:
    rows: list[dict[str, Any]] = [timed("1.196", "1.1", "1.25"), timed("1.3"), timed()]
    medians = {0: 1.142, 1: 1.25}
    head, cells = markup.ratio_column(
        "× it", rows, "over", lambda row: medians.get(rows.index(row))
    )
    assert (head, cells) == ("× it", ["1.142", "1.250", "–"])


def test_versions_come_from_the_rows_and_a_missing_one_is_a_dash() -> None:
    line = markup.about([timed(timm="1.0.2"), timed(timm="", command="y")], ["timm"])
    assert "timm 1.0.2, n = 5 interleaved rounds, 2026-01-02, commit abc: `x`; " in line
    assert line.endswith("timm –, n = 5 interleaved rounds, 2026-01-02, commit abc: `y`\n")


def test_the_processors_instructions_are_told_and_what_was_hidden_of_them() -> None:
    assert markup.machine(timed()) == "2 cores of A"
    known = timed(instructions="avx2 fma", level="full")
    assert markup.machine(known) == "2 cores of A (avx2 fma)"
    assert markup.machine({**known, "level": "avx2"}) == "2 cores of A (avx2 fma, up to avx2)"


def days(earlier: str, later: str) -> int:
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days


def wrong_with(file: str, found: measures.Measures, rows: Sequence[Row]) -> str | None:
    """Why a file of results breaks the rule of docs/benchmarks.md; None where it does not."""
    old = [row["date"] for row in rows if row["date"] < found.changed]
    if old and days(min(old), found.changed) > measures.MARKED_DAYS:
        return f"{file}: rows of {min(old)} are too old: measure them again or remove them"
    for name in found.tables if old else ():
        if measures.OLDER not in BLOCKS[name]:
            return f"{file}: table {name} does not tell that its rows are {measures.OLDER}"
    return None


def test_every_file_of_results_names_the_code_that_it_measures() -> None:
    files = {path.name for path in markup.RESULTS.glob("*.csv")}
    assert files <= {*measures.MEASURES}
    assert {*measures.MEASURES} - files <= {"growth.csv"}  # which nothing has measured yet
    for file, found in measures.MEASURES.items():
        assert found.changed <= found.reviewed, file
        for source in found.sources:
            assert (ROOT / source).exists(), (file, source)
        for name in found.tables:
            assert name in BLOCKS, (file, name)


@pytest.mark.parametrize("file", measures.MEASURES)
def test_rows_that_are_older_than_the_code_are_marked(file: str) -> None:
    assert wrong_with(file, measures.MEASURES[file], markup.read_results(file)) is None


def test_rows_that_are_older_than_the_code_and_not_marked_are_found() -> None:
    found, rows = measures.MEASURES["native_sizes.csv"], markup.read_results("native_sizes.csv")
    later = replace(found, changed="2026-11-27", why="kernels are faster")
    assert "deploy-sizes does not tell" in str(wrong_with("native_sizes.csv", later, rows))
    late = replace(found, changed="2027-03-01")
    assert "measure them again" in str(wrong_with("native_sizes.csv", late, rows))


def test_a_row_of_before_the_change_is_told_below_its_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_file = replace(measures.MEASURES["parity.csv"], changed="2026-01-03", why="it is faster")
    monkeypatch.setattr(measures, "MEASURES", {"x.csv": of_file})
    told = "Rows of 2026-01-02 are older than the code: since 2026-01-03 it is faster."
    assert told in markup.about([timed()])
    assert "older" not in markup.about([timed(date="2026-01-03")])


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def test_the_history_of_measured_code_was_read_lately() -> None:
    if not (ROOT / ".git").exists() or git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("no checkout with its history")
    for file, found in measures.MEASURES.items():
        last = git("log", "-1", "--format=%cs", "--", *found.sources) or found.reviewed
        late = days(found.reviewed, last) > measures.REVIEW_DAYS
        assert not late, f"{file}: read git log of {found.sources} since {found.reviewed}"


def test_the_newest_row_of_a_case_is_shown_and_what_was_not_measured_again_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markup, "RESULTS", tmp_path)
    head = "network,precision,median_ms,date,commit,command,cores,cpu,torch,n\n"
    rows = [
        "a,fp32,5,2026-01-01,old,x,2,A,2,9",
        "a,bf16,3,2026-01-01,old,x,2,A,2,9",
        "a,fp32,4,2026-02-01,new,y,2,B,2,9",
    ]
    (tmp_path / "x.csv").write_text(head + "\n".join(rows) + "\n")
    found = markup.read_results("x.csv")
    assert [(row["precision"], row["median_ms"]) for row in found] == [("fp32", "4"), ("bf16", "3")]
    assert [row["precision"] for row in markup.newest_run(found)] == ["fp32"]
    line = markup.about(found)
    assert "of B, torch 2, n = 9 interleaved rounds, 2026-02-01, commit new (fp32): `y`" in line
    assert "of A, torch 2, n = 9 interleaved rounds, 2026-01-01, commit old (bf16): `x`" in line
    assert markup.read_results("absent.csv") == []


def test_kinds_of_processors_have_tables_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markup, "RESULTS", tmp_path)
    rows = [
        "a,fp32,5,,",
        "a,bf16,3,,",
        "a,fp32,9,avx2 fma,full",
        "a,fp32,7,avx2 avx512f avx512_vnni,full",
        "a,fp32,8,avx2 avx512_bf16 avx512f,avx2",  # hidden by a setting
        "a,fp32,4,avx2 avx512_bf16 avx512f,full",
    ]
    head = "network,precision,median_ms,instructions,level\n"
    (tmp_path / "x.csv").write_text(head + "\n".join(rows) + "\n")
    found = markup.read_results("x.csv")
    assert [row["median_ms"] for row in found] == ["4", "3", "8", "7"]
    table = markup.by_processor(lambda own: ",".join(row["median_ms"] for row in own), found)
    assert table.split("\n") == [
        *("**AVX-512 with bf16**", "", "4,3"),
        *("**AVX-512 without bf16**", "", "7"),
        *("**AVX2**", "", "8"),
    ]
    assert [row["median_ms"] for row in markup.of_best_kind(found)] == ["4", "3"]
    assert markup.by_processor(lambda own: str(len(own)), found[:2]) == "2"


@pytest.mark.parametrize("file", sorted(markup.RESULTS.rglob("*.csv")), ids=lambda file: file.stem)
def test_every_row_is_of_a_commit_of_the_history(file: Path) -> None:
    with file.open(newline="") as opened:
        commits = {row["commit"] for row in csv.DictReader(opened)}
    assert all(re.fullmatch("[0-9a-f]{12}", commit) for commit in commits), commits
    if not (ROOT / ".git").exists() or git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("without its history")
    history = git("rev-list", "HEAD")
    assert [commit for commit in commits if f"\n{commit}" not in f"\n{history}"] == []
