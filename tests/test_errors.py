"""Names and messages as a terminal may have them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from res2net.errors import (
    UserError,
    arguments_named,
    counted,
    one_line,
    option,
    printable,
    printable_lines,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("gpj\u202e.exe", "gpj\\u202e.exe"),
        (os.fsdecode(b"\xff\xfe.jpg"), "\\xff\\xfe.jpg"),
        ("\ud800", "\\ud800"),
        ("\u732b  \u00e9t\u00e9 \U0001f408", "\u732b  \u00e9t\u00e9 \U0001f408"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_is_singular_and_the_plural_is_spelled_right() -> None:
    assert [counted(n, "class") for n in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert [counted(n, "image") for n in (1, 1200)] == ["1 image", "1,200 images"]


def test_a_message_is_one_line_and_a_report_keeps_its_lines() -> None:
    assert one_line("a\n  b\x1b") == "a b\\x1b"
    assert one_line(ValueError()) == "ValueError"
    assert printable_lines("# a\x1b\n\nb\n") == "# a\\x1b\n\nb\n"


def test_the_command_line_reads_of_options_and_python_of_arguments() -> None:
    assert option("train.max_steps") == "--train.max-steps"
    with (
        pytest.raises(UserError, match=r"^train\.max_steps is 0; `res2net x --max-steps`$"),
        arguments_named(),
    ):
        raise UserError(f"{option('train.max_steps')} is 0; `res2net x --max-steps`")


@given(st.text())
def test_any_name_can_be_written_to_any_terminal_of_utf_8(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not any(ord(character) < 32 or ord(character) == 127 for character in shown)
