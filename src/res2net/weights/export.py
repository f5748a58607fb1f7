"""Writing weights for other libraries: the way back from our names to theirs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save

from res2net.errors import UserError
from res2net.files import write_bytes
from res2net.weights.identify import of_state
from res2net.weights.layouts import DEAD
from res2net.weights.unwrap import State

SUFFIXES = (".pth", ".safetensors")


def to_timm(state: State) -> State:
    """timm's names are ours."""
    return dict(state)


def to_official(state: State) -> State:
    """The authors' names are ours; their DLA expects three projections that it never uses."""
    identity = of_state(state)
    if identity is None or identity.family != "a DLA":
        return dict(state)
    dead: State = {}
    for prefix in DEAD:
        level = int(prefix[len("level")])
        out = state[f"level{level}.{_root(state, level)}bn.weight"].shape[0]
        channels = state[f"level{level - 1}.{_root(state, level - 1)}bn.weight"].shape[0]
        dead |= {
            f"{prefix}0.weight": torch.zeros(out, channels, 1, 1),
            f"{prefix}1.weight": torch.ones(out),
            f"{prefix}1.bias": torch.zeros(out),
            f"{prefix}1.running_mean": torch.zeros(out),
            f"{prefix}1.running_var": torch.ones(out),
            f"{prefix}1.num_batches_tracked": torch.tensor(0),
        }
    return {**state, **dead}


def _root(state: State, level: int) -> str:
    """Where the last root of a level is: at its top, or down its second trees."""
    path = "root."
    while f"level{level}.{path}bn.weight" not in state:
        path = f"tree2.{path}"
    return path


def to_mmdet(state: State) -> State:
    """mmdetection's backbone: a deep stem is called ``stem``, and there is no classifier."""
    renamed = {
        re.sub(r"^conv1\.(\d)\.", r"stem.\1.", name): value
        for name, value in state.items()
        if not name.startswith("fc.")
    }
    if any(name.startswith("stem.") for name in renamed):
        renamed = {re.sub(r"^bn1\.", "stem.7.", name): value for name, value in renamed.items()}
    return renamed


LAYOUTS: dict[str, Callable[[State], State]] = {
    "timm": to_timm,
    "official": to_official,
    "mmdet": to_mmdet,
}


def write_state(state: State, path: Path) -> None:
    """Write tensors as safetensors or as a checkpoint of PyTorch, as the file's ending says.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    if path.suffix == ".safetensors":
        write_bytes(path, save(tensors, metadata={"format": "pt"}))
    elif path.suffix == ".pth":
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        write_bytes(path, buffer.getvalue())
    else:
        raise UserError(f"{path}: the file must end in {' or '.join(SUFFIXES)}")
