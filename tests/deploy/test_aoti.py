"""What a compiled network is given; the compiler itself is for the slow tests of export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from res2net.deploy import aoti


@pytest.mark.parametrize(("free", "sizes"), [("1", [5]), ("", [1, 1, 1, 1, 1])])
def test_a_batch_is_cut_to_what_the_code_takes(monkeypatch, free, sizes):
    given = []

    class Package:
        metadata = {aoti.FREE: free}  # noqa: RUF012

        def __init__(self, path):
            del path

        def run(self, images):
            given.append(len(images))
            return [images.astype(np.float32).mean((1, 2))]

    monkeypatch.setattr(aoti, "Package", Package)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    (found,) = aoti.load(Path("model.pt2"), "fp32")(images)
    assert given == sizes
    np.testing.assert_allclose(found, images.astype(np.float32).mean((1, 2)))
