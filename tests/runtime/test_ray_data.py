"""The same predictions from a local Ray cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.runtime import load
from res2net.runtime.ray_data import predict_with_ray


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray's own sockets and files
def test_a_local_cluster_gives_what_one_process_gives(
    artifact: Path, photos: Path, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with [ray]")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        predict_with_ray(artifact, [str(photos)], tmp_path / "out", top=2, workers=2)
    finally:
        ray.shutdown()
    rows = {row["image"]: row for row in parquet.read_table(tmp_path / "out").to_pylist()}
    assert len(rows) == 7
    bad = rows.pop(str(photos / "a" / "bad.jpg"))
    assert "not an image" in bad["error"]
    runtime = load(artifact)
    for name, row in rows.items():
        assert row["error"] == ""
        expected = runtime.predict(name, top=2)[0]
        assert row["classes"] == [label for label, _ in expected.top]
        assert row["probabilities"] == pytest.approx([p for _, p in expected.top], rel=1e-4)
    with pytest.raises(UserError, match="exists; name another folder"):
        predict_with_ray(artifact, [str(photos)], tmp_path / "out")
