"""Read pickles of NumPy arrays only (PaddlePaddle ``.pdparams``, detectron2 ``.pkl``, CIFAR).

A pickle can call any function. This reader maps a few names to its own stand-ins and refuses all
others; it builds arrays from their bytes itself, so nothing in the file reaches numpy's unpickling.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from res2net.errors import UserError, one_line

_DTYPE = re.compile(r"[<>=|]?(?:[fiu](?:1|2|4|8)|b1|\?)")


class RefusedError(pickle.UnpicklingError):
    """The file uses a name that no file of arrays needs."""


class _DType:
    """An element type: float, integer or boolean."""

    def __init__(self, code: object = "f4", *_: object) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise RefusedError(f"elements of type {code!r}")
        self.code, self.order = code.lstrip("<>=|"), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def numpy(self) -> np.dtype[Any]:
        """The equivalent numpy dtype."""
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """An array, built when its state is set."""

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
    native = flat.astype(flat.dtype.newbyteorder("="))  # a writable copy
    return native.reshape(tuple(int(n) for n in shape), order=order)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """An array in protocol 5."""
    array = _Array()
    array.value = _assemble(data, dtype, shape, order)
    return array


def _scalar(dtype: Any, data: Any) -> Any:
    return _assemble(data, dtype, (), "C").item()


def _latin1(text: Any, encoding: Any) -> bytes:
    """Bytes in protocol 2."""
    if encoding != "latin1" or not isinstance(text, str):
        raise RefusedError(f"encoding {encoding!r}")
    return text.encode("latin1")


class _ArrayType:
    """Stand-in for ``numpy.ndarray``, the class that pickled arrays name."""


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


class _Named:
    """A stand-in for the pickle: callable and immutable."""

    __slots__ = ("stand_in",)

    def __init__(self, stand_in: Callable[..., Any]) -> None:
        self.stand_in = stand_in

    def __call__(self, *arguments: Any) -> Any:
        return self.stand_in(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("a modified stand-in")


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in STAND_INS:
            raise RefusedError(name)
        return _Named(STAND_INS[name])


def read_arrays(content: bytes, origin: str, what: str) -> Any:
    """The dictionaries, lists, arrays and plain values in a pickle.

    Args:
        content: a pickle of any protocol, from Python 2 or 3.
        origin: name of the file for errors.
        what: kind of file for errors: "a file of weights".

    Raises:
        UserError: a damaged file, or one that holds anything else.
    """
    try:
        _check_places(content)
        return _Plain().of(_Reader(io.BytesIO(content), encoding="latin1").load())
    except RefusedError as error:
        raise UserError(
            f"{origin}: refused: {what} may hold only arrays, but this one contains {error}"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{origin}: damaged or not {what} ({one_line(error)[:120]})") from None


def _check_places(content: bytes) -> None:
    """Refuse memo indices larger than a pickle can fill: a list of that length is allocated."""
    for place, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > place + 1:
            raise ValueError(f"index {argument} in a memo of {place}")


class _Plain:
    """Replace stand-ins by arrays, and PaddlePaddle's (name, array) pairs by their array.

    Objects that are referenced several times are converted once.
    """

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, _Array):
            return value.value
        if isinstance(value, _Named):
            raise RefusedError("a function by itself")
        if not isinstance(value, dict | list | tuple):
            return value
        if id(value) not in self.made:
            self.made[id(value)] = self._container(value)
        return self.made[id(value)]

    def _container(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
            return value[1].value
        return [self.of(item) for item in value]
