"""What a run starts from: its own weights, given ones, or published ones where they can be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from res2net.config import AUTO, RunConfig
from res2net.errors import UserError
from res2net.training.folder import CONFIG
from res2net.weights.download import Patience
from res2net.weights.pretrained import IN1K, open_pretrained

Say = Callable[[str], None]
BRIEF = Patience(rounds=1, stall=10.0)  # a start that nobody asked for by name may not hold one up


def settle_start(config: RunConfig, run: Path, say: Say) -> RunConfig:
    """``--net.pretrained auto`` decided: published weights of this very network, else none.

    A run that goes on keeps what it once decided.

    Args:
        say: takes the line that says which; the licence is printed where weights are loaded.
    """
    if config.net.pretrained != AUTO:
        return config
    if (run / CONFIG).is_file():
        decided = RunConfig.read(run / CONFIG).net.pretrained
        if decided not in (None, IN1K):  # the only ones that "auto" is ever decided for
            raise UserError(
                f"{run / CONFIG}: net.pretrained is {str(decided)!r}, not what --net.pretrained "
                "auto becomes; give the run's own --net.pretrained"
            )
        return _starting_from(config, decided, say)
    if config.net.variant() or config.net.norm == "group":
        say("training from scratch: published weights are of the unchanged network")
        return _starting_from(config, None, say)
    try:
        open_pretrained(IN1K, config.model, patience=BRIEF)
    except UserError as error:
        say(f"training from scratch: {error}")
        return _starting_from(config, None, say)
    return _starting_from(config, IN1K, say)


def _starting_from(config: RunConfig, pretrained: str | None, say: Say) -> RunConfig:
    net, train = replace(config.net, pretrained=pretrained), config.train
    if pretrained is None and (net.norm == "frozen" or train.frozen_levels):
        say("nothing is kept frozen: without published weights all of it has to learn")
        net = replace(net, norm="batch" if net.norm == "frozen" else net.norm)
        train = replace(train, frozen_levels=0)
    return replace(config, net=net, train=train)
