"""From what a checkpoint holds to the one state dict that is meant."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from res2net.errors import UserError

State = dict[str, Tensor]
Values = dict[str, Any]
Found = tuple[tuple[str, ...], Values]  # the names on the way to a state dict, and itself

# Where training programs keep weights, the one to take first. An average of the weights comes
# before the weights, since it is what is evaluated (timm takes it as well).
_AVERAGE = re.compile(r"(?:.*_)?(?:ema|swa|averaged)(?:_.*)?")
_PLAIN = (
    *("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights"),
    *("params", "module"),
)
_DEPTH = 4  # dictionaries within each other, at most
# Parts of names: torch.compile's, FSDP's, and that of checkpointed activations.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def unwrap(values: Values, origin: str) -> tuple[State, list[str]]:
    """The tensors by name, and what was chosen to get them.

    The state dict is the dictionary that holds layers' weights, whatever else is in the file:
    training programs keep their best accuracy as a tensor beside it.

    Raises:
        UserError: no tensors in it, or several state dicts under names that say nothing.
    """
    average = None if _is_mmengine(values) else _AVERAGE  # it has the average as state_dict
    way, chosen = _find(values, average, origin) or ((), values)
    if not _tensors(chosen):
        holds = ", ".join(list(values)[:5]) or "nothing"
        raise UserError(f"{origin}: no weights in it (it holds {holds})")
    said: list[str] = []
    for key in way:
        if average and average.fullmatch(key):
            said.append(f"took the moving average of the weights ({key})")
        elif key not in _PLAIN:
            said.append(f"took the weights that it holds as {key}")
    state = _named_plainly(_tensors(chosen))
    beside = [name for name in state if "." not in name]
    if beside and len(beside) < len(state):  # counters, accuracies: a layer's tensor has a dot
        state = {name: value for name, value in state.items() if "." in name}
        said.append(f"left out what is no part of a layer: {', '.join(beside[:6])}")
    return state, said


def _find(
    values: Values, average: re.Pattern[str] | None, origin: str, depth: int = _DEPTH
) -> Found | None:
    """The state dict, at the top or below: an average, under a usual name, or the only one."""
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
            "one that is meant as a file of its own"
        )
    return next(iter(left.values()), None)


def _holds_layers(values: Values) -> bool:
    """Whether weights of a convolution or a linear layer are in it."""
    return any(
        isinstance(value, Tensor) and value.ndim > 1 and str(key).endswith(".weight")
        for key, value in values.items()
    )


def _tensors(values: Values) -> State:
    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def _named_plainly(state: State) -> State:
    """Without what DataParallel, torch.compile and their like put into names."""
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
