"""The interface of all networks: levels, pooled features, a replaceable head.

After the class follow helpers shared by the families: which strides become dilations
(``output_stride``), drop-path rates, initialisation.

Legend: B batch · C channels · H, W space · N classes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.errors import UserError
from res2net.models.checkpointing import RECOMPUTE, TOGETHER
from res2net.paper.variant import FirstBlock

GlobalPool = Literal["avg", "max", "avgmax"]
Checkpointing = Literal["none", "cheap", "full"]  # see res2net.models.checkpointing


class Level(NamedTuple):
    """One feature map of a network for heads."""

    name: str  # c1..c5 (ImageNet rows), c1..c3 (CIFAR rows)
    channels: int
    stride: int  # input pixels per step of this map


class Step(NamedTuple):
    """A step of the forward pass: its function, its modules and the level it ends in."""

    level: str | None
    run: Callable[[Tensor], Tensor]
    modules: tuple[nn.Module, ...]


class GlobalPooling(nn.Module):
    """(B, C, H, W) → (B, C): the mean, the maximum, or the mean of both."""

    def __init__(self, kind: GlobalPool) -> None:
        super().__init__()
        if kind not in ("avg", "max", "avgmax"):
            raise ValueError(f"global_pool is {kind!r}; it must be 'avg', 'max' or 'avgmax'")
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "avg":
            return x.mean(
                (2, 3)
            )  # equals adaptive pooling, whose exported graph also contains strides
        if self.kind == "max":
            return F.adaptive_max_pool2d(x, 1).flatten(1)
        return 0.5 * (x.mean((2, 3)) + F.adaptive_max_pool2d(x, 1).flatten(1))

    def extra_repr(self) -> str:
        return self.kind


class PointwiseLinear(nn.Conv2d):
    """A linear layer with the weight shape of a 1×1 convolution, as in DLA's files."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C) → (B, N)
        return F.linear(x, self.weight.flatten(1), self.bias)


