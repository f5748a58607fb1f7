"""The parser: types, nearest names, no abbreviations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from res2net.cli.parser import (
    Parser,
    add_fields,
    field_comments,
    read_options,
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
    ripe_days: int = 0  # since when


def make_parser() -> Parser:
    parser = Parser("eat TARGET [--option value ...]", "Eat a fruit.", ["res2net eat apple"])
    parser.add_argument("target", type=str, help="what to eat")
    parser.add_argument("--mode", type=str, default="raw", choices=("raw", "cooked"), help="how")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--in-rain", action="store_true")
    parser.add_argument("--config", type=str, action="append")
    add_fields(parser, "fruit", Fruit, "fruit")
    return parser


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("--fruit.weight", "2"), ("weight", 2.0)),
        (("--fruit.weight=1e-3",), ("weight", 0.001)),
        (("--fruit.ripe", "true"), ("ripe", True)),
        (("--fruit.dates", "[30, 60]"), ("dates", (30.0, 60.0))),
        (("--fruit.dates", "30,60"), ("dates", (30.0, 60.0))),
        (("--fruit.dates", "-30,6e1"), ("dates", (-30.0, 60.0))),
        (("--fruit.dates=-30,60",), ("dates", (-30.0, 60.0))),
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
        (("x", "y"), "unexpected argument 'y'; `res2net eat --help` lists its arguments"),
        (("x", "--mode"), "--mode needs a value; `res2net eat --help` explains it"),
        (("x", "--mode", "fried"), "--mode: must be one of 'raw', 'cooked', not 'fried'"),
        (("x", "--fast=yes"), "--fast takes no value, got 'yes'"),
        (("x", "--fruit.weight", "heavy"), "--fruit.weight: must be a number, not 'heavy'"),
        (("x", "--fruit.weight", "two kg"), "--fruit.weight: must be a number, not 'two kg'"),
        (("x", "--fruit.count", "1.5"), "--fruit.count: must be a whole number, not '1.5'"),
        (("x", "--fruit.ripe", "maybe"), "--fruit.ripe: must be true or false, not 'maybe'"),
        (("x", "--fruit.kind", "fig"), "--fruit.kind: must be one of 'apple', 'pear', not 'fig'"),
        (("x", "--fruit.dates", "3"), "--fruit.dates: must be a list such as 30,60, not '3'"),
        (("x", "--fruit.wei", "3"), "unknown option '--fruit.wei'. Did you mean '--fruit.weight'?"),
        (("x", "--weight", "3"), "unknown option '--weight'. Did you mean '--fruit.weight'?"),
        (("x", "--wieght=3"), "unknown option '--wieght'. Did you mean '--fruit.weight'?"),
        (("x", "--fas"), "unknown option '--fas'. Did you mean '--fast'?"),
        (("x", "--ripe_days", "3"), "unknown option '--ripe_days'. Did you mean '--fruit.ripe-d"),
        (("x", "--fruit.ripe_day=3"), "unknown option '--fruit.ripe_day'. Did you mean '--fruit.r"),
        (("x", "--fruit.ripe-day=3"), "unknown option '--fruit.ripe-day'. Did you mean '--fruit.r"),
        (("x", "--fruit.weight", "9" * 400), "--fruit.weight is too large"),
        (("x", f"--fruit.weight={'9' * 400}"), "--fruit.weight is too large"),
        (("--fast_", "x"), "unknown option '--fast_'. Did you mean '--fast'?"),
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


def test_typed_options_are_known_by_name_in_order():
    parser = make_parser()
    parser.parse_args(["x", "--fruit.ripe-days", "3", "--fast", "--mode=raw"])
    assert parser.typed == ["fruit.ripe_days", "fast", "mode"]
    assert parser.parse_args(["--", "--x"]).target == "--x"  # a word, behind two dashes
    assert parser.typed == []


def test_a_file_gives_options_under_their_full_names(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("mode: raw\nfruit:\n  ripe_days: 1\nfruit.weight: 2\n")
    values = make_parser().read_file(file)
    assert values == {"mode": "raw", "fruit.ripe_days": 1, "fruit.weight": 2}
    checked = make_parser().checked(file, {"target": "x", **values})
    assert dict(checked.items()) == {"target": "x", **values}  # and no defaults


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fruit: {ripe_day: 1}", "unknown key 'fruit.ripe_day'. Did you mean 'fruit.ripe_days'?"),
        ("fruit: {ripe-days: 1}", "unknown key 'fruit.ripe-days'. Did you mean 'fruit.ripe_days'?"),
        ("ripe_days: 1", "unknown key 'ripe_days'. Did you mean 'fruit.ripe_days'?"),
        ("config: b.yaml", "unknown key 'config'."),
        ("fruit: {ripe_days: soon}", "--fruit.ripe-days: must be a whole number, not 'soon'"),
    ],
)
def test_a_file_with_a_mistake_is_named(tmp_path, content, message):
    file = tmp_path / "a.yaml"
    file.write_text(content)
    parser = make_parser()
    with pytest.raises(UserError) as error:
        parser.checked(file, parser.read_file(file))
    assert str(error.value).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (("--fruit.ripe_days", "3"), "--fruit.ripe_days is spelled --fruit.ripe-days now"),
        (("--fruit.ripe_days=3",), "--fruit.ripe_days is spelled --fruit.ripe-days now"),
        (
            ("--fruit.ripe_days=3", "--in_rain", "--fruit.ripe_days", "3"),
            "--fruit.ripe_days, --in_rain are spelled --fruit.ripe-days, --in-rain now",
        ),
    ],
)
def test_options_spelled_as_before_are_taken_with_one_note(words, note):
    with pytest.warns(UserWarning, match="spelled") as notes:
        options = read_options(make_parser(), ["x", *words])
    assert options.fruit.ripe_days == 3
    assert options.in_rain == ("--in_rain" in words)
    assert [str(each.message) for each in notes] == [note]


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
        make_parser().read_file(Path("bad.yaml"))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("words", [["--scales", "0.75,1"], ["--scales=0.75,1"]])
def test_an_optional_list_is_given_without_brackets(words):
    from res2net.cli.evaluate import make_parser as evaluate_parser

    options = evaluate_parser().parse_args(["run", "--data", "digits", *words])
    assert options.scales == (0.75, 1.0)
