"""``res2net export``."""

from __future__ import annotations

import pytest

EXPORT = ("export", "res2net29_small", "--to", "onnx")
INT8 = ("--images", "one", "--precision", "int8", "--max-drop")


def test_what_was_found_is_said(cli, tmp_path):
    out = tmp_path / "out"
    code, text, err = cli(*EXPORT, "--out", out, "--size", "33", "--features", "c1,c3")
    assert (code, err) == (0, "")
    first, *lines, last = text.splitlines()
    assert first == "verified on 8 images: views of scikit-learn's two photographs"
    assert [line.split(":")[0].strip() for line in lines] == ["c1", "c3", "structure only"]
    assert last == f"written: {out} (details in report.md)"
    assert (out / "model.onnx").is_file()


def test_help_names_every_engine_and_precision(cli, capsys):
    with pytest.raises(SystemExit):
        cli("export", "--help")
    text = capsys.readouterr().out
    for word in ("openvino", "onnx", "torch-export", "fp32", "bf16", "fp16", "int8", "--max-drop"):
        assert word in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "missing: target"),
        (("res2net29_small",), "--to is missing"),
        (("res2net29_small", "--to", "onnx"), "--out is missing"),
        ((*EXPORT[1:3], "tensorrt"), "--to tensorrt: no such engine."),
        ((*EXPORT[1:3], "openvin"), "--to openvin: no such engine. Did you mean 'openvino'?"),
        ((*EXPORT[1:], "--precision", "bf16"), "--precision bf16: --to onnx supports fp32, fp16"),
        ((*EXPORT[1:], "--precision", "int8"), "--precision int8 needs calibration images"),
        ((*EXPORT[1:], "--size", "10"), "--size is 10; res2net29_small needs images of at least"),
        (
            (*EXPORT[1:], "--size", "big"),
            "--size: must be a whole number or HEIGHTxWIDTH, not 'big'",
        ),
        (
            (*EXPORT[1:], "--size", "9" * 5000),
            "--size: must be a whole number or HEIGHTxWIDTH, not '99",
        ),
        ((*EXPORT[1:], "--features", "c1,c9"), "--features c1,c9: give different levels out of"),
        ((*EXPORT[1:], "--features", "c1,c1"), "--features c1,c1: give different levels out of"),
        ((*EXPORT[1:], "--images", "nowhere"), "--images nowhere: no such folder"),
        ((*EXPORT[1:], "--images", "none"), "--images none: 0 image(s) in it; at least 1"),
        ((*EXPORT[1:], *INT8, "1"), "--images one: 1 image(s) in it; at least 2"),
        ((*EXPORT[1:], *INT8, "-1"), "--max-drop is -1; it is in points and must be"),
        ((*EXPORT[1:], *INT8, ".nan"), "--max-drop is nan; it is in points and must be"),
        (
            (*EXPORT[1:], "--images", "one", "--val-images", "0"),
            "--val-images is 0; it must be at least 1",
        ),
        ((*EXPORT[1:], "--overflow-safe"), "--overflow-safe does not apply here; it needs"),
        (
            (*EXPORT[1:], "--max-drop", "1"),
            "--max-drop does not apply; it needs --precision int8 and a classifier or",
        ),
        (
            (*EXPORT[1:], "--val-images", "9"),
            "--val-images does not apply here; it needs a trained network, or --images",
        ),
        ((*EXPORT[1:], "--precison", "fp32"), "unknown option '--precison'. Did you mean '--prec"),
        (("res2net29_smal", "--to", "onnx"), "res2net29_smal: no such run, checkpoint or network"),
        (("broken.ckpt", "--to", "onnx"), "broken.ckpt: "),
        (("one", "--to", "onnx"), "one is a folder without weights"),
    ],
)
def test_mistakes(cli, photos, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "none").mkdir()
    (photos / "val/ant/0.jpg").rename("one/a.jpg")
    (tmp_path / "broken.ckpt").write_bytes(b"PK\x03\x04 no checkpoint")
    before = sorted(tmp_path.rglob("*"))
    out = () if message.startswith("--out") else ("--out", "above/out")
    assert cli("export", *words, *out).line.startswith(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_overwritten(cli, tmp_path):
    (tmp_path / "out").mkdir()
    assert "exists; name another folder" in cli(*EXPORT, "--out", tmp_path / "out").line
    below = tmp_path / "file" / "a" / "out"
    below.parents[1].write_text("a file")
    assert cli(*EXPORT, "--out", below).line.startswith(f"--out {below.parent}: ")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", tmp_path / "out"]


def test_folders_above_are_made(cli, tmp_path):
    out = tmp_path / "a" / "b" / "out"
    assert cli(*EXPORT, "--size", "33", "--out", out).code == 0
    assert [path.name for path in out.parent.iterdir()] == ["out"]
