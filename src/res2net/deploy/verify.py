"""An exported network against eager PyTorch in float32, on real images.

Legend: B batch · N classes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from res2net.data.preprocess import Preprocess
from res2net.data.transforms import normalise
from res2net.deploy.engine import Floats, Images, Pixels, Run
from res2net.deploy.program import listed
from res2net.deploy.targets import Target
from res2net.tasks.classify.task import TOP1
from res2net.tasks.deployed import Comparison
from res2net.tasks.network import LOGITS

# Relative L2 allowed for int8 maps, which have no accuracy to measure. Our own rule; a correct
# quantisation of our networks stays below 0.1.
INT8_MAPS = 0.2
SCORES = {"top1": "top-1 accuracy", "ap": "AP of boxes", "mask_ap": "AP of masks"}
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One output against eager's, relative L2: ‖exported − eager‖ / ‖eager‖."""

    overall: float  # over all images together, compared with the tolerance
    worst: float  # of the image that differs most


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of a verification; ``faults`` decides whether it passes."""

    images: int
    origin: str  # origin of the images
    outputs: dict[str, Difference]
    agreement: float | None  # 0..1, share that agrees with eager; None: nothing to compare
    eager_score: float | None  # percent, of eager on these images; None without labels
    exported_score: float | None  # percent
    agreed_on: str = TOP1.what  # the things of which ``agreement`` is a share
    found_in: int | None = None  # images with results of either; None for maps of a backbone
    unrun: str = ""  # why it was not run, and what was checked instead
    score: str = "top1"  # what both scores are, a key of ``SCORES``

    @property
    def drop(self) -> float | None:
        """Points of the score lost; negative if it rose."""
        if self.eager_score is None or self.exported_score is None:
            return None
        return self.eager_score - self.exported_score

    @property
    def scores(self) -> str:
        """Both scores in words; "" without them."""
        if self.drop is None:
            return ""
        return (
            f"{SCORES[self.score]}: {self.exported_score:.2f} %, PyTorch {self.eager_score:.2f} %"
        )

    @property
    def blank(self) -> str:
        """A sentence on images without any result; "" if there are none."""
        if self.found_in is None or self.found_in == self.images:
            return ""
        if self.found_in:
            return f"Images without results, which do not count: {self.images - self.found_in}."
        return (
            f"None of them has results, so agreement ({self.agreed_on}) was not measured: "
            "export a network that finds objects in these images, or give others by --images DIR."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for ``model.json``."""
        return {
            "images": self.images,
            "origin": self.origin,
            **({"unrun": self.unrun} if self.unrun else {}),
            "relative_l2": {name: each.overall for name, each in self.outputs.items()},
            "relative_l2_worst_image": {name: each.worst for name, each in self.outputs.items()},
            "agreement": self.agreement,
            "agreed_on": None if self.agreement is None else self.agreed_on,
            "found_in": self.found_in,
            f"{self.score}_eager": self.eager_score,
            f"{self.score}_exported": self.exported_score,
        }


def eager(net: nn.Module, preprocess: Preprocess) -> Run:
    """The network as it was trained: normalised as in training, float32, without folding."""

    def run(images: Pixels) -> list[Floats]:
        x = normalise(torch.from_numpy(images).permute(0, 3, 1, 2), preprocess)
        with torch.inference_mode():
            return [each.float().numpy() for each in listed(net(x))]

    return run


def compare(
    reference: Run,
    exported: Run,
    outputs: Iterable[str],
    pictures: Images,
    *,
    comparison: Comparison | None = None,
    track: Track | None = None,
) -> Verification:
    """Run both on the images, batch by batch; only sums are kept.

    Args:
        outputs: names of the outputs of both, in order.
        comparison: results that must agree; None: the class, if the output is logits.
        track: wraps the batches in a progress bar.
    """
    names = tuple(outputs)
    tally = _Tally(names, comparison or (TOP1 if names == (LOGITS,) else None))
    batches: Iterable[Any] = pictures.batches()
    if track:
        batches = track(batches, pictures.steps, "verifying")
    for images, labels in batches:
        tally.add(reference(images), exported(images), labels)
    return tally.result(pictures)


