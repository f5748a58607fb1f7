"""A feature map as numbers: its shape, its stride, and how much of the image one pixel sees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from res2net.errors import UserError

Kernel = int | tuple[int, int]  # one side, or (height, width)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trail:
    """How a map came about, for counting paths (``res2net.paper.paths``); each is itself alone."""

    sources: tuple[Trail, ...] = ()  # none: the image
    reach: tuple[int, int] = (0, 0)  # input pixels by which every path sees more, (height, width)


@dataclass(frozen=True, slots=True)
class Map:
    """One feature map (channels, height, width) and where its pixels lie in the image."""

    channels: int
    height: int  # pixels of this map
    width: int
    stride: int = 1  # input pixels from one pixel of this map to the next
    receptive_field: tuple[int, int] = (1, 1)  # input pixels that one pixel sees, (height, width)
    trail: Trail = field(default_factory=Trail, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Level:
    """A feature map that other networks build on."""

    name: str  # c1, c2, ...
    channels: int
    stride: int  # input pixels a step
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
    """The sum of maps of one shape; it sees what the widest of them sees."""
    first = maps[0]
    for x in maps[1:]:
        here, there = (first.channels, first.height, first.width), (x.channels, x.height, x.width)
        assert here == there, f"cannot add maps of {here} and {there} (channels, height, width)"
    return replace(first, receptive_field=_widest(maps), trail=_joined(maps))


def concatenate(*maps: Map) -> Map:
    """The maps one behind the other along the channels."""
    first = maps[0]
    for x in maps[1:]:
        here, there = (first.height, first.width), (x.height, x.width)
        assert here == there, f"cannot concatenate maps of {here} and {there} pixels"
    channels = sum(x.channels for x in maps)
    return replace(first, channels=channels, receptive_field=_widest(maps), trail=_joined(maps))


def upsample(x: Map, like: Map) -> Map:
    """``x`` enlarged to the pixels of ``like`` (nearest neighbour: no pixel sees more)."""
    return replace(x, height=like.height, width=like.width, stride=like.stride)


def pair(kernel: Kernel) -> tuple[int, int]:
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
    for size, side, pad in zip((x.height, x.width), kernel, pair(padding), strict=True):
        free = size + 2 * pad - dilation * (side - 1) - 1
        steps = -(-free // stride) if ceil_mode else free // stride
        if ceil_mode and steps * stride >= size + pad:
            steps -= 1  # a window must start inside the map or its left padding
        if steps < 0:
            raise UserError(
                f"the image is too small: {name} gets {x.height}x{x.width} pixels and would put "
                "out none. Take a larger size."
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
