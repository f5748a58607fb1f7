"""Run docs/notebook.ipynb in an empty folder and save its outputs.

``python tools/run_notebook.py`` writes the outputs into the notebook; ``--check`` only runs it. A
failing cell, an output that contains a path of this machine, or a notebook of more than 200 kB is
an error, and nothing is written.
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
LARGEST = 200_000  # bytes of the file, with images in base64
SECONDS = 600  # timeout of a cell
PLACES = (tempfile.gettempdir(), sys.prefix, str(Path.home()), str(NOTEBOOK.parent.parent))


def executed(notebook: nbformat.NotebookNode) -> str:
    """The executed notebook, as the text of its file.

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
    notebook.metadata.language_info = {"name": "python"}  # without the version of this machine
    return nbformat.writes(notebook) + "\n"


def wrong_with(text: str) -> str:
    """The reason why a notebook may not be published; empty if it may."""
    if len(text) > LARGEST:
        return f"{len(text):,} bytes; at most {LARGEST:,}"
    named = [place for place in PLACES if f"{place}/" in text]
    return f"contains a path of this machine: {named[0]}" if named else ""


def main(words: list[str]) -> str:
    """Run the notebook; returns an error message or an empty text."""
    text = executed(nbformat.read(NOTEBOOK, as_version=4))
    if problem := wrong_with(text):
        return f"{NOTEBOOK.name}: {problem}"
    if "--check" not in words:
        write_text(NOTEBOOK, text)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)  # an empty text would count as a failure
