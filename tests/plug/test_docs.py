"""The pages about the plug: every example runs and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLE = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)


@pytest.mark.parametrize("page", ["plug.md", "width.md"])
def test_examples_print_what_the_page_says(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = EXAMPLE.findall((DOCS / page).read_text())
    assert examples
    names: dict[str, Any] = {}
    for code, output in examples:
        exec(compile(code, page, "exec"), names)
        assert capsys.readouterr().out == output, code
