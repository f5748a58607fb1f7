"""Write predictions to a file row by row: CSV, JSONL or Parquet; CSV and JSONL can be resumed.

A file is resumed only if all its rows are from this command; other files are left unchanged.

Unreadable images also get a row, with the reason, so the number of rows is the number of processed
images, and a stopped run resumes after the last complete row.
"""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from res2net.data.foreign import check_file
from res2net.errors import UserError
from res2net.files import json_text, write_error
from res2net.prediction import Classification

FLUSH_EVERY = 64  # rows
ROW_GROUP = 4096  # rows of Parquet written at once
_LONGEST_ROW = 1 << 24  # bytes of a row of JSONL


class Sink(Protocol):
    """Takes results in order."""

    done: int  # images that the file holds already
    last: str | None  # the last of them

    def write(self, name: str, found: Classification | str) -> None:
        """One image: what it shows, or why it could not be read."""

    def close(self) -> None:
        """Write what is left."""


@contextmanager
def open_sink(path: Path, *, top: int, resume: bool) -> Iterator[Sink]:
    """A sink for a file by its ending.

    Raises:
        UserError: another ending, a file that exists (without ``resume``), or one of another make.
    """
    kinds: dict[str, Callable[[Path, int], Sink]]
    kinds = {".csv": _Csv, ".jsonl": _Jsonl, ".parquet": _Parquet}
    ending = path.suffix.lower()
    if ending not in kinds:
        raise UserError(f"--out {path}: its suffix can be {', '.join(kinds)}")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: folder {path.parent} does not exist; create it first")
    if path.exists() and not resume:
        raise UserError(f"--out {path} exists; give --resume to append, or choose another file")
    if path.exists() and ending == ".parquet":
        raise UserError(f"--resume: {path} is Parquet, which cannot be resumed; use CSV or JSONL")
    sink: Sink | None = None
    try:
        sink = kinds[ending](path, top)
        yield sink
    except OSError as error:
        if error.filename not in (None, str(path)):
            raise
        raise write_error(error, path) from error
    finally:
        if sink is not None:
            sink.close()


class _Text(ABC):
    """Rows of text behind those that a file of ours holds; nothing is changed before the first.

    What a killed run left of a row is cut away then, and not counted.
    """

    head = ""  # the first line

    def __init__(self, path: Path, top: int) -> None:
        self.path, self.top = path, top
        self.done = 0
        self.last: str | None = None
        self.end = 0  # bytes of whole rows
        self.file: TextIO | None = None
        self.unflushed = 0
        if path.exists():
            check_file(path)
            with path.open("rb") as file:
                self.read(file)

    @abstractmethod
    def read(self, file: BinaryIO) -> None:
        """Find out what the file holds already.

        Raises:
            UserError: a row that is not ours.
        """

    @abstractmethod
    def text(self, name: str, found: Classification | str) -> str:
        """The row of one image."""

    def write(self, name: str, found: Classification | str) -> None:
        if self.file is None:
            self.file = self.opened()
        self.file.write(self.text(name, found))
        self.unflushed += 1
        if self.unflushed >= FLUSH_EVERY:
            self.file.flush()
            self.unflushed = 0

    def opened(self) -> TextIO:
        """The file, ready for the next row."""
        file = self.path.open("a", encoding="utf-8", errors="surrogateescape", newline="")
        file.truncate(self.end)
        if not self.end:
            file.write(self.head)
        return file

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def foreign(self) -> UserError:
        return UserError(
            f"--resume: {self.path} was not written by this command with --top {self.top}; "
            "give the same options, or choose another file"
        )


