"""What people get wrong: each mistake is one line on what to do, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from res2net import files, machine
from res2net.models.weights import read_weights

pytestmark = pytest.mark.usefixtures("undrawn")

# ---- data

WHOLE = ("--net.depth", "null", "--net.width", "null")  # none of the options of `tiny`


def _missing(root: Path) -> str:
    shutil.rmtree(root)
    return f"{root}: no such file or folder"


def _empty_class(root: Path) -> str:
    for file in (root / "train" / "bee").iterdir():
        file.unlink()
    return f"{root}/train: no images in class bee"


def _one_class(root: Path) -> str:
    for split in ("train", "val"):
        for name in ("bee", "cat"):
            shutil.rmtree(root / split / name)
    return f"{root}: one class only (ant); a classifier needs at least two"


def _classes_differ(root: Path) -> str:
    (root / "val" / "bee").rename(root / "val" / "wasp")
    return f"{root}: classes of train and val differ (only in train: bee; only in val: wasp)"


def _no_class_folders(root: Path) -> str:
    for split in ("train", "val"):
        shutil.move(root / split / "ant" / "0.jpg", root / f"{split}.jpg")
        shutil.rmtree(root / split)
    return f"{root}: holds 2 image(s) but no class folders; put the images of each class"


def _nothing(root: Path) -> str:
    shutil.rmtree(root)
    root.mkdir()
    return f"{root}: holds no images"


def _zero_bytes(root: Path) -> str:
    (root / "train" / "bee" / "3.jpg").write_bytes(b"")
    return f"{root}: 1 empty or missing file(s): train/bee/3.jpg; delete them, or leave them out"


def _truncated(root: Path) -> str:
    file = root / "train" / "bee" / "3.jpg"
    file.write_bytes(file.read_bytes()[:400])
    return f"folder:{root}: 1 of 27 images cannot be used: train/bee/3.jpg (a damaged or truncated"


def _truncated_in_validation(root: Path) -> str:
    file = root / "val" / "cat" / "2.jpg"
    file.write_bytes(file.read_bytes()[:400])
    return f"folder:{root}: 1 of 27 images cannot be used: val/cat/2.jpg (a damaged or truncated"


def _no_image(root: Path) -> str:
    file = root / "train" / "cat" / "0.jpg"
    file.write_text("these are words")
    return f"folder:{root}: 1 of 27 images cannot be used: train/cat/0.jpg (not an image"


@pytest.mark.parametrize(
    "spoil",
    [
        *(_missing, _empty_class, _one_class, _classes_differ, _no_class_folders, _nothing),
        *(_zero_bytes, _truncated, _truncated_in_validation, _no_image),
    ],
)
def test_bad_data(cli, tiny, photos, tmp_path, spoil):
    message = spoil(photos)
    run = tmp_path / "runs" / "x"
    whole_epoch = ("--train.max-steps", "-1", "--train.batch", "6", "--train.val-batches", "9")
    line = cli(*tiny, "--data", f"folder:{photos}", *whole_epoch, "--out", run).line
    assert line.startswith(message)
    assert not run.exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_bad_files_are_counted_skipped_and_named_when_asked(cli, tiny, photos, tmp_path, workers):
    _zero_bytes(photos)
    _truncated_in_validation(photos)
    _no_image(photos)
    (photos / "train" / "ant" / "notes.txt").write_text("no image")
    run = tmp_path / "run"
    words = ("--input.skip-bad", "true", "--input.workers", workers, "--out", run)
    code, out, err = cli(*tiny, "--data", f"folder:{photos}", *words)
    assert code == 0
    assert "16 training and 8 validation images" in out
    notes = err.splitlines()
    assert len(notes) == 3
    assert notes[0].startswith(
        f"res2net: note: {photos}: 2 unreadable file(s) skipped: train/bee/3.jpg, train/cat/0.jpg"
    )
    assert "1 unreadable file(s) skipped: val/cat/2.jpg" in notes[1]
    assert notes[2].endswith("1 files ignored, whose suffixes are not of images (.txt: 1)")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("path,lable,age\na,b,c\n", "x.csv: line 1 must name the columns path and label"),
        ("path,label\nno.jpg,a\n", "x.csv: 1 missing file(s): line 2: no.jpg"),
        ("path,label\nphotos/val/ant/0.jpg,\n", "x.csv: line 2 has no label"),
        ("path,label\nphotos/val/ant/0.jpg,a\n", "x.csv: one class only (a)"),
        ("path,label\n", "x.csv: lists no images"),
    ],
)
def test_bad_manifests(cli, tiny, photos, tmp_path, monkeypatch, rows, message):
    del photos
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text(rows)
    assert cli(*tiny, "--data", "x.csv", "--out", "run").line.startswith(message)
    assert not Path("run").exists()


# ---- networks and options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--net.depth", "30"), "--net.depth is 30; a CIFAR network has 9n+2 layers"),
        (("--net.width", "0"), "--net.width is 0; it must be"),
        (("--net.drop-path", "2"), "--net.drop-path is 2.0; it must be"),
        (("--net.first-block", "none"), "--net.first-block: must be one of 'pool'"),
        (("--model", "dla60", "--net.depth", "50"), "--model dla60: dla60 has no option 'depth'"),
        (("--model", "resnext29_8c64w", "--net.depth", "12"), "--net.depth is 12; a CIFAR"),
        (
            (
                "--model",
                "inception_v3",
                "--net.depth",
                "null",
                "--net.width",
                "null",
                "--net.drop-path",
                "0.1",
            ),
            "--model inception_v3: inception_v3 has no option drop_path",
        ),
        (("--model", "inception_v3", "--input.size", "64"), "--input.size is 64; inception_v3"),
        (("--input.size", "31"), "--input.size is 31; res2net29_small needs images of at least 32"),
        (("--input.workers", "-1"), "--input.workers is -1; 0 reads in the training process"),
        (("--train.frozen-levels", "4"), "--train.frozen-levels: cannot freeze 4 levels"),
        (("--train.precision", "fp16"), "precision fp16 needs a GPU; use bf16, fp32 or auto"),
        (("--train.strategy", "fsdp"), "--train.devices or --train.strategy: "),
        (("--train.strategy", "dpp"), "--train.strategy: must be one of 'auto', 'ddp', 'fsdp'"),
        (("--train.max-steps", "0"), "--train.max-steps is 0; it must be at least 1"),
        (("--train.val-batches", "0"), "--train.val-batches is 0; it must be at least 1"),
        (("--train.threads", "0"), "--train.threads is 0; it must be at least 1"),
        (("--train.devices", "0"), "--train.devices is 0; it must be at least 1"),
        (("--net.pretrained", "nowhere.ckpt"), "pretrained='nowhere.ckpt': no such file"),
        (("--recipe", "smoek"), "unknown recipe 'smoek'. Did you mean 'smoke'?"),
        (("--train.learning-rate", "1"), "unknown option '--train.learning-rate'. Did you mean"),
    ],
)
def test_bad_options(cli, tiny, tmp_path, options, message):
    if torch.cuda.is_available() and options[0] in ("--train.precision", "--train.strategy"):
        pytest.skip("a GPU can do this")
    run = tmp_path / "run"
    assert cli(*tiny, "--data", "digits", *options, "--out", run).line.startswith(message)
    assert not run.exists()


def test_a_batch_of_one_image_where_batch_norm_needs_two(cli, tiny, photos, tmp_path):
    """32 pixels end in a map of one."""
    deep = ("--model", "res2net18", "--net.depth", "null", "--net.width", "null")
    words = (
        *tiny,
        *deep,
        "--input.size",
        "32",
        "--train.batch",
        "1",
        "--data",
        photos,
        "--out",
        tmp_path / "run",
    )
    line = cli(*words).line
    assert line.startswith("a batch of one image is too small for batch normalisation")
    assert not (tmp_path / "run").exists()
    assert cli(*words, "--net.norm", "group", "--train.max-steps", "1").code == 0


def test_a_batch_larger_than_the_data_is_one_step(cli, tiny, photos, tmp_path):
    words = ("--data", photos, "--train.batch", "1000", "--out", tmp_path / "run")
    assert "1 epoch of 1 step, batch" in cli(*tiny, *words).out


# ---- run folders


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (lambda p: p.write_text("x"), (), "--out {}: a file, not a folder; name another folder"),
        (
            lambda p: p.symlink_to("gone"),
            (),
            "--out {}: a link to gone, which does not exist; name",
        ),
        (lambda p: (p / "a").mkdir(parents=True), (), "--out {} exists; add --resume"),
        (
            lambda p: (p / "a").mkdir(parents=True),
            ("--resume",),
            "--resume: {} is not a run folder (no config.yaml); name another folder",
        ),
        (lambda p: p.parent.write_text("x"), (), "--out {}: cannot be made (Not a directory)"),
    ],
)
def test_a_folder_that_is_taken_stays_as_it_is(cli, tiny, tmp_path, make, words, message):
    run = tmp_path / "runs" / "x"
    run.parent.mkdir()
    if "cannot be made" in message:
        run.parent.rmdir()
    make(run)
    before = sorted(tmp_path.rglob("*"))
    line = cli(*tiny, "--data", "digits", *words, "--out", run).line
    assert line.startswith(message.format(run))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_no_obstacle(cli, tiny, photos, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".config.yaml.123.tmp").write_text("of a killed write")
    assert cli(*tiny, "--data", photos, "--out", run).code == 0


def test_no_permission(cli, tiny, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    run = tmp_path / "run"
    line = cli(*tiny, "--data", "digits", "--out", run).line
    assert line == f"--out {run}: cannot be made (Permission denied); name another folder"


@pytest.mark.parametrize(
    "words", [("train", "--resume", "--out"), ("evaluate", "--data", "digits", "--workers", "0")]
)
def test_a_folder_that_may_not_be_looked_into(cli, tmp_path, monkeypatch, words):
    is_file = Path.is_file

    def refuse(path):
        if path.is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    line = cli(*words, tmp_path).line
    assert line.startswith(f"{tmp_path}/")
    assert line.endswith(": permission denied; check its permissions")


def test_resume_with_other_classes(cli, tiny, photos, tmp_path):
    run = tmp_path / "run"
    assert cli(*tiny, "--data", f"folder:{photos}", "--out", run).code == 0
    for split in ("train", "val"):
        (photos / split / "cat").rename(photos / split / "dog")
    line = cli("train", "--out", run, "--resume", "--train.epochs", "2").line
    assert line.startswith(
        "--resume: the data have 3 classes, the run has 3 (different: cat, dog); start another run"
    )


# ---- running out


def test_nan_stops_and_keeps_the_last_good_checkpoint(cli, tiny, photos, tmp_path, monkeypatch):
    """The weights break in the last step of the second epoch: the first epoch's stay."""
    from res2net.tasks.classify.module import ClassifierModule

    def step(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 2:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return trained(self, batch, batch_idx)

    trained = ClassifierModule.training_step
    monkeypatch.setattr(ClassifierModule, "training_step", step)
    run = tmp_path / "run"
    words = ("--data", f"folder:{photos}", "--train.max-steps", "-1", "--train.epochs", "3")
    line = cli(*tiny, *words, "--train.batch", "6", "--out", run).line
    last = run / "checkpoints" / "last.ckpt"
    assert line.startswith("the loss became nan at step 5 (epoch 2): lower --train.lr, or set")
    assert line.endswith(f"; the last good checkpoint is kept: {last}")
    state, _ = read_weights(last)
    assert all(value.isfinite().all() for value in state.values())
    assert torch.load(last, weights_only=True)["epoch"] == 0


def test_weights_that_break_in_the_last_step_are_never_saved(cli, tiny, photos, tmp_path):
    """One step an epoch: its loss is finite, the weights after it are not."""
    run = tmp_path / "run"
    words = ("--data", f"folder:{photos}", "--train.batch", "100", "--train.lr", "1e38")
    line = cli(*tiny, *words, "--train.epochs", "3", "--out", run).line
    assert line.startswith("the validation loss became nan at step 1 (epoch 1): lower --train.lr")
    assert not run.exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_out_of_memory_says_what_to_lower(cli, tiny, tmp_path, monkeypatch, workers):
    """As on a machine with 300 MB to spare; the process lives on."""
    monkeypatch.setattr(machine, "free_memory", lambda: 300_000_000)
    run = tmp_path / "run"
    words = ("--data", "digits", "--input.size", "1500", "--train.batch", "64")
    line = cli(*tiny, *words, "--input.workers", workers, "--out", run).line
    assert line.startswith("out of memory: lower --train.batch (it is 64; --train.accumulate keeps")
    assert "--input.size (it is 1500)" in line
    assert not run.exists()
    assert bytearray(600_000_000)  # the limit has gone with the run


def test_out_of_memory_in_evaluation(cli, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 200_000_000)
    words = ("--data", "digits", "--size", "1500", "--batch", "100", "--workers", "0")
    line = cli("evaluate", tiny_run, *words, "--out", tmp_path / "x").line
    assert line == "out of memory: lower --batch (it is 100), --size or --workers"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("name", "time", "kept"),
    [
        ("config.yaml", 1, None),
        ("metrics.csv", 2, 0),  # the epoch of the last checkpoint
        ("best.ckpt", 1, None),
        ("last.ckpt", 2, 0),
        ("model.safetensors", 1, 1),
        ("report.md", 1, 1),
    ],
)
def test_a_full_disk(cli, tiny, photos, tmp_path, monkeypatch, name, time, kept):
    """Two epochs, and no room when a file is written for the first or the second time."""
    written, synced = files.write_bytes, os.fsync
    times = 0

    def write(path, data):
        nonlocal times
        times += path.name == name
        monkeypatch.setattr(os, "fsync", no_room if times == time else synced)
        written(path, data)

    def no_room(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module in ("files", "training.checkpoints", "models.weights"):
        monkeypatch.setattr(f"res2net.{module}.write_bytes", write)
    run = tmp_path / "run"
    words = ("--data", f"folder:{photos}", "--train.max-steps", "-1", "--train.epochs", "2")
    line = cli(*tiny, *words, "--train.batch", "9", "--out", run).line
    assert line.startswith("no space left on ")
    assert f" while writing {name}; free some and run again (with --resume if training)" in line
    assert list(tmp_path.rglob("*.tmp")) == []
    if kept is None:
        assert not run.exists()
        return
    last = run / "checkpoints" / "last.ckpt"
    assert line.endswith(f"; the last good checkpoint is kept: {last}")
    assert torch.load(last, weights_only=True)["epoch"] == kept
    monkeypatch.undo()
    assert cli("train", "--out", run, "--resume").code == 0  # with room again
    assert (run / "report.md").is_file()


@pytest.mark.skipif(not shutil.which("mount") or os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize(("size", "kept"), [("8k", None), ("2000k", "best.ckpt")])
def test_a_disk_that_is_really_full(cli, tiny, photos, tmp_path, size, kept):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("may not mount here")
    run = disk / "run"
    try:
        line = cli(*tiny, *WHOLE[2:], "--data", f"folder:{photos}", "--out", run).line
        assert line.startswith("no space left on ")
        if kept is None:
            assert list(disk.iterdir()) == []
        else:
            assert line.endswith(f"; the last good checkpoint is kept: {run}/checkpoints/{kept}")
            assert read_weights(run / "checkpoints" / kept)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# ---- stopped


@pytest.mark.parametrize(
    "sign", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_run_says_how_to_go_on(tmp_path, photos, tiny, forked, sign):
    """As Ctrl-C reaches it, loader process and all."""
    run = tmp_path / "run"
    words = ("--data", f"folder:{photos}", "--train.epochs", "100000", "--train.max-steps", "-1")
    output = tmp_path / "output"
    process = forked([*tiny, *words, "--input.workers", "1", "--out", str(run)], output)
    try:
        deadline = time.monotonic() + 60
        while not (run / "checkpoints" / "last.ckpt").is_file() and time.monotonic() < deadline:
            assert process.is_alive()
            time.sleep(0.05)
        (os.killpg if sign == signal.SIGINT else os.kill)(process.pid, sign)
        process.join(60)
    finally:
        process.kill()
    last = output.read_text().splitlines()[-1]
    assert last == f"res2net: stopped; resume with: res2net train --out {run} --resume"
    assert process.exitcode == 130
    assert read_weights(run / "checkpoints" / "last.ckpt")
    assert list(run.rglob("*.tmp")) == []
