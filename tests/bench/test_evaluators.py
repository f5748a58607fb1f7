"""Both of a pair find the same."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.bench import evaluators


def test_pairs_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluators, "IMAGES", 8)
    monkeypatch.setattr(evaluators, "HEAT", (3, 5, 16, 12))
    cases = evaluators.make()
    assert set(evaluators.OURS) | set(evaluators.OURS.values()) == set(cases)
    ours, theirs = cases["coco ours"](), cases["coco faster-coco-eval"]()
    np.testing.assert_array_equal(theirs, cases["coco faster-coco-eval, rows ready"]())  # type: ignore[arg-type]
    assert ours.stats["ap50"] == pytest.approx(100 * theirs[1], abs=1e-9)  # type: ignore[attr-defined, index]
    assert ours.stats["ap50"] > 1  # type: ignore[attr-defined]
    assert ours.stats["ap50"] == pytest.approx(100 * cases["coco torchmetrics"]()["map_50"].item())  # type: ignore[attr-defined, index]
    one, other = cases["peaks ours"](), cases["peaks one by one"]()
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)
