"""Benchmark training step and inference of the dense tasks against other libraries' models.

A case has a maker, a precision and a memory layout. ``ours bf16 nhwc`` is the default of ``res2net
train`` and ``predict`` on a processor with bfloat16; ``ours fp32 nchw`` is set up like the others.
All use ResNet-50; detectors share weights, so that they detect the same number of objects.
Segmenters have equal parameters and multiply-adds: the other library's dilated ResNet-50 and ASPP
get our decoder, since its own segmenters differ in size. Those libraries have no models for
saliency and key-points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.bench.memory import peak_memory
from res2net.bench.options import TasksOptions
from res2net.bench.protocol import (
    Measurement,
    Track,
    computed_here,
    interleave,
    ratio_cells,
    versions_of,
)
from res2net.card import ModelCard
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import COCO_PERSON
from res2net.errors import UserError
from res2net.heads.deeplab import RATES
from res2net.processor import threads
from res2net.tasks.pose.crops import STRIDE, input_size
from res2net.tasks.pose.module import heat_loss
from res2net.tasks.saliency.module import deep_loss
from res2net.tasks.table import find_task

NETWORK = "resnet50"
OURS = ("ours bf16 nhwc", "ours fp32 nchw")
CASES = {
    "detect": (*OURS, "torchvision fp32 nchw"),
    "instances": (*OURS, "torchvision fp32 nchw"),
    "segment": (*OURS, "smp fp32 nchw", "torchvision fp32 nchw"),
    "saliency": OURS,
    "pose": OURS,
}
EQUAL = OURS[1]  # our case for ratios at equal precision and layout
KINDS = ("train", "infer")
CLASSES = {"detect": 90, "instances": 90, "segment": 21, "saliency": 2, "pose": 1}
BOXES = 4  # per image
DEEP, WIDE = 2048, 256  # channels of ResNet-50's last map, of DeepLab's pyramid
COLUMNS = {n: n for n in ("task", "kind", "case", "median_ms", "speed_of_ours", "peak_mib")}


def run(options: TasksOptions, track: Track) -> Measurement:
    """Measure time and memory of each task, ours and others'.

    Raises:
        UserError: a library that is not installed.
    """
    torch.set_num_threads(threads())
    given = {"batch": options.batch, "size": options.size}
    rows: list[dict[str, object]] = []
    for task in [options.task] if options.task else CASES:
        running = {case: make(task, case, **given) for case in computed_here(CASES[task])}
        for kind in KINDS:
            steps = {case: each[kind] for case, each in running.items()}
            timings = interleave(steps, rounds=options.rounds, track=track)
            for case, timing in timings.items():
                ratio = timings[EQUAL].speed_over(timing)
                peak = peak_memory(__name__, task=task, case=case, kind=kind, **given)
                rows.append(
                    {
                        "task": task,
                        "network": NETWORK,
                        **given,
                        "kind": kind,
                        "case": case,
                        "median_ms": round(1000 * timing.median, 1),
                        "least_ms": round(1000 * timing.least, 1),
                        **ratio_cells("speed_of_ours", None if case in OURS else ratio),
                        "peak_mib": round(peak / 2**20),
                        "n": len(timing.seconds),
                        **versions_of("segmentation-models-pytorch"),
                    }
                )
    return Measurement(rows=rows, columns=COLUMNS)


@dataclass(frozen=True)
class Running:
    """One case on fixed random images."""

    train: Callable[[], object]  # forward, losses, backward, SGD
    infer: Callable[[], object]

    def __getitem__(self, kind: str) -> Callable[[], object]:
        return self.train if kind == "train" else self.infer


def make(task: str, case: str, *, batch: int, size: int) -> Running:
    """What runs a case.

    Args:
        size: side of the square images in pixels; for key-points the height.

    Raises:
        UserError: no such task or case, or a library that is not installed.
    """
    if task not in CASES or case not in CASES[task]:
        raise UserError(f"no {case} of {task}; choose from {', '.join(CASES.get(task, CASES))}")
    maker, precision, layout = case.split()
    torch.manual_seed(0)
    makers = {"ours": _ours, "torchvision": _torchvision, "smp": _smp}
    trained, used = makers[maker](task, size), makers[maker](task, size)
    images = torch.rand(batch, 3, *(input_size(size) if task == "pose" else (size, size)))
    if layout == "nhwc":
        trained, used = (net.to(memory_format=torch.channels_last) for net in (trained, used))
        images = images.contiguous(memory_format=torch.channels_last)
    trained.train()
    used.eval()
    loss = _loss(task, images)
    optimiser = torch.optim.SGD(trained.parameters(), lr=1e-4, momentum=0.9)
    seen = list(images) if task in ("detect", "instances") else images

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            total = loss(trained)
        torch.autograd.backward(total)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def infer() -> object:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        ):
            return used(seen)

    return Running(train, infer)


def step_of(task: str, case: str, kind: str, *, batch: int, size: int) -> Callable[[], object]:
    """A training step or an inference of a case."""
    return make(task, case, batch=batch, size=size)[kind]


def _loss(task: str, images: Tensor) -> Callable[[nn.Module], Tensor]:
    """(network) → its loss on the images with random annotations."""
    batch, _, height, width = images.shape
    if task in ("detect", "instances"):
        targets = [_boxes(height) for _ in range(batch)]
        return lambda net: torch.stack(list(net(list(images), targets).values())).sum()
    if task == "segment":
        maps = torch.randint(0, CLASSES[task], (batch, height, width))

        def segment(net: nn.Module) -> Tensor:
            found = net(images)
            logits = found["out"] if isinstance(found, dict) else found
            return F.cross_entropy(logits.float(), maps)

        return segment
    if task == "saliency":
        salient = torch.randint(0, 2, (batch, height, width))
        return lambda net: deep_loss(net(images), salient)
    if task != "pose":
        raise ValueError(f"no loss for task {task!r}")
    keypoints = len(COCO_PERSON.names)
    heat = torch.rand(batch, keypoints, height // STRIDE, width // STRIDE)
    return lambda net: heat_loss(net(images), heat, torch.ones(batch, keypoints))


def _boxes(side: int) -> dict[str, Tensor]:
    corner = torch.rand(BOXES, 2) * side / 2
    boxes = torch.cat([corner, corner + side / 8 + torch.rand(BOXES, 2) * side / 4], 1)
    masks = torch.zeros(BOXES, side, side, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    labels = torch.randint(1, CLASSES["detect"] + 1, (BOXES,))
    return {"boxes": boxes, "labels": labels, "masks": masks}


def _ours(task: str, size: int) -> nn.Module:
    options: dict[str, dict[str, Any]] = {
        "segment": {},
        "saliency": {},
        "detect": {"form": "fpn", "long_side": size},
        "instances": {"form": "fpn", "long_side": size},
        "pose": {"keypoints": len(COCO_PERSON.names)},
    }
    card = ModelCard(
        network=NETWORK,
        task=task,
        options=options[task],
        classes=tuple(map(str, range(CLASSES[task]))),
        preprocess=Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
    )
    torch.manual_seed(0)
    return find_task(task).build(card, None)


def _torchvision(task: str, size: int) -> nn.Module:
    if task == "segment":
        from torchvision.models import resnet50
        from torchvision.models._utils import IntermediateLayerGetter
        from torchvision.models.segmentation.deeplabv3 import ASPP

        whole = resnet50(weights=None, replace_stride_with_dilation=[False, False, True])
        body = IntermediateLayerGetter(whole, {"layer1": "c2", "layer4": "c5"})
        return _segmenter(size, body, ASPP(DEEP, list(RATES[16]), WIDE))
    from torchvision.models import detection

    kinds = {"detect": "fasterrcnn_resnet50_fpn", "instances": "maskrcnn_resnet50_fpn"}
    kind = kinds[task]
    model: nn.Module = getattr(detection, kind)(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES[task] + 1,
        min_size=size,
        max_size=size,
    )
    state = _ours(task, size).state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    return model


def _smp(task: str, size: int) -> nn.Module:  # noqa: ARG001  every maker is given it
    try:
        from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP
        from segmentation_models_pytorch.encoders import get_encoder
    except ModuleNotFoundError:
        raise UserError(
            "segmentation_models_pytorch is not installed: pip install segmentation-models-pytorch"
        ) from None
    encoder = get_encoder(NETWORK, weights=None, output_stride=16)
    pyramid = ASPP(DEEP, WIDE, RATES[16], separable=False, dropout=0.5)
    return _segmenter(size, _Levels(encoder), pyramid)


class _Levels(nn.Module):
    """The maps of smp's encoder for DeepLab v3+, by name."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.encoder(x)
        return {"c2": maps[2], "c5": maps[-1]}


def _segmenter(size: int, body: nn.Module, pyramid: nn.Module) -> nn.Module:
    """Our decoder on another library's backbone and pyramid."""
    net = _ours("segment", size)
    net.body, net.pyramid = body, pyramid
    return net
