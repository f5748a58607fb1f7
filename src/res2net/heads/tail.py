"""The end of a network, as the box head of a C4 detector.

Legend: R regions · C channels · S side of a region's map
"""

from __future__ import annotations

from torch import Tensor, nn

from res2net.models.backbone import keep_only
from res2net.models.network import Network


class Tail(nn.Module):
    """What a network does behind a level, then the mean: (R, C, S, S) → (R, num_features).

    Args:
        network: taken over; what lies before the level is dropped from it.
        after: name of the level whose map comes in.

    Raises:
        ValueError: a level that the network does not have, or its last.
    """

    def __init__(self, network: Network, after: str = "c4") -> None:
        super().__init__()
        names = [level.name for level in network.levels]
        if after not in names[:-1]:
            raise ValueError(f"no level {after!r} before the last; there are {', '.join(names)}")
        steps = network.steps()
        self._first = next(i for i, step in enumerate(steps) if step.level == after) + 1
        keep_only(network, {m for step in steps[self._first :] for m in step.modules})
        self.network = network
        self.num_features = network.levels[-1].channels

    def forward(self, x: Tensor) -> Tensor:
        for step in self.network.steps()[self._first :]:
            x = step.run(x)
        return x.mean(dim=(2, 3))
