"""Use the page of ``res2net serve`` in headless Chromium and save a screenshot.

``python tools/draw_page.py RUN [RUN] --photo PHOTO ... --out docs/pictures/serve.png``: starts the
server, chooses the photos, waits for the predictions. Prints JSON: what the page shows, and every
address outside this machine that the browser requested.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from res2net.bench.serve import running
from res2net.files import write_bytes

SIZE = (1280, 1180)  # pixels of the window
SECONDS = 90  # timeout of each step
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", f"--window-size={SIZE[0]},{SIZE[1]}"),
)


READ = """
const text = (node, part) => [...node.querySelectorAll(part)].map(e => e.innerText).join("\\n");
return [...document.querySelectorAll(".photo")].map(photo => ({
  name: text(photo, "h2"),
  error: text(photo, ".error"),
  sides: [...photo.querySelectorAll(".side")].map(side => ({
    line: text(side, ".line"),
    bars: text(side, ".bars"),
    remark: text(side, ".remark"),
    pictures: side.querySelectorAll("img").length,
    marks: side.querySelectorAll(".mark").length,
  })),
}));
"""


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile that logs its requests."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def asked_outside(driver: webdriver.Chrome) -> list[str]:
    """Requested addresses outside this machine."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
                found.append(address)
    return found


def use(
    driver: webdriver.Chrome, address: str, photos: list[Path], token: str | None
) -> dict[str, Any]:
    """Log in if needed, choose the photos, read what the page shows."""
    wait = WebDriverWait(driver, SECONDS)
    driver.get(address)
    if token:
        wait.until(lambda d: d.find_element(By.NAME, "token")).send_keys(token)
        driver.find_element(By.TAG_NAME, "button").click()
    chosen = "\n".join(str(photo.resolve()) for photo in photos)
    wait.until(lambda d: d.find_element(By.ID, "files")).send_keys(chosen)
    done = f"{len(photos)} of {len(photos)} photos"
    wait.until(lambda d: done in d.find_element(By.ID, "status").text)
    loaded = "return [...document.images].every(i => i.complete)"
    wait.until(lambda d: d.execute_script(loaded))
    return {"title": driver.title, "photos": driver.execute_script(READ)}


def main() -> None:
    """Start the server, use the page, print the result, save the screenshot."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--photo", type=Path, nargs="+", required=True)
    parser.add_argument("--width", type=int, default=SIZE[0], help="pixels of the window")
    parser.add_argument("--token", help="secret of the page")
    parser.add_argument("--out", type=Path, help="PNG to write")
    options = parser.parse_args()
    words = [*options.targets, *(["--token", options.token] if options.token else [])]
    with running(words) as address, chromium() as driver:
        driver.set_window_size(options.width, SIZE[1])
        shown = use(driver, address, options.photo, options.token)
        height = driver.execute_script("return document.documentElement.scrollHeight")
        driver.set_window_size(options.width, max(400, min(height + 20, 2400)))
        severe = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
        shown |= {"outside": asked_outside(driver), "faults": severe}
        if options.out:
            with tempfile.TemporaryDirectory() as folder:
                shot = Path(folder) / "shot.png"
                driver.save_screenshot(str(shot))
                picture = (
                    Image.open(shot)
                    .convert("RGB")
                    .quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
                )
                picture.save(shot, optimize=True)
                write_bytes(options.out, shot.read_bytes())
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
