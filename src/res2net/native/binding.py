"""The shared library beside this file, through ctypes, which needs no Python headers and releases
the GIL during calls.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from res2net.processor import LEVEL, LEVELS, allows, level

NAME = "_res2net"
TYPES = {"bf16": 0, "fp32": 1, "int8": 2}  # precision → ``Type`` of kernels.h
# precision → the level of ``RES2NET_CPU`` that it needs, and what that is called
_NEEDS = {
    "fp32": ("avx2", "AVX2 with FMA"),
    "int8": ("avx2", "AVX2 with FMA"),
    "bf16": ("full", "AVX-512 with BF16"),
}
SCALES = ("sum", "second", "residual", "output", "add")  # ``Scale`` of kernels.h


class ConvSpec(ctypes.Structure):
    """``ConvSpec`` of conv.h."""

    NONE = ("second", "output2", "residual", "add")  # -1 where there is none
    _fields_ = (
        *(
            (name, c_int32)
            for name in (
                *("input", "input_channel", "channels"),
                *("outputs", "groups", "kernel", "stride", "dilation", "rows", "pairs"),
                *("second", "second_channels", "second_stride"),
                *("output", "output_channel"),
                *("split", "output2", "output2_channel"),
                *("residual", "add", "add_channel", "relu", "barrier"),
            )
        ),
        ("weights", c_void_p),
        ("weights2", c_void_p),
        ("bias", c_void_p),
        # ``Scale`` of kernels.h, of int8 alone
        *((f"scale_{name}", c_void_p) for name in SCALES),
    )


class PoolSpec(ctypes.Structure):
    """``PoolSpec`` of simple.h."""

    _fields_ = tuple(
        (name, c_int32)
        for name in (
            *("input", "input_channel", "channels", "output", "output_channel"),
            *("average", "kernel", "stride", "pad", "ceil", "count_pad", "barrier"),
        )
    )


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "r2n_instructions": (c_char_p, (c_int, c_int)),
    "r2n_new": (c_void_p, (c_int, c_int, c_int)),
    "r2n_delete": (None, (c_void_p,)),
    "r2n_error": (c_char_p, (c_void_p,)),
    "r2n_buffer": (c_int, (c_void_p, c_int, c_int, c_int, c_int)),
    "r2n_vector": (c_int, (c_void_p, c_int)),
    "r2n_normalise": (c_int, (c_void_p, c_int, c_void_p, c_void_p, c_void_p)),
    "r2n_conv": (c_int, (c_void_p, POINTER(ConvSpec))),
    "r2n_pool": (c_int, (c_void_p, POINTER(PoolSpec))),
    "r2n_mean": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "r2n_linear": (c_int, (c_void_p, c_int, c_int, c_int, c_int, c_void_p, c_void_p)),
    "r2n_gate": (c_int, (c_void_p, c_int, c_int, c_int, c_int, c_void_p, c_void_p)),
    "r2n_run": (c_int, (c_void_p, c_void_p, c_int, c_int, c_int)),
    "r2n_read_vector": (c_int, (c_void_p, c_int, c_void_p, c_int64)),
    "r2n_shape": (c_int, (c_void_p, c_int, POINTER(c_int32))),
    "r2n_read_map": (c_int, (c_void_p, c_int, c_void_p, c_int64)),
    "r2n_seconds": (c_int, (c_void_p, c_void_p, c_int)),
    "r2n_products": (c_int64, (c_int, c_int, c_int64)),
}


def unsupported_reason(precision: str) -> str | None:
    """Why this machine cannot run native networks in a precision; None if it can.

    Raises:
        UserError: ``RES2NET_CPU`` names no level.
    """
    if _file() is None:
        return "the native engine is not installed: pip install 'res2net[native]'"
    needed, name = _NEEDS[precision]
    if not allows(needed):
        return f"{precision} needs {name}, which {LEVEL}={os.environ[LEVEL]} disables"
    if instruction_set(precision) is None:
        return f"this processor lacks {name}, which {precision} needs"
    return None


def instruction_set(precision: str) -> str | None:
    """Name of the kernels that a precision runs in here, within ``RES2NET_CPU``; None: it has none.

    "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16", the table of kernels.cpp.

    Raises:
        OSError: no library.
        UserError: ``RES2NET_CPU`` names no level.
    """
    found: bytes | None = library().r2n_instructions(*kind_and_level(precision))
    return None if found is None else found.decode()


def kind_and_level(precision: str) -> tuple[int, int]:
    """What the library chooses kernels by.

    Raises:
        UserError: ``RES2NET_CPU`` names no level.
    """
    return TYPES[precision], LEVELS.index(level())


@cache
def library() -> ctypes.CDLL:
    """The library, its functions declared.

    Raises:
        OSError: it is not there, or cannot be loaded.
    """
    file = _file()
    if file is None:
        raise OSError(f"{NAME}: not built")
    found = ctypes.CDLL(str(file))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def _file() -> Path | None:
    """Beside this file, as a clone builds it, else in the package ``res2net-native``."""
    wheel = find_spec("res2net_native")
    folders = [
        Path(__file__).parent,
        *map(Path, (wheel and wheel.submodule_search_locations) or ()),
    ]
    files = (each / f"{NAME}{suffix}" for each in folders for suffix in EXTENSION_SUFFIXES)
    return next((file for file in files if file.is_file()), None)
