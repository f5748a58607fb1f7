"""Pickles that anybody may have made: arrays come out of them, or one line."""

from __future__ import annotations

import contextlib
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.data import pickled
from res2net.data.pickled import read_arrays
from res2net.errors import UserError

ARRAYS = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": [1, "x", np.float32(2.5)]}


def _read(content: bytes) -> Any:
    return read_arrays(content, "f", "a CIFAR file")


class Called:
    """In a pickle: a function, and what it is called with."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call, self.state = (function, arguments), state

    def __reduce__(self) -> tuple[Any, ...]:
        return (*self.call, self.state) if self.state is not None else self.call


_RECONSTRUCT = np.empty(0).__reduce__()[0]


def _array(dtype: Any, shape: tuple[int, ...], data: object) -> Called:
    return Called(_RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, data))


OBJECTS = Called(np.dtype, "O8", False, True)
DISGUISED = Called(  # 8 bytes without meaning, that hold an object by their parts
    *(np.dtype, "V8", False, True),
    state=(3, "|", None, ("a",), {"a": (OBJECTS, 0)}, 8, 1, 0),
)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        _array(DISGUISED, (1,), b"AAAAAAAA"),
        _array(OBJECTS, (1,), [1]),
        _array(OBJECTS, (1,), b"AAAAAAAA"),
        _array(Called(np.dtype, "U2", False, True), (1,), b"AAAAAAAA"),
        _array(Called(np.dtype, "M8", False, True), (1,), b"AAAAAAAA"),
        _array(np.dtype("u1"), (1 << 40,), b"A"),
        _array(np.dtype("u1"), (1 << 20, 1 << 20, -(1 << 20)), b"A"),
        _array(np.dtype("f8"), (2,), b"A" * 12),
        Called(np.dtype, [("a", "O")]),
        np.ndarray,
        np.dtype,
        np.array([object()], dtype=object),
    ],
    ids=lambda _: "",
)
def test_no_type_and_no_shape_of_the_file_reaches_numpy(protocol: int, value: object) -> None:
    try:
        content = pickle.dumps({"data": value}, protocol)
    except (pickle.PicklingError, AttributeError):
        return  # this protocol cannot say it
    with pytest.raises(UserError, match="^f: (refused|damaged)"):
        _read(content)


def test_a_stand_in_cannot_be_changed() -> None:
    change = b"\x80\x02cnumpy\ndtype\n(N}X\x05\x00\x00\x00numpyK\x01s\x86b."
    for content in (change, change.replace(b"(N}", b"N}")):
        with pytest.raises(UserError):
            _read(content)
    assert callable(pickled._DType.numpy)
    assert _read(pickle.dumps(ARRAYS))["b"][2] == 2.5


def test_a_place_beyond_what_a_pickle_can_fill_takes_no_memory() -> None:
    content = b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b"."  # a list of as many places
    with pytest.raises(UserError, match="index 2147483647 in a memo"):
        _read(content)


def test_what_is_named_often_is_made_once() -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]  # 2**60 numbers, were each written out
    assert len(_read(pickle.dumps(value))) == 2


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_pickle_gives_values_or_one_line_whatever_is_changed(data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(ARRAYS, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UserError):
        _read(bytes(content[: data.draw(st.integers(1, len(content)))]))
