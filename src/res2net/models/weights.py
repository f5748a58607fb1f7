"""Weight files: safetensors and checkpoints, read without running code in them.

A target is a run folder, a checkpoint (``.ckpt``, ``.pth``, ``.pt``), a ``.safetensors`` file with
its ``model.json`` beside it, or the name of a network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from res2net.card import CARD_NAME, WEIGHTS_NAME, ModelCard
from res2net.errors import UserError, no_such_path, one_line
from res2net.files import write_bytes
from res2net.models.factory import create_model, norm_by_name
from res2net.models.network import Network
from res2net.paper.networks import NETWORKS, find_variant
from res2net.weights.fit import check_fits, check_values
from res2net.weights.pretrained import open_pretrained
from res2net.weights.read import RUN_FILES, card_inside, find_weights, read_content, unwrap

__all__ = [
    "CARD_NAME",
    "CHECKPOINTS",
    "WEIGHTS_NAME",
    "apply_weights",
    "build",
    "check_description",
    "find_weights",
    "load_target",
    "load_weights",
    "read_checkpoint",
    "read_weights",
    "save_weights",
]

_, *CHECKPOINTS = RUN_FILES
LARGEST = 2_000_000_000  # maximum parameters of a network built from a description
_PREFIX = "model."  # of the network inside a training checkpoint


def build(card: ModelCard, pretrained: str | None = None) -> Network:
    """The classifier described by a card, with initial or pretrained weights."""
    options = dict(card.options)
    if options.get("scale", getattr(find_variant(card.network), "scale", 1)) == 1:
        options.pop("first_block", None)  # old runs may have one without effect
    norm = options.pop("norm", None)
    return create_model(
        card.network,
        num_classes=len(card.classes),
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def check_description(
    build: Callable[[], nn.Module],
    origin: str | Path,
    state: dict[str, Tensor] | None = None,
    file: str | Path = "",
) -> None:
    """Refuse a bad description before memory is allocated for its network.

    Args:
        build: makes the network; called here on PyTorch's "meta" device, which holds shapes alone.
        origin: the file of the description, as errors name it.
        state: the weights that come with it, which must fit.
        file: of the weights.

    Raises:
        UserError: no network has these options, it is too large, or the weights do not fit.
    """
    try:
        with torch.device("meta"):
            own = build().state_dict()
    except Exception as error:  # unsupported options raise various errors
        raise UserError(f"{origin}: {one_line(error)}") from None
    if (count := sum(value.numel() for value in own.values())) > LARGEST:
        raise UserError(f"{origin}: its network has {count:,} parameters; at most {LARGEST:,}")
    if state is not None:
        check_fits(state, own, str(file))


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights as safetensors, all or nothing."""
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    write_bytes(path, save(tensors))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The state dict in a file, and the card that a checkpoint of ours carries.

    Raises:
        UserError: missing, a folder, damaged, or holding code.
    """
    content = read_content(path)
    card = card_inside(content)
    state, _ = unwrap(content.values, str(path))
    if card is not None:
        state = {
            name.removeprefix(_PREFIX): value
            for name, value in state.items()
            if name.startswith(_PREFIX)
        }
    return state, card


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a file of ``torch.save``, if it is tensors and plain values.

    Raises:
        UserError: missing, a folder, damaged, or holding code.
    """
    return read_content(path).values


def apply_weights(model: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load all tensors of a state dict.

    Raises:
        UserError: keys or shapes that do not fit, or numbers that are not finite.
    """
    check_fits(state, model.state_dict(), origin)
    check_values(state, origin)
    model.load_state_dict(state)


def load_weights(model: Network, target: str | Path) -> None:
    """Initialise a network from any value of ``create_model(pretrained=...)`` (docs/weights.md).

    A classifier of another size keeps its initial weights. Warns if the weights were trained with
    another first-block rule than the network's.

    Raises:
        UserError: missing, damaged, or of another network.
    """
    weights = open_pretrained(target, None)
    weights.load_into(model, head=model.HEAD, first_block=model.first_block)
    model.weights_notice = weights.notice


def load_target(target: str | Path) -> tuple[Network, ModelCard]:
    """Load network and card from a run folder, a checkpoint or a ``.safetensors`` file.

    Raises:
        UserError: missing, not loadable, or a network of another task.
    """
    state, card, file, origin = read_target(target)
    check_task(card, "classify", target)
    check_description(lambda: build(card), origin, state, file)
    model = build(card)
    apply_weights(model, state, str(file))
    return model.eval(), card


def check_task(card: ModelCard, task: str, target: str | Path) -> None:
    """Refuse a network of another task.

    Raises:
        UserError: names the target and both tasks.
    """
    if card.task != task:
        raise UserError(f"{target}: was trained with --task {card.task}, but {task} is needed")


def no_weights(name: str | Path) -> UserError:
    """The error for a model name where a trained network is needed."""
    return UserError(
        f"{name} has no weights, since none are shipped; give the run folder or a "
        f"checkpoint of a trained one (`res2net train --model {name} ...`)"
    )


def read_target(target: str | Path) -> tuple[dict[str, Tensor], ModelCard, Path, Path]:
    """Weights and card behind a target, their file, and the file that the card is from.

    Raises:
        UserError: nothing there, or nothing that can be read.
    """
    path = Path(target)
    if not path.exists():
        if str(target) in NETWORKS:
            raise no_weights(target)
        raise no_such_path(path, "run, checkpoint or network", NETWORKS)
    file = find_weights(path) if path.is_dir() else path
    state, content = read_weights(file)
    if content is not None:
        origin, card = file, ModelCard.from_dict(content, str(file))
    else:
        origin = file.with_name(CARD_NAME)
        if not origin.is_file():
            raise UserError(
                f"{file}: contains only weights; {CARD_NAME} with the network and the classes must "
                "be in the same folder"
            )
        card = ModelCard.read(origin)
    return state, card, file, origin