class _Largest(TorchDispatchMode):
    """The largest magnitude of any operation's output."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.value = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else (found,):
            if isinstance(each, Tensor) and each.is_floating_point() and each.numel():
                magnitude = float(each.abs().max())
                self.value = magnitude if math.isnan(magnitude) else max(self.value, magnitude)
        return found


def largest(program: nn.Module, pictures: Images, *, track: Track | None = None) -> float:
    """The largest magnitude that a program computes for the images, in its own precision.

    Args:
        track: wraps the batches in a progress bar.
    """
    batches: Iterable[Any] = pictures.batches()
    if track:
        batches = track(batches, pictures.steps, "measuring its range")
    with torch.no_grad(), _Largest() as found:
        for images, _ in batches:
            program(torch.from_numpy(images))
    return found.value


@dataclass
class _Tally:
    names: tuple[str, ...]
    comparison: Comparison | None
    images: int = 0
    errors: list[npt.NDArray[np.float64]] = field(default_factory=list)  # (outputs, B) squared
    norms: list[npt.NDArray[np.float64]] = field(default_factory=list)  # (outputs, B) squared
    agree: float = 0
    found_in: int = 0
    right: int = 0  # of eager: correct images
    exported_right: int = 0

    def add(
        self, wanted: Iterable[Floats], found: Iterable[Floats], labels: npt.NDArray[np.int64]
    ) -> None:
        wanted, found = list(wanted), list(found)
        if self.comparison is not None:
            wanted, found, shares, things = self.comparison.of(wanted, found)
            self.agree += float(shares[things > 0].sum())
            self.found_in += int((things > 0).sum())
        pairs = list(zip(wanted, found, strict=True))
        assert all(a.shape == b.shape for a, b in pairs)
        self.errors.append(np.stack([_squares(b.astype(np.float64) - a) for a, b in pairs]))
        self.norms.append(np.stack([_squares(a.astype(np.float64)) for a in wanted]))
        self.images += len(labels)
        if self.names == (LOGITS,):
            expected, predicted = wanted[0].argmax(1), found[0].argmax(1)
            self.right += int((expected == labels).sum())
            self.exported_right += int((predicted == labels).sum())

    def result(self, pictures: Images) -> Verification:
        errors, norms = np.concatenate(self.errors, 1), np.concatenate(self.norms, 1)
        labelled = self.names == (LOGITS,) and pictures.labelled
        return Verification(
            images=self.images,
            origin=pictures.origin,
            outputs={
                name: Difference(
                    overall=_relative(error.sum(), norm.sum()),
                    worst=max(map(_relative, error, norm)),
                )
                for name, error, norm in zip(self.names, errors, norms, strict=True)
            },
            agreement=self.agree / self.found_in if self.found_in else None,
            agreed_on=self.comparison.what if self.comparison else "",
            found_in=self.found_in if self.comparison else None,
            eager_score=100 * self.right / self.images if labelled else None,
            exported_score=100 * self.exported_right / self.images if labelled else None,
        )


def limits(
    found: Verification, target: Target, comparison: Comparison
) -> tuple[float | None, float | None]:
    """Least agreement, largest relative L2; None: no limit, as for a detector with an AP."""
    if found.score != "top1":
        return None, None
    tolerance = comparison.tolerance or target.tolerance
    if tolerance is None and found.agreement is None:
        tolerance = INT8_MAPS
    return target.agreement if comparison.least is None else comparison.least, tolerance


def faults(
    found: Verification,
    target: Target,
    *,
    trained: bool,
    max_drop: float,
    comparison: Comparison = TOP1,
) -> list[str]:
    """The reasons why an artifact does not pass, in words; empty if it does.

    Args:
        comparison: the results that must agree with eager.
        trained: whether classes are meaningful; an untrained network gives every image one class.
        max_drop: largest drop of the score with int8, in points.
    """
    wrong = []
    least, tolerance = limits(found, target, comparison)
    for name, each in found.outputs.items():
        if not math.isfinite(each.overall):
            wrong.append(f"{name} has values that are not finite")
        elif tolerance is not None and each.overall > tolerance:
            wrong.append(
                f"{name} differs from eager by {each.overall:.1e} (relative L2), the limit is "
                f"{tolerance:.0e}"
            )
    if not trained:
        return wrong
    if least is not None and found.agreement is not None and found.agreement < least:
        said = (
            f"{100 * found.agreement:.1f} % of {found.images} images keep their top-1 class"
            if comparison is TOP1
            else f"{100 * found.agreement:.1f} % agree ({comparison.what}, {found.images} views)"
        )
        wrong.append(f"{said}, {100 * least:.0f} % are required")
    if target.precision == "int8" and found.drop is not None and found.drop > max_drop:
        fallen = f"{SCORES[found.score]} falls by {found.drop:.2f} points"
        wrong.append(f"{fallen}, --max-drop allows {max_drop:g}")
    return wrong


def _squares(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(B, ...) → (B,)"""
    flat = values.reshape(len(values), -1)
    squares: npt.NDArray[np.float64] = np.einsum("bi,bi->b", flat, flat)
    return squares


def _relative(error: float, norm: float) -> float:
    """The root of error over norm; an output of zeros must be reproduced exactly."""
    if norm == 0:
        return 0.0 if error == 0 else math.inf
    return math.sqrt(error / norm)
