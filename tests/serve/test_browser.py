"""The page in a real Chromium: what people do with it, and what it then shows and asks for."""

from __future__ import annotations

import csv
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.cli.video import SUFFIXES
from res2net.data.outlines import pack
from res2net.serve.api import make_app
from res2net.serve.page import STATIC, add_page
from res2net.serve.service import Limits, Service

ROOT = Path(__file__).resolve().parents[2]

CELLS = {
    "objects": [
        {"class": "RBC", "score": 0.9, "box": [10.0, 10.0, 60.0, 60.0]},
        {"class": "WBC", "score": 0.7, "box": [70.0, 20.0, 120.0, 80.0]},
        {"class": "RBC", "score": 0.2, "box": [130.0, 10.0, 190.0, 90.0]},
    ]
}
MASK = np.random.default_rng(0).random((100, 200)) < np.linspace(0.02, 0.9, 200)
POSE = {
    "objects": [
        {
            "score": score,
            "box": [10.0, 10.0, 90.0, 90.0],
            "keypoints": {"2": [20, 20, 0.9], "1": [60, 60, high], "tail": [80, 20, 0.9]},
        }
        for score, high in ((0.8, 0.9), (0.3, 0.1))
    ]
}
LABELS = {
    "labels": ["rust"],
    "classes": [
        {"class": name, "probability": p}
        for name, p in (("rust", 0.8), ("<i>dent</i>", 0.45), ('a,"b"', 0.1))
    ],
}
MARKED = {"parameters": ["score", "iou", "max_detections"], "activation_map": False}
SCORE = {"drawn": {"score": 0.5}}


def _stubs(stub: type) -> list[Any]:
    kinds = {"classes": ["RBC", "WBC"], **MARKED, **SCORE}
    masks = [{**each, "mask": pack(MASK)} for each in CELLS["objects"][:2]]
    names = [each["class"] for each in LABELS["classes"]]
    labels = {"classes": names, "thresholds": [0.5, 0.5, 0.5], "parameters": ["top"]}
    both = ["top", "embedding"]
    drawn = {"score": 0.0, "keypoint": 0.2, "names": ["2", "1", "tail"], "bones": [[0, 1], [1, 2]]}
    return [
        stub("cells", "detect", CELLS, **kinds),
        stub("masks", "instances", {"objects": masks}, **kinds),
        stub("poses", "pose", POSE, **{**MARKED, "classes": ["cow"], "drawn": drawn}),
        stub("labels", "classify", LABELS, activation_map=False, **labels),
        stub("photos", "classify", classes=["class 1"], activation_map=True, parameters=both),
        stub("roads", "segment", {"shares": {"road": 0.75, "sky": 0.25}}, parameters=[]),
    ]


@dataclass
class Browser:
    """The page of stand-ins in Chromium.

    Attributes:
        folder: of photos to choose.
        stubs: by name.
    """

    driver: Any
    folder: Path
    stubs: dict[str, Any]

    def photo(self, name: str, size: tuple[int, int] = (200, 100)) -> Path:
        """A file to choose."""
        path = self.folder / name
        Image.new("RGB", size, "teal").save(path, "PNG")
        return path

    def open(self, *networks: str) -> None:
        """The page as new, with these networks."""
        self.driver.get(self.driver.current_url)
        for stub in self.stubs.values():
            stub.asked.clear()
        for number, name in enumerate([*networks, ""][:2]):
            self.run(
                "const select = byId(arguments[0]); select.value = arguments[1];"
                "select.dispatchEvent(new Event('change'))",
                *(f"choice-{number}", name),
            )

    def choose(self, *paths: Path) -> None:
        """Photos, and wait until they are done."""
        field = self.driver.find_element("id", "files")
        field.send_keys("\n".join(map(str, paths)))
        self.done()

    def done(self) -> None:
        """Wait until nothing is under way and every picture is there."""
        self.wait("!active && photos.length && photos.every(p => p.entries.size)")
        self.wait("[...document.images].every(i => i.complete)")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + 20
        while not self.run(f"return {script}"):
            assert time.monotonic() < end, (script, self.texts("body"))
            time.sleep(0.02)

    def run(self, script: str, *words: Any) -> Any:
        """JavaScript on the page."""
        return self.driver.execute_script(script, *words)

    def texts(self, selector: str) -> list[str]:
        """What stands in the elements, in order."""
        found = "[...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.run(f"return {found}", selector)

    def count(self, selector: str) -> int:
        """Elements."""
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def move(self, selector: str, value: float) -> None:
        """A slider, or a number that is typed."""
        script = "const input = document.querySelector(arguments[0]); input.value = arguments[1];"
        events = "for (const n of ['input', 'change']) input.dispatchEvent(new Event(n))"
        self.run(script + events, selector, str(value))

    def press(self, what: str) -> None:
        """A button."""
        self.driver.find_element("id", what).click()

    def table(self, network: str) -> list[list[str]]:
        """The CSV of the page."""
        text = self.run("return csvOf(networks.get(arguments[0]))", network)
        return list(csv.reader(io.StringIO(text)))

    def rows(self, network: str) -> list[dict[str, Any]]:
        """The JSON of the page."""
        return json.loads(self.run("return jsonOf(networks.get(arguments[0]))", network))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    pytest.importorskip("selenium", reason="needs res2net[dev]")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    tool = runpy.run_path(str(ROOT / "tools" / "draw_page.py"))
    with tool["chromium"]() as driver:
        yield driver
        assert tool["asked_outside"](driver) == []


