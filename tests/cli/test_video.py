"""``res2net predict clip.mp4``: frames in a stream, a drawn video and a line for each frame."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")
Cli = Callable[..., Any]


def write_clip(path: Path, frames: int = 12, size: tuple[int, int] = (64, 48)) -> Path:
    """A clip of 10 frames a second whose brightness rises; MPEG-4 in the container of the name."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(frames):
            pixels = np.full((size[1], size[0], 3), 10 + 20 * i % 240, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def read_clip(path: Path) -> list[Any]:
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv"])
def test_each_frame_has_a_line_and_a_picture(cli: Cli, tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name)
    done = cli("predict", "shipped", clip, "--out", tmp_path / "found", "--top", 2)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "found/clip.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(12))
    assert [row["seconds"] for row in rows] == pytest.approx([i / 10 for i in range(12)], abs=0.002)
    assert all(len(row["classes"]) == 2 for row in rows)
    drawn = read_clip(tmp_path / "found/clip.mp4")
    assert len(drawn) == 12
    assert all(side % 2 == 0 for side in drawn[0].shape[:2])
    corners = [frame[-8:, -8:].mean() for frame in drawn]  # below the legend
    assert corners[6] - corners[0] == pytest.approx(120, abs=15)
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names - {".lock"} == {"clip.jsonl", "clip.mp4"}


def test_every_nth_frame_is_predicted_as_its_picture_is(cli: Cli, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    done = cli("predict", clip, "--every", 5, "--out", tmp_path / "found", "--top", 1)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "found/clip.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == [0, 5, 10]
    with av.open(str(tmp_path / "found/clip.mp4")) as out:
        assert out.streams.video[0].average_rate == 2
    Image.fromarray(read_clip(clip)[5]).save(tmp_path / "five.png")
    alone = cli("predict", "shipped", tmp_path / "five.png", "--json", "--top", 1)
    (name,) = json.loads(alone.out)["top"]
    assert rows[1]["classes"][0]["class"] == name


def _truncated(path: Path) -> None:
    write_clip(path.with_suffix(".mkv"), frames=60, size=(320, 240))
    content = path.with_suffix(".mkv").read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_a_clip_that_is_cut_off_gives_the_frames_that_it_has(cli: Cli, tmp_path: Path) -> None:
    _truncated(tmp_path / "cut.mkv")
    done = cli("predict", "shipped", tmp_path / "cut.mkv", "--out", tmp_path / "found")
    assert done.code == 0, done.err
    rows = (tmp_path / "found" / "cut.jsonl").read_text().splitlines()
    assert 5 < len(rows) < 60


UNREADABLE = "cannot be decoded as a video; copy it again, or convert it to MP4 (H.264)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", UNREADABLE),
        (
            b"no video\n" * 100,
            UNREADABLE,
        ),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video"),
        (
            b"#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
            UNREADABLE,
        ),
        (
            b"ffconcat version 1.0\nfile other.ts\n",
            UNREADABLE,
        ),
        (
            b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
            UNREADABLE,
        ),
    ],
)
def test_what_is_no_video_is_one_line_and_no_other_file_is_read(
    cli: Cli, tmp_path: Path, content: bytes, words: str
) -> None:
    write_clip(tmp_path / "other.ts")
    (tmp_path / "clip.mp4").write_bytes(content)
    done = cli("predict", "shipped", tmp_path / "clip.mp4", "--out", tmp_path / "found")
    assert words in done.line
    assert "Errno" not in done.line
    assert not list((tmp_path / "found").glob("clip*"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--csv", "x.csv"), "--csv"),
        (("--json",), "--json"),
        (("--resume",), "--resume"),
        (("--every", "0"), "at least 1"),
        (("--score", "0.5"), "--score"),
        (("other.mp4",), "one video at a time"),
    ],
)
def test_options_that_mean_nothing_for_a_video_are_refused(
    cli: Cli, tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2)
    done = cli("predict", "shipped", clip, *more)
    assert words in done.line


def test_every_is_for_videos(cli: Cli, sample_photos: list[Path]) -> None:
    assert "--every" in cli("predict", "shipped", sample_photos[0], "--every", 2).line


def test_a_missing_pyav_is_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2)
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install av" in cli("predict", "shipped", clip, "--out", tmp_path / "o").line
