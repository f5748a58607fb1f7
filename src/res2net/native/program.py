"""``model.r2n``: a network as a list of operations over buffers, and the file that holds it.

The file is in the layout of safetensors; its metadata hold the list as JSON. Operations name
buffers and vectors by their places in the program's lists, and weights by their names in
``tensors``. The library checks every number again, so a damaged file is refused, not run.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from res2net.errors import UserError

VERSION = "1"
Precision = Literal["bf16", "int8", "fp32"]
Array = npt.NDArray[Any]
TYPES = {"bf16": 0, "u8": 1, "f32": 2}  # ``Type`` of kernels.h


@dataclass
class NativeProgram:
    """What is run. Arrays of bf16 are kept as uint16."""

    precision: str
    buffers: list[dict[str, Any]] = field(default_factory=list)  # channels, border, type, packed
    vectors: list[int] = field(default_factory=list)  # sizes
    ops: list[dict[str, Any]] = field(default_factory=list)  # "op" and what it takes
    outputs: list[dict[str, Any]] = field(default_factory=list)  # a vector, or a map and its scale
    tensors: dict[str, Array] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file."""
        plan = {
            name: getattr(self, name)
            for name in ("precision", "buffers", "vectors", "ops", "outputs")
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in self.tensors.items()}
        return save(arrays, metadata={"r2n": VERSION, "program": json.dumps(plan)})

    @classmethod
    def read(cls, path: Path) -> NativeProgram:
        """The program in a file.

        Raises:
            UserError: no such file, or damaged.
        """
        try:
            with safe_open(path, "np") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.get("r2n") != VERSION:
                raise UserError(f"{path}: not a program of this version; export it again")
            return cls(**json.loads(about["program"]), tensors=tensors)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path}: damaged ({error}); export it again") from None
