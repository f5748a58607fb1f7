"""A loopback server, a cache of its own and no network beyond, for every test of this room."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def _server_module() -> ModuleType:
    """``server.py`` beside this file (test folders are no packages)."""
    name = "weights_test_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / "server.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def server() -> Iterator[object]:
    with _server_module().running() as running:
        yield running


@pytest.fixture
def behaviour() -> type:
    kind: type = _server_module().Behaviour
    return kind


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RES2NET_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("RES2NET_OFFLINE", "RES2NET_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder
