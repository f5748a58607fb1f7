"""``res2net weights``: the four actions, their mistakes, and the examples of docs/weights.md."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from res2net import create_model
from res2net.cli.main import main
from res2net.weights import catalogue, pretrained

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "weights.md").read_text()
PADDLE = ROOT / "tests" / "weights" / "data" / "res2net_vd.pdparams"
NAME = "res2net50_26w_4s"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pretrained, "_told", set())
    for name in ("RES2NET_OFFLINE", "RES2NET_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def published() -> bytes:
    """A file as the authors publish theirs, with weights by chance (in half precision)."""
    torch.manual_seed(0)
    state = create_model(NAME).state_dict()
    half = {key: v.half() if v.is_floating_point() else v for key, v in state.items()}
    buffer = io.BytesIO()
    torch.save(half, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.fixture
def mirror(published: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """That file on the loopback, under the name of the official one."""
    spec = importlib.util.spec_from_file_location("server", ROOT / "tests/weights/server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "server", module)
    spec.loader.exec_module(module)
    rows = list(catalogue.CATALOGUE)
    index = next(i for i, row in enumerate(rows) if row.network == NAME)
    rows[index] = replace(rows[index], sha256=hashlib.sha256(published).hexdigest()[:8])
    monkeypatch.setattr(catalogue, "CATALOGUE", tuple(rows))
    with module.running() as server:
        server.files[f"/{rows[index].file}"] = module.Behaviour(published)
        monkeypatch.setenv("RES2NET_WEIGHTS_URL", server.url())
        yield


def _run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["weights", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "list", "dla60")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "dla60_res2net.official",
        "dla60_res2next.official",
        "dla60_res2net.timm",
        "dla60_res2next.timm",
    ]
    assert "21.53 / 5.80" in out
    assert "non-commercial use only" in out
    code, out, _ = _run(capsys, "list", "--json")
    rows = json.loads(out)
    assert len(rows) == len(catalogue.CATALOGUE)
    assert rows[0]["sha256"] == "afed724a"
    assert rows[-1]["licence"]["commercial"] is True
    assert rows[-1]["measured"] is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["lst"], "unknown action 'lst'. Did you mean 'list'?"),
        (["fetch"], "`res2net weights fetch` needs a name or a file"),
        (["list", "nothing"], "no published weights match 'nothing'"),
        (["fetch", "res2net50_26w_4"], "no published weights called 'res2net50_26w_4'. Did you"),
        (["verify", "none.pth"], "none.pth: no such file"),
        (["verify", "."], ".: a folder; name a file of weights in it"),
        (["list", "--to", "timm"], "--to only applies to `res2net weights convert`"),
        (["fetch", NAME, "--json"], "--json only applies to"),
        (["convert", str(PADDLE)], "--to is missing; it must be one of timm, official, mmdet"),
        (["convert", str(PADDLE), "--to", "timm"], "--out is missing"),
        (["convert", str(PADDLE), "--to", "timm", "--out", "f.bin"], "must end in .pth or"),
        (["list", "--jsn"], "unknown option '--jsn'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *argv)
    assert code == 2
    assert err.startswith("res2net: ")
    assert err.count("\n") == 1
    assert message in err
    assert out == ""


def test_paddles_file_is_verified_and_converted_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, "verify", str(PADDLE), "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["layout"] == "paddle"
    assert facts["first block"] == "strided_exclude_pad"
    assert facts["classes"] == "5"
    target = tmp_path / "f.safetensors"
    code, out, err = _run(capsys, "convert", str(PADDLE), "--to", "timm", "--out", str(target))
    assert code == 0
    assert "first_block='strided_exclude_pad', which timm does not build" in err
    assert "layer1.0.convs.2.weight" in load_file(target)
    code, _, err = _run(capsys, "convert", str(PADDLE), "--to", "timm", "--out", str(target))
    assert (code, "exists; name another file" in err) == (2, True)


def test_a_file_of_which_a_part_is_missing_is_not_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = create_model("res2net29_small").state_dict()
    torch.save(state, tmp_path / "whole.pth")
    assert _run(capsys, "verify", "whole.pth")[0] == 0
    del state["layer2.1.bns.1.bias"]
    torch.save(state, tmp_path / "part.pth")
    code, _, err = _run(capsys, "verify", "part.pth")
    assert (code, "1 tensors missing" in err) == (2, True)


@pytest.mark.usefixtures("mirror")
def test_the_examples_of_the_page_run(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command and every Python block of docs/weights.md, in their order."""
    fences = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
    assert [kind for kind, _ in fences] == ["python", "sh"]
    exec(compile(fences[0][1], "weights.md", "exec"), {})
    out, err = capsys.readouterr()
    assert "CC BY-NC-SA 4.0, non-commercial use only" in out
    assert "left out the classifier of 1000 classes: the network has a fresh one of 10" in err
    for line in fences[1][1].splitlines():
        code, out, err = _run(capsys, *shlex.split(line)[2:])
        assert code == 0, (line, err)
        if " fetch " in line:  # its path is all that it prints
            file = Path(out.strip())
            assert file.parent == cache
            (tmp_path / file.name).symlink_to(file)
        if " verify " in line:
            assert re.search(r"network\s+res2net50_26w_4s", out)
            assert re.search(r"classes\s+1000", out)
            assert "512 tensors with 25,699,120" in re.sub(
                r"tensors\s+512 with", "512 tensors with", out
            )
    backbone = torch.load(tmp_path / "backbone.pth", weights_only=True)
    assert "layer4.2.convs.2.weight" in backbone
    assert "fc.weight" not in backbone


def test_the_page_names_every_layout_and_the_table_is_current() -> None:
    from res2net.weights.catalogue import RULES

    for rule in set(RULES.values()):
        assert f"`{rule}`" in PAGE
    for row in catalogue.CATALOGUE:
        assert f"`{row.name}`" in PAGE
