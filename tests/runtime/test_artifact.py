"""What ``res2net export`` wrote is read back, and a damaged folder is refused in one line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from res2net.errors import UserError
from res2net.runtime import load
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
    with pytest.raises(UserError, match="not an artifact; create one with"):
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


def test_a_description_of_any_other_kind_is_told(
    artifact: Path, tmp_path: Path, spoilt: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry after the other is of another kind or missing: an artifact, or one line."""
    copy = shutil.copytree(artifact, tmp_path / "copy")
    good = json.loads((copy / "model.json").read_text())
    monkeypatch.setattr(Artifact, "check_files", lambda _: None)  # of the hashes: below
    for record in spoilt(good["artifact"]):
        (copy / "model.json").write_text(json.dumps({**good, "artifact": record}))
        with contextlib.suppress(UserError):
            found = Artifact.read(copy)
            assert found.file in found.files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../model.xml"}, "'../model.xml' is not among the files whose hashes are kept"),
        ({"file": "/etc/passwd"}, "'/etc/passwd' is not among the files"),
        ({"file": "other.xml"}, "'other.xml' is not among the files"),
        ({"files": {}}, "'model.xml' is not among the files"),
        ({"files": {"model.xml": "0" * 64}}, "'model.bin' is not among the files"),
        ({"files": {"model.xml": 7, "model.bin": 7}}, "files does not hold hashes by name"),
        ({"precision": "fp7"}, "precision is 'fp7'"),
        ({"input": {"batch": 10**9, "height": 32, "width": 32}}, "input.batch must be"),
        ({"input": {"batch": 1, "height": 10**9, "width": 32}}, "input.height must be"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "outputs must have names, each its own"),
    ],
)
def test_a_description_leads_to_no_other_file_and_to_no_absurd_size(
    artifact: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    copy = shutil.copytree(artifact, tmp_path / "copy")
    values = json.loads((copy / "model.json").read_text())
    values["artifact"].update(change)
    (copy / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="the description is damaged") as error:
        Artifact.read(copy)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
@pytest.mark.parametrize("what", ["height", "outputs", "classes"])
def test_a_description_of_another_graph_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, what: str
) -> None:
    made = request.getfixturevalue("artifact" if kind == "openvino" else "onnx_artifact")
    copy = shutil.copytree(made, tmp_path / "copy")
    values = json.loads((copy / "model.json").read_text())
    if what == "height":
        values["artifact"]["input"]["height"] = 64
    elif what == "outputs":
        values["artifact"]["outputs"].append({"name": "more"})
    else:
        values["classes"].pop()
    (copy / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"model\.json names"):
        load(copy, threads=1)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(artifact: Path, tmp_path: Path) -> None:
    for name in ("model.json", "model.bin"):
        copy = shutil.copytree(artifact, tmp_path / name)
        (copy / name).unlink()
        os.mkfifo(copy / name)
        with pytest.raises(UserError, match="not an artifact|missing from the artifact"):
            Artifact.read(copy)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"artifact": ' + b"[" * 100_000, b"{"])
def test_a_file_that_is_no_description_is_no_artifact(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    assert not is_artifact(tmp_path)


def test_a_name_that_leaves_the_folder_is_refused(artifact: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    values = json.loads((copy / "model.json").read_text())
    values["artifact"]["files"]["../secret"] = "0" * 64
    (copy / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="missing from the artifact"):
        Artifact.read(copy)