@pytest.fixture(scope="module")
def shop(chromium, make_stub, running, tmp_path_factory, sample_photos) -> Iterator[Browser]:
    """A server of stand-ins, and its page in a browser."""
    stubs = _stubs(make_stub)
    service = Service(stubs, Limits(max_bytes=200_000, max_pixels=1_000_000))
    app = make_app(service)
    add_page(app, service, address="http://localhost:1", examples=sample_photos)
    with running(app, service) as address:
        chromium.get(f"{address}/")
        named = {each.name: each for each in stubs}
        yield Browser(chromium, tmp_path_factory.mktemp("photos"), named)
        severe = [e for e in chromium.get_log("browser") if e["level"] == "SEVERE"]
        answered = ("status of 415", "status of 422")
        assert [e for e in severe if not any(each in e["message"] for each in answered)] == []


@pytest.fixture
def browser(shop: Browser) -> Browser:
    shop.open("cells")
    return shop


@pytest.mark.slow
def test_several_photos_are_predicted_in_order_one_after_the_other(browser: Browser) -> None:
    paths = [browser.photo(f"{k}.png", (20 + k, 40)) for k in (3, 1, 2)]
    notes, cut = browser.folder / "notes.txt", browser.folder / "cut.png"
    notes.write_text("no image")
    cut.write_bytes(paths[0].read_bytes()[:60])
    large = browser.folder / "large.png"
    large.write_bytes(b"x" * 200_001)
    browser.choose(paths[0], notes, cut, large, *paths[1:])
    names = ["3.png", "notes.txt", "cut.png", "large.png", "1.png", "2.png"]
    assert browser.texts(".photo h2") == names
    assert [size[0] for size, _ in browser.stubs["cells"].asked] == [23, 21, 22]
    errors = browser.texts(".photo .error")
    assert errors[0].startswith("notes.txt: not a supported image format; send JPEG, ")
    assert errors[1].startswith("cut.png: a damaged or truncated image")
    assert errors[2].startswith("large.png: 0.191 MiB, larger than the allowed 0.191 MiB; scale")
    assert browser.texts("#status") == ["6 of 6 photos, 3 failed"]
    assert browser.count(".photo img") == 3
    assert [row[0] for row in browser.table("cells")[1:]] == [
        name for name in ("3.png", "1.png", "2.png") for _ in range(2)
    ]
    rows = browser.rows("cells")
    assert [row["image"] for row in rows] == names
    assert rows[1]["error"] == errors[0]


@pytest.mark.slow
def test_the_score_hides_boxes_without_a_request(browser: Browser) -> None:
    browser.choose(browser.photo("a.png"), browser.photo("b.png"))
    assert browser.texts(".line") == ["1 RBC  1 WBC"] * 2
    assert browser.texts(".mark text")[:2] == ["RBC 90 %", "WBC 70 %"]
    for score, marks, line in ((0.8, 2, "1 RBC"), (1, 0, "nothing"), (0.1, 6, "2 RBC  1 WBC")):
        browser.move("input[type=range]", score)
        assert (browser.count(".mark"), browser.texts(".line")) == (marks, [line] * 2)
    assert len(browser.stubs["cells"].asked) == 2
    left = [
        float(x)
        for x in browser.run(
            "return ['x', 'y', 'width', 'height'].map("
            "n => document.querySelectorAll('.mark rect')[1].getAttribute(n))"
        )
    ]
    assert left == [70, 20, 50, 60]
    browser.move("input[type=range]", 0.7)
    assert browser.table("cells") == [
        ["image", "class", "score", "left", "top", "right", "bottom"],
        *(
            [name, *rest]
            for name in ("a.png", "b.png")
            for rest in (
                ["RBC", "0.9", "10", "10", "60", "60"],
                ["WBC", "0.7", "70", "20", "120", "80"],
            )
        ),
    ]
    (row, _) = browser.rows("cells")
    assert (row["objects"], row["width"]) == (CELLS["objects"][:2], 200)
    assert (row["summary"], "picture" in row) == ("1 RBC  1 WBC", False)


