"""Rows summed up by hand, and what is left."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from res2net.errors import UserError
from res2net.experiments.results import (
    USUAL_SPEED,
    Spread,
    difference,
    is_done,
    progress,
    read_results,
    read_rows,
    seconds_left,
    spread,
)


def test_spread(tiny_study, rows):
    plain, split = tiny_study.points
    assert spread(rows, plain) == Spread(values=(40.0, 42.0))
    assert str(spread(rows, plain)) == "41.00 ± 1.41"  # sqrt(2) with n - 1
    assert str(spread(rows, split)) == "38.00"  # one seed says nothing of others
    assert str(spread(rows, split, "error_8")) == "–"


def test_difference_is_taken_seed_by_seed(tiny_study, rows):
    plain, split = tiny_study.points
    assert difference(rows, split, plain).values == (-2.0,)
    assert difference(rows, plain, plain).values == (0.0, 0.0)
    assert difference([], split, plain).values == ()


def test_what_is_done(tiny_study, rows):
    plain, split = tiny_study.points
    assert is_done(rows, plain, 1)
    assert not is_done(rows, split, 1)


def test_time_left(tiny_study, rows):
    plain, split = tiny_study.points
    guess, measured = seconds_left(tiny_study, [(plain, 0)], [])
    assert (guess, measured) == (tiny_study.work(plain) / USUAL_SPEED, False)
    assert seconds_left(tiny_study, [(plain, 2), (split, 1)], rows) == (120.0, True)
    only_plain = [row for row in rows if row["point"] == "plain"]
    expected = 60 * tiny_study.work(split) / tiny_study.work(plain)
    assert seconds_left(tiny_study, [(split, 0)], only_plain)[0] == pytest.approx(expected)
    assert progress(tiny_study, [(plain, 2)] * 90, rows) == (
        "trainings left: 90, about 1.5 h (at the speed so far)"
    )


def _write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_file_of_rows(tiny_study, rows, tmp_path):
    path = tmp_path / "rows.csv"
    assert read_rows(tiny_study, path) == []
    _write(path, [*rows, {**rows[0], "study": "another", "settings": "any"}])
    assert read_rows(tiny_study, path) == rows
    other = replace(tiny_study, recipe="cifar")
    with pytest.raises(UserError, match="plain, seed 0 was trained with other settings"):
        read_rows(other, path)


def test_a_file_of_something_else(tiny_study, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no rows of a study"):
        read_rows(tiny_study, path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="give another --results"):
        read_rows(tiny_study, path)


def test_files_of_results(tmp_path):
    (tmp_path / "a.csv").write_text("study,point\nx,y\n")
    rows = read_results(tmp_path / "a.csv", tmp_path / "absent.csv")
    assert rows == [{"study": "x", "point": "y"}]
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"b.csv: cannot be read as a table of results"):
        read_results(tmp_path / "b.csv")
