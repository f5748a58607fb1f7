"""Class activation maps: evidence for a class by pixel (Grad-CAM, Selvaraju et al. 2017; Fig. 4).

Legend: B batch · H, W pixels of the image · C channels, h, w pixels of a level · N classes

Libraries hook modules, but a level here need not be the output of a module (Big-Little Net's merged
maps), hence this implementation. ``tests/explain/test_cam.py`` compares it with the grad-cam
package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.models.network import Network


@dataclass(frozen=True, kw_only=True, eq=False)
class ActivationMaps:
    """Class activation maps of a batch."""

    maps: Tensor  # (B, H, W) float32 on the CPU, 0..1; the maximum is 1, or all 0 without evidence
    classes: tuple[int, ...]  # explained class of each image
    probabilities: tuple[float, ...]  # predicted for that class
    predicted: tuple[int, ...]  # most likely class of each image
    level: str  # level of the feature map: c1, c2, ...


def class_activation_map(
    network: Network,
    images: Tensor,
    *,
    classes: Sequence[int] | None = None,
    level: str | None = None,
) -> ActivationMaps:
    """Grad-CAM of a classifier, in evaluation mode and full precision.

    Each channel of the level is weighted by the mean gradient of the class's logit; negative sums
    are evidence against the class and set to 0.

    Args:
        images: (B, 3, H, W), preprocessed, on any device.
        classes: class index for each image; None: the predicted class.
        level: a level of the network; None: the last, as in Fig. 4.

    Raises:
        ValueError: a network without classifier, an unknown level or class, or a number of
            classes other than that of the images.
    """
    if not network.num_classes:
        raise ValueError("the network has no classifier, so there is no class to explain")
    name = check_level([each.name for each in network.levels], level)
    weight = next(network.parameters())
    with evaluating(network), torch.enable_grad():
        features, logits = _split_forward(network, images.to(weight.device, weight.dtype), name)
        chosen = _chosen(logits, classes)
        scores = logits.gather(1, chosen[:, None])
        heat = weighed(features, scores.sum())
    shares = logits.detach().float().softmax(1).gather(1, chosen[:, None])[:, 0]
    return ActivationMaps(
        maps=stretched(enlarged(heat, (images.shape[-2], images.shape[-1]))),
        classes=tuple(chosen.tolist()),
        probabilities=tuple(shares.tolist()),
        predicted=tuple(logits.argmax(1).tolist()),
        level=name,
    )


def weighed(features: Tensor, score: Tensor) -> Tensor:
    """The sum of channels weighted by their mean gradient, with negative values set to 0.

    Args:
        features: (B, C, h, w), from which ``score`` was computed.
        score: one number, the sum over the images.

    Returns:
        (B, h, w) on the CPU.
    """
    (gradient,) = torch.autograd.grad(score, features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
    return (weights * features).sum(1).relu().detach().float().cpu()


def enlarged(heat: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h, w) → (B, H, W), bilinear."""
    return F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def stretched(maps: Tensor) -> Tensor:
    """(B, H, W), each divided by its maximum; maps of zeros are unchanged."""
    highest = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest.clamp_min(torch.finfo(maps.dtype).tiny), 0.0)


def check_level(has: Sequence[str], level: str | None) -> str:
    """The level's name; the last by default.

    Raises:
        ValueError: it is not one of ``has``.
    """
    if level is None:
        return has[-1]
    if level not in has:
        raise ValueError(f"no level {level!r}; this network has {', '.join(has)}")
    return level


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, and restore the modes afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _split_forward(network: Network, x: Tensor, level: str) -> tuple[Tensor, Tensor]:
    """(the level's map, logits); the graph starts at the level."""
    features: Tensor | None = None
    for step in network.steps():
        with torch.set_grad_enabled(features is not None):
            x = step.run(x)
        if step.level == level:
            features = x.detach().requires_grad_()
            x = features * 1  # protects the map from in-place activations
    assert features is not None, level
    return features, network.forward_head(x)


def _chosen(logits: Tensor, classes: Sequence[int] | None) -> Tensor:
    if classes is None:
        return logits.argmax(1)
    batch, known = logits.shape
    if len(classes) != batch:
        raise ValueError(f"{len(classes)} classes for {batch} images; give one for each")
    for each in classes:
        if not 0 <= each < known:
            raise ValueError(f"class {each} does not exist; the network has 0 to {known - 1}")
    return torch.tensor(list(classes), device=logits.device)