@pytest.mark.slow
def test_what_only_the_network_can_apply_is_asked_again(browser: Browser) -> None:
    browser.choose(browser.photo("a.png"))
    asked = browser.stubs["cells"].asked
    assert asked[-1][1].finding == {}
    browser.move("input[type=number]", 0.35)
    browser.wait("!active")
    assert asked[-1][1].finding == {"iou": 0.35}
    browser.move("input[type=number]", 1.5)  # refused by the field itself
    browser.wait("!active")
    assert len(asked) == 2


@pytest.mark.slow
def test_masks_are_drawn_as_they_are(browser: Browser) -> None:
    browser.open("masks")
    browser.choose(browser.photo("a.png"))
    assert browser.count(".mark path") == 2
    for mask in (MASK, np.zeros((7, 9), bool), np.ones((9, 7), bool), MASK[:1], MASK[:, :1]):
        packed = pack(mask)
        path = browser.run(
            "return pathOf(runLengths(arguments[0]), ...arguments[1])",
            packed["counts"],
            packed["size"],
        )
        drawn = np.zeros(mask.shape, bool)
        for x, top, bottom in re.findall(r"M(\d+) (\d+)h1V(\d+)h-1z", path):
            assert not drawn[int(top) : int(bottom), int(x)].any()
            drawn[int(top) : int(bottom), int(x)] = True
        np.testing.assert_array_equal(drawn, mask)
    wide = pack(np.ones((2, 1200), bool))
    path = browser.run(
        "return pathOf(runLengths(arguments[0]), ...arguments[1])", wide["counts"], wide["size"]
    )
    assert path == "".join(f"M{x} 0h3V2h-3z" for x in range(0, 1200, 3))


@pytest.mark.slow
def test_poses_join_their_own_points(browser: Browser) -> None:
    browser.open("poses")
    browser.choose(browser.photo("a.png"))
    lines = browser.run(
        "return [...document.querySelectorAll('.mark line')].map("
        "l => ['x1', 'y1', 'x2', 'y2'].map(n => Number(l.getAttribute(n))))"
    )
    assert lines == [[20, 20, 60, 60], [60, 60, 80, 20]]  # of the second, one point is unsure
    assert browser.texts(".line") == ["poses: 2"]
    browser.move("input[type=range]", 0.5)
    assert (browser.texts(".line"), browser.count(".mark circle")) == (["poses: 1"], 3)
    table = browser.table("poses")
    assert (len(table), table[0][-4:]) == (4, ["keypoint", "x", "y", "keypoint_score"])


@pytest.mark.slow
def test_thresholds_of_classes_decide_what_counts(browser: Browser) -> None:
    browser.open("labels")
    browser.choose(browser.photo("a.png"))
    (asked,) = browser.stubs["labels"].asked
    assert (asked[1].top, asked[1].picture) == (3, "photo")
    assert browser.texts(".line") == ["rust"]
    browser.move("details label:nth-child(3) input", 0.4)  # the second class
    assert browser.texts(".line") == ["rust, <i>dent</i>"]
    browser.move("details label:nth-child(1) input", 0.05)  # all of them
    assert browser.table("labels")[1][:2] == ["a.png", 'rust;<i>dent</i>;a,"b"']
    assert browser.rows("labels")[0]["labels"] == ["rust", "<i>dent</i>", 'a,"b"']
    browser.run("document.querySelector('details button').click()")
    assert browser.texts(".line") == ["rust"]
    assert len(browser.stubs["labels"].asked) == 1


@pytest.mark.slow
def test_names_are_text(browser: Browser) -> None:
    browser.open("labels", "cells")
    browser.choose(browser.photo("<img src=x onerror=alert(1)>.png"))
    assert browser.texts(".photo h2") == ["<img src=x onerror=alert(1)>.png"]
    assert browser.count("#results h2 *, #results .line *, .bars i, details i") == 0


