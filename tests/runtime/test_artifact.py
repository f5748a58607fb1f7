"""What ``res2net export`` wrote is read back, and a damaged folder is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from res2net.errors import UserError
from res2net.runtime.artifact import Artifact, is_artifact


def test_reads_what_export_wrote(artifact: Path, onnx_artifact: Path) -> None:
    found = Artifact.read(artifact)
    assert (found.engine, found.precision, found.file) == ("openvino", "fp32", "model.xml")
    assert (found.batch, found.height, found.width) == (1, 32, 32)
    assert found.outputs == ("logits",)
    assert found.structure_only
    assert found.card.network == "res2net29_small"
    assert Artifact.read(onnx_artifact).batch is None


def test_other_folders_are_no_artifacts(tmp_path: Path) -> None:
    assert not is_artifact(tmp_path)
    with pytest.raises(UserError, match="not an artifact; make one with"):
        Artifact.read(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        Artifact.read(tmp_path / "none")


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        del values["artifact"][key]

    return change


@pytest.mark.parametrize("key", ["engine", "precision", "file", "files", "input", "outputs"])
def test_a_description_that_lacks_something_is_refused(
    artifact: Path, tmp_path: Path, key: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    values = json.loads((copy / "model.json").read_text())
    _without(key)(values)
    (copy / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="the description is damaged"):
        Artifact.read(copy)


def test_a_changed_or_missing_model_is_refused(artifact: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    with (copy / "model.bin").open("r+b") as file:
        file.write(b"\1\2\3")
    with pytest.raises(UserError, match=r"model\.bin: changed since it was exported"):
        Artifact.read(copy)
    (copy / "model.bin").unlink()
    with pytest.raises(UserError, match=r"model\.bin: missing from the artifact"):
        Artifact.read(copy)


def test_a_name_that_leaves_the_folder_is_refused(artifact: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    values = json.loads((copy / "model.json").read_text())
    values["artifact"]["files"] = {"../secret": "0" * 64}
    (copy / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="missing from the artifact"):
        Artifact.read(copy)
