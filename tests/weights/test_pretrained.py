"""``create_model(..., pretrained=...)`` and what it says."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from res2net import FirstBlock, create_model
from res2net.errors import UserError
from res2net.weights import catalogue, pretrained
from res2net.weights.catalogue import WeightFile
from res2net.weights.download import Patience
from res2net.weights.pretrained import open_pretrained

NAME, SPLIT = "resnet29_small", "res2net29_small"
QUICK = Patience(rounds=2, stall=0.3, pause=0.01)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been told yet, and a download does not try for long."""
    monkeypatch.setattr(pretrained, "_told", set())
    monkeypatch.setattr("res2net.weights.download.Patience", lambda: QUICK)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return create_model(NAME).state_dict()


@pytest.fixture
def row(server, behaviour, state, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    """A catalogue of one file of a small network, served on the loopback under its hash."""
    body = save(state)
    file = f"small-{hashlib.sha256(body).hexdigest()[:8]}.safetensors"
    server.files[f"/{file}"] = behaviour(body)
    made = replace(
        catalogue.CATALOGUE[0],
        name=f"{NAME}.official",
        network=NAME,
        file=file,
        urls=(server.url("/gone"), server.url(f"/{file}")),
        sha256=file[6:14],
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", (made, *catalogue.CATALOGUE))
    return made


def _is(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("asked", ["in1k", f"{NAME}.official"])
def test_published_weights_are_fetched_checked_and_their_licence_said(
    asked: str, row, state, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = create_model(NAME, pretrained=asked)
    assert _is(model, state)
    assert (cache / row.file).is_file()
    assert f"weights from {row.file}" in model.weights_notice
    assert f"sha256 {row.sha256}" in model.weights_notice
    assert "CC BY-NC-SA 4.0, non-commercial use only" in model.weights_notice
    create_model(NAME, pretrained=asked)
    said = capsys.readouterr().err
    assert said.count("non-commercial") == 1  # once a process
    assert said.count("fetching") == 1  # the second time it is in the cache


def test_offline_uses_the_cache_and_nothing_else(
    row, state, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RES2NET_OFFLINE", "1")
    with pytest.raises(
        UserError, match=r"not in the cache and RES2NET_OFFLINE is set; download it"
    ):
        create_model(NAME, pretrained="in1k")
    assert not cache.exists()
    cache.mkdir()
    (cache / row.file).write_bytes(save(state))  # copied there by hand
    assert _is(create_model(NAME, pretrained="in1k"), state)
    monkeypatch.setenv("RES2NET_OFFLINE", "perhaps")
    with pytest.raises(UserError, match="RES2NET_OFFLINE is 'perhaps'; it must be 1 or 0"):
        create_model(NAME, pretrained="hf-hub:a/b")


def test_the_users_mirror_is_asked_first(
    row, server, behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrored = server.files[f"/mirror/{row.file}"] = behaviour(server.files[f"/{row.file}"].body)
    monkeypatch.setenv("RES2NET_WEIGHTS_URL", server.url("/mirror/"))
    create_model(NAME, pretrained="in1k")
    assert len(mirrored.seen) == 1
    assert not server.files[f"/{row.file}"].seen


@pytest.mark.usefixtures("row")
def test_a_shared_cache_that_may_only_be_read(state, cache: Path) -> None:
    create_model(NAME, pretrained="in1k")
    for path in (*cache.iterdir(), cache):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert _is(create_model(NAME, pretrained="in1k"), state)
    finally:
        cache.chmod(0o755)


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize("place", ["file", "system"])
def test_a_cache_that_cannot_be_used(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    folder = blocked / "cache" if place == "file" else Path("/sys/res2net")
    monkeypatch.setenv("RES2NET_CACHE", str(folder))
    with pytest.raises(UserError, match=r"the cache .* cannot be used .* set RES2NET_CACHE"):
        create_model(NAME, pretrained="in1k")


def test_an_address_with_and_without_a_hash_in_its_name(row, server, behaviour, state) -> None:
    body = server.files[f"/{row.file}"].body
    server.files["/mine.safetensors"] = behaviour(body)
    model = create_model(NAME, pretrained=server.url("/mine.safetensors"))
    assert _is(model, state)
    assert "licence unknown" in model.weights_notice
    server.files["/mine-01234567.safetensors"] = behaviour(body)
    with pytest.raises(UserError, match="wrong file"):
        create_model(NAME, pretrained=server.url("/mine-01234567.safetensors"))
    with pytest.raises(UserError, match="no file name in this URL"):
        create_model(NAME, pretrained="https://example.org/")


def test_a_file_whose_name_promises_another_hash(state, tmp_path: Path) -> None:
    path = tmp_path / "mine-01234567.safetensors"
    save_file(state, path)
    with pytest.raises(UserError, match=r"sha256 begins with \w{8}, but its name has 01234567"):
        create_model(NAME, pretrained=str(path))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("in1k", "the catalogue has no ImageNet weights of resnet29_small"),
        (
            "res2net50d.official",
            "are weights of res2net50d, not of resnet29_small: use res2net50d",
        ),
        ("res2net50d.oficial", "no such file or catalogue name. Did you mean"),
        ("nowhere/f.pth", "no such file or catalogue name"),
        ("ftp://host/f.pth", "no such file"),
        ("hf-hub:one", "is not a hub address"),
    ],
)
def test_words_that_mean_nothing(asked: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model(NAME, pretrained=asked)


def test_a_folder(tmp_path: Path, state) -> None:
    with pytest.raises(UserError, match="is a folder without weights"):
        create_model(NAME, pretrained=str(tmp_path))
    save_file(state, tmp_path / "model.safetensors")
    assert _is(create_model(NAME, pretrained=str(tmp_path)), state)


@pytest.mark.usefixtures("row")
def test_other_classes_and_channels_say_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    create_model(NAME, pretrained="in1k", num_classes=10, in_channels=4)
    said = capsys.readouterr().err
    assert "left out the classifier of 1000 classes: the network has a fresh one of 10" in said
    assert "3 input channels were repeated and scaled by 3/4 to give 4" in said


def test_the_wrong_network_is_named(state, tmp_path: Path) -> None:
    save_file(state, tmp_path / "f.safetensors")
    with pytest.raises(
        UserError, match=r"this file is 64w, the model is 64w x 5s: use resnet29_small"
    ):
        create_model(NAME, pretrained=str(tmp_path / "f.safetensors"), scale=5)


def test_the_rule_of_the_weights_is_taken_or_warned_of(
    tmp_path: Path,
) -> None:
    """Paddle's rule leaves names and shapes as they are: nothing else would show the mistake."""
    torch.manual_seed(0)
    paddles = create_model(SPLIT, first_block="strided_exclude_pad").state_dict()
    save_file(paddles, tmp_path / "model.safetensors")
    card = {"network": SPLIT, "options": {"first_block": "strided_exclude_pad"}, "notes": "NC"}
    (tmp_path / "model.json").write_text(json.dumps(card))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = create_model(SPLIT, pretrained=str(tmp_path))
        same = create_model(SPLIT, pretrained=str(tmp_path), first_block="strided_exclude_pad")
    assert model.first_block is same.first_block is FirstBlock.STRIDED_EXCLUDE_PAD
    assert model.layer1[0].pool is None
    assert "first block 'strided_exclude_pad'" in model.weights_notice
    assert "trained by this project (NC)" in model.weights_notice
    with pytest.warns(UserWarning, match="was trained with first_block='strided_exclude_pad', the"):
        other = create_model(SPLIT, pretrained=str(tmp_path), first_block="pool")
    assert other.first_block is FirstBlock.POOL


def test_real_files_of_timm_torchvision_and_lightning(tmp_path: Path) -> None:
    import pytorch_lightning as pl
    import timm
    import torchvision

    theirs = timm.create_model("res2net50_48w_2s").eval()
    torch.save(theirs.state_dict(), tmp_path / "timm.pth", _use_new_zipfile_serialization=False)
    save_file(theirs.state_dict(), tmp_path / "timm.safetensors")

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = theirs

    trainer = pl.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    trainer.strategy.connect(Module())
    trainer.save_checkpoint(tmp_path / "lightning.ckpt")
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(image)
        for file in ("timm.pth", "timm.safetensors", "lightning.ckpt"):
            ours = create_model("res2net50_48w_2s", pretrained=str(tmp_path / file)).eval()
            torch.testing.assert_close(ours(image), expected, rtol=1e-5, atol=1e-6)
        vision = torchvision.models.resnet18(weights=None).eval()
        torch.save({"model": vision.state_dict()}, tmp_path / "vision.pth")
        ours = create_model("resnet18", pretrained=str(tmp_path / "vision.pth")).eval()
        torch.testing.assert_close(ours(image), vision(image), rtol=1e-5, atol=1e-6)


def test_a_wrong_option_is_refused_before_anything_is_fetched(server, row) -> None:
    with pytest.raises(ValueError, match="num_classes is -1"):
        create_model(NAME, pretrained="in1k", num_classes=-1)
    assert not server.files[f"/{row.file}"].seen


@pytest.mark.usefixtures("row")
def test_a_network_of_ones_own_can_take_weights() -> None:
    weights = open_pretrained(f"{NAME}.official", None, patience=QUICK)
    model = create_model(NAME)
    weights.load_into(model)
    assert weights.first_block is FirstBlock.POOL
