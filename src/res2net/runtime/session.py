"""``res2net.runtime.load(DIR)``: predict with an artifact.

Legend: B batch · H, W of the images (S: square) · N classes · C channels and s stride of a level
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from res2net.data.files import with_folders
from res2net.data.preprocess import Preprocess
from res2net.errors import UserError
from res2net.prediction import Classification
from res2net.runtime.artifact import Artifact
from res2net.runtime.engines import AUTO, Engine, Key, Outputs, Pixels, open_engine
from res2net.runtime.images import Picture, shaped

Floats = npt.NDArray[np.float32]


class Runtime:
    """A deployed network.

    Attributes:
        artifact: its description.
        engine: the engine that runs it.
    """

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self.artifact = artifact
        self.engine = engine

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.artifact.card.classes

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing before and inside the graph."""
        return self.artifact.card.preprocess

    def __call__(self, images: Pixels) -> Floats | dict[str, Floats]:
        """uint8 (B, H, W, C) → logits (B, N), or maps (B, C, H/s, W/s) by name.

        Maps are those of a backbone's levels, or what a network of another task than classify
        gives; a detector's have a row for each thing that it finds in one image.

        Raises:
            ValueError: another shape or type.
        """
        height, width = self.artifact.height, self.artifact.width
        wanted = (height, width, self.preprocess.channels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
            raise ValueError(
                f"images are uint8 (B, {', '.join(map(str, wanted))}); got {images.dtype} "
                f"{images.shape}. `predict` takes images of any size"
            )
        if self.artifact.rows_vary:
            if len(images) > 1:
                raise ValueError("a detector returns one row per detection: call it image by image")
            return self._named(self.engine.run(images))
        step = self.artifact.batch or len(images)
        parts = [self.engine.run(part) for part in _cut(images, step)]
        return self._named(
            [np.concatenate(column)[: len(images)] for column in zip(*parts, strict=True)]
        )

    def predict(self, images: Picture | Iterable[Picture], *, top: int = 5) -> list[Classification]:
        """The most likely classes of each image, in order.

        Args:
            images: one or many of: a path, a folder (the images under it, at any depth, sorted), a
                PIL image, an array (H, W), (H, W, 3) or (H, W, 4); of a network with C input
                channels, (H, W, C).
            top: how many classes to name.

        Raises:
            UserError: an image that cannot be read, a backbone (it has no classes), top below 1.
        """
        if top < 1:
            raise UserError(f"top is {top}; it must be at least 1")
        return self.classify((self.shaped(image) for image in _listed(images)), top=top)

    def predict_shaped(
        self, items: Iterable[tuple[Key, Pixels]], *, top: int = 5
    ) -> Iterator[tuple[Key, Classification]]:
        """The most likely classes of images that ``shaped`` made, (S, S, C) each, in order."""
        self.check_classifies()
        for key, outputs in self.engine.stream((key, self._one(image)) for key, image in items):
            yield key, self._prediction(outputs, top)

    def check_classifies(self) -> None:
        """Refuse a network that is not an image classifier.

        Raises:
            UserError: the message has its outputs and an alternative.
        """
        if self.artifact.card.task != "classify":
            raise UserError(
                f"{self.artifact.folder} gives {', '.join(self.artifact.outputs)}, not classes of "
                "images; call res2net.runtime.load(DIR) with images"
                + ("" if self.artifact.card.task == "features" else ", or use `res2net predict`")
            )

    def classify(self, images: Iterable[Pixels], *, top: int = 5) -> list[Classification]:
        """The most likely classes of images that ``shaped`` made, in order."""
        return [found for _, found in self.predict_shaped(enumerate(images), top=top)]

    def shaped(self, image: Picture) -> Pixels:
        """One image resized and cropped for the graph: uint8 (S, S, C)."""
        return shaped(image, self.preprocess)

    def _one(self, image: Pixels) -> Pixels:
        """(S, S, C) → (B, S, S, C) with as many copies as the graph takes."""
        return np.repeat(image[None], self.artifact.batch or 1, axis=0)

    def _prediction(self, outputs: Outputs, top: int) -> Classification:
        logits = outputs[0][0].astype(np.float64)  # (N,)
        odds = np.exp(logits - logits.max())
        probabilities = odds / odds.sum()
        best = np.argsort(-probabilities, kind="stable")[:top]
        return Classification(tuple((self.classes[i], float(probabilities[i])) for i in best))

    def _named(self, outputs: Sequence[Floats]) -> Floats | dict[str, Floats]:
        if self.artifact.outputs == ("logits",):
            return outputs[0]
        return dict(zip(self.artifact.outputs, outputs, strict=True))


def load(
    folder: str | Path,
    *,
    engine: str = AUTO,
    threads: int | None = None,
    stream: bool = False,
    device: str = AUTO,
) -> Runtime:
    """Load an artifact folder.

    Args:
        engine: "auto", "openvino", "onnx" or "native".
        threads: CPU threads; None: all.
        stream: optimise for throughput instead of latency.
        device: "auto", "cpu", or a GPU that the engine finds: "cuda" or "tensorrt" of ONNX Runtime,
            "gpu" of OpenVINO.

    Raises:
        UserError: not an artifact, a damaged one, or an engine that is missing or cannot run it.
    """
    if threads is not None and threads < 1:
        raise UserError(f"threads is {threads}; it must be at least 1")
    artifact = Artifact.read(folder)
    return Runtime(
        artifact,
        open_engine(artifact, engine, threads=threads, stream=stream, device=device.lower()),
    )


def _cut(images: Pixels, step: int) -> Iterator[Pixels]:
    """Parts of ``step`` images; the last is filled up by repeating its last image."""
    for start in range(0, len(images), step):
        part = images[start : start + step]
        missing = step - len(part)
        yield part if not missing else np.concatenate([part, np.repeat(part[-1:], missing, 0)])


def _listed(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    if isinstance(images, np.ndarray):
        return images if images.ndim == 4 else [images]
    return with_folders([images] if isinstance(images, str | Path | Image.Image) else images)
