"""Files through an artifact beside the network alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.bench.folder import measure
from res2net.deploy.export import export
from res2net.errors import UserError


def test_both_rates_and_their_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    export("res2net29_small", tmp_path / "a", engine="openvino")
    (tmp_path / "photos").mkdir()
    for i in range(5):
        Image.fromarray(np.full((60, 80, 3), 40 * i, np.uint8)).save(tmp_path / f"photos/{i}.jpg")
    found = measure(tmp_path / "a", [str(tmp_path / "photos")], rounds=2)
    assert found.images == 5
    assert found.whole > 0
    assert found.alone > 0
    assert found.share.median == pytest.approx(found.whole / found.alone, rel=0.9)
    assert found.share.low <= found.share.median <= found.share.high
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no images in"):
        measure(tmp_path / "a", [str(tmp_path / "none")])
