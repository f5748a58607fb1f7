"""Load a state dict into a network completely, with a report of every change."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.errors import UserError
from res2net.weights.identify import differences, of_state
from res2net.weights.read import State

_AUXILIARY = "AuxLogits.fc"  # Inception's second classifier
_FLOATING = (".weight", ".bias", ".running_mean", ".running_var")


def fit(model: nn.Module, state: State, origin: str, *, head: str = "fc") -> tuple[str, ...]:
    """Load weights into a network; return the necessary changes in words.

    A classifier of another size is left out, which keeps the network's initialised one. A first
    convolution for another number of channels is adapted as in timm (``adapt_channels``).

    Args:
        state: tensors under our names.
        origin: name of the weights in errors.
        head: name of the network's classifier.

    Raises:
        UserError: tensors are missing, unknown, of another shape or not finite; the message names
            the network that the weights belong to. The network is unchanged.
    """
    own = model.state_dict()
    said: list[str] = []
    state = _counters(state, own)
    state = _classifier(state, own, head, said)
    state = _first_convolution(state, own, said)
    check_fits(state, own, origin)
    check_values(state, origin)
    model.load_state_dict(state)
    return tuple(said)


def check_fits(state: State, own: State, origin: str) -> None:
    """Check that the state dict has exactly the network's tensors and shapes.

    Raises:
        UserError: it differs; the message identifies the weights as far as shapes allow.
    """
    missing = [key for key in own if key not in state]
    surplus = [key for key in state if key not in own]
    shaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    if not (missing or surplus or shaped):
        return
    file, model = of_state(state), of_state(own)
    found = differences(file, model) if file and model else None
    if file and found:
        recipe = file.recipe()
        remedy = f"use {recipe}" if recipe else "no network of the table matches it"
        raise UserError(
            f"{origin} does not fit: this file is {found[0]}, the model is {found[1]}: {remedy}"
        )
    if surplus and all(key.endswith(("running_mean", "running_var")) for key in surplus):
        raise UserError(
            f"{origin}: the weights have batch statistics, but the network's norm has none; "
            "use the default norm_layer (or --net.norm)"
        )
    if shaped and not (missing or surplus):
        key = shaped[0]
        raise UserError(
            f"{origin} does not fit this network: {key} is {tuple(state[key].shape)} there, "
            f"{tuple(own[key].shape)} here"
        )
    example = (missing or surplus)[0]
    raise UserError(
        f"{origin} does not fit this network: {len(missing)} tensors missing, {len(surplus)} "
        f"unknown (such as {example!r})"
    )


def check_values(state: State, origin: str) -> None:
    """Check that all values are usable.

    Raises:
        UserError: NaN, infinity, a negative variance, or whole numbers where weights should be.
    """
    for key, value in state.items():
        if not value.is_floating_point():
            if not key.endswith(_FLOATING):
                continue  # a counter, an index
            raise UserError(
                f"{origin}: {key} holds {str(value.dtype).removeprefix('torch.')}, not floating-"
                "point weights (a quantised file?)"
            )
        if not torch.isfinite(value).all():
            raise UserError(f"{origin}: {key} has NaN or infinite values; the file is unusable")
        if key.endswith("running_var") and bool((value < 0).any()):
            raise UserError(f"{origin}: {key} has a negative variance; the file is unusable")


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Adapt a first convolution to another number of channels: (O, C, k, k) → (O, channels, k, k).

    For one channel the weights are summed over C, so a grey image gives the same result as three
    copies of it; otherwise they are repeated and scaled by C/channels to keep activations in range.
    """
    before = weight.shape[1]
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeated = weight.repeat(1, -(-channels // before), 1, 1)[:, :channels]
    return repeated * (before / channels)


def _counters(state: State, own: State) -> State:
    """Add or drop batch counters, depending on whether the network has them."""
    ending = "num_batches_tracked"
    kept = {k: v for k, v in state.items() if k in own or not k.endswith(ending)}
    fresh = {k: torch.zeros_like(v) for k, v in own.items() if k.endswith(ending)}
    return {**fresh, **kept}


def _classifier(state: State, own: State, head: str, said: list[str]) -> State:
    """The file's classifier if it has the right size, else the network's own."""
    result = dict(state)
    for name in (head, _AUXILIARY):
        there = f"{name}.weight" in state
        here = f"{name}.weight" in own
        if there and here and _same_size(state[f"{name}.weight"], own[f"{name}.weight"]):
            result[f"{name}.weight"] = state[f"{name}.weight"].reshape(own[f"{name}.weight"].shape)
            continue
        if not (there or here):
            continue
        for part in (f"{name}.weight", f"{name}.bias"):
            result.pop(part, None)
            if part in own:
                result[part] = own[part]
        if name == head:
            said.append(_classifier_said(state, own, name))
    return result


def _same_size(file: Tensor, own: Tensor) -> bool:
    return file.ndim >= 2 and file.shape[:2] == own.shape[:2] and file.numel() == own.numel()


def _classifier_said(state: State, own: State, head: str) -> str:
    there, here = state.get(f"{head}.weight"), own.get(f"{head}.weight")
    if there is None:
        return "no classifier in the file: the network keeps its initialised one"
    if there.ndim < 2:
        return f"left out the classifier, whose weights have the shape {tuple(there.shape)}"
    if here is None:
        return f"left out the classifier of {there.shape[0]} classes"
    if there.shape[1] != here.shape[1]:
        return f"left out the classifier, which takes {there.shape[1]} features"
    return (
        f"left out the classifier of {there.shape[0]} classes: the network has a fresh one of "
        f"{here.shape[0]}"
    )


def _first_convolution(state: State, own: State, said: list[str]) -> State:
    """Adapt the first convolution if only its number of input channels differs."""
    key = next((key for key, value in own.items() if value.ndim == 4), None)
    if key is None or key not in state or state[key].ndim != 4:
        return state
    there, here = state[key].shape, own[key].shape
    if there == here or not there[1] or (there[0], *there[2:]) != (here[0], *here[2:]):
        return state
    how = "summed" if here[1] == 1 else f"repeated and scaled by {there[1]}/{here[1]}"
    said.append(f"the first convolution's {there[1]} input channels were {how} to give {here[1]}")
    return {**state, key: adapt_channels(state[key], here[1])}
