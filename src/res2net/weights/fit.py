"""Putting a state dict into a network: everything that belongs there, and nothing unsaid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.errors import UserError
from res2net.weights.identify import differences, of_state
from res2net.weights.read import State

_AUXILIARY = "AuxLogits.fc"  # Inception's second classifier
_FLOATING = (".weight", ".bias", ".running_mean", ".running_var")


def fit(model: nn.Module, state: State, origin: str, *, head: str = "fc") -> tuple[str, ...]:
    """Load weights into a network; what had to be changed for that is returned in words.

    A classifier of another size is left out and the network's fresh one stays. A first convolution
    for another number of channels is adapted as timm does (``adapt_channels``).

    Args:
        state: tensors under our names.
        origin: what errors call the weights.
        head: name of the network's classifier.

    Raises:
        UserError: tensors missing, unknown, of another shape or not finite; says which network the
            weights belong to. The network is then as it was.
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
    """Every tensor of the network is there in its shape, and no other.

    Raises:
        UserError: where not; says what the weights belong to, as far as shapes tell.
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
        remedy = f"use {recipe}" if recipe else "no network of the table is like it"
        raise UserError(
            f"{origin} does not fit: this file is {found[0]}, the model is {found[1]}: {remedy}"
        )
    if surplus and all(key.endswith(("running_mean", "running_var")) for key in surplus):
        raise UserError(
            f"{origin}: the weights come with batch statistics, the network's norm has none; "
            "leave norm_layer (or --net.norm) as it is"
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
    """Numbers that a network can compute with.

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
            raise UserError(f"{origin}: {key} holds NaN or infinity; the file is of no use")
        if key.endswith("running_var") and bool((value < 0).any()):
            raise UserError(f"{origin}: {key} holds a negative variance; the file is of no use")


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution for another number of channels: (O, C, k, k) → (O, channels, k, k).

    For one channel the weights are summed over C, so a grey image gives what its three copies gave;
    for any other number they are repeated and scaled by C/channels, so activations stay as large.
    """
    before = weight.shape[1]
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeated = weight.repeat(1, -(-channels // before), 1, 1)[:, :channels]
    return repeated * (before / channels)


def _counters(state: State, own: State) -> State:
    """Batch counters added where a library keeps none, dropped where the network keeps none."""
    ending = "num_batches_tracked"
    kept = {k: v for k, v in state.items() if k in own or not k.endswith(ending)}
    fresh = {k: torch.zeros_like(v) for k, v in own.items() if k.endswith(ending)}
    return {**fresh, **kept}


def _classifier(state: State, own: State, head: str, said: list[str]) -> State:
    """The file's classifier where it has the right size, else the network's own."""
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
        return "no classifier in the file: the network keeps its fresh one"
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
    """The first convolution adapted where only its number of input channels differs."""
    key = next((key for key, value in own.items() if value.ndim == 4), None)
    if key is None or key not in state or state[key].ndim != 4:
        return state
    there, here = state[key].shape, own[key].shape
    if there == here or not there[1] or (there[0], *there[2:]) != (here[0], *here[2:]):
        return state
    how = "summed" if here[1] == 1 else f"repeated and scaled by {there[1]}/{here[1]}"
    said.append(f"the first convolution's {there[1]} input channels were {how} to give {here[1]}")
    return {**state, key: adapt_channels(state[key], here[1])}
