"""The key-points of a data set: names, mirror partners, spreads (sigmas), lines to draw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from res2net.data.scene import COCO_PERSON, Skeleton
from res2net.data.scenes.checks import Tally
from res2net.data.scenes.options import pairs_of
from res2net.drawing.marks import Side
from res2net.errors import UserError, did_you_mean

SPREAD = 0.05  # sigma of a key-point without one in the data
_WORDS = {"left": "left", "right": "right"}
_LETTERS = {"l": "left", "r": "right", "lt": "left", "rt": "right"}
_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

_Reading = tuple[tuple[str, ...], str]  # the name with a placeholder for its side, the side


def make_skeleton(
    file: Path,
    names: Sequence[object],
    tally: Tally,
    *,
    bones: object = None,
    sigmas: object = None,
    swaps: Sequence[tuple[int, int]] | None = None,
    given: str = "",
) -> Skeleton:
    """The skeleton of key-points with these names; COCO's person if the names are COCO's.

    Args:
        file: source of the data, for messages.
        bones: pairs of key-points, numbered from 1, from a file.
        sigmas: (K,) spreads from a file; None if it has none.
        swaps: mirror partners from a file; None: find them by name.
        given: partners given by the user, which take precedence: see ``options.pairs_of``.

    Raises:
        UserError: names that are not K unique words, spreads that are not K numbers, or unknown
            names of partners.
    """
    words = tuple(str(name).strip() for name in names if _is_name(name))
    twice = [name for name, count in Counter(words).items() if count > 1]
    if len(words) < len(names) or twice or not all(map(str.isprintable, words)) or "" in words:
        what = f"{twice[0]!r} twice" if twice else "an invalid name"
        raise UserError(f"{file}: its list of key-points has {what}; names must be unique")
    lines = _bones(bones, len(words), file, tally)
    spreads = _spreads(sigmas, len(words), file)
    if [_plain(name) for name in words] == [_plain(name) for name in COCO_PERSON.names]:
        person = replace(COCO_PERSON, names=words, sigmas=spreads or COCO_PERSON.sigmas)
        return with_partners(person, given)
    if spreads is None:
        fault = f"key-points without a spread (sigma): OKS uses {SPREAD} for each"
        tally.add(fault, file.name, len(words))
        spreads = (SPREAD,) * len(words)
    if swaps is None:
        swaps, lone = partners(words)
        named = {name for pair in pairs_of(given) for name in pair}
        lone = [name for name in lone if name not in named]
        if lone:
            tally.add("key-points of one side have no partner on the other", lone[0], len(lone))
            swaps = ()
        if not swaps and not given:
            fault = "key-points without left and right: no horizontal flips unless --input.partners"
            tally.add(f"{fault} names pairs", file.name, len(words))
    skeleton = Skeleton(names=words, swaps=tuple(swaps), bones=lines, sigmas=spreads)
    return with_partners(skeleton, given)


def with_partners(skeleton: Skeleton, given: str) -> Skeleton:
    """The skeleton with these mirror partners, keeping those of other key-points.

    Raises:
        UserError: a name that no key-point has.
    """
    names = skeleton.names
    for name in (name for pair in pairs_of(given) for name in pair):
        if name not in names:
            raise UserError(
                f"--input.partners names {name!r}, which is not a key-point here; they are "
                f"{', '.join(names)}.{did_you_mean(name, names)}"
            )
    new = [(names.index(left), names.index(right)) for left, right in pairs_of(given)]
    used = {k for pair in new for k in pair}
    kept = [pair for pair in skeleton.swaps if not used & {*pair}]
    return replace(skeleton, swaps=tuple(sorted([*new, *kept])))


def sides_of(skeleton: Skeleton) -> tuple[Side, ...]:
    """The side of each key-point: (K,). Of partners whose names tell no side the first is left."""
    named = partners(skeleton.names)[0]
    found: list[Side] = [""] * len(skeleton.names)
    for pair in skeleton.swaps:
        left, right = pair[::-1] if pair[::-1] in named else pair
        found[left], found[right] = "left", "right"
    return tuple(found)


def numbered(count: int) -> tuple[str, ...]:
    """Names for unnamed key-points."""
    return tuple(f"point {k}" for k in range(1, count + 1))


def partners(names: Sequence[str]) -> tuple[tuple[tuple[int, int], ...], list[str]]:
    """(left, right) indices of names that differ only in their side, and sides without a partner.

    A side is left or right in any case, or a separate letter (``L_eye``, ``eye_r``, ``eyeL``); as
    part of a word (``lefteye``, ``lshoulder``) it counts only if the partner exists.
    """
    pairs: dict[int, int] = {}
    for reading in (_by_word, _by_letter, _by_part):
        paired = {*pairs, *pairs.values()}
        seen: dict[_Reading, list[int]] = {}
        for i, name in enumerate(names):
            for each in reading(name) if i not in paired else ():
                seen.setdefault(each, []).append(i)
        for (rest, side), own in seen.items():
            others = seen.get((rest, "right"), [])
            if side == "left" and len(own) == len(others) == 1:
                pairs[own[0]] = others[0]
    paired = {*pairs, *pairs.values()}
    lone = [name for i, name in enumerate(names) if i not in paired and _by_word(name)]
    return tuple(sorted(pairs.items())), lone


def _is_name(name: object) -> bool:
    return isinstance(name, str) or (type(name) is int and abs(name) < 1e9)


def _tokens(name: str) -> list[str]:
    return [token.lower() for token in _TOKENS.findall(name)]


def _plain(name: str) -> str:
    return "".join(_tokens(name))


def _at(tokens: list[str], sides: dict[str, str]) -> list[_Reading]:
    return [
        ((*tokens[:i], "*", *tokens[i + 1 :]), sides[token])
        for i, token in enumerate(tokens)
        if token in sides
    ]


def _by_word(name: str) -> list[_Reading]:
    return _at(_tokens(name), _WORDS)


def _by_letter(name: str) -> list[_Reading]:
    return _at(_tokens(name), _LETTERS)


def _by_part(name: str) -> list[_Reading]:
    """A side at either end of the whole name."""
    plain = _plain(name)
    found: list[_Reading] = []
    for side, word in ((s, w) for s in _WORDS for w in (s, s[0])):
        if plain.startswith(word):
            found.append((("*", plain[len(word) :]), side))
        if plain.endswith(word):
            found.append(((plain[: -len(word)], "*"), side))
    return found


def _bones(content: object, count: int, file: Path, tally: Tally) -> tuple[tuple[int, int], ...]:
    rows = content if isinstance(content, list) else []
    good = [row for row in rows if isinstance(row, list) and len(row) == 2]
    good = [row for row in good if all(type(k) is int and 1 <= k <= count for k in row)]
    tally.add("skeleton lines with unknown key-points left out", file.name, len(rows) - len(good))
    return tuple((a - 1, b - 1) for a, b in good)


def _spreads(content: object, count: int, file: Path) -> tuple[float, ...] | None:
    if content is None:
        return None
    rows = content if isinstance(content, list) else []
    found = [each for each in rows if isinstance(each, int | float) and 0 < each < 1e6]
    if len(found) != count or len(rows) != count:
        raise UserError(f"{file}: sigmas must be {count} numbers above 0, one per key-point")
    return tuple(map(float, found))
