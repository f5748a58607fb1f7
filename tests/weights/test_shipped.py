"""The shipped network is a folder like any run, or one line on what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.weights import shipped as room
from res2net.weights.shipped import shipped


def test_both_files_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FOLDER", tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match="no shipped network.*--model RUN_FOLDER"):
        shipped()
    (tmp_path / "model.json").touch()
    assert shipped() == tmp_path
