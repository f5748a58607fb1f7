"""`make measure`: what it runs, what it leaves out, and that a trial writes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from res2net import machine
from res2net.bench.options import SUBJECTS
from res2net.cli.bench import make_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))  # where the scripts lie
import measure  # noqa: E402
from doc_tables.measures import MEASURES  # noqa: E402


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of every command that was run."""
    found: list[list[str]] = []

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        found.append(words[words.index("res2net") + 1 :])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(measure.subprocess, "run", run)
    monkeypatch.setattr(machine, "commit", lambda: "abc")
    monkeypatch.setattr(measure, "make_inputs", lambda _: None)
    return found


def test_every_file_of_this_processor_is_measured_with_options_that_there_are(tmp_path) -> None:
    commands = measure._commands()
    assert len({each.name for each in commands}) == len(commands)
    on_a_gpu = {name for name in MEASURES if name.startswith("gpu_")}
    assert {each.out for each in commands} == set(MEASURES) - on_a_gpu
    for each in commands:
        for smallest in (False, True):
            subject, *words = each.typed(tmp_path, smallest=smallest)
            assert subject in SUBJECTS
            given = {word.removeprefix("--") for word in words if word.startswith("--")}
            assert given <= set(make_parser(subject).names()), each.name


@pytest.mark.parametrize("has", [True, False])
def test_bf16_is_left_out_with_a_line_where_there_is_none(ran, has, capsys, monkeypatch) -> None:
    monkeypatch.setattr(measure, "has_bf16", lambda: has)
    assert measure.main([]) == 0
    words = [" ".join(each) for each in ran]
    assert words[0].startswith("bench deploy --model resnet50,res2net50_26w_4s --engines eager")
    assert all("--out results/" in line for line in words)
    assert any("--precisions bf16" in line for line in words) is has
    out = capsys.readouterr().out
    assert ("deploy-bf16: skipped, this processor has no bfloat16" in out) is not has


def test_a_trial_writes_nothing(ran, capsys) -> None:
    assert measure.main(["--try"]) == 0
    assert ran
    for words in ran:
        assert not {"--out", "--chart"} & set(words)
    assert measure.main(["--list", "--only", "parity"]) == 0
    assert "parity: res2net bench parity --model all" in capsys.readouterr().out


def test_sources_with_changes_are_refused_before_the_first_command(
    ran, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(machine, "commit", lambda: "abc+changes")
    assert measure.main([]) == 2
    assert "the sources differ from commit abc" in capsys.readouterr().err
    assert not ran
    assert measure.main(["--try", "--only", "evaluators"]) == 0


def test_some_are_chosen_and_a_failure_does_not_end_the_others(ran, capsys, monkeypatch) -> None:
    assert measure.main(["--since", "growth-classes", "--only", "growth-classes,parity"]) == 0
    assert [each[1] for each in ran] == ["growth", "parity"]
    assert measure.main(["--only", "speed"]) == 2
    assert "unknown command speed; it can be deploy-fp32, " in capsys.readouterr().err
    failed = subprocess.CompletedProcess([], 2)
    monkeypatch.setattr(measure.subprocess, "run", lambda *_, **__: failed)
    assert measure.main(["--only", "evaluators,parity"]) == 1
    assert "failed: evaluators, parity" in capsys.readouterr().err
