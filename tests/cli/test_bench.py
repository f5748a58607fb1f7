"""`res2net bench`: a subject owns its options; what is refused, shown and recorded."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from res2net import machine
from res2net.bench import options
from res2net.bench.options import SUBJECTS
from res2net.bench.protocol import Measurement
from res2net.cli import bench
from res2net.cli.bench import make_parser
from res2net.errors import UserError

ROOM = Path(options.__file__).parent
ALL = sorted({option for subject in SUBJECTS for option in make_parser(subject).names()})


@pytest.fixture(autouse=True)
def _committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "commit", lambda: "abc")


def given(subject: str) -> list[str]:
    """What a subject cannot do without."""
    asked = [each.name for each in fields(SUBJECTS[subject]) if each.default is MISSING]
    return [word for name in asked for word in (f"--{name}", "x")]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_owns_its_options_and_reads_each(subject, monkeypatch):
    own = [each.name for each in fields(SUBJECTS[subject])]
    assert set(make_parser(subject).names()) == {*own, "out", "help"}
    source = (ROOM / f"{subject.replace('-', '_')}.py").read_text()
    for name in own:
        assert re.search(rf"options\.{name}\b", source) or f'"{name}"' in source, name
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("measured"))
    for name in set(ALL) - {*own, "out", "help"}:
        with pytest.raises(UserError, match=rf"unknown option '--{name}'.*bench {subject} --help"):
            bench.main([subject, *given(subject), f"--{name}", "3"])


def test_the_nearest_option_is_named(cli):
    line = cli("bench", "evaluators", "--round", "3").line
    assert line.startswith("unknown option '--round'. Did you mean '--rounds'?")
    assert "unknown option '--model'" in cli("bench", "evaluators", "--model", "x").line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "missing: subject; `res2net bench --help` explains it"),
        (("speed",), "unknown subject 'speed'."),
        (("train_step",), "unknown subject 'train_step'. Did you mean 'train-step'?"),
        (("folder",), "missing: --artifact, --data; `res2net bench folder --help` explains it"),
        (("loading", "--batch", "2"), "missing: --data; `res2net bench loading --help`"),
        (("deploy", "--rounds", "0"), "--rounds is 0; it must be at least 1"),
        (("deploy", "--chart", "none/a.png"), "none/a.png: folder none does not exist; make it"),
        (("serve", "--artifact", "x", "--queue", "-1"), "--queue is -1; it must be at least 1"),
        (("tasks", "--task", "depth"), "--task: must be one of 'detect', 'instances', "),
        (("parity", "--model", "res2net29_small"), "--model res2net29_small: no other library"),
        (
            ("tasks", "--task", "segment", "--batch", "1", "--size", "32"),
            "--batch 1 at --size 32 leaves a batch norm one value per channel",
        ),
        (("train-step", "x"), "unexpected argument 'x'; `res2net bench train-step --help`"),
    ],
)
def test_mistakes(cli, words, message):
    assert cli("bench", *words).line.startswith(message)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_a_help_of_its_own(cli, capsys, subject):
    with pytest.raises(SystemExit) as end:
        cli("bench", subject, "--help")
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert out.startswith(f"usage: res2net bench {subject} [--option value ...]")
    for each in fields(SUBJECTS[subject]):
        assert re.search(rf"--{each.name} .*\w", out), each.name
    assert "--out" in out


def test_the_figures_of_a_subject_are_shown_and_recorded(cli, tmp_path, monkeypatch):
    seen = []

    def run(chosen, track):
        seen.extend((chosen, track))
        row = {"task": "pose", "median_ms": 1.5, "note": "of the file alone"}
        return Measurement(rows=[row], columns={"task": "what", "median_ms": "ms"}, lines=["so"])

    monkeypatch.setattr("res2net.bench.tasks.run", run)
    done = cli("bench", "dense", "--task", "pose", "--rounds", "3", "--out", tmp_path / "rows.csv")
    assert done.code == 0
    assert done.err == "res2net: note: `bench dense` is now `bench tasks`\n"
    assert (seen[0].task, seen[0].rounds, seen[0].batch) == ("pose", 3, 2)
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[:3] == [["what", "ms"], ["pose", "1.5"], ["so"]]
    text = (tmp_path / "rows.csv").read_text()
    assert text.startswith("task,median_ms,note,date,")
    assert "res2net bench tasks --task pose" in text


def test_the_recorded_command_names_no_folder_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: [{"case": "one", "value": 1}])
    out = tmp_path / "rows.csv"
    bench.main(["loading", "--data", "folder:/home/someone/sets/photos", "--out", str(out)])
    text = out.read_text()
    assert "rows.csv" in text
    assert "folder:sets/photos" in text
    assert "/home" not in text
    assert str(tmp_path) not in text


def test_sources_with_changes_are_refused_before_anything_is_measured(
    cli, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(machine, "commit", lambda: "abc+changes")
    measured: list[object] = []
    monkeypatch.setattr(bench, "measure", lambda *given: measured.append(given) or [])
    out = tmp_path / "rows.csv"
    done = cli("bench", "evaluators", "--rounds", "3", "--out", out)
    assert done.code == 2
    assert done.line.startswith(f"--out {out}: the sources differ from commit abc, but ")
    assert "run without --out" in done.line
    assert not measured
    assert not out.exists()
    assert cli("bench", "evaluators", "--rounds", "3").code == 0  # tried out, not recorded
    assert len(measured) == 1


def test_a_commit_that_changes_meanwhile_is_not_recorded(cli, tmp_path, monkeypatch) -> None:
    commits = iter(["abc", "def"])
    monkeypatch.setattr(machine, "commit", lambda: next(commits))
    monkeypatch.setattr(bench, "measure", lambda *_: [{"case": "one"}])
    done = cli("bench", "evaluators", "--out", tmp_path / "rows.csv")
    assert "the commit changed meanwhile" in done.line
    assert not (tmp_path / "rows.csv").exists()
