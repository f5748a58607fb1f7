"""Each kind of data is made, read by a process of its own, and drawn."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from res2net.bench import growth
from res2net.bench.options import Grown, GrowthOptions
from res2net.errors import UserError


def test_every_kind_that_can_be_asked_for_is_made_and_read() -> None:
    assert set(get_args(Grown)) == set(growth.KINDS)


@pytest.mark.parametrize("what", growth.KINDS)
def test_a_kind_is_made_and_read(
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))

    def alone(kind: str, home: Path, _number: int) -> None:
        growth.run_alone(kind, str(home))

    monkeypatch.setattr(growth, "_alone", alone)
    growth.KINDS[what].make(tmp_path, 22)
    found: Any = growth.KINDS[what].read(tmp_path)
    if what in ("folder", "index"):
        assert len(found.train) + len(found.val) == 22
    if what == "index":
        assert (tmp_path / "data.index").is_file()
    if what == "annotations":
        assert sum(len(scene.objects) for scene in found.everything) == 22
    if what == "checkpoint":  # every weight was copied
        assert sum(weight.numel() * 4 for weight in found.parameters()) == 22 * growth.MIB
        assert not any(weight.any() for weight in found.parameters())
    growth.run_alone(what, str(tmp_path))
    seconds, taken = capsys.readouterr().out.split()[-2:]
    assert float(seconds) > 0
    assert int(taken) >= 0


def test_rows_are_medians_of_processes_and_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([(3.0, 2**20), (1.0, 3 * 2**20), (2.0, 2**21)] * 2)
    monkeypatch.setattr(growth, "_alone", lambda *_: next(found))
    options = GrowthOptions(what="classes", sizes="5,50", chart=tmp_path / "growth.png")
    rows = growth.run(options, lambda things, *_: things).rows
    assert [(r["number"], r["seconds"], r["least_seconds"], r["mib"], r["n"]) for r in rows] == [
        (5, 2.0, 1.0, 2.0, 3),
        (50, 2.0, 1.0, 2.0, 3),
    ]
    assert (tmp_path / "growth.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": "10"}, "--sizes applies to one kind of data"),
        ({"what": "folder", "sizes": "10,x"}, "--sizes x: whole numbers"),
        ({"what": "folder", "sizes": "0"}, "--sizes 0: whole numbers"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        growth.run(GrowthOptions(**options), lambda things, *_: things)


def test_a_process_that_fails_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nKeyError: 'x'\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match=r"the process that measured it failed \(.*KeyError"):
        growth._alone("classes", tmp_path, 0)
