"""The parser: types, nearest names, no abbreviations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from res2net.cli.parser import (
    Parser,
    add_fields,
    config_files,
    config_values,
    field_comments,
    given_options,
)
from res2net.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Fruit:
    """What a test asks for."""

    kind: Literal["apple", "pear"] = "apple"  # of fruit
    weight: float = 0.5  # kg, 50 % water
    ripe: bool = False  # may be eaten
    dates: tuple[float, ...] = ()  # of picking
    count: int | None = None  # default: all


def make_parser() -> Parser:
    parser = Parser("eat TARGET [--option value ...]", "Eat a fruit.", ["res2net eat apple"])
    parser.add_argument("target", type=str, help="what to eat")
    parser.add_argument("--config", action="config")
    parser.add_argument("--mode", type=str, default="raw", choices=("raw", "cooked"), help="how")
    parser.add_argument("--fast", action="store_true")
    add_fields(parser, "fruit", Fruit, "fruit")
    return parser


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("--fruit.weight", "2"), ("weight", 2.0)),
        (("--fruit.weight=1e-3",), ("weight", 0.001)),
        (("--fruit.ripe", "true"), ("ripe", True)),
        (("--fruit.dates", "[30, 60]"), ("dates", (30.0, 60.0))),
        (("--fruit.count", "null"), ("count", None)),
        ((), ("kind", "apple")),
    ],
)
def test_values(words, value):
    name, expected = value
    assert make_parser().parse_args(["x", *words]).fruit[name] == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "missing: target; `res2net eat --help` explains it"),
        (("x", "y"), "unexpected argument 'y'; `res2net eat --help` shows what it takes"),
        (("x", "--mode"), "--mode needs a value; `res2net eat --help` explains it"),
        (("x", "--mode", "fried"), "--mode: must be one of 'raw', 'cooked', not 'fried'"),
        (("x", "--fast=yes"), "--fast takes no value, got 'yes'"),
        (("x", "--fruit.weight", "heavy"), "--fruit.weight: must be a number, not 'heavy'"),
        (("x", "--fruit.weight", "two kg"), "--fruit.weight: must be a number, not 'two kg'"),
        (("x", "--fruit.count", "1.5"), "--fruit.count: must be a whole number, not '1.5'"),
        (("x", "--fruit.ripe", "maybe"), "--fruit.ripe: must be true or false, not 'maybe'"),
        (("x", "--fruit.kind", "fig"), "--fruit.kind: must be one of 'apple', 'pear', not 'fig'"),
        (("x", "--fruit.dates", "3"), "--fruit.dates: must be a list such as '[30, 60]', not '3'"),
        (("x", "--fruit.wei", "3"), "unknown option '--fruit.wei'. Did you mean '--fruit.weight'?"),
        (("x", "--weight", "3"), "unknown option '--weight'. Did you mean '--fruit.weight'?"),
        (("x", "--wieght=3"), "unknown option '--wieght'. Did you mean '--fruit.weight'?"),
        (("x", "--fas"), "unknown option '--fas'. Did you mean '--fast'?"),
        (("x", "--qqq"), "unknown option '--qqq'. `res2net eat --help` lists all."),
    ],
)
def test_one_line_on_each_mistake(words, message):
    with pytest.raises(UserError) as error:
        make_parser().parse_args(list(words))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_comments_are_the_help(capsys):
    assert field_comments(Fruit)["weight"] == "kg, 50 % water"
    make_parser().print_help()
    out = capsys.readouterr().out
    assert "kg, 50 % water [0.5]" in out
    assert "default: all" in out
    assert "examples:\n  res2net eat apple" in out
    assert "<class" not in out


def test_given_options_know_files_and_words(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("mode: raw\nfruit:\n  weight: 1\n  ripe: true\n")
    second.write_text("fruit.weight: 2\n")
    words = ["x", "--config", str(first), f"--config={second}", "--fruit.ripe", "false", "--fast"]
    given = given_options(words)
    assert given["mode"] == "raw"
    assert given["fruit.weight"] == 2  # the later file
    assert given["fruit.ripe"] == "false"  # what is typed goes before
    assert "fast" in given
    assert config_files(words) == [str(first), str(second)]
    assert given_options([]) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "bad.yaml: not YAML (line 1: "),
        (b"\xff\xfe\x00\x01", "bad.yaml: not YAML"),
        (b"just words", "bad.yaml: must hold options by name"),
        (b"", "bad.yaml: must hold options by name"),
        (None, "bad.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_files_that_hold_no_options(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("bad.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        config_values(Path("bad.yaml"))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
