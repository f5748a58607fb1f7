"""Arguments of `predict` and `explain`: a network and images, or images alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from res2net.card import CARD_NAME, ModelCard
from res2net.cli.parser import Parser, add_fields, field_comments
from res2net.cli.video import SUFFIXES
from res2net.data.files import image_names
from res2net.errors import UserError, no_such_path
from res2net.paper.networks import NETWORKS
from res2net.runtime.artifact import is_artifact
from res2net.tasks.finding import Finding
from res2net.weights.catalogue import SHIPPED, shipped
from res2net.weights.fetch import PREFIX

_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_WEIGHTS = (".ckpt", ".pth", ".pt", ".safetensors", ".pdparams", ".bin", ".pkl")


def add_part_options(parser: Parser) -> None:
    """Options for which images of the data are used."""
    parser.add_argument(
        "--split",
        type=str | None,
        choices=("val", "train", "test", "all"),
        help="part of the data; default: val, or all images if the data have no parts and the "
        "network was not trained on them",
    )
    parser.add_argument(
        "--val-fraction",
        type=float | None,
        help="validation share of data without parts; default: as in the run",
    )
    parser.add_argument(
        "--seed", type=int | None, help="random seed of that split; default: as in the run"
    )
    parser.add_argument(
        "--group-by",
        type=str | None,
        help="keep images together in that split: folder, column:NAME or pattern:REGEX; default: "
        "as in the run",
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out unreadable images")


def add_precision(parser: Parser) -> None:
    """The option for the precision of a PyTorch network."""
    parser.add_argument(
        "--precision",
        type=str,
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="auto: bf16 where the hardware supports it, else fp32",
    )


def add_finding_options(parser: Parser) -> None:
    """Options for which detections are kept."""
    title = "detections to keep (detectors; in predict, the first two also for pose)"
    add_fields(parser, "", Finding, title, without=("class_agnostic",))
    what = field_comments(Finding)["class_agnostic"]
    parser.add_argument("--class-agnostic", action="store_true", help=what)


def add_capture_options(parser: Parser) -> None:
    """Options for how a PyTorch network runs."""
    parser.add_argument(
        "--capture",
        type=str,
        default="auto",
        choices=("auto", "on", "off", "triton"),
        help="replay recorded GPU kernel launches; auto: on a GPU; off: as in training; triton: as "
        "auto, with one Triton kernel per Res2Net unit (speed not measured)",
    )
    parser.add_argument(
        "--compile",
        type=str | None,
        choices=("default", "reduce-overhead", "max-autotune"),
        help="mode of torch.compile, on any device; default: not compiled",
    )


def target_and_images(words: Sequence[str], model: str | None) -> tuple[str, list[Path]]:
    """The network and the images of a command line ``[TARGET] IMAGE ...``.

    Without ``--model`` the first word is the network, unless it is an image or a folder of them:
    then the shipped network is used, with a note.

    Raises:
        UserError: no image, or no network where none is shipped.
    """
    if model is not None:
        return model, _some(words, f"--model {model}")
    if words and not _is_images(words[0]):
        return words[0], _some(words[1:], words[0])
    images = _some(words, "the shipped network")
    for image in images:
        if not image.exists():
            raise no_such_path(image)
    return str(use_shipped()), images


def check_targets(*targets: str) -> None:
    """Refuse targets at which nothing is: opening them takes seconds of imports.

    Raises:
        UserError: the first such target.
    """
    for target in targets:
        named = target in NETWORKS or target == SHIPPED.name or target.startswith(PREFIX)
        if not named and not Path(target).exists():
            raise no_such_path(Path(target), "run, checkpoint or network", NETWORKS)


def use_shipped() -> Path:
    """The folder of the shipped network; prints a note that describes it.

    Raises:
        UserError: there is none.
    """
    folder = shipped()
    card = ModelCard.read(folder / CARD_NAME)
    print(
        f"res2net: note: no model given, using the shipped {card.network}: small, "
        f"{len(card.classes)} classes{f' of {card.data}' if card.data else ''}, images of "
        f"{card.preprocess.size} pixels; --model RUN uses a network of your own",
        file=sys.stderr,
    )
    return folder


def _some(words: Sequence[str], target: str) -> list[Path]:
    if not words:
        raise UserError(f"no image for {target}; name files or folders of images")
    return [Path(word) for word in words]


def _is_images(word: str) -> bool:
    """Whether a word names an image or a folder of them rather than a network."""
    path = Path(word)
    if path.is_file():
        return path.suffix.lower() not in _WEIGHTS
    if path.is_dir():
        return not is_artifact(path) and not _holds_weights(path) and bool(image_names(path))
    return word not in NETWORKS and path.suffix.lower() in (*_IMAGES, *SUFFIXES)


def _holds_weights(folder: Path) -> bool:
    """Whether a folder is a run, or the remains of one."""
    return any((folder / name).exists() for name in ("config.yaml", CARD_NAME, "checkpoints"))
