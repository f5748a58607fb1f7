"""From what a checkpoint holds to the one state dict that is meant."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from res2net.errors import UserError

State = dict[str, Tensor]

# Where training programs keep weights, the one to take first. An average of the weights comes
# before the weights, since it is what is evaluated (timm takes it as well).
_AVERAGES = ("state_dict_ema", "ema_state_dict", "model_ema")
_PLAIN = ("state_dict", "model", "model_state_dict", "model_state", "net", "weights")


def unwrap(values: dict[str, Any], origin: str) -> tuple[State, list[str]]:
    """The tensors by name, and what was chosen to get them.

    Raises:
        UserError: no tensors in it.
    """
    said: list[str] = []
    keys = list(_AVERAGES) + list(_PLAIN)
    if _is_mmengine(values):
        keys = list(_PLAIN)  # it stores the average as state_dict, and the weights as the "average"
    while not _tensors(values):
        key = next((key for key in keys if isinstance(values.get(key), dict)), None)
        if key is None:
            holds = ", ".join(list(values)[:5]) or "nothing"
            raise UserError(f"{origin}: no weights in it (it holds {holds})")
        if key in _AVERAGES:
            said.append(f"took the moving average of the weights ({key})")
        values = values[key]
    return _unprefixed(_tensors(values)), said


def _tensors(values: dict[str, Any]) -> State:
    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def _unprefixed(state: State) -> State:
    """Without what DataParallel and torch.compile put before every name."""
    for prefix in ("module.", "_orig_mod.", "module."):
        dotted = [name for name in state if "." in name]  # the wrapper's own have no dot
        if dotted and all(name.startswith(prefix) for name in dotted):
            state = {name.removeprefix(prefix): state[name] for name in dotted}
    return state


def _is_mmengine(values: dict[str, Any]) -> bool:
    meta = values.get("meta")
    return "message_hub" in values or (isinstance(meta, dict) and "mmengine_version" in meta)