@pytest.mark.slow
def test_two_networks_side_by_side_with_their_pictures(browser: Browser) -> None:
    browser.open("photos", "roads")
    (browser.folder / "notes.txt").write_text("no image")
    browser.choose(browser.photo("a.png", (1000, 900)), browser.folder / "notes.txt")
    assert browser.texts(".side .title") == ["photos", "roads"]
    asked = [browser.stubs[name].asked[-1][1] for name in ("photos", "roads")]
    assert [query.picture for query in asked] == ["marks", "marks"]
    (error,) = browser.texts(".photo .error")  # once, not for each network
    assert error.startswith("notes.txt: not a supported")
    widths = browser.run(
        "return [...document.querySelectorAll('.photo img')].map(i => i.naturalWidth)"
    )
    assert widths == [800, 800]  # the page never holds the 1,000
    assert browser.table("photos")[0] == [
        "image",
        *(f"{what}_{k}" for k in range(1, 6) for what in ("class", "probability")),
    ]
    assert browser.table("roads")[1:] == [["a.png", "road", "0.75"], ["a.png", "sky", "0.25"]]
    browser.run("byId('choice-1').value = ''; byId('choice-1').dispatchEvent(new Event('change'))")
    assert browser.count(".side") == 1


@pytest.mark.slow
def test_without_a_photo_the_page_asks_for_one(browser: Browser) -> None:
    browser.press("look")
    assert browser.texts("#notice")[0].startswith(
        "There is no photo yet. Drop photos or videos, or"
    )
    browser.run("document.querySelector('.downloads button').click()")
    assert browser.texts("#notice") == ["There are no results yet."]
    browser.run("document.querySelector('#examples button').click()")
    browser.done()
    assert browser.texts(".photo h2") == ["china.jpg"]
    assert browser.texts("#notice") == [""]
    browser.press("clear")
    assert (browser.count(".photo"), browser.texts("#status")) == (0, [""])


