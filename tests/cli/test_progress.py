"""The progress bar of evaluation and prediction."""

from __future__ import annotations

import io

import pytest

from res2net.cli.progress import track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO, False), (Terminal, True)])
def test_a_bar_only_where_somebody_looks(monkeypatch, stream, shown):
    stderr = stream()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    assert list(track(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert ("reading" in stderr.getvalue()) == shown
