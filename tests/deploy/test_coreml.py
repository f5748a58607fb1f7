"""Core ML: the written package holds the network; results need Apple's systems."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import res2net.runtime
from res2net import create_model
from res2net.data.preprocess import default_preprocess
from res2net.deploy import coreml
from res2net.deploy.export import export
from res2net.deploy.program import Program
from res2net.errors import UserError
from res2net.rewrite import fold_batchnorm


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("fp16", 2)])
def test_a_package_has_the_layers_weights_and_classes(tmp_path, precision, size):
    done = export("res2net29_small", tmp_path / "a", engine="coreml", precision=precision, size=64)
    plain = create_model("res2net29_small")
    convolutions = sum(name.endswith("Conv2d") for name in map(_kind, plain.modules()))
    said = done.verification.unrun
    assert "results were not compared with PyTorch" in said
    assert f"1000 classes, input `images` of 64×64 pixels, outputs logits, {convolutions} " in said
    record = json.loads((tmp_path / "a" / "model.json").read_text())["artifact"]
    assert record["verification"]["unrun"] == said
    assert said in (tmp_path / "a" / "report.md").read_text()
    held = tmp_path / "a" / "model.mlpackage" / "Data" / "com.apple.CoreML" / "weights"
    folded = sum(each.numel() for each in fold_batchnorm(plain.eval()).parameters())
    assert folded * size <= (held / "weight.bin").stat().st_size < 1.05 * folded * size
    assert set(record["files"]) == {
        str(file.relative_to(tmp_path / "a"))
        for file in (tmp_path / "a" / "model.mlpackage").rglob("*")
        if file.is_file()
    }
    with pytest.raises(UserError, match="for coreml runs on Apple's devices, not here"):
        res2net.runtime.load(tmp_path / "a")
    (held / "weight.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"weight\.bin: changed since it was exported"):
        res2net.runtime.load(tmp_path / "a")


def _kind(module: object) -> str:
    return type(module).__name__


def test_another_structure_is_found_out_and_others_are_refused(tmp_path):
    program = Program(create_model("res2net29_small", num_classes=3).eval(), default_preprocess(32))
    coreml.save(
        coreml.convert(program, (32, 32), 1), tmp_path / "m.mlpackage", {"classes": '["a"]'}
    )
    given = (tmp_path / "m.mlpackage", program, (32, 32), "fp32", {"classes": '["a"]'})
    assert coreml.structure(*given)[1] == []
    larger = Program(create_model("res2net50_26w_4s").eval(), default_preprocess(32))
    wrong = "; ".join(coreml.structure(given[0], larger, (32, 48), "fp32", {"classes": '["b"]'})[1])
    for part in ("inputs are [('images', (32, 32))]", "convolutions are 43, not", "bytes of weigh",
                 """classes are ["a"], not ["b"]"""):  # fmt: skip
        assert part in wrong
    with pytest.raises(UserError, match="--dynamic-batch: Core ML takes one image at a time"):
        coreml.convert(program, (32, 32), None)
    bands = replace(default_preprocess(32), mean=(0.5,) * 4, std=(0.2,) * 4)
    four = Program(create_model("res2net29_small", in_channels=4).eval(), bands)
    with pytest.raises(UserError, match="its images have 1 or 3 channels, not 4"):
        coreml.convert(four, (32, 32), 1)