def _video(path: Path, frames: int, *, live: bool = False) -> Path:
    """A VP8 clip of 10 frames a second whose brightness rises; live: of no stated length."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options={"live": "1"} if live else {}) as out:
        stream = out.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 200, 100, "yuv420p"
        for number in range(frames):
            pixels = np.full((100, 200, 3), 20 + 4 * number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path


def test_the_page_knows_the_videos_of_predict_by_their_names() -> None:
    (known,) = re.findall(r"const VIDEO = /(.*)/i;", (STATIC / "page.js").read_text())
    assert [name for name in SUFFIXES if not re.search(known, f"clip{name}")] == []
    assert not re.search(known, "mp4.png")
    (accepted,) = re.findall(r'accept="(.*)"', (STATIC / "page.html").read_text())
    assert "video/*" in accepted.split(",")


@pytest.mark.slow
def test_a_video_is_predicted_frame_by_frame(browser: Browser) -> None:
    browser.open("photos")
    clips = [_video(browser.folder / f"{n}.webm", 26, live=n == "live") for n in ("clip", "live")]
    paths = "\n".join(map(str, [browser.photo("a.png"), *clips]))
    browser.driver.find_element("id", "files").send_keys(paths)
    browser.wait("photos.length === 7 && !active")
    frames = [f"{clip.name} 0:{k:04.1f}" for clip in clips for k in range(3)]
    assert browser.texts(".photo h2") == ["a.png", *frames]
    assert browser.texts("#status") == ["7 of 7 photos"]
    asked = browser.stubs["photos"].asked
    assert [size for size, _ in asked] == [(200, 100)] * 7
    light = browser.stubs["photos"].light[-6:]
    assert light == pytest.approx([20, 60, 100] * 2, abs=4)
    assert [row["image"] for row in browser.rows("photos")][1:] == frames
    browser.press("clear")
    browser.run("config.mostFrames = 2")
    browser.choose(clips[0])
    browser.run("config.mostFrames = 60")
    assert browser.texts(".photo h2") == ["clip.webm 0:00.0", "clip.webm 0:01.3"]


@pytest.mark.slow
def test_a_video_that_the_browser_cannot_decode_names_the_command(browser: Browser) -> None:
    (browser.folder / "clip.avi").write_bytes(b"RIFF, and no video that a browser knows")
    browser.choose(browser.folder / "clip.avi", browser.photo("a.png"))
    browser.wait("!byId('notice').hidden")
    assert browser.texts("#notice") == [
        "clip.avi: this browser cannot decode it; `res2net predict clip.avi` on the command line "
        "reads more kinds of videos."
    ]
    assert browser.texts(".photo h2") == ["a.png"]


@pytest.mark.slow
def test_the_photos_most_similar_to_one(browser: Browser) -> None:
    browser.open("photos", "cells")
    for name, colour in (("red", "red"), ("blue", "blue"), ("rose", "#f00060"), ("copy", "red")):
        Image.new("RGB", (60, 40), colour).save(browser.folder / f"{name}.png")
    browser.choose(*(browser.folder / f"{name}.png" for name in ("red", "blue")))
    assert [query.embedding for _, query in browser.stubs["photos"].asked] == [False] * 2
    browser.run("document.querySelector('.similar summary').click()")
    browser.wait("document.querySelector('.similar button')")
    assert browser.texts(".similar button") == ["0.00 blue.png"]
    browser.choose(*(browser.folder / f"{name}.png" for name in ("rose", "copy")))
    browser.wait("photos.length === 4 && !active")
    found = ["1.00 copy.png", "0.93 rose.png", "0.00 blue.png"]
    browser.wait("document.querySelectorAll('.similar button').length === 3")
    assert browser.texts(".similar button") == found  # of the first photo, which stays open
    assert browser.count(".similar") == 4  # `cells` gives no embedding
    assert not any(query.embedding for _, query in browser.stubs["cells"].asked)
    assert "embedding" not in browser.rows("photos")[0]


STOPPED = {
    "the server is stopping. Then press Predict": "Promise.resolve(new Response("
    '\'{"error": "the server is stopping"}\', {status: 503}))',
    "The session has ended": "Promise.resolve(new Response('', {status: 401}))",
    "The server does not answer.": "Promise.reject(new TypeError('Failed to fetch'))",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", STOPPED)
def test_a_server_that_stops_is_said_once_and_the_rest_waits(browser: Browser, words: str) -> None:
    browser.run(f"window.real = fetch; window.fetch = () => {STOPPED[words]}")
    paths = [browser.photo(f"{k}.png") for k in range(3)]
    browser.driver.find_element("id", "files").send_keys("\n".join(map(str, paths)))
    browser.wait("photos.length && !active")
    assert browser.texts("#notice")[0].startswith(words)
    assert browser.texts(".photo .remark") == ["waiting"] * 3
    browser.run("window.fetch = window.real")
    browser.press("look")
    browser.done()
    assert (browser.texts("#notice"), browser.count(".photo img")) == ([""], 3)


@pytest.mark.slow
def test_a_busy_server_is_asked_again_and_stop_ends_the_wait(browser: Browser) -> None:
    stub = browser.stubs["cells"]
    stub.go.clear()
    try:
        paths = [browser.photo(f"{k}.png") for k in range(2)]
        browser.driver.find_element("id", "files").send_keys("\n".join(map(str, paths)))
        browser.wait("active && !byId('stop').hidden")
        assert "0 of 2 photos, 0.png" in browser.texts("#status")
        browser.press("stop")
        browser.wait("!active")
    finally:
        stub.go.set()
    assert browser.texts(".photo .remark") == ["waiting"] * 2
    browser.press("look")
    browser.done()
    script = "const real = fetch; let n = 0; window.fetch = (...w) => n++ ? real(...w) : "
    busy = "Promise.resolve(new Response('{}', {status: 429, headers: {'Retry-After': '1'}}))"
    browser.run(script + busy)
    browser.press("look")
    browser.wait("byId('status').textContent.includes('busy')")
    browser.done()
    browser.wait("photos.every(p => p.entries.get('cells')?.answer)")


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "a-long-secret"])
def test_the_process_with_a_network_in_a_browser(tiny_run: Path, tmp_path: Path, token) -> None:
    from sklearn.datasets import load_digits

    pytest.importorskip("selenium", reason="needs res2net[dev]")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    for number in (3, 4):
        digit = Image.fromarray((load_digits().images[number] * 15).astype(np.uint8))
        digit.resize((64, 64)).save(tmp_path / f"{number}.png")
    words = ["--photo", tmp_path / "3.png", tmp_path / "4.png", "--out", tmp_path / "page.png"]
    words += ["--token", token] if token else []
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "draw_page.py", tiny_run, tiny_run, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["title"] == "Predict photos with Res2Net"
    assert said["outside"] == []
    expected = "401" if token else "nothing is expected"  # before the token is given
    assert [fault for fault in said["faults"] if expected not in fault] == []
    assert [photo["name"] for photo in said["photos"]] == ["3.png", "4.png"]
    for photo in said["photos"]:
        assert len(photo["sides"]) == 2
        for side in photo["sides"]:
            assert side["bars"].count("%") == 5
            assert "Grad-CAM" in side["remark"]
            assert side["pictures"] == 1
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == 1280
