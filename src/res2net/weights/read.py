"""Read weight files without running any code in them.

The format is recognised by the first bytes, not by the name. A checkpoint holds more than weights:
``unwrap`` finds its state dict.
"""

from __future__ import annotations

import argparse
import os
import re
import struct
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from res2net.card import CARD_NAME, WEIGHTS_NAME
from res2net.data.foreign import check_file, in_gib, read_json
from res2net.data.pickled import STAND_INS, read_arrays
from res2net.errors import UserError, one_line

_ZIP, _OLD_TORCH = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_NOT_WEIGHTS = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (b"<", "a web page or XML, not a weight file; the download failed"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file, which this project cannot read"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8", "a picture"),
)
# Plain data types that training scripts store with weights; none of them can run code.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    *((PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
    *((PureWindowsPath, f"{module}.WindowsPath") for module in ("pathlib", "pathlib._local")),
    *((stand_in, name) for name, stand_in in STAND_INS.items() if name.startswith("numpy.")),
]
_SPARE = 64 << 20  # bytes that a file may grow by when unpacked
_NAMED = re.compile(r"GLOBAL ([\w.]+) (?:was not an allowed|whose module)")


# Files of a run, the preferred one first.
RUN_FILES = (WEIGHTS_NAME, "checkpoints/best.ckpt", "checkpoints/last.ckpt")


@dataclass(frozen=True, slots=True)
class Content:
    """The raw content of a file."""

    kind: str  # "safetensors", "torch" or "pickle"
    values: dict[str, Any]
    metadata: dict[str, str] = field(default_factory=dict)  # for a safetensors file


def find_weights(run: Path) -> Path:
    """The best weights in a run folder.

    Raises:
        UserError: a folder without weights.
    """
    for name in RUN_FILES:
        if (run / name).is_file():
            if name == RUN_FILES[-1]:
                warnings.warn(
                    f"{run}: neither {RUN_FILES[0]} nor {RUN_FILES[1]} exists; using the last "
                    f"epoch's weights, {name}",
                    stacklevel=3,
                )
            return run / name
    raise UserError(
        f"{run} is a folder without weights (no {RUN_FILES[0]}, no checkpoint); give a weight "
        "file or a run folder"
    )


def card_inside(content: Content) -> dict[str, Any] | None:
    """The model description in a checkpoint of this project."""
    saved = content.values.get("hyper_parameters")
    card = saved.get("card") if isinstance(saved, dict) else None
    return card if isinstance(card, dict) else None


def card_of(content: Content, path: Path) -> dict[str, Any]:
    """The model description inside or beside a file of this project; else empty."""
    card = card_inside(content)
    beside = path.with_name(CARD_NAME)
    if card is None and path.name == RUN_FILES[0] and beside.is_file():
        try:
            card = read_json(beside, "a model description")
        except UserError:
            card = None  # ignore a damaged description; the weights may be intact
    return card if isinstance(card, dict) else {}


def read_content(path: Path) -> Content:
    """Read a safetensors file, a PyTorch checkpoint or a pickle of arrays.

    Raises:
        UserError: missing, a folder, unreadable, damaged, with code, or not weights.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a weight file or a run folder")
    if not path.exists():
        raise UserError(f"{path}: no such file")
    check_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise UserError(f"{path}: empty")
    for sign, what in _NOT_WEIGHTS:
        if head.startswith(sign):
            raise UserError(f"{path}: {what}")
    if head.startswith((_ZIP, _OLD_TORCH)):
        values = _as_dict(_read_torch(path), path)
        _check_tensors(values, path)
        return Content("torch", values)
    if _is_safetensors(head):
        return _read_safetensors(path)
    if head[:1] == b"\x80":
        arrays = read_arrays(path.read_bytes(), str(path), "a file of weights")
        return Content("pickle", _as_dict(_to_tensors(arrays), path))
    raise UserError(f"{path}: damaged or not a weight file (safetensors, PyTorch or PaddlePaddle)")


def _as_dict(values: Any, path: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, not weights by name")
    return {str(key): value for key, value in values.items()}


def _is_safetensors(head: bytes) -> bool:
    length = struct.unpack("<Q", head[:8].ljust(8, b"\0"))[0]
    return length < 1 << 27 and head[8:9] == b"{"


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # a damaged header can raise anything
        raise UserError(
            f"{path}: damaged or not a safetensors file ({one_line(error)[:120]})"
        ) from None
    return Content("safetensors", values, metadata)


def _read_torch(path: Path) -> Any:
    try:
        zipped = zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:  # raised by Python 3.12 instead of returning False
        raise UserError(f"{path}: damaged ({one_line(error)}); download it again") from None
    plain = zipped and _check_sums(path)
    # Tensors are memory-mapped until written to; Windows could not replace the file meanwhile.
    mapped = plain and os.name == "posix"
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged pickle can raise anything
        text = " ".join(str(error).split())
        if "TorchScript" in text:
            raise UserError(
                f"{path}: a TorchScript archive, which is a program, not a weight file; save the "
                "state dict of the model instead"
            ) from None
        if found := _NAMED.search(text):
            raise UserError(
                f"{path}: refused: it holds Python code or objects ({found.group(1)}); if you "
                "trust the file, save its state dict alone and give that"
            ) from None
        raise UserError(f"{path}: damaged or not a checkpoint ({one_line(error)[:120]})") from None


def _check_sums(path: Path) -> bool:
    """Verify the checksums in a ``.pth``, which PyTorch does not do.

    Returns:
        Whether all parts are stored uncompressed.

    Raises:
        UserError: a checksum is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            _check_growth(unpacked, path.stat().st_size, path)
            # files may have no checksums
            broken = archive.testzip() if any(entry.CRC for entry in entries) else None
    except UserError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise UserError(f"{path}: damaged ({one_line(error)[:120]})") from None
    if broken:
        raise UserError(f"{path}: damaged (wrong checksum of {broken} in it)")
    return all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)


