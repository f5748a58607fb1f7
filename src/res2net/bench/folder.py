"""Classify files end to end, compared with the network alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from res2net.bench.options import FolderOptions
from res2net.bench.protocol import LIBRARIES, Measurement, Ratio, Track, ratio_cells, versions_of
from res2net.errors import UserError
from res2net.runtime.artifact import Artifact
from res2net.runtime.session import load
from res2net.runtime.sources import sources
from res2net.runtime.stream import classify

ROUNDS = 5


def run(options: FolderOptions, track: Track) -> Measurement:  # noqa: ARG001  rounds are few
    """Run an artifact on files, and measure the cost of reading them.

    Raises:
        UserError: no artifact, or no images.
    """
    artifact = Artifact.read(options.artifact)
    found = measure(options.artifact, [options.data])
    line = (
        f"{artifact.card.network} {artifact.engine} {artifact.precision}: {found.images} files at "
        f"{found.whole:.1f} images/s, the network alone at {found.alone:.1f}: "
        f"{100 * found.share.median:.0f} % ({100 * found.share.low:.0f} to "
        f"{100 * found.share.high:.0f}), median of per-round ratios (quartiles)"
    )
    row: dict[str, object] = {
        "network": artifact.card.network,
        "engine": artifact.engine,
        "precision": artifact.precision,
        "images": found.images,
        "alone_per_second": round(found.alone, 2),
        "whole_per_second": round(found.whole, 2),
        **ratio_cells("share", found.share),
        "n": ROUNDS,
        **versions_of(*LIBRARIES),
    }
    return Measurement(rows=[row], lines=[line])


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Images per second, medians over rounds."""

    images: int
    alone: float  # preprocessed images in memory
    whole: float  # files: read, decoded, preprocessed, classified
    share: Ratio  # whole / alone


def measure(artifact: str | Path, images: Sequence[str], *, rounds: int = ROUNDS) -> Throughput:
    """Classify the files of a folder with and without reading them, in turn.

    Raises:
        UserError: no artifact, or no images.
    """
    runtime = load(artifact, stream=True)
    files = list(sources(images))
    if not files:
        raise UserError(f"no images in {', '.join(images)}")
    shaped = [runtime.shaped(file.name) for file in files]
    pairs = []
    for _ in range(rounds):
        start = time.perf_counter()
        runtime.classify(shaped)
        middle = time.perf_counter()
        done = sum(1 for _ in classify(runtime, files))
        end = time.perf_counter()
        pairs.append((len(files) / (middle - start), done / (end - middle)))
    alone, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    share = Ratio.of([done / ready for ready, done in pairs])
    return Throughput(images=len(files), alone=alone, whole=whole, share=share)
