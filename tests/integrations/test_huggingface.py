"""Trained networks on the Hugging Face hub, tried on folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import res2net
from res2net import UserError, create_model
from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess

pytest.importorskip("huggingface_hub")
from huggingface_hub import HfApi
from huggingface_hub import ModelCard as HubCard

from res2net.integrations.huggingface import HubModel

CARD = ModelCard(
    network="res2net29_small",
    options={"norm": "group", "width": 20},
    classes=("cat", "dog", "été"),
    preprocess=default_preprocess(32),
    metrics={"top1": 87.5},
    data="folder:photos",
    recipe="finetune",
    notes="weights from elsewhere; licence CC BY-NC-SA 4.0",
)


@pytest.fixture
def model() -> HubModel:
    torch.manual_seed(0)
    return HubModel(CARD.as_dict()).eval()


@pytest.fixture
def folder(model: HubModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def _same(a: HubModel, b: HubModel) -> None:
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(a(image), b(image), rtol=0, atol=0)


def test_a_folder_comes_back_as_it_was(model: HubModel, folder: Path) -> None:
    again = HubModel.from_pretrained(str(folder))
    assert not again.training
    assert again.classes == ("cat", "dog", "été")
    assert again.preprocess == CARD.preprocess
    assert again.card == CARD
    _same(again, model)
    again.save_pretrained(folder.parent / "twice")
    for name in ("config.json", "model.json", "model.safetensors", "README.md"):
        assert (folder.parent / "twice" / name).read_bytes() == (folder / name).read_bytes()


def test_the_folder_is_one_of_ours_too(model: HubModel, folder: Path) -> None:
    loaded = res2net.load(folder)
    assert loaded.classes == model.classes
    _same(HubModel.from_run(folder), model)
    assert load_file(folder / "model.safetensors").keys() == model.network.state_dict().keys()
    picture = np.zeros((40, 40, 3), np.uint8)
    assert loaded.predict(picture) == model.predictor().predict(picture)


def test_of_takes_a_network_in_memory() -> None:
    network = create_model("res2net18", num_classes=2)
    card = ModelCard(network="res2net18", classes=("no", "yes"), preprocess=default_preprocess(64))
    model = HubModel.of(network, card)
    assert torch.equal(model.network.conv1.weight, network.conv1.weight)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="does not fit"):
        HubModel.of(create_model("res2net18", num_classes=5), card)


def test_the_readme_says_what_it_is(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    data = HubCard.load(folder / "README.md").data
    assert data.to_dict()["library_name"] == "res2net"
    assert data.pipeline_tag == "image-classification"
    assert "res2net" in data.tags
    for text in ("# res2net29_small", "3 classes: cat, dog, été", "top1: 87.5", "CC BY-NC-SA"):
        assert text in readme
    example = readme.partition("```python")[2].partition("```")[0]
    compile(example, "README.md", "exec")
    assert "HubModel.from_pretrained" in example


def test_push_uploads_the_folder(
    model: HubModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the network: what would be uploaded is kept, and loads again."""
    asked: dict[str, Any] = {}

    def create_repo(_: HfApi, **options: Any) -> Any:
        asked.update(options)
        return type("Repository", (), {"repo_id": options["repo_id"]})

    def upload_folder(_: HfApi, *, folder_path: Path, repo_id: str, **options: Any) -> str:
        asked.update(options)
        shutil.copytree(folder_path, tmp_path / repo_id)
        return f"https://hub/{repo_id}"

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    url = model.push_to_hub("me/photos", private=True, commit_message="first")
    assert url == "https://hub/me/photos"
    assert (asked["private"], asked["commit_message"]) == (True, "first")
    uploaded = {file.name for file in (tmp_path / "me" / "photos").iterdir()}
    assert uploaded == {"README.md", "config.json", "model.json", "model.safetensors"}
    _same(HubModel.from_pretrained(str(tmp_path / "me" / "photos")), model)


def _drop(folder: Path, file: str) -> None:
    (folder / file).unlink()


def _short_of_a_tensor(folder: Path, file: str) -> None:
    state = load_file(folder / file)
    state.pop("fc.bias")
    save_file(state, folder / file)


def _cut(folder: Path, file: str) -> None:
    (folder / file).write_bytes((folder / file).read_bytes()[:1000])


def _other_format(folder: Path, file: str) -> None:
    config = json.loads((folder / file).read_text())
    config["card"]["format"] = 99
    (folder / file).write_text(json.dumps(config))


def _options(**options: Any) -> Callable[[Path, str], None]:
    def change(folder: Path, file: str) -> None:
        config = json.loads((folder / file).read_text())
        config["card"]["options"] |= options
        (folder / file).write_text(json.dumps(config))

    return change


def _content(content: bytes) -> Callable[[Path, str], None]:
    return lambda folder, file: (folder / file).write_bytes(content) and None


def _pipe(folder: Path, file: str) -> None:
    (folder / file).unlink()
    os.mkfifo(folder / file)


@pytest.mark.parametrize(
    ("harm", "file", "message"),
    [
        (_options(pretrained="http://127.0.0.1:9/x"), "config.json", "holds structure only"),
        (_options(width=4096, scale=64), "config.json", "its network has .* parameters; at most"),
        (_options(depth=10**9), "config.json", r"options\.depth is 1000000000"),
        (_content(b"["), "config.json", "cannot be read as a description"),
        (_content(b"[" * 100_000), "config.json", "cannot be read as a description"),
        (_content(b"[1]"), "config.json", "not a description of a res2net model"),
        (_content(b'{"card": [1]}'), "config.json", "not a model description of this version"),
        (_pipe, "config.json", "a named pipe, not a file"),
        (_pipe, "model.safetensors", "a named pipe, not a file"),
        (_drop, "config.json", "there is no config.json here"),
        (_drop, "model.safetensors", "model.safetensors: no such file"),
        (_short_of_a_tensor, "model.safetensors", "1 tensors missing.*fc.bias"),
        (_cut, "model.safetensors", "damaged or not a safetensors file"),
        (_other_format, "config.json", "not a model description of this version"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(
    folder: Path, harm: Any, file: str, message: str
) -> None:
    harm(folder, file)
    with pytest.raises(UserError, match=message) as caught:
        HubModel.from_pretrained(str(folder))
    assert "\n" not in str(caught.value)
