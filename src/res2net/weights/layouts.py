"""Name layouts: recognise the library of a state dict and rename its tensors to our names.

Our names are the official ones, shared by timm, torchvision and mmpretrain's shallow stem. A layout
is recognised by a name unique to it; everything before that name is a prefix and removed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from safetensors.torch import save

from res2net.errors import UserError
from res2net.files import write_bytes
from res2net.paper.variant import FirstBlock
from res2net.weights.identify import of_state
from res2net.weights.read import Content, State, unwrap


class Layout(StrEnum):
    """The library whose names a file uses."""

    OFFICIAL = "official"  # also timm's, torchvision's and ours
    OPENMMLAB = "openmmlab"
    DETECTRON2 = "detectron2"
    MASKRCNN = "maskrcnn-benchmark"
    PADDLE = "paddle"
    CIFAR = "prlz77"  # ResNeXt.pytorch, the base of the CIFAR networks


Replacement = str | Callable[[re.Match[str]], str]
Renames = tuple[tuple[re.Pattern[str], Replacement], ...]


def _renames(*pairs: tuple[str, Replacement]) -> Renames:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


# name unique to a layout → layout; the first match counts
_MARKS: tuple[tuple[re.Pattern[str], Layout], ...] = tuple(
    (re.compile(rf"(?P<prefix>(?:.*\.)?){mark}$"), layout)
    for mark, layout in (
        (r"bb_0_0\.conv0\._conv\.weight", Layout.PADDLE),
        (r"res2\.0\.conv1\.weight", Layout.DETECTRON2),
        (r"stage_1\.stage_1_bottleneck_0\.conv_reduce\.weight", Layout.CIFAR),
        (r"layer1\.(?:big\.)?0\.conv1\.weight", Layout.OFFICIAL),
        (r"level2\.tree1\.conv1\.weight", Layout.OFFICIAL),
        (r"block1\.0\.conv1\.weight", Layout.OFFICIAL),
        (r"Conv2d_1a_3x3\.conv\.weight", Layout.OFFICIAL),
        (r"features\.conv0\.weight", Layout.OFFICIAL),
    )
)
_RENAMES: dict[Layout, Renames] = {
    Layout.OFFICIAL: _renames(
        (r"^last_linear\.", "fc."),
        # torchvision's DenseNet file is older than its code
        (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
    ),
    Layout.OPENMMLAB: _renames(
        # mmpretrain names each convolution of a deep stem with its norm, mmdetection numbers layers
        *((rf"^stem\.{i}\.conv\.", f"conv1.{3 * i}.") for i in range(3)),
        *((rf"^stem\.{i}\.bn\.", f"conv1.{3 * i + 1}.") for i in range(2)),
        (r"^stem\.2\.bn\.", "bn1."),
        (r"^stem\.([01346])\.", r"conv1.\1."),
        (r"^stem\.7\.", "bn1."),
    ),
    Layout.MASKRCNN: _renames((r"^stem\.", "")),
    Layout.DETECTRON2: _renames(
        (r"^stem\.conv1\.norm\.", "bn1."),
        (r"^(?:stem\.)?linear\.", "fc."),
        (r"^stem\.", ""),
        (r"\.conv([123])\.norm\.", r".bn\1."),
        (r"\.shortcut\.norm\.", ".downsample.1."),
        (r"\.shortcut\.weight", ".downsample.0.weight"),
        (r"\.shortcut\.1\.norm\.", ".downsample.2."),
        (r"\.shortcut\.1\.", ".downsample.1."),
        *((rf"^res{stage + 1}\.", f"layer{stage}.") for stage in (1, 2, 3, 4)),
    ),
    Layout.PADDLE: _renames(
        (r"^out\.", "fc."),
        (r"^conv1_1\._conv\.", "conv1.0."),
        (r"^conv1_1\._batch_norm\.", "conv1.1."),
        (r"^conv1_2\._conv\.", "conv1.3."),
        (r"^conv1_2\._batch_norm\.", "conv1.4."),
        (r"^conv1_3\._conv\.", "conv1.6."),
        (r"^conv1(?:_3)?\._batch_norm\.", "bn1."),
        (r"^conv1\._conv\.", "conv1."),
        *((rf"^bb_{stage - 1}_(\d+)\.", rf"layer{stage}.\1.") for stage in (1, 2, 3, 4)),
        (r"\.conv0\._conv\.", ".conv1."),
        (r"\.conv0\._batch_norm\.", ".bn1."),
        (r"\.conv2\._conv\.", ".conv3."),
        (r"\.conv2\._batch_norm\.", ".bn3."),
        (r"\.res\w+_branch2b_(\d+)\._conv\.", lambda found: f".convs.{int(found[1]) - 1}."),
        (r"\.res\w+_branch2b_(\d+)\._batch_norm\.", lambda found: f".bns.{int(found[1]) - 1}."),
        (r"\._mean$", ".running_mean"),
        (r"\._variance$", ".running_var"),
    ),
    Layout.CIFAR: _renames(
        (r"^conv_1_3x3\.", "conv1."),
        (r"^bn_1\.", "bn1."),
        (r"^classifier\.", "fc."),
        (r"^stage_(\d)\.stage_\d_bottleneck_(\d+)\.", r"layer\1.\2."),
        (r"\.conv_reduce\.", ".conv1."),
        (r"\.bn_reduce\.", ".bn1."),
        (r"\.conv_conv\.", ".conv2."),
        (r"\.bn\.", ".bn2."),
        (r"\.conv_expand\.", ".conv3."),
        (r"\.bn_expand\.", ".bn3."),
        (r"\.shortcut\.shortcut_conv\.", ".downsample.0."),
        (r"\.shortcut\.shortcut_bn\.", ".downsample.1."),
    ),
}
# torchvision's detectors: the published files are older than its code
_OLD_DETECTORS = _renames(
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (
        r"^(roi_heads\.mask_head)\.mask_fcn(\d)\.",
        lambda found: f"{found[1]}.{int(found[2]) - 1}.0.",
    ),
)
# The official DLA files have three projections that the forward pass computes but does not use.
DEAD = ("level3.project.", "level4.project.", "level4.tree1.project.")
_DETECTORS = ("neck", "rpn_head", "roi_head", "bbox_head", "mask_head")
_FORK_RULE = "trained as built by {0}, whose first blocks match no rule here (docs/first-block.md)"
SUFFIXES = (".pth", ".safetensors")  # of written files


@dataclass(frozen=True, slots=True)
class Weights:
    """A state dict under our names, with its source."""

    state: State
    layout: Layout
    said: tuple[str, ...] = ()  # conversion steps, for messages
    first_block: FirstBlock | None = None  # its training rule, if the layout implies it


def translate(content: Content, origin: str) -> Weights:
    """The tensors of a file under our names.

    Raises:
        UserError: no weights of a supported network, or those of several.
    """
    state, said = unwrap(content.values, origin)
    layout, prefix = _recognise(state, origin)
    if layout is Layout.OFFICIAL:
        layout = _refine(state, prefix)
    taken = _places(layout, prefix)
    found: State = {}
    left: dict[str, None] = {}  # other entries of the file, by their first names
    for name, value in state.items():
        place = next((place for place in taken if name.startswith(place)), None)
        if place is None:
            left[".".join(name.split(".")[: 2 if name.startswith("backbone.") else 1])] = None
        else:
            found[f"{taken[place]}{name.removeprefix(place)}"] = value
    if left:
        said.append(f"left out entries outside of the network: {', '.join(list(left)[:6])}")
    if note := _fork(layout, state):
        said.append(note)
    ours = {_rename(name, _RENAMES[layout]): value for name, value in found.items()}
    if layout is Layout.PADDLE:
        ours = _finish_paddle(ours)
    ours = {name: value for name, value in ours.items() if not name.startswith(DEAD)}
    rule = FirstBlock.STRIDED_EXCLUDE_PAD if layout is Layout.PADDLE else None
    return Weights(ours, layout, tuple(said), rule)


def _recognise(state: State, origin: str) -> tuple[Layout, str]:
    """The layout of the names, and their prefix."""
    for mark, layout in _MARKS:
        prefixes = [found["prefix"] for name in state if (found := mark.match(name))]
        if len(prefixes) > 1:
            raise UserError(
                f"{origin}: holds {len(prefixes)} networks (under {', '.join(sorted(prefixes))}); "
                "save the intended one as a separate file"
            )
        if prefixes:
            return layout, prefixes[0]
    example = next(iter(state))
    raise UserError(
        f"{origin}: not the layout of a supported network ({len(state)} tensors, such as "
        f"{example!r})"
    )


def _refine(state: State, prefix: str) -> Layout:
    """The library, among those with the official block names."""
    if f"{prefix}stem.conv1.weight" in state:
        return Layout.MASKRCNN
    parts = {name.removeprefix(prefix.removesuffix("backbone.")).split(".")[0] for name in state}
    deep = {f"{prefix}stem.0.weight", f"{prefix}stem.0.conv.weight"} & state.keys()
    if deep or (prefix.endswith("backbone.") and parts & {"head", *_DETECTORS}):
        return Layout.OPENMMLAB
    return Layout.OFFICIAL


def _places(layout: Layout, prefix: str) -> dict[str, str]:
    """Prefix renames for libraries with a nested backbone: old prefix → new prefix."""
    top = prefix.partition("backbone.")[0]  # of the model that contains the backbone
    elsewhere = {
        Layout.OPENMMLAB: {f"{top}head.fc.": "fc."},
        # C4 detectors keep the fifth stage in their box head.
        Layout.DETECTRON2: {f"{top}roi_heads.res5.": "res5."},
        Layout.MASKRCNN: {f"{top}roi_heads.box.feature_extractor.head.layer4.": "layer4."},
    }
    return {**elsewhere.get(layout, {}), prefix: ""}


def _finish_paddle(state: State) -> State:
    """Renames that depend on shapes: the shortcut's pool, and (in, out) of a linear layer."""
    first = 1 if "conv1.0.weight" in state else 0  # a deep stem implies pooled shortcuts
    renames = _renames(
        (r"\.short\._conv\.", f".downsample.{first}."),
        (r"\.short\._batch_norm\.", f".downsample.{first + 1}."),
    )
    state = {_rename(name, renames): value for name, value in state.items()}
    if "fc.weight" in state and state["fc.weight"].ndim == 2:
        state["fc.weight"] = state["fc.weight"].t().contiguous()
    return state


