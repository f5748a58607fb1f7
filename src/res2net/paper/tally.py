"""Count a network without building it: layers of a feature map's path are recorded in a tally.

Multiply-adds (MACs) are those of convolutions and linear layers, half of what
``torch.utils.flop_counter`` counts. The receptive field is the largest along any path; the global
path of squeeze-and-excitation is left out of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from res2net.errors import UserError

Kernel = int | tuple[int, int]  # one side, or (height, width)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trail:
    """The origin of a map, for counting paths (``res2net.paper.paths``); compared by identity."""

    sources: tuple[Trail, ...] = ()  # none: the image
    reach: tuple[int, int] = (0, 0)  # input pixels added to every field, (height, width)


@dataclass(frozen=True, slots=True)
class Map:
    """One feature map (channels, height, width) and the position of its pixels in the image."""

    channels: int
    height: int  # pixels of this map
    width: int
    stride: int = 1  # input pixels from one pixel of this map to the next
    receptive_field: tuple[int, int] = (1, 1)  # of one pixel, in input pixels, (height, width)
    trail: Trail = field(default_factory=Trail, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Level:
    """A feature map that other networks build on."""

    name: str  # c1, c2, ...
    channels: int
    stride: int  # input pixels per step
    height: int  # pixels
    width: int
    receptive_field: int  # input pixels, the larger side
    trail: Trail = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A residual block, a dense layer or an inception module: from one map to another."""

    name: str  # state-dict prefix
    start: Map
    end: Map


def levels(maps: list[Map]) -> tuple[Level, ...]:
    """The maps as c1, c2, ..."""
    return tuple(
        Level(f"c{i}", x.channels, x.stride, x.height, x.width, max(x.receptive_field), x.trail)
        for i, x in enumerate(maps, start=1)
    )


def add(*maps: Map) -> Map:
    """The sum of maps of one shape, with the widest of their receptive fields."""
    first = maps[0]
    for x in maps[1:]:
        here, there = (first.channels, first.height, first.width), (x.channels, x.height, x.width)
        assert here == there, f"cannot add maps of {here} and {there} (channels, height, width)"
    return replace(first, receptive_field=_widest(maps), trail=_joined(maps))


def concatenate(*maps: Map) -> Map:
    """The maps concatenated along the channels."""
    first = maps[0]
    for x in maps[1:]:
        here, there = (first.height, first.width), (x.height, x.width)
        assert here == there, f"cannot concatenate maps of {here} and {there} pixels"
    channels = sum(x.channels for x in maps)
    return replace(first, channels=channels, receptive_field=_widest(maps), trail=_joined(maps))


def upsample(x: Map, like: Map) -> Map:
    """``x`` upsampled to the size of ``like`` (nearest neighbour keeps the receptive field)."""
    return replace(x, height=like.height, width=like.width, stride=like.stride)


def _pair(kernel: Kernel) -> tuple[int, int]:
    """(height, width) of a kernel or a padding."""
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _widest(maps: tuple[Map, ...]) -> tuple[int, int]:
    fields = [x.receptive_field for x in maps]
    return max(h for h, _ in fields), max(w for _, w in fields)


def _joined(maps: tuple[Map, ...]) -> Trail:
    return Trail(tuple(x.trail for x in maps))


