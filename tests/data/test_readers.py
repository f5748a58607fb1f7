"""The table of readers, and what costs nothing to import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from res2net.data.labelled import ReadOptions
from res2net.data.readers import READERS, read
from res2net.data.source import FORMATS, parse_source


def test_every_format_has_a_reader() -> None:
    assert tuple(READERS) == (*FORMATS[: len(READERS) - 1], "scenes")


def test_read(make_tree: Callable[[dict[str, int]], Path]) -> None:
    data = read(parse_source(str(make_tree({"cat": 4, "dog": 4}))), ReadOptions(val_fraction=0.5))
    assert (len(data.train), len(data.val)) == (4, 4)


def test_readers_need_no_torch() -> None:
    code = (
        "import sys; from res2net.data import augment, photo, preprocess, readers;"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
