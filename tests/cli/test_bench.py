"""`res2net bench`: what it refuses, and what it records."""

from __future__ import annotations

from pathlib import Path

import pytest

from res2net.cli import bench
from res2net.errors import UserError


def test_an_unknown_subject_is_refused() -> None:
    with pytest.raises(UserError, match="deploy"):
        bench.main(["speed"])


def test_the_recorded_command_names_no_folder_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "loading", lambda _: [{"case": "one", "value": 1}])
    out = tmp_path / "rows.csv"
    bench.main(["loading", "--data", "folder:/home/someone/sets/photos", "--out", str(out)])
    text = out.read_text()
    assert "rows.csv" in text
    assert "folder:sets/photos" in text
    assert "/home" not in text
    assert str(tmp_path) not in text
