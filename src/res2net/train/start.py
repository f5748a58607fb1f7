"""What a run starts from: its own weights, given ones, or published ones where they can be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from res2net.config import AUTO, RunConfig
from res2net.errors import UserError
from res2net.train.folder import CONFIG
from res2net.weights.download import Patience
from res2net.weights.pretrained import IN1K, open_pretrained

BRIEF = Patience(rounds=1, stall=10.0)  # a start that nobody asked for by name may not hold one up


def settle_start(config: RunConfig, run: Path, say: Callable[[str], None]) -> RunConfig:
    """``--net.pretrained auto`` decided: published weights of this very network, else none.

    A run that goes on keeps what it once decided.

    Args:
        say: takes the line that says which; the licence is printed where weights are loaded.
    """
    if config.net.pretrained != AUTO:
        return config
    if (run / CONFIG).is_file():
        return _starting_from(config, RunConfig.read(run / CONFIG).net.pretrained)
    if config.net.variant() or config.net.norm != "batch":
        say("training from scratch: published weights are of the unchanged network")
        return _starting_from(config, None)
    try:
        open_pretrained(IN1K, config.model, patience=BRIEF)
    except UserError as error:
        say(f"training from scratch: {error}")
        return _starting_from(config, None)
    return _starting_from(config, IN1K)


def _starting_from(config: RunConfig, pretrained: str | None) -> RunConfig:
    return replace(config, net=replace(config.net, pretrained=pretrained))
