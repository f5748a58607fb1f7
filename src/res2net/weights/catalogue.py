"""All published files of Res2Net weights, one row per file. No torch in here.

Errors are in percent, as published (accuracies are subtracted from 100); unpublished values are
None. ``sha256`` holds the leading digits in a file's name, the torch.hub convention; it is empty if
the name has none.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from res2net.card import CARD_NAME, WEIGHTS_NAME
from res2net.data.preprocess import Preprocess, default_preprocess
from res2net.errors import UserError, did_you_mean
from res2net.paper.variant import FirstBlock

SHIPPED = Path(__file__).resolve().parent.parent / "shipped"


class Source(StrEnum):
    """Publisher of a file."""

    OFFICIAL = "official"
    TIMM = "timm"
    OPENMMLAB = "openmmlab"
    PADDLE = "paddle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """What a file may be used for."""

    name: str
    commercial: bool  # whether commercial use is allowed
    url: str
    note: str = ""  # source of the licence, if it is not obvious

    @property
    def short(self) -> str:
        """Its name, and whether files under it may be used commercially."""
        use = "commercial use allowed" if self.commercial else "non-commercial use only"
        return f"{self.name}, {use}"

    def __str__(self) -> str:
        return f"{self.short}{f' ({self.note})' if self.note else ''}, {self.url}"


_NONCOMMERCIAL = "CC BY-NC-SA 4.0"
_CC_URL = "https://creativecommons.org/licenses/by-nc-sa/4.0/"
LICENCES: dict[Source, Licence] = {
    Source.OFFICIAL: Licence(name=_NONCOMMERCIAL, commercial=False, url=_CC_URL),
    Source.TIMM: Licence(
        name=_NONCOMMERCIAL,
        commercial=False,
        url=_CC_URL,
        note="the authors' weights; timm itself states 'unknown'",
    ),
    Source.OPENMMLAB: Licence(
        name=_NONCOMMERCIAL,
        commercial=False,
        url=_CC_URL,
        note="converted from the authors' weights; OpenMMLab states none of its own",
    ),
    Source.PADDLE: Licence(
        name="Apache-2.0",
        commercial=True,
        url="https://www.apache.org/licenses/LICENSE-2.0",
        note="PaddleClas trained them itself",
    ),
}

# The first-block rule of each source's networks (docs/first-block.md).
RULES: dict[Source, FirstBlock] = {
    Source.OFFICIAL: FirstBlock.POOL,
    Source.TIMM: FirstBlock.POOL,
    Source.OPENMMLAB: FirstBlock.POOL,
    Source.PADDLE: FirstBlock.STRIDED_EXCLUDE_PAD,
}

Errors = tuple[float, float]  # top-1 and top-5 error on ImageNet's validation set, %


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """One published file."""

    name: str  # NETWORK.SOURCE, for ``pretrained=`` and ``res2net weights fetch``
    network: str  # row of the model table
    source: Source
    file: str
    urls: tuple[str, ...]  # mirrors, in the order they are tried
    hub: str = ""  # repository on the Hugging Face hub that holds ``file``
    sha256: str = ""  # leading hexadecimal digits
    published: Errors | None = None
    published_by: str = ""
    measured: Errors | None = None  # by a third party, on the same weights
    measured_by: str = ""
    preprocess: Preprocess = field(default_factory=lambda: default_preprocess(224))

    @property
    def licence(self) -> Licence:
        """The licence of the file."""
        return LICENCES[self.source]

    @property
    def first_block(self) -> FirstBlock:
        """The first-block rule that its network was trained with."""
        return RULES[self.source]


_MIRRORS = (
    "https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net/",
    "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-res2net/",
    "https://mc.nankai.edu.cn/projects/res2net/pretrainmodels/",
)
_HUB_URL = "https://huggingface.co/{repository}/resolve/main/{file}"
_HUB_FILE = "model.safetensors"
_OPENMMLAB = "https://download.openmmlab.com/mmclassification/v0/res2net/"
_PADDLE = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/"
_TIMM_CSV = "timm, results-imagenet.csv"

# network, basename, errors by the authors, errors measured by timm
_OFFICIAL: tuple[tuple[str, str, Errors, Errors], ...] = (
    ("res2net50_48w_2s", "res2net50_48w_2s-afed724a", (22.68, 6.47), (22.472, 6.438)),
    ("res2net50_26w_4s", "res2net50_26w_4s-06e79181", (22.01, 6.15), (22.006, 6.140)),
    ("res2net50_14w_8s", "res2net50_14w_8s-6527dddc", (21.86, 6.14), (21.858, 6.148)),
    ("res2net50_26w_6s", "res2net50_26w_6s-19041792", (21.42, 5.87), (21.414, 5.880)),
    ("res2net50_26w_8s", "res2net50_26w_8s-2c7c9f12", (20.80, 5.63), (21.050, 5.720)),
    ("res2net101_26w_4s", "res2net101_26w_4s-02a759a1", (20.81, 5.57), (20.808, 5.534)),
    ("res2next50", "res2next50_4s-6ef7e7bf", (21.76, 6.09), (21.762, 6.096)),
    ("dla60_res2net", "res2net_dla60_4s-d88db7f9", (21.53, 5.80), (21.520, 5.796)),
    ("dla60_res2next", "res2next_dla60_4s-d327927b", (21.55, 5.86), (21.512, 5.856)),
    ("res2net50d", "res2net50_v1b_26w_4s-3cf99910", (19.73, 4.96), (19.720, 4.972)),
    ("res2net101d", "res2net101_v1b_26w_4s-0812c246", (18.77, 4.64), (18.764, 4.654)),
)
# network, basename, error in its model zoo
_MMPRETRAIN: tuple[tuple[str, str, Errors], ...] = (
    (
        "res2net50_14w_8s",
        "res2net50-w14-s8_3rdparty_8xb32_in1k_20210927-bc967bf1",
        (21.86, 6.15),
    ),
    (
        "res2net50_26w_8s",
        "res2net50-w26-s8_3rdparty_8xb32_in1k_20210927-f547a94b",
        (20.80, 5.64),
    ),
    (
        "res2net101_26w_4s",
        "res2net101-w26-s4_3rdparty_8xb32_in1k_20210927-870b6c36",
        (20.81, 5.56),
    ),
)
# network, basename, suffix of the name, errors by PaddleClas
_PADDLECLAS: tuple[tuple[str, str, str, Errors], ...] = (
    ("res2net50_26w_4s", "Res2Net50_26w_4s", "", (20.67, 5.43)),
    ("res2net50_14w_8s", "Res2Net50_14w_8s", "", (20.54, 5.30)),
    ("res2net50d", "Res2Net50_vd_26w_4s", "", (20.25, 5.09)),
    ("res2net101d", "Res2Net101_vd_26w_4s", "", (19.36, 4.78)),
    ("res2net200d", "Res2Net200_vd_26w_4s", "", (18.79, 4.29)),
    ("res2net50d", "Res2Net50_vd_26w_4s_ssld", "_ssld", (16.9, 3.4)),
    ("res2net101d", "Res2Net101_vd_26w_4s_ssld", "_ssld", (16.1, 2.9)),
    ("res2net200d", "Res2Net200_vd_26w_4s_ssld", "_ssld", (14.87, 2.58)),
)


def _official() -> Iterable[WeightFile]:
    for network, base, published, measured in _OFFICIAL:
        yield WeightFile(
            name=f"{network}.{Source.OFFICIAL}",
            network=network,
            source=Source.OFFICIAL,
            file=f"{base}.pth",
            urls=tuple(f"{mirror}{base}.pth" for mirror in _MIRRORS),
            sha256=base[-8:],
            published=published,
            published_by="the authors' README",
            measured=measured,
            measured_by=_TIMM_CSV,
        )


def _timm() -> Iterable[WeightFile]:
    for network, _, published, measured in _OFFICIAL:
        repository = f"timm/{network}.in1k"
        yield WeightFile(
            name=f"{network}.{Source.TIMM}",
            network=network,
            source=Source.TIMM,
            file=_HUB_FILE,
            urls=(_HUB_URL.format(repository=repository, file=_HUB_FILE),),
            hub=repository,
            published=published,
            published_by="the authors' README",
            measured=measured,
            measured_by=_TIMM_CSV,
        )


def _openmmlab() -> Iterable[WeightFile]:
    for network, base, published in _MMPRETRAIN:
        yield WeightFile(
            name=f"{network}.{Source.OPENMMLAB}",
            network=network,
            source=Source.OPENMMLAB,
            file=f"{base}.pth",
            urls=(f"{_OPENMMLAB}{base}.pth",),
            sha256=base[-8:],
            published=published,
            published_by="mmpretrain, configs/res2net/metafile.yml",
        )


def _paddle() -> Iterable[WeightFile]:
    for network, base, suffix, published in _PADDLECLAS:
        file = f"{base}_pretrained.pdparams"
        yield WeightFile(
            name=f"{network}.{Source.PADDLE}{suffix}",
            network=network,
            source=Source.PADDLE,
            file=file,
            urls=(f"{_PADDLE}{file}",),
            published=published,
            published_by="PaddleClas, ImageNet model zoo",
        )


CATALOGUE: tuple[WeightFile, ...] = (*_official(), *_timm(), *_openmmlab(), *_paddle())


def list_files(pattern: str = "*") -> list[WeightFile]:
    """Files whose name or file name matches a shell pattern, or contains it without wildcards."""
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [
        row
        for row in CATALOGUE
        if fnmatch.fnmatchcase(row.name, pattern) or fnmatch.fnmatchcase(row.file, pattern)
    ]


def find_file(name: str) -> WeightFile:
    """A file by its name; a network's name gives the first file published for it.

    Raises:
        UserError: no such file; suggests the nearest.
    """
    for row in CATALOGUE:
        if name in (row.name, row.network) or (name == row.file and not row.hub):
            return row
    known = {row.network for row in CATALOGUE} | {row.name for row in CATALOGUE}
    raise UserError(
        f"no published weights called {name!r}.{did_you_mean(name, sorted(known))} "
        "`res2net weights list` lists all."
    )


def published_for(network: str) -> WeightFile:
    """The file for ``pretrained="in1k"``: the first published for a network.

    Raises:
        UserError: there is none; the message lists the networks with weights.
    """
    for row in CATALOGUE:
        if row.network == network:
            return row
    has = ", ".join(dict.fromkeys(row.network for row in CATALOGUE))
    raise UserError(
        f"the catalogue has no ImageNet weights of {network}; it has weights of: {has}. "
        "Load your own file by its path."
    )


def names() -> list[str]:
    """Every name of the catalogue."""
    return [row.name for row in CATALOGUE]


def copy_on_hub(repository: str) -> WeightFile | None:
    """The row of a hub repository, if there is one."""
    return next((row for row in CATALOGUE if row.hub == repository), None)


def recognise(file: str) -> WeightFile | None:
    """The row of a file with this name, if any; hub files all share one name."""
    return next((row for row in CATALOGUE if row.file == file and not row.hub), None)


def shipped() -> Path:
    """The folder of the shipped network: weights and ``model.json``, usable as a run folder.

    Raises:
        UserError: this package does not include it; the message names an alternative.
    """
    if all((SHIPPED / name).is_file() for name in (WEIGHTS_NAME, CARD_NAME)):
        return SHIPPED
    raise UserError(
        "this package has no shipped network; give a trained one: --model RUN_FOLDER "
        "(`res2net demo` trains one in a few minutes)"
    )