def _fork(layout: Layout, state: State) -> str:
    """A remark if a library trains with a rule that has no name here."""
    if layout in (Layout.DETECTRON2, Layout.MASKRCNN):
        return _FORK_RULE.format(f"the {layout} fork")
    if layout is Layout.OPENMMLAB and any(
        part in _DETECTORS for name in state for part in name.split(".")[:2]
    ):
        return _FORK_RULE.format("mmdetection")
    return ""


def _rename(name: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        name = pattern.sub(replacement, name)
    return name


def detector_of_now(state: State) -> State:
    """A state dict, with detectors renamed to torchvision's current names."""
    return {_rename(name, _OLD_DETECTORS): value for name, value in state.items()}


# ---------------------------------------------------------------- the way back


def to_timm(state: State) -> State:
    """timm's names are ours."""
    return dict(state)


def to_official(state: State) -> State:
    """The authors' names are ours; their DLA expects three projections that it never uses."""
    identity = of_state(state)
    if identity is None or identity.family != "a DLA":
        return dict(state)
    dead: State = {}
    for prefix in DEAD:
        level = int(prefix[len("level")])
        out = state[f"level{level}.{_root(state, level)}bn.weight"].shape[0]
        channels = state[f"level{level - 1}.{_root(state, level - 1)}bn.weight"].shape[0]
        dead |= {
            f"{prefix}0.weight": torch.zeros(out, channels, 1, 1),
            f"{prefix}1.weight": torch.ones(out),
            f"{prefix}1.bias": torch.zeros(out),
            f"{prefix}1.running_mean": torch.zeros(out),
            f"{prefix}1.running_var": torch.ones(out),
            f"{prefix}1.num_batches_tracked": torch.tensor(0),
        }
    return {**state, **dead}


def _root(state: State, level: int) -> str:
    """Path of a level's last root: at its top, or down its second trees."""
    path = "root."
    while f"level{level}.{path}bn.weight" not in state:
        path = f"tree2.{path}"
    return path


def to_mmdet(state: State) -> State:
    """mmdetection's backbone: a deep stem is named ``stem``, and there is no classifier."""
    renamed = {
        re.sub(r"^conv1\.(\d)\.", r"stem.\1.", name): value
        for name, value in state.items()
        if not name.startswith("fc.")
    }
    if any(name.startswith("stem.") for name in renamed):
        renamed = {re.sub(r"^bn1\.", "stem.7.", name): value for name, value in renamed.items()}
    return renamed


LAYOUTS: dict[str, Callable[[State], State]] = {
    "timm": to_timm,
    "official": to_official,
    "mmdet": to_mmdet,
}


def write_state(state: State, path: Path) -> None:
    """Write tensors as safetensors or as a PyTorch checkpoint, by the file's suffix.

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    if path.suffix == ".safetensors":
        write_bytes(path, save(tensors, metadata={"format": "pt"}))
    elif path.suffix == ".pth":
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        write_bytes(path, buffer.getvalue())
    else:
        raise UserError(f"{path}: the file must end in {' or '.join(SUFFIXES)}")
