"""A native artifact in use: which engine runs it, and what is said where ours cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.deploy.export import export
from res2net.errors import UserError
from res2net.native.binding import unsupported_reason
from res2net.runtime.artifact import Artifact
from res2net.runtime.engines import Native, OpenVino
from res2net.runtime.main import main
from res2net.runtime.session import load

PRECISION = "bf16" if unsupported_reason("bf16") is None else "fp32"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (reason := unsupported_reason("fp32")) is not None:
        pytest.skip(f"no native engine: {reason}")
    out = tmp_path_factory.mktemp("native") / "artifact"
    options = {"engine": "native", "precision": PRECISION, "size": 64}
    export("res2net26_small", out, **options)
    return out


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def test_auto_takes_the_faster_and_both_agree(artifact):
    times = json.loads(_metadata(artifact)["program"])["milliseconds"][PRECISION]
    fastest = min(times, key=times.__getitem__)
    runtimes = {name: load(artifact, engine=name, threads=2) for name in ("native", "openvino")}
    assert isinstance(runtimes["native"].engine, Native)
    assert isinstance(runtimes["openvino"].engine, OpenVino)
    assert type(load(artifact).engine) is type(runtimes[fastest].engine)
    ours, theirs = (runtime(_images(3)) for runtime in runtimes.values())
    assert np.linalg.norm(ours - theirs) < 2e-2 * np.linalg.norm(theirs)
    assert f"native {times['native']:.1f} ms" in (artifact / "report.md").read_text()


def _metadata(artifact: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(artifact / "model.r2n", "np") as file:
        return file.metadata()


def test_a_processor_without_the_instructions(artifact, monkeypatch, tmp_path, capsys):
    lacks = f"this processor lacks AVX2 with FMA, which {PRECISION} needs"
    for room in ("runtime.engines", "deploy.targets"):
        monkeypatch.setattr(f"res2net.{room}.unsupported_reason", lambda precision: lacks)
    with pytest.warns(UserWarning, match="lacks AVX2 with FMA.* needs; running in OpenVINO"):
        runtime = load(artifact, threads=1)
    assert isinstance(runtime.engine, OpenVino)
    with pytest.raises(UserError, match="--engine native: .* lacks AVX2.* --engine openvino"):
        load(artifact, engine="native")
    with pytest.raises(UserError, match="--to native: this processor lacks AVX2 with FMA"):
        export("res2net26_small", tmp_path / "out", engine="native")
    photo = tmp_path / "photo.png"
    Image.fromarray(_images(1)[0]).save(photo)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main([str(artifact), str(photo), "--threads", "1"]) == 0
    assert "note: " in (said := capsys.readouterr().err)
    assert "running in OpenVINO" in said
    assert main([str(artifact), str(photo), "--engine", "native"]) == 2


def test_a_program_of_wrong_numbers_is_refused(artifact, monkeypatch):
    monkeypatch.setattr(Artifact, "check_files", lambda self: None)
    path = artifact / "model.r2n"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole.replace(b'\\"kernel\\": 3', b'\\"kernel\\": 4'))
        with pytest.raises(UserError, match=r"model.r2n: the engine cannot load it"):
            load(artifact, engine="native")
    finally:
        path.write_bytes(whole)


def test_it_needs_no_more_memory_than_openvino(artifact):
    code = (
        "import resource, sys, numpy as np; from res2net.runtime import load; "
        "runtime = load(sys.argv[1], engine=sys.argv[2], threads=2); "
        "runtime(np.zeros((1, 64, 64, 3), np.uint8)); assert 'torch' not in sys.modules; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    ours, theirs = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, artifact, engine],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for engine in ("native", "openvino")
    )
    assert 0 < ours <= theirs
