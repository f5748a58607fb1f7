"""``res2net predict CLIP``: a video decoded, predicted and drawn in a stream, with PyAV."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from res2net.cli.progress import track
from res2net.errors import UserError, counted, one_line
from res2net.files import alone_in, json_text, make_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from res2net.tasks.finding import Finding
    from res2net.tasks.predictor import Predictor

    Frame = tuple[int, float, npt.NDArray[np.uint8]]  # number, seconds, pixels (H, W, 3)

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts")
# Containers that hold their frames: a playlist would name other files and addresses.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,mpegvideo,m4v,h264,hevc"
CODECS = ("libx264", "libopenh264", "mpeg4")  # the first that this PyAV supports
USUAL_RATE = 25  # frames per second of a clip that states none


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def predict_video(
    predictor: Predictor,
    path: Path,
    folder: Path,
    *,
    every: int,
    precision: str,
    top: int | None,
    finding: Finding | None,
) -> tuple[Path, Path]:
    """Predict every n-th frame; write them drawn as a video, and the results as JSONL.

    Frames are read, predicted and written one after the other, so memory does not depend on the
    length of the clip.

    Returns:
        The drawn video, and the file with one line per frame.

    Raises:
        UserError: PyAV is missing, or no video can be read from the file.
    """
    av = _pyav()
    drawn, lines = folder / f"{path.stem}.mp4", folder / f"{path.stem}.jsonl"
    with alone_in(folder, "--out"):
        make_folder(folder, "--out")
        beside = [file.with_name(f".{file.name}.tmp") for file in (drawn, lines)]
        try:
            with _opened(av, path) as clip, beside[1].open("w", encoding="utf-8") as journal:
                stream = clip.streams.video[0]
                rate = Fraction(stream.average_rate or USUAL_RATE) / every
                waiting: deque[tuple[int, float]] = deque()
                frames = _noted(_frames(av, clip, path, every), waiting)
                results = predictor.results(
                    frames, top=top, boxes=None, batch=None, precision=precision, finding=finding
                )
                total = -(-stream.frames // every) or 0
                with av.open(str(beside[0]), "w", format="mp4") as out:
                    writer = _Writer(av, out, rate)
                    for found in track(results, total, "predicting"):
                        number, seconds = waiting.popleft()
                        writer.write(found.plot())
                        row = {"frame": number, "seconds": round(seconds, 3), **found.as_dict()}
                        journal.write(json_text(row) + "\n")
                    writer.finish()
            if not writer.count:
                raise UserError(f"{path}: no frame could be decoded; convert it to MP4 (H.264)")
            for temporary, file in zip(beside, (drawn, lines), strict=True):
                temporary.replace(file)
        finally:
            for temporary in beside:
                temporary.unlink(missing_ok=True)
    print(f"{counted(writer.count, 'frame')}: {drawn}, {lines}")
    return drawn, lines


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise UserError(
            "videos are decoded by PyAV; run `pip install av` (or 'res2net[video]')"
        ) from None
    av.logging.set_level(None)  # damaged frames are counted below
    return av


def _opened(av: Any, path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    safe = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        clip = av.open(str(path.resolve()), options=safe)
    except (av.error.FFmpegError, ValueError):
        raise UserError(
            f"{path}: cannot be decoded as a video; copy it again, or convert it to MP4 (H.264)"
        ) from None
    if not clip.streams.video:
        clip.close()
        raise UserError(f"{path}: the file has no video stream")
    return clip


def _frames(av: Any, clip: Any, path: Path, every: int) -> Iterator[Frame]:
    """Every n-th frame, upright; a damaged part ends the frames with a note."""
    import numpy as np

    stream = clip.streams.video[0]
    stream.thread_type = "AUTO"
    number = 0
    try:
        for number, frame in enumerate(clip.decode(stream)):
            if number % every:
                continue
            pixels = frame.to_ndarray(format="rgb24")
            turns = round(getattr(frame, "rotation", 0) / 90) % 4
            seconds = float(frame.time or 0.0)
            yield number, seconds, np.ascontiguousarray(np.rot90(pixels, turns))
    except av.error.FFmpegError as error:
        warnings.warn(
            f"{path}: damaged after {counted(number + 1, 'frame')} ({one_line(error)}); the frames "
            "before are predicted",
            stacklevel=2,
        )


def _noted(
    frames: Iterator[Frame], waiting: deque[tuple[int, float]]
) -> Iterator[npt.NDArray[np.uint8]]:
    """The pixels of frames; each frame's number and time wait for its result."""
    for number, seconds, pixels in frames:
        waiting.append((number, seconds))
        yield pixels


class _Writer:
    """Writes pictures to a video of one size, that of the first, rounded down to even sides."""

    def __init__(self, av: Any, out: Any, rate: Fraction) -> None:
        self.av, self.out, self.rate, self.count = av, out, rate, 0
        self.stream: Any = None

    def write(self, picture: Any) -> None:
        """Append a picture (a PIL image); one of another size is resized."""
        if self.stream is None:
            codec = next(name for name in CODECS if name in self.av.codecs_available)
            self.stream = self.out.add_stream(codec, rate=self.rate.limit_denominator(65535))
            self.stream.width, self.stream.height = (side // 2 * 2 for side in picture.size)
            self.stream.pix_fmt = "yuv420p"
        size = (self.stream.width, self.stream.height)
        even = tuple(side // 2 * 2 for side in picture.size)
        shown = picture.crop((0, 0, *size)) if even == size else picture.resize(size)
        for packet in self.stream.encode(self.av.VideoFrame.from_image(shown.convert("RGB"))):
            self.out.mux(packet)
        self.count += 1

    def finish(self) -> None:
        """Flush the encoder."""
        if self.stream is not None:
            for packet in self.stream.encode():
                self.out.mux(packet)


def only_video(places: Sequence[Path]) -> Path | None:
    """The only video among the arguments of a command; None if there is none.

    Raises:
        UserError: a video together with other arguments.
    """
    videos = [place for place in places if is_video(place)]
    if videos and len(places) > 1:
        raise UserError(f"{videos[0]}: give one video at a time, without images")
    return videos[0] if videos else None