def window(
    x: Map,
    kernel: tuple[int, int],
    stride: int,
    padding: Kernel,
    dilation: int = 1,
    *,
    name: str,
    ceil_mode: bool = False,
) -> Map:
    """The map after a sliding window; channels unchanged."""
    sides = []
    for size, side, pad in zip((x.height, x.width), kernel, _pair(padding), strict=True):
        free = size + 2 * pad - dilation * (side - 1) - 1
        steps = -(-free // stride) if ceil_mode else free // stride
        if ceil_mode and steps * stride >= size + pad:
            steps -= 1  # a window must start inside the map or its left padding
        if steps < 0:
            raise UserError(
                f"the image is too small: {name} gets {x.height}x{x.width} pixels and would "
                "output none. Choose a larger size."
            )
        sides.append(steps + 1)
    dh, dw = (dilation * (side - 1) * x.stride for side in kernel)
    rh, rw = x.receptive_field
    return replace(
        x,
        height=sides[0],
        width=sides[1],
        stride=x.stride * stride,
        receptive_field=(rh + dh, rw + dw),
        trail=Trail((x.trail,), (dh, dw)),
    )


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of a tally."""

    stage: str
    name: str  # state-dict prefix
    kind: str  # conv, batch_norm, linear, max_pool, average_pool
    channels_in: int
    channels_out: int
    kernel: tuple[int, int]  # (height, width)
    stride: int  # of this layer
    groups: int
    height: int  # pixels of the output
    width: int
    params: int
    macs: int  # multiply-adds for one image
    tensors: int  # entries in the state dict
    receptive_field: int  # input pixels, the larger side

    @property
    def activations(self) -> int:
        """Output values of a convolution for one image; 0 for every other kind."""
        return self.channels_out * self.height * self.width if self.kind == "conv" else 0


class Tally:
    """Record one row per layer of a map's path. ``stage`` names the group of rows."""

    def __init__(self, stage: str = "stem") -> None:
        self.stage = stage
        self.layers: list[Layer] = []
        self.blocks: list[Block] = []

    def block(self, name: str, start: Map, end: Map) -> Map:
        """Record a block from one map to the other; return the latter."""
        self.blocks.append(Block(name, start, end))
        return end

    def conv(
        self,
        x: Map,
        out: int,
        kernel: Kernel,
        *,
        name: str,
        stride: int = 1,
        padding: Kernel | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> Map:
        """A convolution; without ``padding`` it keeps the size at stride 1 (odd kernels)."""
        kh, kw = _pair(kernel)
        if padding is None:
            padding = (dilation * (kh // 2), dilation * (kw // 2))
        if x.channels % groups or out % groups:
            raise UserError(
                f"{name}: {x.channels} channels in, {out} out do not divide into {groups} groups; "
                "choose another cardinality"
            )
        y = window(x, (kh, kw), stride, padding, dilation, name=name)
        y = replace(y, channels=out)
        weights = out * (x.channels // groups) * kh * kw
        self._write(
            name,
            "conv",
            x,
            y,
            kernel=(kh, kw),
            stride=stride,
            groups=groups,
            params=weights + (out if bias else 0),
            macs=weights * y.height * y.width,
            tensors=2 if bias else 1,
        )
        return y

    def batch_norm(self, x: Map, *, name: str) -> Map:
        """Batch norm: weight, bias, and three buffers in the state dict."""
        self._write(name, "batch_norm", x, x, params=2 * x.channels, tensors=5)
        return x

    def conv_bn(
        self,
        x: Map,
        out: int,
        kernel: Kernel,
        *,
        name: str,
        norm: str | None = None,
        stride: int = 1,
        padding: Kernel | None = None,
        groups: int = 1,
    ) -> Map:
        """A convolution without bias, then its batch norm.

        The norm's name is ``norm``, or that of the convolution with bn in place of conv.
        """
        y = self.conv(x, out, kernel, name=name, stride=stride, padding=padding, groups=groups)
        return self.batch_norm(y, name=norm or name.replace("conv", "bn"))

    def max_pool(
        self,
        x: Map,
        kernel: int,
        *,
        name: str,
        stride: int,
        padding: int = 0,
        ceil_mode: bool = False,
    ) -> Map:
        """A max-pool."""
        return self._pool("max_pool", x, kernel, stride, padding, ceil_mode, name)

    def average_pool(
        self,
        x: Map,
        kernel: int,
        *,
        name: str,
        stride: int,
        padding: int = 0,
        ceil_mode: bool = False,
    ) -> Map:
        """An average-pool."""
        return self._pool("average_pool", x, kernel, stride, padding, ceil_mode, name)

    def global_pool(self, x: Map, *, name: str) -> Map:
        """The mean over the whole map: 1×1 pixels."""
        rh, rw = x.receptive_field
        seen = (rh + (x.height - 1) * x.stride, rw + (x.width - 1) * x.stride)
        y = replace(x, height=1, width=1, receptive_field=seen)
        self._write(name, "average_pool", x, y, kernel=(x.height, x.width))
        return y

    def linear(self, x: Map, out: int, *, name: str) -> Map:
        """A linear layer with bias on a map of 1×1 pixels."""
        assert (x.height, x.width) == (1, 1), f"{name}: a linear layer needs a pooled map"
        y = replace(x, channels=out)
        weights = x.channels * out
        self._write(name, "linear", x, y, params=weights + out, macs=weights, tensors=2)
        return y

    def se(self, x: Map, *, name: str, reduction: int = 16) -> Map:
        """Squeeze-and-excitation: two 1×1 convolutions with bias on the pooled map (Hu et al.)."""
        pooled = replace(x, height=1, width=1)
        squeezed = self.conv(
            pooled, max(1, x.channels // reduction), 1, name=f"{name}.fc1", bias=True
        )
        self.conv(squeezed, x.channels, 1, name=f"{name}.fc2", bias=True)
        return x

    def _pool(
        self, kind: str, x: Map, kernel: int, stride: int, padding: int, ceil_mode: bool, name: str
    ) -> Map:
        sides = (kernel, kernel)
        y = window(x, sides, stride, padding, ceil_mode=ceil_mode, name=name)
        self._write(name, kind, x, y, kernel=sides, stride=stride)
        return y

    def _write(
        self,
        name: str,
        kind: str,
        x: Map,
        y: Map,
        *,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        groups: int = 1,
        params: int = 0,
        macs: int = 0,
        tensors: int = 0,
    ) -> None:
        self.layers.append(
            Layer(
                self.stage,
                name,
                kind,
                x.channels,
                y.channels,
                kernel,
                stride,
                groups,
                y.height,
                y.width,
                params,
                macs,
                tensors,
                max(y.receptive_field),
            )
        )
