"""Our backbones as encoders of segmentation_models_pytorch.

``register()`` once, then ``smp.Unet("res2net50_26w_4s", encoder_weights=None)`` and every other
decoder. Nothing that smp has is replaced.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from res2net.errors import UserError, did_you_mean
from res2net.integrations import missing
from res2net.models.backbone import Backbone, create_backbone
from res2net.paper.networks import NETWORKS

try:
    from segmentation_models_pytorch.encoders import encoders as ENCODERS
    from segmentation_models_pytorch.encoders._base import EncoderMixin
except ModuleNotFoundError as error:
    raise missing(__name__, error, "segmentation-models-pytorch") from None

LEVELS = ("c1", "c2", "c3", "c4", "c5")  # at strides 2, 4, 8, 16, 32, as smp's decoders expect


class Encoder(nn.Module, EncoderMixin):  # type: ignore[misc]
    """A backbone with the interface of smp's encoders: (B, Cin, H, W) → [image, c1, c2, ...].

    smp builds it from the entry that ``register`` made; to build one by hand, use
    ``create_backbone``.

    Args:
        network: a row of the model table.
        depth: number of levels, 1 to 5.
        output_stride: kept as smp gives it; ``make_dilated`` applies it.
        options: of ``create_backbone``.

    Raises:
        ValueError: a depth out of range.
    """

    _is_torch_scriptable = False

    def __init__(
        self, *, network: str, depth: int = 5, output_stride: int = 32, options: dict[str, Any]
    ) -> None:
        if not 1 <= depth <= len(LEVELS):
            raise ValueError(f"encoder_depth is {depth}; it must be 1 to {len(LEVELS)}")
        super().__init__()
        self._depth, self._in_channels, self._output_stride = depth, 3, output_stride
        self._network, self._options = network, options
        self.backbone = self._built(options)
        self._out_channels = [3, *(level.channels for level in self.backbone.levels)]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, *self.backbone(x).values()]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:  # noqa: ARG002
        """Take images of ``in_channels`` channels; weights of ``pretrained`` are adapted."""
        if in_channels != self._in_channels:
            self._in_channels = self._out_channels[0] = in_channels
            self.backbone = self._built(self._options)

    def make_dilated(self, output_stride: int) -> None:
        """Turn strides into dilations by the rules of this project; the weights stay.

        Raises:
            ValueError: a stride other than 16 and 8.
        """
        as_built = {"pretrained": None, "first_block": self.backbone.first_block}
        dense = self._built({**self._options, **as_built, "output_stride": output_stride})
        dense.load_state_dict(self.backbone.state_dict())
        self.backbone = dense

    def _built(self, options: dict[str, Any]) -> Backbone:
        levels = LEVELS[: self._depth]
        return create_backbone(
            self._network, out_levels=levels, in_channels=self._in_channels, **options
        )


def register() -> list[str]:
    """Add an encoder for every row whose maps are as smp's decoders need them; returns their names.

    Names that smp has already (its own resnet50 and the like) stay smp's.
    """
    names = [name for name in NETWORKS if name not in ENCODERS and _fits(name)]
    for name in names:
        _enter(name, name, {})
    return names


def register_as(encoder_name: str, network: str, **options: Any) -> None:
    """Add one encoder under a name of your choice.

    Args:
        encoder_name: for ``smp.Unet(encoder_name)``.
        network: a row of the model table with levels c1 to c5.
        options: of ``create_backbone``: pretrained, width, scale, drop_path, frozen_stages, ...

    Raises:
        UserError: a name that smp has, or a network whose maps do not fit.
        TypeError, ValueError: options that ``create_backbone`` refuses.
    """
    if encoder_name in ENCODERS:
        raise UserError(f"there is an encoder {encoder_name!r} already; choose another name")
    for option in ("out_levels", "output_stride", "in_channels"):
        if option in options:
            raise TypeError(f"smp sets {option} itself (encoder_depth, in_channels); leave it out")
    if network in NETWORKS and not _fits(network):
        raise UserError(
            f"{network} cannot be an encoder: smp needs maps of 1/2 to 1/32 of the image's size."
            f"{did_you_mean(network, filter(_fits, NETWORKS))}"
        )
    with torch.device("meta"):  # refuse wrong options now, not when the model is built
        create_backbone(network, **{**options, "pretrained": None})
    _enter(encoder_name, network, options)


def _enter(encoder_name: str, network: str, options: dict[str, Any]) -> None:
    ENCODERS[encoder_name] = {
        "encoder": Encoder,
        "pretrained_settings": {},  # weights come with options: pretrained=...
        "params": {"network": network, "options": options},
    }


def _fits(name: str) -> bool:
    """Five levels that halve the size: not the rows for 32×32 images, nor Inception's."""
    return NETWORKS[name].size != 32 and name != "inception_v3"
