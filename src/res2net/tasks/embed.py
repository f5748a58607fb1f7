"""``res2net embed`` and ``res2net.embed``: pooled features of images.

Legend: B batch · N images · C features
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from res2net.data.decode import as_pixels
from res2net.data.embeddings import Embeddings, Floats
from res2net.data.preprocess import Preprocess
from res2net.errors import UserError
from res2net.files import Journal, write_error
from res2net.models.factory import create_model
from res2net.paper.tasks import CLASSIFY, PRETRAIN
from res2net.processor import threads
from res2net.runtime.sources import Source
from res2net.tasks.network import in_use
from res2net.tasks.open import open_target
from res2net.tasks.predictor import Picture, Predictor, listed
from res2net.weights.catalogue import published_for
from res2net.weights.pretrained import IN1K


class Embedder(NamedTuple):
    """A network that embeds images."""

    shaped: Callable[[Any], Any]  # image → input of ``run``
    run: Callable[[Sequence[Any]], Floats]  # batch → (B, C)
    preprocess: Preprocess
    about: dict[str, str]  # target, sha256, precision

    def read(self, image: Source) -> tuple[str, str, Any]:
        """Name; why it cannot be read, or ""; the image as input of ``run``."""
        try:
            picture: Any = image.name
            if image.data is not None or image.fault:
                picture = image.read(self.preprocess.decode_side, self.preprocess.reading)
            return image.name, "", self.shaped(picture)
        except UserError as error:
            return image.name, str(error), None


def open_embedder(
    target: str | Path, precision: str = "auto", device: str | torch.device | None = None
) -> Embedder:
    """A network that ``embed`` can use.

    Raises:
        UserError: as ``open_target``; no published weights; an artifact that outputs no maps.
    """
    opened = open_target(target)
    if opened.kind == "name":
        card = replace(opened.card, preprocess=published_for(opened.given).preprocess)
        opened = replace(opened, kind="checkpoint", card=card)
        opened.network = create_model(opened.given, pretrained=IN1K).eval()
    about = {"target": str(target), "precision": precision}
    how = opened.card.preprocess
    if (runtime := opened.runtime) is not None:
        if opened.task != "features" or precision != "auto" or device is not None:
            raise UserError(
                f"{target}: an artifact gives features only if it was exported with --features, in "
                "its own precision; otherwise embed with the original run"
            )
        about["sha256"] = str(sorted(runtime.artifact.files.items()))

        def pooled(images: Sequence[Any]) -> Floats:
            maps: Any = runtime(np.stack(images))
            deepest: Floats = list(maps.values())[-1]
            return deepest.mean((2, 3))

        return Embedder(runtime.shaped, pooled, how, about)
    about["sha256"] = opened.sha256
    if opened.task in (CLASSIFY, PRETRAIN):
        opened.network.reset_classifier(0)
        opened.card = replace(opened.card, task=CLASSIFY)
        classifier: Any = opened.predictor(device)
        net = in_use(classifier.network, how, precision)

        def features(images: Sequence[Any]) -> Floats:
            return net(torch.stack(list(images))).cpu().numpy()

        return Embedder(classifier.shaped, features, how, about)
    other = opened.predictor(device, capture="off")  # captured layers do not call hooks
    shaped = partial(as_pixels, reading=how.reading)
    return Embedder(shaped, partial(_of_backbone, other, precision), how, about)


def _of_backbone(predictor: Predictor, precision: str, images: Sequence[Tensor]) -> Floats:
    """Means of the deepest maps during prediction; all windows have equal weight."""
    found: list[Tensor] = []
    for image in images:
        with pooled_in(predictor) as means:
            list(predictor.results(image, top=None, boxes=None, batch=None, precision=precision))
        found.append(torch.stack(means).mean(0))
    return torch.stack(found).cpu().numpy()


@contextmanager
def pooled_in(predictor: Predictor) -> Iterator[list[Tensor]]:
    """The pooled features, each (C,), of what ``predictor.model`` computes in this context.

    Several for an image that is predicted in windows, none if a captured network takes its place.
    """
    found: list[Tensor] = []
    if predictor.task == CLASSIFY:
        head = getattr(predictor.model, predictor.model.HEAD)
        hook = head.register_forward_pre_hook(lambda _, given: found.extend(given[0].float()))
    else:
        body = predictor.row.body(predictor.model)
        deepest = body.levels[-1].name
        hook = body.register_forward_hook(
            lambda _, __, maps: found.extend(maps[deepest].float().mean((2, 3)))
        )
    try:
        yield found
    finally:
        hook.remove()


def embed(
    target: str | Path,
    images: Picture | Iterable[Picture],
    *,
    batch: int = 32,
    precision: str = "auto",
    device: str | torch.device | None = None,
) -> Floats:
    """The pooled features of images, in order, as ``res2net embed`` writes them.

    Args:
        target: as for ``load``, an artifact of ``export(features=...)``, or the name of a
            network, whose published ImageNet weights are used.
        images: one or many, as for ``predict``.
        batch: images per batch.
        precision: "auto", "fp32", "bf16" or "fp16".
        device: of a network in PyTorch; None: the best of this machine.

    Returns:
        float32 (N, C). For a classifier, the input of its last layer; for other tasks, the mean of
        the backbone's deepest map while the whole image is predicted.

    Raises:
        UserError: a target or an image that cannot be read, no image, or a value out of range.

    Example:
        >>> res2net.embed("runs/digits", ["photo.png", "photo.png"]).shape
        (2, 256)
    """
    check_batch(batch)
    embedder = open_embedder(target, precision, device)
    rest, found = iter(listed(images)), []
    while chunk := list(islice(rest, batch)):
        found.append(embedder.run([embedder.shaped(image) for image in chunk]))
    if not found:
        raise UserError("--images holds no image")
    return np.concatenate(found)


def check_batch(batch: int) -> None:
    """Refuse batches without an image.

    Raises:
        UserError: below 1.
    """
    if batch < 1:
        raise UserError(f"--batch is {batch}; it must be at least 1")


def embed_to_file(
    embedder: Embedder, images: Iterable[Source], out: Path, *, batch: int, resume: bool
) -> tuple[int, list[str]]:
    """Embed images as they come; only their names and one batch are in memory.

    Args:
        out: .npz or .parquet; finished rows are kept beside it until it is written.
        resume: keep the rows of an interrupted call with the same network and images.

    Returns:
        The number of embedded images; why others were skipped.

    Raises:
        UserError: ``out`` cannot be written, no image can be read, or it was started with others.
    """
    about = {**embedder.about, "batch": batch}
    journal = Journal(out.with_name(f".{out.name}.partial"), about, resume=resume)
    raw = out.with_name(f".{out.name}.rows")  # float32 (N, C)
    rows: list[Any] = journal.rows[: len(journal.rows) // batch * batch]  # (name, C or the fault)
    journal.rows = list(rows)
    rest = iter(images)
    if [name for name, _ in rows] != [image.name for image in islice(rest, len(rows))]:
        raise UserError(f"--resume: {journal.path} was started with other images; drop --resume")
    widths = [what for _, what in rows if isinstance(what, int)]
    size = 4 * sum(widths)
    try:
        with ThreadPoolExecutor(threads()) as pool, raw.open("ab") as file:
            if file.tell() < size:
                raise UserError(f"--resume: {raw} is damaged; start without --resume")
            file.truncate(size)
            while chunk := list(islice(rest, batch)):
                read = list(pool.map(embedder.read, chunk))
                shaped = [image for _, fault, image in read if not fault]
                found = np.asarray(embedder.run(shaped) if shaped else [[]], "<f4")
                file.write(found.tobytes())
                file.flush()
                new = [(name, fault or found.shape[1]) for name, fault, _ in read]
                journal.add(new)
                rows += new
    except OSError as error:
        raise write_error(error, raw) from error
    finally:
        if not journal.path.exists():
            raw.unlink(missing_ok=True)
    faults = [what for _, what in rows if isinstance(what, str)]
    names = [name for name, what in rows if isinstance(what, int)]
    good = len(names)
    if good:
        features: Any = np.memmap(raw, "<f4", "r").reshape(good, -1)
        Embeddings(names, features, embedder.about).write(out)
    journal.end()
    raw.unlink(missing_ok=True)
    if not good:
        if not faults:
            raise UserError("no images found")
        raise UserError(f"none of the {len(faults)} images could be read; the first: {faults[0]}")
    return good, faults