def _check_growth(unpacked: int, packed: int, path: Path) -> None:
    """Refuse decompression bombs; real weights hardly compress.

    Raises:
        UserError: it unpacks to much more than its size.
    """
    if unpacked > 4 * packed + _SPARE:
        raise UserError(
            f"{path}: refused: {in_gib(packed)} would unpack to {in_gib(unpacked)} (a "
            "decompression bomb, or not a weight file)"
        )


def _check_tensors(values: dict[str, Any], path: Path) -> None:
    """Refuse tensors that are not plain dense data, at any depth.

    Raises:
        UserError: sparse, quantised, without data, or much larger than their storage (repeated
            values).
    """
    left: list[Any] = [values]
    seen: set[int] = set()
    while left:
        value = left.pop()
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_quantized or value.is_meta:
                raise UserError(f"{path}: holds a sparse, quantised or empty tensor, not weights")
            size = value.numel() * value.element_size()
            _check_growth(size, value.untyped_storage().nbytes(), path)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            left.extend(value.values() if isinstance(value, dict) else value)


def _to_tensors(values: Any) -> Any:
    """Arrays as tensors, in nested dictionaries."""
    if isinstance(values, dict):
        return {key: _to_tensors(value) for key, value in values.items()}
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else values


# ---------------------------------------------------------------- the state dict


State = dict[str, Tensor]
Values = dict[str, Any]
Found = tuple[tuple[str, ...], Values]  # path of names to a state dict, and the state dict

# Keys under which training programs store weights, the preferred one first. Averaged weights take
# precedence, since those are evaluated (as in timm).
_AVERAGE = re.compile(r"(?:.*_)?(?:ema|swa|averaged)(?:_.*)?")
_PLAIN = (
    *("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights"),
    *("params", "module"),
)
_DEPTH = 4  # maximum nesting of dictionaries
# Name parts added by torch.compile, FSDP and activation checkpointing.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def unwrap(values: Values, origin: str) -> tuple[State, list[str]]:
    """The tensors by name, and the choices made to find them.

    The state dict is the dictionary with the weights of layers; training programs also store other
    tensors, such as their best accuracy.

    Raises:
        UserError: no tensors, or several state dicts under unknown names.
    """
    average = None if _is_mmengine(values) else _AVERAGE  # its state_dict is the average
    way, chosen = _find(values, average, origin) or ((), values)
    if not _tensors(chosen):
        holds = ", ".join(list(values)[:5]) or "nothing"
        raise UserError(f"{origin}: no weights (it holds {holds})")
    said: list[str] = []
    for key in way:
        if average and average.fullmatch(key):
            said.append(f"took the moving average of the weights ({key})")
        elif key not in _PLAIN:
            said.append(f"took the weights under {key}")
    state = _named_plainly(_tensors(chosen))
    beside = [name for name in state if "." not in name]
    if beside and len(beside) < len(state):  # counters, accuracies: layers' tensors have a dot
        state = {name: value for name, value in state.items() if "." in name}
        said.append(f"left out entries that are not part of a layer: {', '.join(beside[:6])}")
    return state, said


def _find(
    values: Values, average: re.Pattern[str] | None, origin: str, depth: int = _DEPTH
) -> Found | None:
    """The state dict at any depth: an average, one under a usual name, or the only one."""
    if _holds_layers(values):
        return (), values
    inner = {str(key): value for key, value in values.items() if isinstance(value, dict)}
    if not depth:
        return None

    def below(key: str) -> Found | None:
        found = _find(inner[key], average, f"{origin}: {key}", depth - 1)
        return found and ((key, *found[0]), found[1])

    averages = [key for key in inner if average and average.fullmatch(key)]
    first = [*averages, *(key for key in _PLAIN if key in inner)]
    chosen = next((found for key in first if (found := below(key))), None)
    if chosen:
        return chosen
    others = [key for key in inner if key not in first and "optim" not in key]
    left = {key: found for key in others if (found := below(key))}
    if len(left) > 1:
        raise UserError(
            f"{origin}: holds {len(left)} networks (under {', '.join(sorted(left))}); save the "
            "intended one as a separate file"
        )
    return next(iter(left.values()), None)


def _holds_layers(values: Values) -> bool:
    """Whether it has weights of a convolution or a linear layer."""
    return any(
        isinstance(value, Tensor) and value.ndim > 1 and str(key).endswith(".weight")
        for key, value in values.items()
    )


def _tensors(values: Values) -> State:
    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def _named_plainly(state: State) -> State:
    """Remove the name parts added by DataParallel, torch.compile and the like."""
    state = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): value
        for name, value in state.items()
    }
    prefix = "module."
    while (dotted := [name for name in state if "." in name]) and all(
        name.startswith(prefix) for name in dotted
    ):
        state = {name.removeprefix(prefix): state[name] for name in dotted}
    return state


def _is_mmengine(values: Values) -> bool:
    meta = values.get("meta")
    return "message_hub" in values or (isinstance(meta, dict) and "mmengine_version" in meta)
