"""``res2net pretrain DATA``: ``res2net train --task pretrain --data DATA``."""

from __future__ import annotations

from collections.abc import Sequence

from res2net.cli import train
from res2net.cli.parser import Parser, exit_after_help
from res2net.errors import UserError
from res2net.paper.tasks import PRETRAIN

EXAMPLES = (
    "res2net pretrain photos/ --model res2net50_26w_4s --out runs/features",
    "res2net pretrain --out runs/features --resume",
    "res2net train --model res2net50_26w_4s --data labelled/ --net.pretrained runs/features",
)


def make_parser(argv: Sequence[str] = ()) -> Parser:
    """The options of ``res2net train --task pretrain``, with the defaults of its recipe."""
    parser = train.make_help(_as_train(argv))
    own = Parser(
        "pretrain [DATA] --model NAME [--option value ...]",
        "Train a network on images without labels (VICReg of the library lightly), as a start "
        "for any task: res2net train --net.pretrained RUN. Where images have labels, they only "
        "measure the features: the probe error is that of the nearest neighbours.",
        EXAMPLES,
    )
    for name in ("prog", "usage", "description", "epilog"):
        setattr(parser, name, getattr(own, name))
    return parser


def main(argv: Sequence[str]) -> None:
    """Pretrain."""
    exit_after_help(argv, lambda: make_parser(argv))
    train.main(_as_train(argv))


def _as_train(argv: Sequence[str]) -> list[str]:
    """The same as words of ``res2net train``.

    Raises:
        UserError: another task, or the data twice.
    """
    data = [f"--data={word}" for word in argv[:1] if not word.startswith("-")]
    names = [word.partition("=")[0] for word in argv]
    if twice := [name for name in ("--task", *(["--data"] if data else [])) if name in names]:
        raise UserError(f"{twice[0]}: pretrain sets it; leave it out")
    return [f"--task={PRETRAIN}", *data, *argv[len(data) :]]
