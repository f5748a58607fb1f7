"""What an options file may hold."""

from __future__ import annotations

import os

import pytest

from res2net.errors import UserError
from res2net.optionfile import read_yaml


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train: {batch: " + 5000 * "9" + "}", "a number of more than 4,300 digits"),
        ("a: 0x" + 9000 * "f", "'a' is too large; whole numbers go up to 4,294,967,296"),
        ("train: {batch: " + 190 * "9" + "}", "train: 'batch' is too large"),
        ("a: " + 1500 * "[", "nested too deeply"),
        ("a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]", "'b' must be a value or a list of values"),
        ("a: &a {b: *a}", "'b' must be a value or a list of values, not a group"),
        ("train: {lr: 1}\ntrain: {lr: 2}", "(line 2: key 'train' is given twice)"),
        ("train:\n  lr: 1\n  lr: 2", "(line 3: key 'lr' is given twice)"),
        ("data: 2020-01-01", "'data' must be a value or a list of values, not a date; put it in"),
        ("1: 2", "a key is '1'"),
        ("? [a]\n: 3", "not YAML"),
        ("a: !!python/object/apply:os.system [false]", "not YAML (line 1: "),
        ("a: !!int ''", "not YAML"),
        ("a: !!bool x", "not YAML"),
        ("a: !!set {b}", "'a' must be a value or a list of values, not a set"),
        ("a: \0", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML (line 2: "),
        ("a: " + 200_000 * "x", "too long for an options file"),
    ],
)
def test_what_yaml_can_hold_besides_options(tmp_path, text, problem):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: ")
    assert problem in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


def test_aliases_and_merged_keys_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &sides [1, 2]\nb: *sides\nc: &c {d: 1}\ne: {<<: *c, d: 2}")
    assert read_yaml(path) == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}, "e": {"d": 2}}


@pytest.mark.parametrize("coding", ["utf-16", "latin-1"])
def test_another_encoding_is_told(tmp_path, coding):
    path = tmp_path / "x.yaml"
    path.write_text("data: größe", encoding=coding)
    with pytest.raises(UserError, match="is not UTF-8\\); save the file as UTF-8"):
        read_yaml(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(UserError, match="not a regular file"):
        read_yaml(tmp_path / "x.yaml")
