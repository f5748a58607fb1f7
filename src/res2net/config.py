"""The configuration of a run: typed, saved and resumed. This module imports no torch.

Every field is an option of ``res2net train``: ``--train.lr 0.1`` sets ``RunConfig.train.lr``. The
comment after a field is its help text (``res2net.cli.parser`` reads it).
"""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import yaml

from res2net.data.augment import Augment
from res2net.data.scenes.options import pairs_of
from res2net.data.split import Holdout, SplitRule, check_grouping, fold_of
from res2net.errors import UserError, check_meaning, did_you_mean, option
from res2net.optionfile import END, FORMAT, HEAD, check_number, read_yaml
from res2net.paper.tasks import CLASSIFY, TASKS, TaskName, readers

Optimizer = Literal["sgd", "adam", "adamw", "lamb"]
Schedule = Literal["step", "cosine", "poly", "linear", "constant"]
Precision = Literal["auto", "fp64", "fp32", "bf16", "fp16"]
Norm = Literal["batch", "group", "frozen"]
Strategy = Literal["auto", "ddp", "fsdp"]
Checkpointing = Literal["none", "cheap", "full"]
Compile = bool | Literal["default", "reduce-overhead", "max-autotune"]
Capture = Literal["auto", "on", "off"]
Decode = Literal["cpu", "gpu"]
Select = Literal["auto", "best", "last"]
Loss = Literal["cross_entropy", "focal", "asymmetric", "dice", "lovasz", "ohem"]
LOSSES: dict[str, tuple[Loss, ...]] = {  # task → its losses
    "classify": ("cross_entropy", "focal", "asymmetric"),
    "detect": ("cross_entropy", "focal"),
    "instances": ("cross_entropy", "focal"),
    "segment": ("cross_entropy", "dice", "lovasz", "ohem"),
    "saliency": ("cross_entropy", "dice", "lovasz", "ohem"),
}
NO_WEIGHTS = "none"  # --train.class-weights: no weighting; --net.pretrained: random
# --net.pretrained auto: published weights if they can be reached, else random initialisation;
# --head.anchors auto: derived from the boxes of the training part
AUTO = "auto"
Anchors = tuple[int, ...] | Literal["auto"]
FirstBlockName = Literal[
    "pool", "pool_exclude_pad", "strided_only", "strided_exclude_pad", "group", "paper"
]


# task → the annotations that it is trained on, as ``data.source.HOLDS`` names them
ANNOTATIONS: dict[str, str] = {name: row.annotations for name, row in TASKS.items()}


def known_task(task: str) -> TaskName:
    """The task of that name.

    Raises:
        UserError: no such task; the message suggests the nearest.
    """
    if task not in TASKS:
        near = did_you_mean(str(task), TASKS)
        raise UserError(f"--task is {task!r}; it can be {', '.join(TASKS)}.{near}")
    return cast(TaskName, task)


