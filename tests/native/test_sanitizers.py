"""The library under AddressSanitizer and UndefinedBehaviorSanitizer, over awkward shapes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import random_images

SOURCE = Path(__file__).resolve().parents[2] / "src" / "res2net" / "native"
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
# widths below a vector, splits that begin inside one, groups, odd sizes, one pixel in the end
CASES = """
import sys
from pathlib import Path
from res2net.native import binding
binding._file = lambda: Path(sys.argv[1])
import numpy as np
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram

for path in sys.argv[2:]:
    program = NativeProgram.read(Path(path))
    able = [p for p in ("bf16", "fp32", "int8") if binding.unsupported_reason(p) is None]
    for precision in {"int8"} & {*able} if "in int8" in path else {"bf16", "fp32"} & {*able}:
        for threads in (1, 3):
            network = NativeNetwork(program, precision, threads)
            for shape in ((1, 32, 32), (3, 47, 33), (2, 33, 70), (1, 32, 32)):
                found = network(np.full((*shape, 3), 200, np.uint8))
                assert all(np.isfinite(y).all() for y in found), (path, precision, shape)
            del network
print("clean")
"""
NETWORKS = {
    "narrow": ("res2net26_small", {"width": 5, "scale": 3}),
    "odd": ("res2net26_small", {"width": 26, "scale": 7, "se": True}),
    "groups": ("res2net26_small", {"width": 6, "scale": 4, "cardinality": 3}),
    "many groups": ("resnet26_small", {"width": 4, "cardinality": 32}),
    "basic": ("res2net18", {}),
    "deep stem": ("res2net50d", {"width": 13}),
    "cifar": ("res2next29_6c24w_4s_se", {"depth": 11}),
}


@pytest.mark.slow
@pytest.mark.usefixtures("engine")
def test_no_byte_is_touched_that_is_not_ours(folded, tmp_path):
    from res2net.deploy.native_int8 import in_int8
    from res2net.deploy.native_walk import walk
    from res2net.models.factory import create_model

    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    built = tmp_path / "sanitized.so"
    sources = [str(path) for path in sorted(SOURCE.glob("*.cpp"))]
    options = ("-std=c++17", "-O1", "-shared", "-fPIC", "-pthread", "-w", *SANITIZE)
    subprocess.run([compiler, *options, *sources, "-o", str(built)], check=True)
    files = []
    for name, (row, change) in NETWORKS.items():
        program = walk(folded(create_model(row, num_classes=3, **change)))
        whole = in_int8(program, [random_images(1, 32, 32)])
        for kind, each in {name: program, f"{name} in int8": whole}.items():
            files.append(tmp_path / f"{kind}.r2n")
            files[-1].write_bytes(each.to_bytes())
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    done = subprocess.run(
        [sys.executable, "-c", CASES, str(built), *map(str, files)],
        env={
            "PATH": "",
            "PYTHONPATH": str(SOURCE.parents[1]),
            "LD_PRELOAD": runtime.stdout.strip(),
            # Python itself keeps memory to the end
            "ASAN_OPTIONS": "detect_leaks=0",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr[-4000:]
