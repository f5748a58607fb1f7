"""The small network that comes with the package: for ``predict`` and ``explain`` without a run."""

from __future__ import annotations

from pathlib import Path

from res2net.errors import UserError

WEIGHTS_NAME, CARD_NAME = "model.safetensors", "model.json"
FOLDER = Path(__file__).resolve().parent.parent / "shipped"


def shipped() -> Path:
    """The folder of the shipped network: weights and ``model.json``, loaded like a run folder.

    Raises:
        UserError: this package came without it; says what to give instead.
    """
    if all((FOLDER / name).is_file() for name in (WEIGHTS_NAME, CARD_NAME)):
        return FOLDER
    raise UserError(
        "no shipped network in this package; name a trained one: --model RUN_FOLDER "
        "(`res2net demo` trains one in two minutes)"
    )
