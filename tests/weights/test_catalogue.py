"""The catalogue: its rows are complete, unique and say what the spec says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from res2net.errors import UserError
from res2net.paper.networks import NETWORKS
from res2net.paper.published import published
from res2net.paper.variant import FirstBlock
from res2net.weights.catalogue import (
    CATALOGUE,
    Source,
    find_file,
    list_files,
    published_for,
    recognise,
)
from res2net.weights.fetch import promised_hash


def test_eleven_official_files_their_hub_copies_openmmlabs_and_paddles() -> None:
    counts = {source: sum(row.source is source for row in CATALOGUE) for source in Source}
    assert counts == {"official": 11, "timm": 11, "openmmlab": 3, "paddle": 8}


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)
def test_rows_are_sound(row) -> None:
    assert row.network in NETWORKS
    assert row.name.startswith(f"{row.network}.{row.source}")
    assert all(url.startswith("https://") and url.endswith(row.file) for url in row.urls)
    assert row.sha256 == promised_hash(row.file)
    assert bool(row.sha256) == (row.source in (Source.OFFICIAL, Source.OPENMMLAB))
    assert bool(row.hub) == (row.source is Source.TIMM)
    assert row.published is not None
    assert row.published_by
    for errors in filter(None, (row.published, row.measured)):
        assert 2 < errors[1] < errors[0] < 25
    assert (row.measured is None) == (row.measured_by == "")
    assert row.licence.commercial == (row.source is Source.PADDLE)
    assert ("non-commercial" in str(row.licence)) != row.licence.commercial
    paddle = row.source is Source.PADDLE
    assert row.first_block is (FirstBlock.STRIDED_EXCLUDE_PAD if paddle else FirstBlock.POOL)
    assert (row.preprocess.resize, row.preprocess.size) == (256, 224)


def test_names_are_unique_and_official_files_come_first() -> None:
    assert len({row.name for row in CATALOGUE}) == len(CATALOGUE)
    for network in {row.network for row in CATALOGUE}:
        first = published_for(network)
        assert first.source is (Source.PADDLE if network == "res2net200d" else Source.OFFICIAL)


@pytest.mark.parametrize(
    "network",
    [
        row.network
        for row in CATALOGUE
        if row.source is Source.OFFICIAL and not row.network.endswith("d")
    ],
)
def test_official_errors_are_those_of_the_paper(network: str) -> None:
    """Where the paper's tables have the network (224 pixels), the file's README says the same."""
    top1, _ = published_for(network).published
    tables = {p.value for p in published(network=network) if p.metric == "top1_error"}
    assert top1 in tables


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("res2net50_26w_4s", "res2net50_26w_4s.official"),
        ("res2net50_26w_4s.timm", "res2net50_26w_4s.timm"),
        ("res2net200d", "res2net200d.paddle"),
        ("res2net50_v1b_26w_4s-3cf99910.pth", "res2net50d.official"),
    ],
)
def test_a_file_is_found_by_network_name_or_file(asked: str, name: str) -> None:
    assert find_file(asked).name == name


def test_patterns() -> None:
    assert len(list_files("paddle")) == 8
    assert [row.name for row in list_files("dla60*.official")] == [
        "dla60_res2net.official",
        "dla60_res2next.official",
    ]
    assert [row.network for row in list_files("*3cf99910*")] == ["res2net50d"]
    assert list_files("nothing") == []


def test_what_nobody_published_says_what_was() -> None:
    with pytest.raises(UserError, match=r"no ImageNet weights of res2net50_18w_4s; .* res2net50d"):
        published_for("res2net50_18w_4s")
    with pytest.raises(UserError, match=r"'res2net50_26w_4s.tim'. Did you mean 'res2net50_26w_4s"):
        find_file("res2net50_26w_4s.tim")


def test_files_of_the_hub_are_not_recognised_by_their_common_name() -> None:
    assert recognise("model.safetensors") is None
    assert recognise("Res2Net50_26w_4s_pretrained.pdparams").network == "res2net50_26w_4s"


def test_the_catalogue_and_downloads_need_no_torch() -> None:
    code = (
        "import sys, res2net.weights.catalogue, res2net.weights.fetch, res2net.cli.weights;"
        "print([m for m in ('torch', 'huggingface_hub', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\]\n", done.stdout)