def _check(problem: bool, message: str) -> None:
    if problem:
        raise UserError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetOptions:
    """Initial weights and changes to the model's structure."""

    pretrained: str | None = None  # initial weights: file, run, in1k, auto or none; default: random
    width: int | None = None  # channels per split at 64 planes (the paper's w); default: model's
    scale: int | None = None  # number of splits (the paper's s); default: the model's
    cardinality: int | None = None  # groups of each 3x3 (the paper's c); default: the model's
    depth: int | None = None  # number of layers; default: the model's
    se: bool | None = None  # squeeze-and-excitation before the addition; default: the model's
    drop_path: float = 0.0  # probability of dropping the last block's residual branch
    first_block: FirstBlockName | None = None  # rule for each stage's first block; default: model's
    zero_init: bool | None = None  # zero-initialise residual branches; default: the model's
    norm: Norm = "batch"  # normalisation: batch, group (no batch statistics) or frozen
    global_pool: Literal["avg", "max", "avgmax"] = "avg"  # pooling before the classifier
    whiten: bool = False  # fix the first convolution to filters that whiten training patches

    def __post_init__(self) -> None:
        if self.pretrained == NO_WEIGHTS:
            object.__setattr__(self, "pretrained", None)

    def variant(self) -> dict[str, Any]:
        """The structural options that are set."""
        named = {f: getattr(self, f) for f in ("width", "scale", "cardinality", "depth", "se")}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadOptions:
    """The task's head on the backbone."""

    form: Literal["fpn", "c4"] = "fpn"  # FPN (a feature pyramid) or the paper's C4 (one map)
    anchors: Anchors = ()  # anchor sides in pixels, or auto (from training boxes); default: form's
    regions: int | None = None  # RoIs sampled per image for the head's loss; default: 512, c4 128
    output_stride: Literal[16, 8] = 16  # stride of the backbone's last feature map
    channels: int | None = None  # channels of the head's convolutions; default: the task's own
    as_base: bool = False  # follow the paper's base in every detail (detectors: form c4)
    lr_factor: float = 1.0  # learning rate of the head relative to the backbone's

    def __post_init__(self) -> None:
        for name in ("channels", "regions"):
            few = getattr(self, name) is not None and getattr(self, name) < 1
            _check(few, f"--head.{name} is {getattr(self, name)}; it must be at least 1")
        sides = () if isinstance(self.anchors, str) else self.anchors
        bad = [side for side in sides if side < 1]
        _check(bool(bad), f"--head.anchors is {list(sides)}; sides are pixels, 1 or more")
        _check(
            not 0 < self.lr_factor < math.inf,
            f"--head.lr-factor is {self.lr_factor}; it must be above 0",
        )