class _Csv(_Text):
    """image, error, class_1, probability_1, class_2, ..."""

    def __init__(self, path: Path, top: int) -> None:
        numbers = range(1, top + 1)
        names = [f"{what}_{k}" for k in numbers for what in ("class", "probability")]
        self.columns = ["image", "error", *names]
        self.head = _row(self.columns)
        super().__init__(path, top)

    def read(self, file: BinaryIO) -> None:
        first = file.readline(len(self.head) + 1)  # a foreign file may be one endless line
        if not first.endswith(b"\n"):
            if not self.head.encode().startswith(first):
                raise self.foreign()
            return
        if first.decode("utf-8", "replace").splitlines() != self.head.splitlines():
            raise self.foreign()
        self.end = at = len(first)
        text = ""  # of the row

        def lines() -> Iterator[str]:
            nonlocal at, text
            for line in file:
                at += len(line)
                text += line.decode("utf-8", "surrogateescape")
                yield line.decode("utf-8", "surrogateescape")

        try:
            for row in csv.reader(lines()):
                if not text.endswith("\n") or text.count('"') % 2:
                    return  # half a row, the last: without its end, or broken off inside quotes
                if not self.is_row(row):
                    raise self.foreign()
                self.done, self.last, self.end, text = self.done + 1, row[0], at, ""
        except csv.Error:
            raise self.foreign() from None

    def is_row(self, row: list[str]) -> bool:
        """Whether a row has our columns: a fault, or classes with their probabilities."""
        if len(row) != len(self.columns) or not row[0]:
            return False
        classes, probabilities = row[2::2], row[3::2]
        if row[1]:
            return not any(classes) and not any(probabilities)
        return all(_is_probability(p) for p in probabilities)

    def text(self, name: str, found: Classification | str) -> str:
        if isinstance(found, str):
            return _row([name, found, *[""] * (2 * self.top)])
        cells = [cell for label, p in found.top for cell in (label, f"{p:.6f}")]
        return _row([name, "", *cells, *[""] * (2 * self.top - len(cells))])


class _Jsonl(_Text):
    """An object a line: {"image": ..., "top": {class: probability}} or {"image", "error"}."""

    def read(self, file: BinaryIO) -> None:
        begin = b'{"image": "'
        for line in iter(lambda: file.readline(_LONGEST_ROW), b""):
            if not (line.startswith(begin) or begin.startswith(line)):
                raise self.foreign()
            if not line.endswith(b"\n"):
                if len(line) == _LONGEST_ROW:
                    raise self.foreign()
                return  # half a row, the last
            self.done, self.last = self.done + 1, self.image_of(line)
            self.end += len(line)

    def image_of(self, line: bytes) -> str:
        """The image of a row.

        Raises:
            UserError: a row that is not ours.
        """
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise self.foreign() from None
        top = row.get("top")
        whole = len(top) == self.top if isinstance(top, dict) else "error" in row
        if not whole or row.keys() - {"image", "top", "error"}:
            raise self.foreign()
        return str(row["image"])

    def text(self, name: str, found: Classification | str) -> str:
        what: dict[str, Any] = (
            {"error": found}
            if isinstance(found, str)
            else {"top": {label: round(p, 6) for label, p in found.top}}
        )
        return json_text({"image": name, **what}) + "\n"


class _Parquet:
    """Columns image, error, classes (list of text), probabilities (list of float)."""

    def __init__(self, path: Path, top: int) -> None:  # noqa: ARG002
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ModuleNotFoundError:
            raise UserError(f"--out {path} needs pyarrow: pip install pyarrow") from None
        self.done = 0
        self.last: str | None = None
        self._pa = pa
        self._schema = pa.schema(
            [
                ("image", pa.string()),
                ("error", pa.string()),
                ("classes", pa.list_(pa.string())),
                ("probabilities", pa.list_(pa.float32())),
            ]
        )
        self._rows: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, name: str, found: Classification | str) -> None:
        bad = isinstance(found, str)
        top = () if isinstance(found, str) else found.top
        self._rows.append(
            {
                "image": name,
                "error": found if bad else None,
                "classes": [label for label, _ in top],
                "probabilities": [p for _, p in top],
            }
        )
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


def _row(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _is_probability(text: str) -> bool:
    try:
        return text == "" or 0 <= float(text) <= 1
    except ValueError:
        return False
