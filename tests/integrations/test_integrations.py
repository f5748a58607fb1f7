"""Missing libraries, and what an import must not do."""

from __future__ import annotations

import importlib
import sys

import pytest
import timm

import res2net.integrations

LIBRARIES = {
    "huggingface": ("huggingface_hub", r"res2net\[hub\]"),
    "smp": ("segmentation_models_pytorch", "segmentation-models-pytorch"),
    "timm": ("timm", "timm"),
}


@pytest.mark.parametrize("module", LIBRARIES)
def test_a_missing_library_is_one_line_that_says_how_to_get_it(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, install = LIBRARIES[module]
    name = f"res2net.integrations.{module}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    for loaded in [key for key in sys.modules if key.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{name} needs {package}: pip install '{install}'$"
    with pytest.raises(ModuleNotFoundError, match=message) as caught:
        importlib.import_module(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", ["smp", "timm"])
def test_importing_registers_nothing(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    before = timm.list_models(), list(smp.encoders.encoders)
    ours = importlib.import_module(f"res2net.integrations.{module}")
    monkeypatch.setattr(res2net.integrations, module, ours)  # undone, the first import is back
    monkeypatch.delitem(sys.modules, ours.__name__)
    assert importlib.import_module(ours.__name__) is not ours
    assert (timm.list_models(), list(smp.encoders.encoders)) == before