READ_BY = readers("train")  # options not listed apply to all tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class InputOptions:
    """How images are found, decoded and resized."""

    size: int | None = None  # input size in pixels; default: the model's, less for small images
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"  # interpolation when resizing
    val_fraction: float | None = None  # share held out for validation; default: 0.2 where needed
    fold: str = ""  # validate on part k of K, as k/K; `--folds K` trains all; default: no folds
    group_by: str = ""  # keep images together: folder, column:NAME or pattern:REGEX; default: none
    split_rule: SplitRule = "v2"  # split rule; v1: the one of runs saved by older versions
    workers: int | None = None  # processes that read images; default: chosen for the machine
    decode: Decode = "cpu"  # JPEG decoder: cpu, or gpu (nvJPEG; falls back to cpu)
    balance: float = 0.0  # oversample rare classes: 1 balances fully, 0.5 by square root; 0: off
    index: str = ""  # file that caches the list of a large folder or table; default: none
    skip_bad: bool = False  # skip unreadable images (counted and listed) instead of stopping
    range: tuple[float, ...] = ()  # LO,HI mapped to 0..255 (>8 bits); default: from training images
    channels: int | None = None  # image channels; default: 3, or those of multi-band TIFF and .npy
    multi_label: bool = False  # CSV: several labels per image, split by ; or |, or in 0/1 columns
    download: bool = False  # download cifar10 or cifar100 to the path if it is not there
    partners: str = ""  # mirrored pairs: left_eye:right_eye,a:b; default: from the data or names

    def __post_init__(self) -> None:
        _check(self.size is not None and self.size < 1, f"--input.size is {self.size}; at least 1")
        _check(
            self.val_fraction is not None and not 0 < self.val_fraction < 1,
            f"--input.val-fraction is {self.val_fraction}; it must lie between 0 and 1",
        )
        if self.fold:
            fold_of(self.fold)
        both = bool(self.fold) and self.val_fraction is not None
        _check(both, "--input.fold holds out its own share; leave out --input.val-fraction")
        uneven = not 0 <= self.balance <= 1
        _check(uneven, f"--input.balance is {self.balance}; it must lie in 0..1")
        check_grouping(self.group_by)
        pairs_of(self.partners)
        negative = self.workers is not None and self.workers < 0
        _check(negative, f"--input.workers is {self.workers}; 0 reads in the training process")
        rising = list(self.range) == sorted(set(self.range)) and len(self.range) in (0, 2)
        _check(not rising, f"--input.range is {list(self.range)}; give LO,HI such as 0,4095")
        few = self.channels is not None and not 0 < self.channels <= 1024
        _check(few, f"--input.channels is {self.channels}; it can be 1..1024")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """Length, optimiser, loss and hardware of a training."""

    epochs: int = 20  # passes over the training images
    batch: int | Literal["auto"] = 32  # images per step, over all devices; auto: fill one GPU
    accumulate: int = 1  # steps whose gradients are added before each update
    optimizer: Optimizer = "sgd"  # optimiser; lamb needs timm
    lr: float | Literal["auto"] = 0.1  # peak learning rate; auto: by a range test of 100 steps
    lr_batch: int = 0  # batch size that lr is meant for (then scaled linearly); 0: lr as it is
    momentum: float = 0.9  # SGD momentum
    nesterov: bool = False  # Nesterov momentum, for SGD
    weight_decay: float = 1e-4  # weight decay: L2 (sgd, adam) or decoupled
    decay_norms: bool = True  # weight-decay norms and biases too, as the paper's code does
    norm_bias_factor: float = 1.0  # learning-rate factor for the biases of normalisation layers
    schedule: Schedule = "cosine"  # step (at milestones), constant; down to 0: cosine, poly, linear
    milestones: tuple[float, ...] = ()  # epochs after which gamma multiplies lr; default: none
    gamma: float = 0.1  # factor at each milestone
    warmup: float = 0.0  # epochs of linear warm-up from 0
    label_smoothing: float = 0.0  # label smoothing: share of the target spread over all classes
    loss: Loss = "cross_entropy"  # focal; classify: asymmetric; maps: dice, lovasz, ohem
    class_weights: str = NO_WEIGHTS  # none, balanced (rare classes weigh more) or car:2,road:0.5
    clip: float = 0.0  # maximum gradient norm; 0: no clipping
    ema: float = 0.0  # decay of the weights' moving average (EMA), used for evaluation; 0: off
    select: Select = "auto"  # epoch whose weights are kept; auto: best; last if validated on test
    early_stop: int = 0  # stop after this many epochs without improvement; 0: never
    layer_decay: float = 1.0  # lr factor per level below the head (c5, c4, ...); 1: no decay
    frozen_levels: int | Literal["all"] = 0  # levels to freeze, from the stem; all: linear probe
    unfreeze_every: float = 0.0  # epochs between unfreezing levels, deepest first; 0: off
    dropout: float = 0.0  # dropout rate before the classifier; 0: none
    precision: Precision = "auto"  # auto: bf16 where the hardware supports it, else fp32
    gradient_checkpointing: Checkpointing = "none"  # recompute: cheap (norms), full (blocks)
    max_steps: int = -1  # stop after this many steps; -1: no limit
    val_batches: int | None = None  # number of validation batches; default: all
    devices: int | None = None  # accelerators (or CPU processes); default: all, or torchrun's
    strategy: Strategy = "auto"  # auto: ddp if several processes train; fsdp is untested
    threads: int | None = None  # CPU threads per process; default: chosen for the machine

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "accumulate"):
            value = getattr(self, name)
            self._must(name, value == AUTO or value >= 1, "at least 1")
        for name in ("val_batches", "devices", "threads"):
            value = getattr(self, name)
            self._must(name, value is None or value >= 1, "at least 1, or left out")
        unlimited = self.max_steps == -1
        self._must("max_steps", self.max_steps >= 1 or unlimited, "at least 1, or -1 for no limit")
        for name in ("lr", "gamma", "norm_bias_factor"):
            value = getattr(self, name)
            self._must(name, value == AUTO or 0 < value < math.inf, "above 0")
        for name in ("weight_decay", "warmup", "clip", "early_stop", "lr_batch", "unfreeze_every"):
            self._must(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        frozen = self.frozen_levels
        self._must("frozen_levels", isinstance(frozen, str) or frozen >= 0, "0 or more, or all")
        self._must("layer_decay", 0 < self.layer_decay <= 1, "above 0 and at most 1")
        for name in ("momentum", "label_smoothing", "ema", "dropout"):
            self._must(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        _check(
            bool(self.unfreeze_every) and frozen == "all",
            "--train.unfreeze-every does not apply to --train.frozen-levels all; give one of them",
        )
        weights_by_name(
            "" if self.class_weights in (NO_WEIGHTS, "balanced") else self.class_weights
        )
        _check(self.nesterov and not self.momentum, "--train.nesterov needs --train.momentum")
        _check(
            list(self.milestones) != sorted(self.milestones),
            f"--train.milestones is {list(self.milestones)}; epochs must increase",
        )

    def _must(self, name: str, holds: bool, be: str) -> None:
        typed = option(f"train.{name}")
        _check(not holds, f"{typed} is {getattr(self, name)}; it must be {be}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Everything that decides the outcome of a run."""

    model: str  # name of a model
    data: str  # FORMAT:PATH
    recipe: str  # recipe that the options start from
    task: TaskName = CLASSIFY  # what the network learns
    init: str | None = None  # start from a run, checkpoint or weights, head included; default: none
    seed: int = 0  # random seed for weights, data order and augmentation
    compile: Compile = False  # torch.compile the network; true or no value: default mode
    capture: Capture = "off"  # replay training steps as CUDA graphs on a GPU; auto: if possible
    net: NetOptions = field(default_factory=NetOptions)
    head: HeadOptions = field(default_factory=HeadOptions)
    input: InputOptions = field(default_factory=InputOptions)
    augment: Augment = field(default_factory=Augment)
    train: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        _check(not 0 <= self.seed < 2**32, f"--seed is {self.seed}; it must lie in 0..2^32-1")
        for each in fields(HeadOptions):
            if getattr(self.head, each.name) != each.default:
                check_meaning([f"head.{each.name}"], READ_BY, self.task)
        _check(
            self.net.whiten and (self.net.pretrained is not None or self.init is not None),
            "--net.whiten replaces the first convolution; set it to false with --net.pretrained "
            "or --init",
        )
        _check(
            self.input.decode == "gpu" and self.augment.where == "workers",
            "--input.decode gpu augments on the device; leave out --augment.where workers",
        )
        _check(
            self.init is not None and self.net.pretrained is not None,
            "--init and --net.pretrained both name the weights to start from; give one of them",
        )
        if self.train.loss != TrainOptions().loss:
            check_meaning(["train.loss"], READ_BY, self.task)
        losses = LOSSES.get(self.task, ("cross_entropy",))
        _check(
            self.train.loss not in losses,
            f"--train.loss {self.train.loss} is not for --task {self.task}, which has "
            f"{', '.join(losses)}",
        )
        several = self.input.multi_label
        _check(
            self.train.loss == "asymmetric" and not several,
            "--train.loss asymmetric needs --input.multi-label true",
        )
        for name in ("augment.mixup", "augment.cutmix", "train.label_smoothing"):
            group, _, own = name.partition(".")
            _check(
                several and getattr(getattr(self, group), own) > 0,
                f"{option(name)} is not for --input.multi-label true; set it to 0",
            )
        pyramid = self.task in READ_BY["head.form"] and self.head.form == "fpn"
        _check(
            pyramid and self.head.as_base,
            "--head.as-base does not apply to --head.form fpn; the paper's base is c4",
        )

    @property
    def holdout(self) -> Holdout:
        """How validation images are held out of data without a validation part."""
        given = self.input
        share = 1 / fold_of(given.fold)[1] if given.fold else given.val_fraction
        return Holdout(
            val_fraction=share,
            fold=given.fold,
            seed=self.seed,
            group_by=given.group_by,
            split_rule=given.split_rule,
            multi_label=given.multi_label,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain nested types, as ``config.yaml`` holds them."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """The inverse of ``as_dict``.

        Raises:
            UserError: an unknown key (names the nearest) or a value out of range.
        """
        config: RunConfig = _build(cls, values, "")
        return config

    @classmethod
    def from_saved(cls, values: dict[str, Any]) -> RunConfig:
        """Read what a run saved; without a split rule it gets v1, the only rule of its time.

        Raises:
            UserError: as ``from_dict``.
        """
        given = values.get("input", {})
        if isinstance(given, dict):
            values = {**values, "input": {"split_rule": "v1", **given}}
        return cls.from_dict(values)

    def as_text(self) -> str:
        """The text of ``config.yaml``: a line with its format number, the options, an end mark.

        Both marks are comments, so any YAML reader accepts the file.
        """
        options = yaml.safe_dump(self.as_dict(), sort_keys=False)
        return f"{HEAD} {FORMAT}\n{options}{END}\n"

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """The configuration that a run saved.

        Raises:
            UserError: missing, cut off, of a newer format, not YAML, or not the options of a run.
        """
        try:
            values = read_yaml(path)
            config = cls.from_saved(values)
        except UserError as error:
            raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
        if "threads" not in (values.get("train") or {}):  # last option, before end marks
            raise UserError(f"{path}: cut off, --train.threads is missing; copy the file again")
        return config


def weights_by_name(text: str) -> dict[str, float]:
    """The numbers in ``car:2,road:0.5`` by name.

    Raises:
        UserError: no names with numbers above 0, or a name twice.
    """
    found: dict[str, float] = {}
    for word in text.split(",") if text else ():
        name, _, number = (part.strip() for part in word.rpartition(":"))
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        _check(
            not name or not 0 < weight < math.inf,
            f"--train.class-weights has {word!r}; give none, balanced, or names of classes with "
            "numbers above 0, such as car:2,road:0.5",
        )
        _check(name in found, f"--train.class-weights names {name!r} twice")
        found[name] = weight
    return found


def run_of(target: Path) -> RunConfig | None:
    """The configuration of the run that a target is, or lies in; None for any other target."""
    folder = target if target.is_dir() else target.parent
    for home in (folder, folder.parent):
        if (home / "config.yaml").is_file():
            return RunConfig.read(home / "config.yaml")
    return None


_GROUPS: dict[str, type] = {
    "net": NetOptions,
    "head": HeadOptions,
    "input": InputOptions,
    "augment": Augment,
    "train": TrainOptions,
}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _build(kind: type, values: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise UserError(f"'{prefix.rstrip('.')}' must hold options by name, not {values!r:.50}")
    for key in values:
        if key not in hints:
            raise UserError(f"unknown key '{prefix}{key}'.{did_you_mean(key, hints)}")
    for each in fields(kind):
        if each.name not in values and each.default is each.default_factory is MISSING:
            raise UserError(f"key '{prefix}{each.name}' is missing")
    made: dict[str, Any] = {}
    for key, value in values.items():
        if not prefix and key in _GROUPS:
            made[key] = _build(_GROUPS[key], value, f"{key}.")
        else:
            made[key] = _typed(value, hints[key], option(f"{prefix}{key}"))
    try:
        return kind(**made)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise option_error(error, prefix.rstrip("."), kind) from None


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Convert a value to its option's type: a list to a tuple.

    Raises:
        UserError: wrong type, or an integer that is too large.
    """
    if isinstance(value, list | tuple) and (of := _members(hint)):
        return tuple(_typed(item, of, name) for item in value)
    check_number(value, name)
    if not any(_is(value, kind) for kind in _kinds(hint)):
        takes = " or ".join(dict.fromkeys(map(_in_words, _kinds(hint))))
        given = "a list" if isinstance(value, list | tuple) else f"{value!r:.50}"
        raise UserError(f"{name} must be {takes}, not {given}")
    return value


def _kinds(hint: Any) -> list[Any]:
    """The types, and the values of a Literal, that a hint allows."""
    if get_origin(hint) is Literal or not get_args(hint) or get_origin(hint) is tuple:
        return list(get_args(hint)) if get_origin(hint) is Literal else [hint]
    return [kind for part in get_args(hint) for kind in _kinds(part)]


def _members(hint: Any) -> Any:
    """The element types of the tuples that a hint allows; None where it allows none."""
    return next((get_args(kind)[0] for kind in _kinds(hint) if get_origin(kind) is tuple), None)


def _is(value: Any, kind: Any) -> bool:
    if not isinstance(kind, type) or get_origin(kind) is tuple:
        return type(value) is type(kind) and bool(value == kind)
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _in_words(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if get_origin(kind) is tuple:
        return "a list"
    return words.get(kind, "null" if kind is NoneType else repr(kind))


def option_error(error: Exception, group: str, kind: type) -> UserError:
    """The error, with the full name of its option where the message begins with one."""
    name, _, rest = str(error).partition(" ")
    if name in [each.name for each in fields(kind)]:
        return UserError(f"{option(f'{group}.{name}')} {rest}")
    return UserError(f"options --{group}.*: {error}")
