"""The rules of the first block: what their names mean, and that they stay plain strings."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from res2net.paper.variant import FirstBlock

RULES = list(FirstBlock)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "first-block.md"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_its_name_in_files_and_on_the_command_line(rule: FirstBlock) -> None:
    assert FirstBlock(str(rule)) is FirstBlock(rule) is rule
    assert rule == rule.value == f"{rule}" == rule.name.lower()
    assert json.loads(json.dumps({"first_block": rule})) == {"first_block": rule.value}
    assert pickle.loads(pickle.dumps(rule)) is copy.deepcopy(rule) is rule


def test_the_names_are_those_that_files_hold() -> None:
    assert [
        *("pool", "pool_exclude_pad", "strided_only", "strided_exclude_pad", "group", "paper")
    ] == RULES


def test_an_unknown_rule_is_refused() -> None:
    words = "'pol' is not a valid FirstBlock; it can be pool, .*, paper. Did you mean 'pool'"
    with pytest.raises(ValueError, match=words):
        FirstBlock("pol")
    with pytest.raises(ValueError, match="None is not a valid FirstBlock"):
        FirstBlock(None)


def test_what_each_rule_does() -> None:
    assert [rule for rule in RULES if rule.pools] == ["pool", "pool_exclude_pad"]
    assert [rule for rule in RULES if not rule.counts_pad] == [
        *("pool_exclude_pad", "strided_exclude_pad")
    ]
    assert [rule for rule in RULES if rule.grouped] == ["group"]
    assert [rule for rule in RULES if rule.stride_at_entry] == ["paper"]
    assert len({rule.words for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_removed_stride_changes_nothing_but_where_the_stride_decides(rule: FirstBlock) -> None:
    strided = rule.as_if_strided
    decided_by_stride = rule in ("strided_only", "strided_exclude_pad")
    assert (strided is not rule) is decided_by_stride
    assert strided.pools or not decided_by_stride
    assert strided.counts_pad is rule.counts_pad


def test_the_page_of_the_rules_lists_them_all_and_agrees() -> None:
    rows = [
        line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")
    ]
    assert [row[0].strip(" `") for row in rows] == RULES
    for rule, (_, _, last_split, stride, _) in zip(RULES, rows, strict=True):
        assert (
            "at stride 1 too" in last_split or rule is FirstBlock.POOL_EXCLUDE_PAD
        ) is rule.pools
        assert ("pad not counted" in last_split) is not rule.counts_pad
        assert ("first 1×1" in stride) is rule.stride_at_entry
