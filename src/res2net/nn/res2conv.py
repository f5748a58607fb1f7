"""The Res2Net unit in place of any k×k convolution, in one, two or three dimensions.

Legend: B batch · Cin, Cout channels · s splits · w = Cout/s channels of one split · L length,
H, W space, T time (primed: after the stride, rounded up)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from res2net.nn.block import SplitUnit
from res2net.nn.layers import ActLayer, NormLayer, relu
from res2net.paper.variant import FirstBlock

Sides = int | tuple[int, ...]  # one value for all axes, or one per axis


class _Res2Conv(SplitUnit):
    CONV: ClassVar[Callable[..., nn.Module]]
    NORM: ClassVar[Callable[..., nn.Module]]
    POOL: ClassVar[Callable[..., nn.Module]]
    PAD: ClassVar[Callable[..., nn.Module]]
    AXES: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sides = 3,
        *,
        stride: Sides = 1,
        dilation: Sides = 1,
        groups: int = 1,
        scale: int = 4,
        first: FirstBlock | str | None = None,
        norm_layer: NormLayer | None = None,
        act_layer: ActLayer = relu,
    ) -> None:
        kernels = _sides("kernel_size", kernel_size, self.AXES)
        strides = _sides("stride", stride, self.AXES)
        dilations = _sides("dilation", dilation, self.AXES)
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < 1:
                raise ValueError(f"{what} is {channels}; it must be at least 1")
        if scale < 1 or out_channels % scale:
            raise ValueError(
                f"out_channels {out_channels} does not divide into {scale} splits of equal width; "
                f"use a multiple of the scale"
            )
        norm = self.NORM if norm_layer is None else norm_layer

        def make_conv(channels: int, groups: int) -> nn.Module:
            return self._same_conv(channels, kernels, strides, dilations, groups)

        super().__init__(
            out_channels // scale,
            scale,
            make_conv=make_conv,
            make_pool=lambda count_pad: self.POOL(
                **same_pool(kernels, strides), count_include_pad=count_pad
            ),
            cardinality=groups,
            strided=max(strides) > 1,
            first=first,
            norm_layer=norm,
            act_layer=act_layer,
        )
        self.project: nn.Module | None = None
        if in_channels != out_channels:
            self.project = nn.Sequential(
                self.CONV(in_channels, out_channels, 1, bias=False), norm(out_channels), act_layer()
            )

    def _same_conv(
        self,
        channels: int,
        kernels: tuple[int, ...],
        strides: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: int,
    ) -> nn.Module:
        """A convolution without bias, padded so that stride 1 keeps the size."""
        pads = [d * (k - 1) for k, d in zip(kernels, dilations, strict=True)]  # sum of both sides
        even = any(pad % 2 for pad in pads)
        convolution = self.CONV(
            channels,
            channels,
            kernels,
            stride=strides,
            padding=0 if even else tuple(pad // 2 for pad in pads),
            dilation=dilations,
            groups=groups,
            bias=False,
        )
        if not even:
            return convolution
        # last axis first, as in PyTorch; the odd pixel at the end, as padding="same"
        both = tuple(side for pad in reversed(pads) for side in (pad // 2, pad - pad // 2))
        return nn.Sequential(self.PAD(both), convolution)

    def forward(self, x: Tensor) -> Tensor:
        if self.project is not None:
            x = self.project(x)  # (B, Cout, ...)
        return self.forward_unit(x)


class Res2Conv1d(_Res2Conv):
    """A Res2Net unit in place of a convolution over time: (B, Cin, L) → (B, Cout, L').

    Arguments as in ``Res2Conv2d``; kernel, stride and dilation are one number.
    """

    CONV, NORM, POOL, PAD, AXES = nn.Conv1d, nn.BatchNorm1d, nn.AvgPool1d, nn.ZeroPad1d, 1


class Res2Conv2d(_Res2Conv):
    """A Res2Net unit in place of a k×k convolution: (B, Cin, H, W) → (B, Cout, H', W').

    Norm and activation stand inside the splits, so none should follow. Padding is not an argument:
    additions between splits need the size kept at stride 1, and it is, for even kernels too (the
    odd pixel of padding comes last, as with ``padding="same"``); a stride leaves ceil(H/stride).
    With kernel 3 and Cin = Cout this is ``Res2NetUnit(Cout // scale, scale)``, keys included.

    Args:
        in_channels, out_channels: Cin, Cout; the scale must divide Cout. The hierarchy needs splits
            of one width, so where Cin ≠ Cout a 1×1 convolution with norm and activation
            (``project``) stands in front of them.
        kernel_size, stride, dilation: of the convolutions of the splits; one number, or one for
            each axis.
        groups: of each of those convolutions (c); must divide Cout / scale.
        scale: number of splits (s). With 1 it is one convolution.
        first: what to do as the first block of a stage (see ``Res2NetUnit``). A strided unit pools
            its last split; the pool is as large as the kernel, or one larger where that is even.
        norm_layer: channels → normalisation; None is batch normalisation.
        act_layer: () → activation.

    Raises:
        ValueError: a number out of range, a scale that does not divide Cout, groups that do not
            divide Cout / scale, or ``first="paper"`` with a stride.
    """

    CONV, NORM, POOL, PAD, AXES = nn.Conv2d, nn.BatchNorm2d, nn.AvgPool2d, nn.ZeroPad2d, 2


class Res2Conv3d(_Res2Conv):
    """A Res2Net unit for video and volumes: (B, Cin, T, H, W) → (B, Cout, T', H', W').

    Arguments as in ``Res2Conv2d``, over three axes: ``kernel_size=(1, 3, 3)`` leaves time alone.
    """

    CONV, NORM, POOL, PAD, AXES = nn.Conv3d, nn.BatchNorm3d, nn.AvgPool3d, nn.ZeroPad3d, 3


def same_pool(kernels: Sequence[int], strides: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Arguments of the average pool beside convolutions that keep the size.

    As large as their kernel, or one larger where that is even, so that it has a middle.
    """
    return {
        "kernel_size": tuple(k // 2 * 2 + 1 for k in kernels),
        "stride": tuple(strides),
        "padding": tuple(k // 2 for k in kernels),
    }


def _sides(what: str, value: Sides, axes: int) -> tuple[int, ...]:
    """One number for each axis."""
    sides = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(sides) != axes or min(sides) < 1:
        raise ValueError(f"{what} is {value}; it must be at least 1, one number or {axes}")
    return sides
