"""Run an artifact on several machines with Ray Data.

Install ``res2net[runtime,ray]`` on every machine; the artifact folder and the images must be
accessible from all of them. Ray starts only on this machine unless ``ray.init(address=...)`` was
called before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import UserError
from res2net.prediction import Classification
from res2net.runtime.artifact import Artifact
from res2net.runtime.session import load
from res2net.runtime.sources import sources
from res2net.runtime.stream import classify

BATCH = 64  # images that a worker takes at a time


class Classifier:
    """A Ray worker, which loads the artifact once."""

    def __init__(self, artifact: str, top: int, threads: int) -> None:
        self.runtime = load(artifact, threads=threads, stream=True)
        self.top = top
        self.threads = threads

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Names (B,) → columns image, error, classes and probabilities."""
        names = [str(name) for name in batch["image"]]
        rows = list(classify(self.runtime, sources(names), top=self.top, workers=self.threads))
        found = [
            seen if isinstance(seen, Classification) else Classification(()) for _, seen in rows
        ]
        return {
            "image": np.array([name for name, _ in rows]),
            "error": np.array([seen if isinstance(seen, str) else "" for _, seen in rows]),
            "classes": [[label for label, _ in each.top] for each in found],
            "probabilities": [[p for _, p in each.top] for each in found],
        }


def predict_with_ray(
    artifact: str | Path,
    images: Iterable[str],
    out: str | Path,
    *,
    top: int = 5,
    workers: int = 1,
    threads: int = 1,
) -> None:
    """Classify images on a Ray cluster and write Parquet files into the folder ``out``.

    Args:
        artifact: folder that ``res2net export`` wrote.
        images: files, folders and lists (no archives); the names must mean the same everywhere.
        top: classes to name for each image.
        workers: processes of the cluster that load the artifact.
        threads: processors of each.

    Raises:
        UserError: Ray is missing, ``out`` exists, the artifact is damaged, or there are no images.
    """
    try:
        import ray.data
    except ModuleNotFoundError:
        raise UserError("Ray is not installed: pip install 'res2net[runtime,ray]'") from None
    if Path(out).exists():
        raise UserError(f"{out} exists; give another folder")
    Artifact.read(artifact)  # report a damaged one here, not in every worker
    names = [{"image": str(Path(image.name).absolute())} for image in sources(images)]
    if not names:
        raise UserError("no images there")
    dataset = ray.data.from_items(names).map_batches(
        Classifier,
        fn_constructor_args=(str(Path(artifact).absolute()), top, threads),
        batch_size=BATCH,
        concurrency=workers,
        num_cpus=threads,
    )
    dataset.write_parquet(str(Path(out).absolute()))
