"""Pickles of numpy arrays (PaddlePaddle's ``.pdparams``, detectron2's ``.pkl``), nothing else.

A pickle may name any function and have it called. This reader knows a handful of names, all its own
stand-ins, and refuses every other; arrays are put together here from their bytes, so that nothing
in the file reaches numpy's own unpickling.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from res2net.errors import UserError

_DTYPE = re.compile(r"[<>=|]?(?:[fiu](?:1|2|4|8)|b1|\?)")


class RefusedError(pickle.UnpicklingError):
    """The file names something that no file of weights needs."""


class _DType:
    """An element type: float, integer or truth value."""

    def __init__(self, code: object = "f4", *_: object) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise RefusedError(f"elements of type {code!r}")
        self.code, self.order = code.lstrip("<>=|"), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def numpy(self) -> np.dtype[Any]:
        """The same type for numpy."""
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """An array, put together when its state comes."""

    def __init__(self, *_: object) -> None:
        self.value = np.empty(0, np.float32)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _assemble(data, dtype, shape, "F" if fortran else "C")


def _assemble(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _DType):
        raise RefusedError("an array of Python objects")
    flat = np.frombuffer(bytes(data), dtype.numpy())
    native = flat.astype(flat.dtype.newbyteorder("="))  # a copy, which may be written to
    return native.reshape(tuple(int(n) for n in shape), order=order)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """How protocol 5 writes an array."""
    array = _Array()
    array.value = _assemble(data, dtype, shape, order)
    return array


def _scalar(dtype: Any, data: Any) -> Any:
    return _assemble(data, dtype, (), "C").item()


def _latin1(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1" or not isinstance(text, str):
        raise RefusedError(f"encoding {encoding!r}")
    return text.encode("latin1")


class _ArrayType:
    """Stands for the name ``numpy.ndarray``, which arrays are announced with."""


# name in a pickle → what is called instead
STAND_INS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.tuple": tuple,
    "__builtin__.tuple": tuple,
    "_codecs.encode": _latin1,
    "numpy.ndarray": _ArrayType,
    "numpy.dtype": _DType,
    **{
        f"{core}.{name}": stand_in
        for core in ("numpy.core", "numpy._core")
        for name, stand_in in (
            ("multiarray._reconstruct", _Array),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in STAND_INS:
            raise RefusedError(name)
        return STAND_INS[name]


def read_arrays(path: Path) -> Any:
    """The dictionaries, lists and arrays in a pickle.

    Raises:
        UserError: damaged, or holding anything else.
    """
    try:
        with path.open("rb") as file:
            return _plain(_load(file))
    except RefusedError as error:
        raise UserError(
            f"{path}: refused, a file of weights holds arrays only and this one names {error}"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{path}: damaged or not a file of weights ({_short(error)})") from None


def _load(file: BinaryIO) -> Any:
    return _Reader(file, encoding="latin1").load()


def _plain(value: Any) -> Any:
    """Stand-ins replaced by arrays; PaddlePaddle's (name, array) pairs by their array."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        return value[1].value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