class Network(nn.Module, ABC):
    """A classification network that is also a backbone.

    Subclasses set ``levels`` and give ``steps``; the last step ends in the last level. The
    classifier is the attribute named by ``HEAD`` (the name that published files use).
    """

    HEAD = "fc"
    levels: tuple[Level, ...]
    first_block: FirstBlock | None = None  # rule of its first blocks, set by create_model
    weights_notice = ""  # source and licence of its weights, set by create_model

    def __init__(self, *, global_pool: GlobalPool) -> None:
        super().__init__()
        self.global_pool = GlobalPooling(global_pool)
        self.gradient_checkpointing: Checkpointing = "none"
        self.frozen_levels = 0
        self.num_classes = 0

    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """The forward pass up to the last level, in order."""

    def make_head(self, features: int, classes: int) -> nn.Module:
        """A classifier for ``classes`` classes: (B, features) → (B, classes)."""
        return nn.Linear(features, classes)

    @property
    def num_features(self) -> int:
        """Channels of the pooled features."""
        return self.levels[-1].channels

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one; 0 removes it, so ``forward`` returns features.

        Raises:
            ValueError: a negative or non-integer number.
        """
        check_count("num_classes", num_classes, 0)
        old = next(self.parameters(), None)
        head = self.make_head(self.num_features, num_classes) if num_classes else nn.Identity()
        if old is not None:
            head = head.to(device=old.device, dtype=old.dtype)
        setattr(self, self.HEAD, head)
        self.num_classes = num_classes

    def forward_features(self, x: Tensor) -> Tensor:
        """The last level's map: (B, 3, H, W) → (B, C, H/stride, W/stride)."""
        for step in self.steps():
            x = step.run(x)
        return x

    def forward_levels(self, x: Tensor, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The maps of the named levels (all by default), by name.

        Raises:
            ValueError: an unknown level; the message lists the levels.
        """
        has = [level.name for level in self.levels]
        wanted = has if names is None else list(names)
        for name in wanted:
            if name not in has:
                raise ValueError(f"no level {name!r}; this network has {', '.join(has)}")
        maps: dict[str, Tensor] = {}
        for step in self.steps():
            x = step.run(x)
            if step.level in wanted:
                maps[step.level] = x
            if len(maps) == len(set(wanted)):
                break
        return {name: maps[name] for name in wanted}

    def forward_head(self, x: Tensor) -> Tensor:
        """Pool and classify: (B, C, H, W) → (B, N), or (B, C) without a classifier."""
        logits: Tensor = getattr(self, self.HEAD)(self.global_pool(x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def training_outputs(self, x: Tensor) -> tuple[tuple[float, Tensor], ...]:
        """(loss weight, logits) for each trained classifier; one unless overridden."""
        return ((1.0, self(x)),)

    def run_blocks(self, blocks: nn.Module, x: Tensor) -> Tensor:
        """Run consecutive blocks, with recomputation as set by ``gradient_checkpointing``."""
        kind = self.gradient_checkpointing
        if kind == "none" or not (self.training and torch.is_grad_enabled()):
            return blocks(x)
        if not isinstance(blocks, nn.Sequential):
            return RECOMPUTE[kind](blocks, x)
        for start in range(0, len(blocks), TOGETHER[kind]):
            x = RECOMPUTE[kind](blocks[start : start + TOGETHER[kind]], x)
        return x

    def freeze(self, levels: int) -> None:
        """Freeze the first ``levels`` levels: no gradients, and norms stay in evaluation mode.

        1 freezes the stem (up to c1), 2 the first stage as well (up to c2), 0 nothing.

        Raises:
            ValueError: more levels than the network has, or a negative number.
        """
        if levels not in range(self.count_levels() + 1):
            raise ValueError(
                f"cannot freeze {levels!r} levels; this network has {self.count_levels()}"
            )
        self.frozen_levels = levels
        self.requires_grad_(True)
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def count_levels(self) -> int:
        """All levels from the stem on, returned or not; freezing counts these."""
        return sum(step.level is not None for step in self.steps())

    def depths(self) -> Iterator[tuple[int, Step]]:
        """Each step with the number of levels that end before it: 0 in the stem."""
        reached = 0
        for step in self.steps():
            yield reached, step
            reached += step.level is not None

    def _frozen_modules(self) -> list[nn.Module]:
        below = (step for depth, step in self.depths() if depth < self.frozen_levels)
        return [module for step in below for module in step.modules]

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        for module in self._frozen_modules() if self.frozen_levels else ():
            module.eval()
        return self


def check_count(what: str, value: object, least: int) -> None:
    """Refuse values that are not integers, or below ``least``.

    Raises:
        ValueError: names ``what``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{what} is {value!r}; it must be a whole number, at least {least}")


class Sampling(NamedTuple):
    """Stride and dilation at a position of a network that may have a stride.

    If ``output_stride`` removes a stride, all later layers are dilated by its factor. The
    convolution that had the stride is not dilated by it; the layers that read its output are.
    """

    stride: int = 1  # of the convolution that carries it
    removed: int = 1  # factor by which its stride was lowered
    dilation: int = 1  # pixels between the taps of that convolution

    @property
    def original_stride(self) -> int:
        """The stride without dilation."""
        return self.stride * self.removed

    @property
    def behind(self) -> Sampling:
        """The sampling of the following blocks."""
        return Sampling(dilation=self.dilation * self.removed)


def plan_strides(
    strides: Sequence[int], start: int, output_stride: int | None
) -> tuple[tuple[Sampling, int], ...]:
    """The sampling of each stage, and the stride of its output in input pixels.

    Args:
        strides: of the stages, in order.
        start: stride of the first stage's input.
        output_stride: of the last stage: the full stride, half or a quarter of it; None is the full
            one.

    Raises:
        ValueError: another output stride; lists the supported ones.
    """
    full = start
    for stride in strides:
        full *= stride
    choices = (full, full // 2, full // 4)
    output_stride = full if output_stride is None else output_stride
    if output_stride not in choices:
        raise ValueError(
            f"output_stride is {output_stride}; this network can have "
            f"{choices[0]}, {choices[1]} or {choices[2]}"
        )
    plan = []
    reached, dilation = start, 1
    for stride in strides:
        removed = stride if reached * stride > output_stride else 1
        reached *= stride // removed
        plan.append((Sampling(stride // removed, removed, dilation), reached))
        dilation *= removed
    return tuple(plan)


def drop_path_rates(last: float, blocks: int) -> Iterator[float]:
    """Rates of a network's blocks in order, growing linearly from 0 to ``last``.

    Raises:
        ValueError: a rate outside [0, 1).
    """
    if not isinstance(last, Real) or not 0 <= last < 1:
        raise ValueError(f"drop_path is {last!r}; it must be at least 0 and below 1")
    return iter([last * i / max(1, blocks - 1) for i in range(blocks)])


def initialise(model: nn.Module) -> None:
    """He initialisation by fan-out for every convolution; norms start at 1 and 0.

    Equal to ``normal(0, sqrt(2 / (k·k·out)))``, as DLA and Res2NeXt write it.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, PointwiseLinear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def zero_residual_branches(model: nn.Module) -> None:
    """Set the weight of the norm before each addition to 0, so every block starts as identity."""
    for module in model.modules():
        norm = getattr(module, "last_norm", None)
        if norm is not None:
            nn.init.zeros_(norm.weight)


def whiten(model: nn.Module, images: Tensor, seed: int) -> None:
    """Fix the first convolution to filters of uncorrelated outputs of variance 1 on these images.

    The filters are the principal directions of its patches by decreasing variance, then their
    negatives (a ReLU keeps one sign of each); further filters are random mixtures of all.

    Args:
        images: (B, C, S, S), normalised.
        seed: of the mixtures.

    Raises:
        UserError: a network that does not begin with a plain convolution of the images.
    """
    first = next(each for each in model.modules() if isinstance(each, nn.Conv2d))
    if first.in_channels != images.shape[1] or first.groups > 1:
        raise UserError(
            "--net.whiten: needs a network with a plain first convolution; set it to false"
        )
    size = first.weight[0].numel()
    count, total = 0, torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    for image in images:
        patches = F.unfold(image[None], first.kernel_size, stride=first.stride)[0].double()
        count, total = count + patches.shape[1], total + patches.sum(1)
        products += patches @ patches.T
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - mean.outer(mean))
    directions *= directions.gather(
        0, directions.abs().argmax(0)[None]
    ).sign()  # fixes the arbitrary sign
    least = 1e-3 * variances.mean()  # regularises directions of little variance
    rows = (directions / (variances + least).sqrt()).T.flip(0)
    half = min(size, first.out_channels // 2)
    chance = torch.Generator().manual_seed(seed)
    more = torch.randn(first.out_channels - 2 * half, size, generator=chance, dtype=torch.float64)
    filters = torch.cat([rows[:half], -rows[:half], F.normalize(more, dim=1) @ rows])
    with torch.no_grad():
        first.weight.copy_(filters.view_as(first.weight))
    first.weight.requires_grad_(False)
