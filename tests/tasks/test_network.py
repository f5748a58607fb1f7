"""A network in use gives one thing, in PyTorch and exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.data.preprocess import default_preprocess
from res2net.data.transforms import normalise
from res2net.machine import best_device
from res2net.tasks.network import in_use, ready

PREPROCESS = default_preprocess(64)


class _Twice(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.net(x)


def test_bytes_in_float32_out() -> None:
    net = nn.Conv2d(3, 2, 3)
    ready(net)
    assert not net.training
    images = torch.randint(0, 256, (2, 3, 9, 12), dtype=torch.uint8)
    used = in_use(net, PREPROCESS, "bf16")
    assert used.size is None
    assert used(images).dtype == torch.float32
    with torch.inference_mode():
        wanted = 2 * net(normalise(images.to(best_device()), PREPROCESS))
    torch.testing.assert_close(in_use(net, PREPROCESS, "fp32", _Twice)(images), wanted)
