"""Small data sets on disk, made anew for each test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Mapping[str, int]  # class folder -> number of images


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Tree], Path]:
    """Write folders of small PNGs, ``{"train/cat": 3}``, and return their root."""

    def make(tree: Tree) -> Path:
        root = tmp_path / "pets"
        for folder, count in tree.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                write_image(root / folder / f"{i}.png", i)
        return root

    return make


def write_image(path: Path, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
