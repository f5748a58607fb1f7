"""The two baselines taken from torchvision: Inception-v3 (Table 1) and DenseNet-161 (Table 2).

The networks are torchvision's own modules under their own names, so its files load as they are;
what is added is the contract of ``Network``. Legend: B batch · C channels · N classes
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torchvision.models as tv
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.models.network import GlobalPool, Level, Network, Step
from res2net.paper.variant import TorchvisionVariant

AUXILIARY_WEIGHT = 0.4  # of the auxiliary classifier's loss, as in torchvision's training reference


def accept_channels(convolution: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """The same first convolution for another number of input channels."""
    if in_channels == convolution.in_channels:
        return convolution
    return nn.Conv2d(
        in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=False,
    )


class InceptionV3(Network):
    """Inception-v3 with its auxiliary classifier: (B, in_channels, H, W) → (B, num_classes).

    ``forward`` gives the main logits in every mode; ``training_outputs`` adds the auxiliary ones.
    Needs images of at least 75 pixels.
    """

    Conv2d_1a_3x3: Any  # torchvision's modules, under their names
    AuxLogits: Any
    dropout: nn.Dropout
    fc: nn.Module

    def __init__(
        self,
        variant: TorchvisionVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        global_pool: GlobalPool = "avg",
    ) -> None:
        super().__init__(global_pool=global_pool)
        self.variant = variant
        reference = tv.inception_v3(weights=None, init_weights=True)
        for name, module in reference.named_children():
            if name != "avgpool":
                setattr(self, name, module)
        self.Conv2d_1a_3x3.conv = accept_channels(self.Conv2d_1a_3x3.conv, in_channels)
        self.levels = (
            Level("c1", 64, 2),
            Level("c2", 192, 4),
            Level("c3", 288, 8),
            Level("c4", 768, 16),
            Level("c5", 2048, 32),
        )
        self.num_classes = 1000
        if num_classes != 1000:
            self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        super().reset_classifier(num_classes)
        width = self.AuxLogits.conv1.conv.out_channels
        fresh = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        self.AuxLogits.fc = fresh.to(self.AuxLogits.conv1.conv.weight.device)

    def steps(self) -> tuple[Step, ...]:
        names: tuple[tuple[str | None, tuple[str, ...]], ...] = (
            ("c1", ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")),
            ("c2", ("maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3")),
            ("c3", ("maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d")),
            ("c4", ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e")),
            ("c5", ("Mixed_7a", "Mixed_7b", "Mixed_7c")),
        )
        steps = []
        for level, members in names:
            modules = [getattr(self, name) for name in members]
            for name, module in zip(members, modules, strict=True):
                ends = level if name == members[-1] else None
                steps.append(Step(ends, partial(self.run_blocks, module), (module,)))
        return tuple(steps)

    def forward_head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.dropout(self.global_pool(x)))
        return logits

    def training_outputs(self, x: Tensor) -> tuple[tuple[float, Tensor], ...]:
        auxiliary = x
        for step in self.steps():
            x = step.run(x)
            if step.level == "c4":
                auxiliary = self._auxiliary(x)
        return ((1.0, self.forward_head(x)), (AUXILIARY_WEIGHT, auxiliary))

    def _auxiliary(self, x: Tensor) -> Tensor:
        """The auxiliary classifier on c4; maps below 17×17 (images below 299) are pooled to 5×5."""
        head = self.AuxLogits
        if min(x.shape[-2:]) >= 17:
            logits: Tensor = head(x)
        else:
            small = head.conv0(F.adaptive_avg_pool2d(x, 5))  # (B, 128, 5, 5)
            logits = head.fc(head.conv1(small).flatten(1))
        return logits


class DenseNet161(Network):
    """DenseNet-161: (B, in_channels, H, W) → (B, num_classes)."""

    HEAD = "classifier"

    def __init__(
        self,
        variant: TorchvisionVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        global_pool: GlobalPool = "avg",
    ) -> None:
        super().__init__(global_pool=global_pool)
        self.variant = variant
        reference = tv.densenet161(weights=None)
        self.features = reference.features
        self.features.conv0 = accept_channels(self.features.conv0, in_channels)
        self.levels = (
            Level("c1", 96, 2),
            Level("c2", 384, 4),
            Level("c3", 768, 8),
            Level("c4", 2112, 16),
            Level("c5", 2208, 32),
        )
        self.reset_classifier(num_classes)

    def steps(self) -> tuple[Step, ...]:
        ends = {"relu0": "c1", "denseblock1": "c2", "denseblock2": "c3", "denseblock3": "c4"}
        steps = [
            Step(ends.get(name), partial(self.run_blocks, module), (module,))
            for name, module in self.features.named_children()
        ]
        steps.append(Step("c5", lambda x: F.relu(x, inplace=True), ()))
        return tuple(steps)
