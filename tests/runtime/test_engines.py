"""Which engine "auto" is, of an artifact that two can run."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from res2net.runtime import engines


class Timed:
    """An engine that takes a while."""

    made: ClassVar[list[str]] = []
    seconds = 0.0

    def __init__(self, artifact: object, **options: object) -> None:
        del artifact, options
        Timed.made.append(type(self).__name__)

    def run(self, images: object) -> list[object]:
        time.sleep(self.seconds)
        return [images]


class Ours(Timed):
    seconds = 0.001


class Theirs(Timed):
    seconds = 0.03


@pytest.fixture
def artifact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    Timed.made.clear()
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    monkeypatch.setitem(engines.ENGINES, "native", {"native": Ours, "openvino": Theirs})
    monkeypatch.setattr(engines, "unsupported_reason", lambda _: None)
    monkeypatch.setattr(engines, "fastest", lambda *_: None)
    monkeypatch.setattr(engines.processor, "has_amx", lambda: False)
    return SimpleNamespace(
        engine="native", precision="int8", folder=tmp_path, path=tmp_path / "model.r2n",
        files={"model.r2n": "ab"}, batch=1, height=8, width=8,
    )  # fmt: skip


def test_times_of_the_same_processor_decide(artifact, monkeypatch):
    monkeypatch.setattr(engines, "fastest", lambda *_: "openvino")
    assert type(engines.open_engine(artifact)) is Theirs
    assert Timed.made == ["Theirs"]


def test_elsewhere_both_are_tried_once_and_the_answer_is_kept(artifact):
    assert type(engines.open_engine(artifact, threads=2)) is Ours
    assert sorted(Timed.made) == ["Ours", "Ours", "Theirs"]
    assert type(engines.open_engine(artifact, threads=2)) is Ours
    assert Timed.made[3:] == ["Ours"]
    engines.open_engine(artifact, threads=1)  # other threads, another answer
    assert len(Timed.made) == 7
    artifact.files = {"model.r2n": "cd"}
    engines.open_engine(artifact, threads=2)
    assert len(Timed.made) == 10


def test_an_answer_that_cannot_be_kept_or_read_is_found_again(artifact, tmp_path):
    (tmp_path / "fastest").write_text("a file where the folder would be")
    assert type(engines.open_engine(artifact)) is Ours
    (tmp_path / "fastest").unlink()
    engines.open_engine(artifact)
    (kept,) = (tmp_path / "fastest").glob("*.txt")
    for text in (b"", b"torch", b"\xff\xfe"):
        kept.write_bytes(text)
        assert type(engines.open_engine(artifact)) is Ours
        assert kept.read_text() == "native"


@pytest.mark.parametrize(
    ("precision", "kind"), [("int8", Theirs), ("bf16", Theirs), ("fp32", Ours)]
)
def test_where_there_is_amx_openvino_uses_it(artifact, monkeypatch, precision, kind):
    monkeypatch.setattr(engines.processor, "has_amx", lambda: True)
    artifact.precision = precision
    assert type(engines.open_engine(artifact)) is kind


def test_another_device_is_openvinos(artifact):
    assert type(engines.open_engine(artifact, device="gpu")) is Theirs
