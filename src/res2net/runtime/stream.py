"""Run an artifact on many images: decoding in threads, inference in parallel, ordered results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from res2net.errors import UserError
from res2net.prediction import Classification
from res2net.processor import threads
from res2net.runtime.engines import Pixels
from res2net.runtime.images import fit
from res2net.runtime.session import Runtime
from res2net.runtime.sinks import open_sink
from res2net.runtime.sources import Source, sources

AHEAD = 8  # images decoded ahead of the engine, for each thread
HELD = 256 << 20  # bytes of packed images, beyond which no more are read ahead from an archive
Result = tuple[str, Classification | str]  # name, and the prediction or why it could not be read
Track = Callable[[Iterable[Result]], Iterable[Result]]


@dataclass(frozen=True, kw_only=True)
class Count:
    """Summary of a run over many images."""

    done: int  # images of this run, including bad ones
    before: int  # images done before this run
    bad: int  # images of this run that could not be read
    first_bad: str  # why the first could not; "" without any


def classify(
    runtime: Runtime, images: Iterable[Source], *, top: int = 5, workers: int | None = None
) -> Iterator[Result]:
    """Results in the order of the images; memory does not grow with their number.

    Args:
        workers: threads that decode; None fits the machine.

    Raises:
        UserError: the images cannot be listed any further (a damaged archive); the results of
            those before have been given by then.
    """
    bad: dict[int, str] = {}
    names: deque[str] = deque()
    broken: list[UserError] = []
    workers = workers or threads()
    with ThreadPoolExecutor(workers) as pool:
        listed = _until_broken(images, broken)
        readable = _readable(_ahead(pool, runtime, listed, workers), names, bad)
        number = 0  # of the next result
        for key, found in runtime.predict_shaped(readable, top=top):
            while number < key:
                yield names.popleft(), bad.pop(number)
                number += 1
            yield names.popleft(), found
            number += 1
        while names:
            yield names.popleft(), bad.pop(number)
            number += 1
    if broken:
        raise broken[0]


def _until_broken(images: Iterable[Source], broken: list[UserError]) -> Iterator[Source]:
    """The images before what ends their list early, which goes to ``broken``."""
    try:
        yield from images
    except UserError as error:
        broken.append(error)


def _ahead(
    pool: ThreadPoolExecutor, runtime: Runtime, images: Iterable[Source], workers: int
) -> Iterator[tuple[str, Future[Pixels]]]:
    """Names and images under way, a bounded number of them."""
    preprocess = runtime.preprocess

    def prepare(image: Source) -> Pixels:
        return fit(image.read(preprocess.decode_side, preprocess.reading), preprocess)

    waiting: deque[tuple[int, str, Future[Pixels]]] = deque()
    held = 0  # bytes of members of archives
    for image in images:
        size = len(image.data or b"")
        waiting.append((size, image.name, pool.submit(prepare, image)))
        held += size
        while waiting and (len(waiting) >= AHEAD * workers or held > HELD):
            size, name, pixels = waiting.popleft()
            held -= size
            yield name, pixels
    for _, name, pixels in waiting:
        yield name, pixels


def _readable(
    images: Iterable[tuple[str, Future[Pixels]]], names: deque[str], bad: dict[int, str]
) -> Iterator[tuple[int, Pixels]]:
    """The images that can be read, numbered; the others' reasons go to ``bad``."""
    for number, (name, image) in enumerate(images):
        names.append(name)
        try:
            pixels = image.result()
        except UserError as error:
            bad[number] = str(error)
            continue
        yield number, pixels


def predict_to_file(
    runtime: Runtime,
    given: Iterable[str],
    out: Path,
    *,
    top: int = 5,
    resume: bool = False,
    workers: int | None = None,
    track: Track | None = None,
) -> Count:
    """Classify all images and write results as they come.

    Args:
        given: see ``sources``.
        out: .csv, .jsonl or .parquet.
        resume: append after the last row of ``out``, if it exists.
        track: wraps the results in a progress bar.

    Raises:
        UserError: nothing to read, or an ``out`` that cannot be written or resumed.
    """
    done, bad, first = 0, 0, ""
    with open_sink(out, top=min(top, len(runtime.classes)), resume=resume) as sink:
        images, before = sources(given), sink.done
        if before:
            _check_same(out, list(islice(images, before - 1, before)), sink.last)
        results: Iterable[Result] = classify(runtime, images, top=top, workers=workers)
        try:
            for name, found in track(results) if track else results:
                sink.write(name, found)
                done += 1
                if isinstance(found, str):
                    bad += 1
                    first = first or found
        except UserError as error:
            if not done:
                raise
            raise UserError(f"{error}; the {done} images before that are in {out}") from error
    if not done + before:
        raise UserError(f"no images in {', '.join(given)}")
    return Count(done=done, before=before, bad=bad, first_bad=first)


def _check_same(out: Path, image: list[Source], last: str | None) -> None:
    """Refuse to resume if the images differ from those of the existing rows."""
    if not image or image[0].name != last:
        raise UserError(
            f"--resume: the last row of {out} is {last}, but the given images differ or have "
            "another order; start a new file"
        )
