"""Run docs/notebook.ipynb in an empty folder and keep what it shows.

``python tools/run_notebook.py`` writes the outputs into the notebook; ``--check`` only runs it. A
cell that fails, an output that names a place of this machine, or more than 200 kB of outputs is an
error, and nothing is written.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from res2net.files import write_text

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"
LARGEST = 200_000  # bytes of the file, its pictures in base64
SECONDS = 600  # for a cell
PLACES = (tempfile.gettempdir(), sys.prefix, str(Path.home()), str(NOTEBOOK.parent.parent))


def executed(notebook: nbformat.NotebookNode) -> str:
    """The notebook after all its cells ran, as the text of its file.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["RES2NET_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=SECONDS, resources=where, record_timing=False, coalesce_streams=True
        ).execute()
    notebook.metadata.language_info = {"name": "python"}  # no version of this machine's
    return nbformat.writes(notebook) + "\n"


def wrong_with(text: str) -> str:
    """What may not be published of a notebook's file; empty if all may."""
    if len(text) > LARGEST:
        return f"{len(text):,} bytes; at most {LARGEST:,}"
    named = [place for place in PLACES if f"{place}/" in text]
    return f"names a place of this machine: {named[0]}" if named else ""


def main(words: list[str]) -> str:
    """Run it; what went wrong, or nothing."""
    text = executed(nbformat.read(NOTEBOOK, as_version=4))
    if problem := wrong_with(text):
        return f"{NOTEBOOK.name}: {problem}"
    if "--check" not in words:
        write_text(NOTEBOOK, text)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)  # a text, an empty one too, is a failure's
