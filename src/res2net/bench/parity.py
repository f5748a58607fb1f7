"""Numerical differences between our networks and timm's and torchvision's with the same weights.

Evaluation is compared in float32, a training step in float64: in float32 batch statistics differ
by memory layout alone, for a network against itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from res2net.bench.makers import builder
from res2net.bench.options import ParityOptions
from res2net.bench.protocol import Measurement, Track, versions_of
from res2net.errors import UserError
from res2net.models.factory import create_model

SIZES = (64, 65, 225, 299)  # pixels
SIZES_DLA = (64, 96, 224)  # timm's DLA takes multiples of 32 only
EVALUATION, TRAINING = 1e-5, 1e-9  # allowed relative differences
_STAGES = {"c2": "layer1", "c3": "layer2", "c4": "layer3", "c5": "layer4"}
_LEVELS = {  # library, DLA or not → level → module of theirs whose output it is
    ("timm", False): {"c1": "act1", **_STAGES},
    ("timm", True): {f"c{n}": f"level{n}" for n in range(1, 6)},
    ("torchvision", False): _STAGES,
}
_TIMM = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "seresnet50"),
    *("dla60", "dla60x", "dla60_res2net", "dla60_res2next"),
    *("res2net50_48w_2s", "res2net50_26w_4s", "res2net50_14w_8s", "res2net50_26w_6s"),
    *("res2net50_26w_8s", "res2net101_26w_4s", "res2next50", "res2net50d", "res2net101d"),
)
_TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d"),
    *("inception_v3", "densenet161"),
)
SHARED = (*((name, "timm") for name in _TIMM), *((name, "torchvision") for name in _TORCHVISION))
COLUMNS = {
    n: n for n in ("network", "library", "logits", "levels", "gradients", "statistics")
}  # relative differences


def run(options: ParityOptions, track: Track) -> Measurement:
    """Differences from timm and torchvision.

    Raises:
        UserError: no other library has the network, or one is not installed.
    """
    pairs = [pair for pair in SHARED if options.model in ("all", pair[0])]
    if not pairs:
        shared = ", ".join(dict.fromkeys(network for network, _ in SHARED))
        raise UserError(f"--model {options.model}: no other library has it; all, or {shared}")
    rows: list[dict[str, object]] = []
    for network, library in track(pairs, len(pairs), "comparing"):
        found = compare(network, library)
        rows.append(
            {
                "network": network,
                "library": library,
                "sizes": " ".join(map(str, found.sizes)),
                "logits": f"{found.logits:.1e}",
                "level_names": " ".join(found.levels),
                "levels": f"{max(found.levels.values()):.1e}" if found.levels else "",
                "gradients": f"{found.gradients:.1e}",
                "statistics": f"{found.statistics:.1e}",
                "holds": found.holds,
                **versions_of("timm"),
            }
        )
    return Measurement(rows=rows, columns=COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The largest relative differences, ‖ours − theirs‖ / ‖theirs‖."""

    network: str
    library: str
    sizes: tuple[int, ...]  # pixels, in evaluation
    logits: float
    levels: Mapping[str, float]  # level → difference; empty if theirs has no such maps
    gradients: float
    statistics: float  # running means and variances after the step

    @property
    def holds(self) -> bool:
        """Whether all differences are allowed."""
        evaluated = max(self.logits, *self.levels.values(), 0.0)
        return evaluated < EVALUATION and max(self.gradients, self.statistics) < TRAINING


def compare(network: str, library: str, sizes: tuple[int, ...] | None = None) -> Parity:
    """Compare one network with its counterpart.

    Raises:
        UserError: the library is not installed.
    """
    if sizes is None:
        sizes = SIZES_DLA if _is_dla(network) else SIZES
        sizes = tuple(size for size in sizes if network != "inception_v3" or size >= 75)
    logits, levels = _evaluate(network, library, sizes)
    gradients, statistics = _train(network, library)
    return Parity(
        network=network,
        library=library,
        sizes=sizes,
        logits=logits,
        levels=levels,
        gradients=gradients,
        statistics=statistics,
    )


def _evaluate(network: str, library: str, sizes: tuple[int, ...]) -> tuple[float, dict[str, float]]:
    ours, theirs = (model.eval() for model in _pair(network, library, torch.float32))
    taken = _LEVELS.get((library, _is_dla(network)), {})
    if network in ("inception_v3", "densenet161"):
        taken = {}
    logits, levels = 0.0, dict.fromkeys(taken, 0.0)
    for size in sizes:
        image = _noise(1, size, torch.float32)
        with torch.no_grad(), _outputs(theirs, taken) as expected:
            logits = max(logits, _apart(ours(image), theirs(image)))
            maps = ours.forward_levels(image, taken) if taken else {}
        for name, found in maps.items():
            levels[name] = max(levels[name], _apart(found, expected[name]))
    return logits, levels


def _train(network: str, library: str) -> tuple[float, float]:
    ours, theirs = (model.train() for model in _pair(network, library, torch.float64))
    size = 299 if network == "inception_v3" else 64
    image = _noise(2, size, torch.float64)
    torch.manual_seed(0)  # dropout of inception
    outputs = [logits for _, logits in ours.training_outputs(image)]
    torch.autograd.backward([y.square().sum() for y in outputs])
    torch.manual_seed(0)
    expected_outputs = theirs(image)  # two for inception: also those of the auxiliary classifier
    several = isinstance(expected_outputs, tuple)
    expected_outputs = expected_outputs if several else (expected_outputs,)
    torch.autograd.backward([y.square().sum() for y in expected_outputs])
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    if found.keys() != expected.keys():
        raise AssertionError(f"gradients of other parameters: {found.keys() ^ expected.keys()}")
    gradients = max(_apart(found[name], grad) for name, grad in expected.items())
    buffers = dict(ours.named_buffers())
    statistics = max(
        _apart(buffers[name], value)
        for name, value in theirs.named_buffers()
        if value.is_floating_point()
    )
    return gradients, statistics


def _pair(network: str, library: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Ours and theirs with the same weights and statistics, chosen so that every path matters."""
    theirs = builder(network, library)().to(dtype)
    generator = torch.Generator().manual_seed(7)
    for name, value in theirs.state_dict().items():
        if value.ndim <= 1 and value.is_floating_point():  # initial norms would hide a missing one
            noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            value.copy_((0.0 if name.endswith(("bias", "mean")) else 1.0) + 0.2 * (noise - 0.5))
    ours = create_model(network).to(dtype)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@contextmanager
def _outputs(model: nn.Module, modules: Mapping[str, str]) -> Iterator[dict[str, Tensor]]:
    """Within it, the outputs of the named modules, by level."""
    found: dict[str, Tensor] = {}

    def keep(level: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: found.update({level: output})

    hooks = [
        model.get_submodule(name).register_forward_hook(keep(level))
        for level, name in modules.items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _noise(batch: int, size: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(batch, 3, size, size, dtype=dtype, generator=generator)


def _apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-30))


def _is_dla(network: str) -> bool:
    return network.startswith("dla")
