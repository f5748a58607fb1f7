"""The rows that timm lacks, inside timm: SE, Big-Little, CIFAR, 18w, 152, 200 and basic blocks.

``register()`` once, then ``timm.create_model("seres2net50_26w_4s", ...)`` with timm's own names of
options. Rows that timm has (with the same parameter names) stay timm's.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from res2net.data.preprocess import CROP_SHARE, SMALL, default_preprocess
from res2net.integrations import missing
from res2net.models.backbone import (
    Interface,
    drop_unused,
    network_at_stride,
    recast,
    steps_up_to,
)
from res2net.models.network import GlobalPool, GlobalPooling, Step
from res2net.nn.layers import ActLayer, NormLayer
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import ResNetVariant

try:
    from timm.models import (
        build_model_with_cfg,
        generate_default_cfgs,
        is_model,
        register_model,
    )
except ModuleNotFoundError as error:
    raise missing(__name__, error, "timm") from None

default_cfgs: dict[str, Any] = {}  # timm looks for this name in the module of an entry


class TimmModel(Interface):
    """A network with the methods that timm's scripts and feature extractors call."""

    _deepest: str | None = None  # the level that pruning left as the last

    def steps(self) -> tuple[Step, ...]:
        steps: tuple[Step, ...] = super().steps()  # type: ignore[safe-super]
        return steps if self._deepest is None else steps_up_to(steps, self._deepest)

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels and stride of each level, as timm writes them."""
        return [
            {"num_chs": level.channels, "reduction": level.stride, "module": level.name}
            for level in self.levels
        ]

    @property
    def head_hidden_size(self) -> int:
        """Features that the classifier reads."""
        return self.num_features

    def get_classifier(self) -> nn.Module:
        """The classifier; an identity where there is none."""
        classifier: nn.Module = getattr(self, self.HEAD)
        return classifier

    def reset_classifier(self, num_classes: int, global_pool: GlobalPool | None = None) -> None:
        """A fresh classifier, and another global pool if one is given (see ``Network``)."""
        if global_pool is not None:
            self.global_pool = GlobalPooling(global_pool)
        super().reset_classifier(num_classes)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in backward instead of keeping its activations."""
        self.gradient_checkpointing = "full" if enable else "none"

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, C, H, W) → logits (B, N), or pooled features (B, C) with ``pre_logits``."""
        return self.global_pool(x) if pre_logits else super().forward_head(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,  # noqa: ARG002  (timm's signature; convolutional levels have no norm)
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Maps of the levels at ``indices`` (the last n, or all), and what comes last.

        Raises:
            ValueError: an index out of range, or an output format other than NCHW.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt is {output_fmt!r}; these networks give NCHW")
        taken = self._taken(indices)
        wanted = {self.levels[i].name for i in taken}
        steps = self.steps()
        if stop_early or intermediates_only:
            steps = steps_up_to(steps, self.levels[max(taken)].name)
        maps = []
        for step in steps:
            x = step.run(x)
            if step.level in wanted:
                maps.append(x)
        return maps if intermediates_only else (x, maps)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,  # noqa: ARG002  (timm's signature)
        prune_head: bool = True,
    ) -> list[int]:
        """Leave out what the levels at ``indices`` do not need; returns them counted from 0."""
        taken = self._taken(indices)
        deepest = max(taken)
        if prune_head or deepest < len(self.levels) - 1:
            name = self.levels[deepest].name
            drop_unused(self, name)
            self._deepest = name
            self.levels = self.levels[: deepest + 1]
            self.num_classes = 0
        return taken

    def _taken(self, indices: int | list[int] | None) -> list[int]:
        """Levels counted from 0: all, the last n, or those given (negative: from the end)."""
        count = len(self.levels)
        if indices is None:
            indices = count
        asked = range(-indices, 0) if isinstance(indices, int) else indices
        if not asked or not all(-count <= i < count for i in asked):
            raise ValueError(f"indices {indices!r} name no levels; this network has {count}")
        return [i % count for i in asked]


def register() -> list[str]:
    """Make the rows that timm lacks known to ``timm.create_model``; returns their names."""
    names = [name for name in NETWORKS if not is_model(name)]
    default_cfgs.update(generate_default_cfgs({name: _data_of(name) for name in names}))
    for name in names:
        entry = _entry(name)
        globals()[name] = entry  # timm lists it among the names that this module exports
        register_model(entry)
    return names


def _entry(name: str) -> Callable[..., nn.Module]:
    """What timm calls for a name: the model, or its features."""
    levels = 3 if NETWORKS[name].size == 32 else 5

    def build(pretrained: bool = False, **options: Any) -> nn.Module:
        features = {"feature_cls": "getter", "out_indices": tuple(range(levels))}
        model: nn.Module = build_model_with_cfg(
            partial(_network, name), name, pretrained, feature_cfg=features, **options
        )
        return model

    build.__name__ = build.__qualname__ = name
    return build


def _network(
    name: str,
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: GlobalPool = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int | None = None,
    zero_init_last: bool | None = None,
    norm_layer: NormLayer | None = None,
    act_layer: ActLayer | None = None,
    **variant: Any,
) -> TimmModel:
    """timm's names of options, turned into ours.

    Raises:
        TypeError: an option that the network does not have.
        ValueError: a value out of range.
    """
    if drop_rate:
        raise TypeError(f"{name} has no dropout before its classifier; leave drop_rate out")
    network = network_at_stride(
        name,
        output_stride,
        num_classes=num_classes,
        in_channels=in_chans,
        global_pool=global_pool,
        drop_path=drop_path_rate,
        zero_init=zero_init_last,
        norm_layer=norm_layer,
        act_layer=act_layer,
        **variant,
    )
    return recast(network, TimmModel)


def _data_of(name: str) -> dict[str, Any]:
    """What timm's data pipeline should know; no row here has published weights."""
    row = NETWORKS[name]
    cifar = row.size == 32
    shaped = default_preprocess(row.size, cifar=cifar)
    deep_stem = isinstance(row, ResNetVariant) and row.stem == "deep"
    return {
        "num_classes": 100 if cifar else 1000,
        "input_size": (3, row.size, row.size),
        "crop_pct": 1.0 if row.size <= SMALL else CROP_SHARE,
        "interpolation": shaped.interpolation,
        "mean": shaped.mean,
        "std": shaped.std,
        "first_conv": "conv1.0" if deep_stem else "conv1",
        "classifier": "fc",
    }
