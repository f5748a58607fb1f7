"""Predictions to a file, row by row: CSV, JSONL or Parquet; the first two can be gone on with.

An image that cannot be read has a row too, with the reason: so the number of rows is the number of
images done, and a stopped run goes on behind the last whole row.
"""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from res2net.errors import UserError
from res2net.files import write_error
from res2net.models.prediction import Prediction

FLUSH_EVERY = 64  # rows
ROW_GROUP = 4096  # rows of Parquet written at once


class Sink(Protocol):
    """Takes results in order."""

    done: int  # images that the file holds already
    last: str | None  # the last of them

    def write(self, name: str, found: Prediction | str) -> None:
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
        raise UserError(f"--out {path}: its ending can be {', '.join(kinds)}")
    if path.exists() and not resume:
        raise UserError(f"--out {path} exists; give --resume to go on, or name another file")
    if path.exists() and ending == ".parquet":
        raise UserError(f"--resume: {path} is Parquet, which cannot be added to; use CSV or JSONL")
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
    """Rows of text, the half row of a killed run cut away."""

    def __init__(self, path: Path, top: int) -> None:
        self.path, self.top = path, top
        self.done = 0
        self.last: str | None = None
        if path.exists():
            _cut_half_row(path)
            self.done, self.last = self.read()
        self.file = path.open("a", encoding="utf-8", errors="surrogateescape", newline="")
        self.unflushed = 0

    @abstractmethod
    def read(self) -> tuple[int, str | None]:
        """Images that the file holds, and the last of them."""

    @abstractmethod
    def text(self, name: str, found: Prediction | str) -> str:
        """The row of one image."""

    def write(self, name: str, found: Prediction | str) -> None:
        self.file.write(self.text(name, found))
        self.unflushed += 1
        if self.unflushed >= FLUSH_EVERY:
            self.file.flush()
            self.unflushed = 0

    def close(self) -> None:
        self.file.close()

    def foreign(self) -> UserError:
        return UserError(
            f"--resume: {self.path} was not written with --top {self.top}; "
            "give the same options, or name another file"
        )


class _Csv(_Text):
    """image, error, class_1, probability_1, class_2, ..."""

    def __init__(self, path: Path, top: int) -> None:
        numbers = range(1, top + 1)
        names = [f"{what}_{k}" for k in numbers for what in ("class", "probability")]
        self.head = ["image", "error", *names]
        super().__init__(path, top)
        if self.file.tell() == 0:
            self.file.write(_row(self.head))

    def read(self) -> tuple[int, str | None]:
        done, last = 0, None
        with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            head = next(rows, self.head)
            if head != self.head:
                raise self.foreign()
            for row in rows:
                done, last = done + 1, row[0]
        return done, last

    def text(self, name: str, found: Prediction | str) -> str:
        if isinstance(found, str):
            return _row([name, found, *[""] * (2 * self.top)])
        cells = [cell for label, p in found.top for cell in (label, f"{p:.6f}")]
        return _row([name, "", *cells, *[""] * (2 * self.top - len(cells))])


class _Jsonl(_Text):
    """An object a line: {"image": ..., "top": {class: probability}} or {"image", "error"}."""

    def read(self) -> tuple[int, str | None]:
        done, last = 0, None
        with self.path.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                try:
                    last = json.loads(line)["image"]
                except (ValueError, KeyError, TypeError):
                    raise self.foreign() from None
                done += 1
        return done, last

    def text(self, name: str, found: Prediction | str) -> str:
        what: dict[str, Any] = (
            {"error": found}
            if isinstance(found, str)
            else {"top": {label: round(p, 6) for label, p in found.top}}
        )
        return json.dumps({"image": name, **what}) + "\n"


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

    def write(self, name: str, found: Prediction | str) -> None:
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


def _cut_half_row(path: Path) -> None:
    """Take away what stands behind the last end of line."""
    with path.open("rb+") as file:
        end = file.seek(0, io.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            block = file.read(end - start)
            cut = block.rfind(b"\n")
            if cut >= 0:
                file.truncate(start + cut + 1)
                return
            end = start
        file.truncate(0)
