"""``model.r2n``: a network as a list of operations over buffers, and the file that holds it.

The file is in the layout of safetensors; its metadata hold the list as JSON. Operations name
buffers and vectors by their places in the program's lists, and weights by their names in
``tensors``. The library checks every number again, so a damaged file is refused, not run.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save

from res2net.errors import UserError

VERSION = "1"
DILATED = "2"  # of a file with dilated convolutions, which earlier readers would misread
Array = npt.NDArray[Any]


_PLAN = ("buffers", "vectors", "ops", "outputs", "milliseconds")


@dataclass
class NativeProgram:
    """What is run. Arrays are float32; the engine rounds them to what it is asked to compute in.

    A program in int8 can be run in nothing else: its convolutions hold int8 weights, int32 biases
    and what a step of one map is in steps of another, by channel.
    """

    # channels, border, packed; of int8 "signed", where values are kept in bf16
    buffers: list[dict[str, Any]] = field(default_factory=list)
    vectors: list[int] = field(default_factory=list)  # sizes
    ops: list[dict[str, Any]] = field(default_factory=list)  # "op" and what it takes
    # a vector or a map; of a map in int8 its "steps"
    outputs: list[dict[str, Any]] = field(default_factory=list)
    # precision → engine → milliseconds an image, where it was exported
    milliseconds: dict[str, dict[str, float]] = field(default_factory=dict)
    exported_on: dict[str, Any] = field(default_factory=dict)  # ``processor.described()``
    tensors: dict[str, Array] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file."""
        plan = {name: getattr(self, name) for name in (*_PLAN, "exported_on")}
        arrays = {name: np.ascontiguousarray(array) for name, array in self.tensors.items()}
        dilated = any(op.get("dilation", 1) > 1 for op in self.ops)
        about = {"r2n": DILATED if dilated else VERSION, "program": json.dumps(plan)}
        return save(arrays, metadata=about)

    @classmethod
    def read(cls, path: Path) -> NativeProgram:
        """Read a program from a file.

        Raises:
            UserError: a missing or damaged file.
        """
        try:
            with safe_open(path, "np") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.get("r2n") not in (VERSION, DILATED):
                raise UserError(f"{path}: not a program of this version; export it again")
            plan = json.loads(about["program"])
            _check_kinds(plan)
            of_plan = {name: plan[name] for name in _PLAN}
            return cls(**of_plan, exported_on=plan.get("exported_on", {}), tensors=tensors)
        except UserError:
            raise
        except Exception as error:  # a damaged header can raise anything
            raise UserError(f"{path}: damaged ({error}); export it again") from None


def fastest(path: Path, precision: str, here: Mapping[str, Any]) -> str | None:
    """The engine that was the fastest when the program was exported on such a processor.

    Args:
        here: ``processor.described()`` with the threads to be used.

    Returns:
        "native" or "openvino"; None where it was exported on another processor or for other
        threads, or nothing was measured.

    Raises:
        UserError: damaged.
    """
    try:
        with safe_open(path, "np") as file:
            plan = json.loads((file.metadata() or {})["program"])
        _check_kinds(plan)
        times: dict[str, float] = plan["milliseconds"].get(precision, {})
    except Exception as error:  # a damaged header can raise anything
        raise UserError(f"{path}: damaged ({error}); export it again") from None
    if not times or plan.get("exported_on") != here:
        return None
    return min(times, key=times.__getitem__)


def _check_kinds(plan: Any) -> None:
    """Lists of operations and the like are what they are called; the library checks their numbers.

    Raises:
        TypeError: names the entry.
        KeyError: one is missing.
    """
    for name in ("buffers", "ops", "outputs"):
        if not isinstance(plan[name], list) or not all(isinstance(x, dict) for x in plan[name]):
            raise TypeError(f"{name} is no list of entries by name")
    if not isinstance(plan["vectors"], list) or not all(type(x) is int for x in plan["vectors"]):
        raise TypeError("vectors is no list of sizes")
    times = plan["milliseconds"]
    if not isinstance(times, dict) or not all(isinstance(x, dict) for x in times.values()):
        raise TypeError("milliseconds are not by precision and engine")
    if not all(isinstance(ms, int | float) for each in times.values() for ms in each.values()):
        raise TypeError("milliseconds holds something else than numbers")
