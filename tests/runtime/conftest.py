"""Artifacts of a small network with random weights, exported once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.deploy.export import export

NETWORK = "res2net29_small"  # 32 pixels


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For OpenVINO, one image at a time."""
    folder = tmp_path_factory.mktemp("artifacts") / "openvino"
    export(NETWORK, folder, engine="openvino")
    return folder


@pytest.fixture(scope="session")
def onnx_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For ONNX Runtime, any number of images at a time."""
    folder = tmp_path_factory.mktemp("artifacts") / "onnx"
    export(NETWORK, folder, engine="onnx", dynamic_batch=True)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven images in two folders, one of them damaged."""
    chance = np.random.default_rng(0)
    for i in range(6):
        file = tmp_path / "photos" / ("a" if i < 3 else "b") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 255, (40 + i, 50, 3), np.uint8)).save(file)
    (tmp_path / "photos" / "a" / "bad.jpg").write_bytes(b"not an image")
    return tmp_path / "photos"
