"""Whatever is typed: a result, or one line and exit code 2, from every option of every command."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.cli.main import COMMANDS, main, module_of

DIGITS = "9" * 5000  # more than Python turns into a number
HOSTILE = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "\0",
        "a\0b",
        "\udcff",
        "a\udcffb",
        "naïve.png",
        "\u202e",
        "\x1b[2J",
        "💥",
    ),
    *("-", "--", "~", "~nobody/x", ".", "..", "/", "/dev/null", "/dev/null/x", "a\nb", "a" * 300),
    *(
        "x/" * 3000,
        "C:\\x",
        "*",
        "[",
        "]",
        "[[",
        "{",
        "{}",
        "[1, 2",
        "null",
        "true",
        "None",
        "!!int 3",
    ),
    *(
        "&a [*a]",
        "0",
        "-0",
        "-0.0",
        "-1",
        "1e999",
        "-1e999",
        "1e-999",
        "nan",
        ".nan",
        "-inf",
        ".inf",
        "inf",
    ),
    *(DIGITS, f"-{DIGITS}", f"{DIGITS}.5", f"1e{DIGITS}", "9" * 400, "1_0", "0x10", "1,2", "١٢"),
    *("[nan]", "[1e999]", f"[{DIGITS}]", "--help", "-h", "%s", "{0}", "$(id)", "'", '"', "\\"),
)
WORDS: dict[str, tuple[str, ...]] = {  # what each command is given besides
    "train": ("--model", "res2net29_small", "--data", "digits"),
    "evaluate": ("nowhere", "--data", "digits"),
    "predict": ("nowhere", "nothing.png"),
    "explain": ("nowhere", "nothing.png"),
    "embed": ("nowhere", "nothing.png", "--out", "x.npz"),
    "similar": ("x.npz",),
    "export": ("nowhere", "--to", "onnx", "--out", "artifact"),
    "info": ("res2net29_small",),
    "receptive-field": ("res2net29_small",),
    "weights": ("list",),
    "reproduce": ("table1",),
    "study": ("cifar-twins",),
    "bench": ("deploy",),
}
HEAVY = (  # where work would begin
    *("training.run.fit", "tasks.evaluate.evaluate", "serve.server.take_port"),
    *("cli.receptive_field._fields", "cli.reproduce.report", "cli.study.run"),
    *("cli.info.compare", "cli.bench.measure", "cli.weights.fetch"),
)
# import HEAVY by name: imported while it is replaced, they would keep the replacement
USERS = ("training.folds", "tasks.compare", "experiments.run")


_settings = settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


class Reached(BaseException):
    """All that was typed has been read."""


def _reached(*_: Any, **__: Any) -> None:
    raise Reached


@pytest.fixture(autouse=True)
def _no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in USERS:
        importlib.import_module(f"res2net.{name}")
    for name in HEAVY:
        monkeypatch.setattr(f"res2net.{name}", _reached)
    monkeypatch.chdir(tmp_path)


def _options(command: str) -> list[str]:
    make_parser = importlib.import_module(module_of(command)).make_parser
    parser = make_parser("deploy") if command == "bench" else make_parser()
    return sorted(o for o in parser._option_string_actions if o.startswith("--"))


def _holds(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(words)
    except Reached:
        code = 0
    except SystemExit as end:  # the help
        code = end.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert code in (0, 2), words
    lines = [line for line in err.splitlines() if not line.startswith("res2net: note: ")]
    assert len(lines) == (code == 2), (words, err)
    assert "Traceback" not in out + err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_takes_any_value_or_says_why_not(command, capsys):
    pairs = st.tuples(st.sampled_from(_options(command)), st.sampled_from(HOSTILE) | st.text())

    @_settings
    @given(pairs, st.booleans())
    def holds(pair, joined):
        option, value = pair
        typed = [f"{option}={value}"] if joined else [option, value]
        _holds([command, *WORDS.get(command, ()), *typed], capsys)

    holds()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_word_is_read_or_refused(command, capsys):
    @_settings
    @given(st.sampled_from(HOSTILE) | st.text())
    def holds(word):
        _holds([command, word, *WORDS.get(command, ())[1:]], capsys)

    holds()
