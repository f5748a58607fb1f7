"""Two small Res2Nets in PaddlePaddle: ``python make_paddle.py`` beside this file (README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

HERE = Path(__file__).parent
PLANES, WIDTH, SCALE, BLOCKS, CLASSES = 2, 64, 4, (2, 2, 2, 2), 5
SIZES = (64, 75)  # pixels; PaddlePaddle does not count the pad, which shows at both


class ConvNorm(nn.Layer):
    def __init__(self, cin, cout, kernel, stride=1, pool=False):
        super().__init__()
        self.pool = nn.AvgPool2D(2, 2, padding=0, ceil_mode=True) if pool else None
        self._conv = nn.Conv2D(
            cin, cout, kernel, stride=stride, padding=kernel // 2, bias_attr=False
        )
        self._batch_norm = nn.BatchNorm(cout)

    def forward(self, x):
        return self._batch_norm(self._conv(x if self.pool is None else self.pool(x)))


class Block(nn.Layer):
    def __init__(self, cin, cout, mid, stride, name, *, vd, first, shortcut):
        super().__init__()
        self.stride = stride
        self.conv0 = ConvNorm(cin, mid, 1)
        split = mid // SCALE
        self.middle = [
            self.add_sublayer(f"{name}_branch2b_{i + 1}", ConvNorm(split, split, 3, stride))
            for i in range(SCALE - 1)
        ]
        self.pool = nn.AvgPool2D(3, stride, padding=1)
        self.conv2 = ConvNorm(mid, cout, 1)
        self.short = None
        if shortcut:
            self.short = ConvNorm(cin, cout, 1, 1 if vd else stride, pool=vd and not first)

    def forward(self, x):
        splits = paddle.split(F.relu(self.conv0(x)), SCALE, 1)
        ys = []
        for i, convolution in enumerate(self.middle):
            add = i > 0 and self.stride == 1
            ys.append(F.relu(convolution(splits[i] + ys[-1] if add else splits[i])))
        ys.append(splits[-1] if self.stride == 1 else self.pool(splits[-1]))
        y = self.conv2(paddle.concat(ys, 1))
        return F.relu(y + (x if self.short is None else self.short(x)))


class Net(nn.Layer):
    def __init__(self, *, vd):
        super().__init__()
        if vd:
            self.conv1_1 = ConvNorm(3, PLANES // 2, 3, 2)
            self.conv1_2 = ConvNorm(PLANES // 2, PLANES // 2, 3)
            self.conv1_3 = ConvNorm(PLANES // 2, PLANES, 3)
            self.stem = [self.conv1_1, self.conv1_2, self.conv1_3]
        else:
            self.conv1 = ConvNorm(3, PLANES, 7, 2)
            self.stem = [self.conv1]
        self.pool = nn.MaxPool2D(3, 2, padding=1)
        self.blocks, channels = [], PLANES
        for stage, count in enumerate(BLOCKS):
            planes = PLANES * 2**stage
            for i in range(count):
                block = Block(
                    channels,
                    4 * planes,
                    SCALE * (planes * WIDTH // 64),
                    2 if i == 0 and stage else 1,
                    f"res{stage + 2}{chr(97 + i)}",
                    vd=vd,
                    first=stage == i == 0,
                    shortcut=i == 0,
                )
                self.blocks.append(self.add_sublayer(f"bb_{stage}_{i}", block))
                channels = 4 * planes
        self.out = nn.Linear(channels, CLASSES)

    def forward(self, x):
        for layer in self.stem:
            x = F.relu(layer(x))
        x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean([2, 3]))


def main() -> None:
    chance = np.random.default_rng(0)
    for name in ("res2net", "res2net_vd"):
        paddle.seed(1)
        net = Net(vd=name.endswith("vd"))
        net.train()
        for _ in range(3):  # statistics that matter
            net(paddle.to_tensor(chance.normal(size=(4, 3, 64, 64)).astype("float32")))
        for layer in net.sublayers():
            if isinstance(layer, nn.BatchNorm):
                shape = layer.weight.shape
                layer.weight.set_value((1 + 0.2 * chance.normal(size=shape)).astype("float32"))
                layer.bias.set_value((0.2 * chance.normal(size=shape)).astype("float32"))
        net.eval()
        paddle.save(net.state_dict(), str(HERE / f"{name}.pdparams"))
        logits = {}
        for size in SIZES:
            image = np.random.default_rng(size).normal(size=(2, 3, size, size)).astype("float32")
            logits[f"logits{size}"] = net(paddle.to_tensor(image)).numpy()
        np.savez_compressed(HERE / f"{name}.npz", **logits)


if __name__ == "__main__":
    main()
