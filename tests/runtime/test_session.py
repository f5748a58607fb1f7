"""Artifacts give what PyTorch gives; wrong input is told in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from res2net import create_model
from res2net.data.transforms import normalise
from res2net.deploy.export import export
from res2net.errors import UserError
from res2net.runtime import load


@pytest.fixture(params=["openvino", "onnx"])
def folder(request: pytest.FixtureRequest, artifact: Path, onnx_artifact: Path) -> Path:
    return artifact if request.param == "openvino" else onnx_artifact


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 5])
def test_logits_are_those_of_pytorch(folder: Path, count: int) -> None:
    runtime = load(folder, threads=1)
    images = _images(count)
    torch.manual_seed(0)  # the seed of a bare name's weights
    net = create_model("res2net29_small").eval()
    with torch.no_grad():
        x = normalise(torch.from_numpy(images).permute(0, 3, 1, 2), runtime.preprocess)
        expected = net(x).numpy()
    found = runtime(images)
    assert isinstance(found, np.ndarray)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


def test_predictions_are_the_softmax_in_order_whatever_the_engine_does(folder: Path) -> None:
    images = list(_images(9))
    for stream in (False, True):
        runtime = load(folder, threads=1, stream=stream)
        logits = np.concatenate([runtime(image[None]) for image in images])  # type: ignore[list-item]
        found = runtime.predict(images, top=3)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        odds /= odds.sum(1, keepdims=True)
        for prediction, row in zip(found, odds, strict=True):
            assert prediction.label == runtime.classes[int(row.argmax())]
            assert prediction.probability == pytest.approx(row.max(), rel=1e-4)
            assert len(prediction.top) == 3


def test_a_folder_is_its_images(folder: Path, photos: Path) -> None:
    (photos / "a" / "bad.jpg").unlink()
    runtime, files = load(folder), sorted(photos.rglob("*.png"))
    assert [each.top for each in runtime.predict(photos)] == [
        each.top for each in runtime.predict(files)
    ]


def test_wrong_input_is_refused(artifact: Path) -> None:
    runtime = load(artifact)
    with pytest.raises(ValueError, match=r"images are uint8 \(B, 32, 32, 3\); got float32"):
        runtime(np.zeros((1, 32, 32, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`predict` takes images of any size"):
        runtime(np.zeros((1, 33, 32, 3), np.uint8))
    with pytest.raises(UserError, match="top is 0"):
        runtime.predict(_images(1)[0], top=0)
    with pytest.raises(UserError, match="threads is 0"):
        load(artifact, threads=0)
    with pytest.raises(UserError, match="--engine onnx: .* is for openvino; it can be auto"):
        load(artifact, engine="onnx")


def test_openvino_runs_an_onnx_artifact_too(onnx_artifact: Path) -> None:
    images = _images(2)
    plain = load(onnx_artifact)(images)
    np.testing.assert_allclose(
        load(onnx_artifact, engine="openvino")(images), plain, rtol=1e-3, atol=1e-4
    )


def test_a_backbone_gives_named_maps(tmp_path: Path) -> None:
    export("res2net18", tmp_path / "b", engine="openvino", size=64, features=["c3", "c5"])
    runtime = load(tmp_path / "b")
    maps = runtime(np.zeros((2, 64, 64, 3), np.uint8))
    assert isinstance(maps, dict)
    assert {name: value.shape for name, value in maps.items()} == {
        "c3": (2, 128, 8, 8),
        "c5": (2, 512, 2, 2),
    }
    with pytest.raises(UserError, match="gives c3, c5, not classes"):
        runtime.predict(np.zeros((64, 64, 3), np.uint8))


def test_an_artifact_of_torch_export_says_where_it_runs(tmp_path: Path) -> None:
    export("res2net29_small", tmp_path / "t", engine="torch-export")
    with pytest.raises(UserError, match="runs in PyTorch"):
        load(tmp_path / "t")


def test_signals_are_survived_after_networks_came_and_went(artifact: Path) -> None:
    """OpenVINO once left the process a freed stack for signals; the next one killed it."""
    code = (
        "import faulthandler, signal, subprocess\n"
        "faulthandler.enable()\n"
        "signal.signal(signal.SIGCHLD, lambda *_: None)\n"
        "from res2net.runtime import load\n"
        f"first, second = (load({str(artifact)!r}) for _ in range(2))\n"
        "del first\n"
        "del second\n"
        "for _ in range(3):\n"
        "    subprocess.run(['true'], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


def test_no_torch_is_needed(artifact: Path, photos: Path) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision', 'pytorch_lightning'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from res2net.runtime.main import main\n"
        f"assert main([{str(artifact)!r}, {str(photos)!r}, '--top', '2']) == 0\n"
        "import res2net\n"
        f"print(len(res2net.runtime.load({str(artifact)!r}).classes))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "1000"
    assert "left out" in done.stderr


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """ONNX Runtime as its build for GPUs is: what sessions were asked for."""
    import onnxruntime

    asked: list[list[str]] = []
    real = onnxruntime.InferenceSession

    class Session:
        usable = True

        def __init__(self, path: Path, options: object, providers: list[str]) -> None:
            asked.append(providers)
            self._real = real(path, options, providers=providers[-1:])

        def get_providers(self) -> list[str]:
            return asked[-1] if Session.usable else self._real.get_providers()

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return asked


@pytest.mark.parametrize(
    ("device", "providers"),
    [
        ("auto", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("CUDA", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("tensorrt", ["TensorrtExecutionProvider", "CPUExecutionProvider"]),
        ("cpu", ["CPUExecutionProvider"]),
    ],
)
def test_onnx_runtime_computes_on_a_gpu(
    onnx_artifact: Path, gpu_build: list[list[str]], device: str, providers: list[str]
) -> None:
    runtime = load(onnx_artifact, device=device)
    assert gpu_build == [providers]
    assert np.asarray(runtime(_images(1))).shape[0] == 1


def test_a_gpu_that_cannot_be_used_is_told(
    onnx_artifact: Path, gpu_build: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime.InferenceSession, "usable", False)
    with pytest.warns(UserWarning, match="no usable GPU; running on the CPU"):
        load(onnx_artifact)
    with pytest.raises(UserError, match="--device cuda: ONNX Runtime cannot use it"):
        load(onnx_artifact, device="cuda")
    load(onnx_artifact, device="cpu")
    assert len(gpu_build) == 3


def test_a_device_that_is_not_there(artifact: Path, onnx_artifact: Path) -> None:
    with pytest.raises(
        UserError, match=r"--device tpu: ONNX Runtime has auto, cpu.* here; for GPUs"
    ):
        load(onnx_artifact, device="tpu")
    with pytest.raises(UserError, match=r"--device cuda: OpenVINO finds auto, cpu.* here"):
        load(artifact, device="cuda")
    load(artifact, device="cpu")


def test_machine_code_is_not_run_unasked(artifact: Path, tmp_path: Path) -> None:
    import json
    import shutil

    folder = shutil.copytree(artifact, tmp_path / "copy")
    card = json.loads((folder / "model.json").read_text())
    card["artifact"]["engine"] = "aoti"
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="contains machine code, .* add --engine aoti"):
        load(folder)
    with pytest.raises(UserError, match="compiled for one device"):
        load(folder, engine="aoti", device="cuda")
    with pytest.raises(UserError, match="the engine cannot load it"):
        load(folder, engine="aoti")
