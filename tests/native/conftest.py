"""A network with random weights and norms as a program of the native engine, beside eager."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from res2net.data.preprocess import default_preprocess
from res2net.deploy.program import Program
from res2net.models.network import Network
from res2net.native.binding import TYPES, library, unsupported_reason
from res2net.processor import LEVEL
from res2net.rewrite import fold_batchnorm

TOLERANCE = {"bf16": 2e-2, "fp32": 1e-5}  # relative L2, the contract's
RUNS = tuple(
    precision for precision in TOLERANCE if unsupported_reason(precision) is None
)  # on this processor
ENOUGH = "fp32"  # for tests that one precision is enough for
Pair = Callable[[Network], Program]


def _levels() -> tuple[str, ...]:
    """Levels of ``RES2NET_CPU`` whose kernels differ here: the newest and the oldest."""
    if unsupported_reason("fp32") is not None:
        return ("full",)
    sets = [[library().r2n_instructions(kind, i) for kind in TYPES.values()] for i in (0, 3)]
    return ("full",) if sets[0] == sets[1] else ("full", "avx2")


@pytest.fixture(params=_levels())
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every set of kernels that the processor allows, the newest and the oldest."""
    monkeypatch.setenv(LEVEL, request.param)


@pytest.fixture
def engine(request: pytest.FixtureRequest, kernels: None) -> None:  # noqa: ARG001
    """Skips where the engine cannot run, in the parameter ``precision`` where the test has one."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if (reason := unsupported_reason(given.get("precision", "fp32"))) is not None:
        pytest.skip(f"no native engine: {reason}")


@pytest.fixture
def int8_engine(kernels: None) -> None:  # noqa: ARG001
    """Skips where the engine cannot run in int8."""
    if (reason := unsupported_reason("int8")) is not None:
        pytest.skip(f"no native engine: {reason}")


@pytest.fixture
def folded() -> Pair:
    def make(net: Network) -> Program:
        chance = torch.Generator().manual_seed(0)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=chance)
                module.running_var.uniform_(0.8, 1.2, generator=chance)
                nn.init.uniform_(module.weight, 0.7, 1.1, generator=chance)
                nn.init.normal_(module.bias, 0, 0.1, generator=chance)
        return Program(fold_batchnorm(net.eval()), default_preprocess(64))

    return make


def random_images(batch: int, height: int, width: int) -> np.ndarray:
    chance = np.random.default_rng(batch * height + width)
    return chance.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def eager(program: Program, images: np.ndarray) -> list[np.ndarray]:
    with torch.inference_mode():
        return [y.numpy() for y in program(torch.from_numpy(images))]


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
