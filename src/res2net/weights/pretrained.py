"""``pretrained=``: load weights by name, URL or path, and print their licence once."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from res2net.data.foreign import check_file
from res2net.errors import UserError, did_you_mean, printable
from res2net.files import at_home
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import FirstBlock
from res2net.weights.catalogue import (
    WeightFile,
    copy_on_hub,
    find_file,
    names,
    published_for,
    recognise,
)
from res2net.weights.download import Patience
from res2net.weights.fetch import (
    PREFIX,
    Fetched,
    check_hash,
    fetch,
    fetch_from_hub,
    fetch_url,
    parse_address,
    promised_hash,
)
from res2net.weights.fit import check_values, fit
from res2net.weights.identify import Identity, of_state
from res2net.weights.layouts import Layout, Weights, translate
from res2net.weights.read import card_of, find_weights, read_content

IN1K = "in1k"  # ImageNet-1k: the catalogue's first file for the network

_told: set[str] = set()  # notices printed by this process


@dataclass(frozen=True, kw_only=True, slots=True)
class Pretrained:
    """Requested weights, read and checked."""

    weights: Weights
    origin: str  # name for errors
    notice: str  # source and licence
    first_block: FirstBlock | None  # training rule; None if unknown

    def load_into(
        self, model: nn.Module, *, head: str = "fc", first_block: FirstBlock | None = None
    ) -> tuple[str, ...]:
        """Load them into a network, and print their licence and the necessary changes.

        Warns if the network has another first-block rule, which nothing else would reveal.

        Args:
            head: name of the network's classifier.
            first_block: rule of the network; None if it has no splits.

        Returns:
            The changes, in words.

        Raises:
            UserError: they do not fit; the message names the network that they belong to.
        """
        said = (*self.weights.said, *fit(model, self.weights.state, self.origin, head=head))
        tell_once(self.notice)
        for line in said:
            tell_once(f"{self.origin}: {line}")
        if first_block is not None and self.first_block not in (None, first_block):
            warnings.warn(
                f"{self.origin} was trained with first_block='{self.first_block}', the network has "
                f"'{first_block}': names and shapes fit, but accuracy will be lower; build it "
                f"with first_block='{self.first_block}'",
                stacklevel=3,
            )
        return said


def open_pretrained(
    asked: str | Path, network: str | None, *, patience: Patience | None = None
) -> Pretrained:
    """Find, download, check and read weights.

    Args:
        asked: ``"in1k"`` (the first published for the network), a catalogue name
            (``res2net50_26w_4s.timm``), a URL (``https://...``, ``hf-hub:OWNER/NAME``) or the path
            of a file.
        network: the row of the target network; None if it is not in the table.

    Raises:
        UserError: not found, or it cannot be downloaded or read.
    """
    row, fetched = _find(str(asked), network, patience)
    path = fetched.path
    row = row or recognise(path.name)
    digest = check_hash(path, _promised(path, row), "its name")
    content = read_content(path)
    card = card_of(content, path)
    weights = translate(content, str(path))
    rule = weights.first_block or (row.first_block if row else _rule_of(card))
    return Pretrained(
        weights=weights,
        origin=str(path),
        notice=_notice(row, fetched, digest, weights.layout, rule, card),
        first_block=rule,
    )


def _promised(path: Path, row: WeightFile | None) -> str:
    """The leading sha256 digits in a file's row or name, "" if none."""
    return (row.sha256 if row else "") or promised_hash(path.name)


def _find(
    asked: str, network: str | None, patience: Patience | None
) -> tuple[WeightFile | None, Fetched]:
    """The catalogue row, if any, and the file."""
    if asked == IN1K:
        row = published_for(network or "a network of your own")
        return row, fetch(row, patience=patience)
    if asked in names():
        row = find_file(asked)
        if network is not None and row.network != network:
            raise UserError(
                f"pretrained={asked!r} are weights of {row.network}, not of {network}: "
                f"use {row.network}"
            )
        return row, fetch(row, patience=patience)
    if asked.startswith(("http://", "https://")):
        return None, fetch_url(asked, patience=patience)
    if asked.startswith(PREFIX):
        repository, revision = parse_address(asked)
        found = fetch_from_hub(repository, revision=revision)
        return copy_on_hub(repository), found
    path = at_home(asked)
    if not path.exists():
        hint = did_you_mean(asked, [IN1K, *names()])
        raise UserError(
            f"pretrained={asked!r}: no such file or catalogue name.{hint} {IN1K!r} selects the "
            "network's usual file; `res2net weights list` lists all"
        )
    return None, Fetched(find_weights(path) if path.is_dir() else path)


def _notice(
    row: WeightFile | None,
    fetched: Fetched,
    digest: str,
    layout: Layout,
    rule: FirstBlock | None,
    card: dict[str, Any],
) -> str:
    """One line for messages and ``model.json``."""
    file = row.hub if row and row.hub else fetched.path.name
    parts = [f"weights from {file}"]
    if fetched.revision:
        parts.append(f"revision {fetched.revision[:12]}")
    parts.append(f"sha256 {digest[:16]}")
    if card:
        notes = str(card.get("notes") or "")
        parts.append(f"trained by this project{f' ({notes})' if notes else ''}")
    else:
        parts.append(f"licence {row.licence}" if row else "licence unknown")
    parts.append(f"{layout} layout")
    if rule:
        parts.append(f"first block '{rule}'")
    return "; ".join(parts)


def _rule_of(card: dict[str, Any]) -> FirstBlock | None:
    """The rule of a network trained by this project."""
    options = card.get("options")
    named = options.get("first_block") if isinstance(options, dict) else None
    row = NETWORKS.get(str(card.get("network")))
    try:
        return FirstBlock(named) if named else getattr(row, "first_block", None)
    except ValueError:  # from a later version
        return None


def tell_once(notice: str) -> None:
    """Print a notice on standard error, once per process."""
    if notice not in _told:
        _told.add(notice)
        print(printable(notice), file=sys.stderr)


# ---------------------------------------------------------------- inspection of a file


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """A file that was read and checked."""

    path: Path
    sha256: str
    promised: str  # leading digits in its name, "" if none
    row: WeightFile | None  # its catalogue entry
    weights: Weights
    identity: Identity

    def facts(self) -> list[tuple[str, str]]:
        """(name, value) pairs for display."""
        state = self.weights.state
        parameters = sum(
            value.numel()
            for key, value in state.items()
            if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
        )
        heads = (k for k in ("fc.weight", "classifier.weight") if k in state and state[k].ndim)
        head = next(heads, None)
        rule = self.weights.first_block or (self.row.first_block if self.row else None)
        promise = "matches its name" if self.promised else "none in its name"
        return [
            ("file", f"{self.path} ({self.path.stat().st_size:,} bytes)"),
            ("sha256", f"{self.sha256} ({promise})"),
            ("published as", self.row.name if self.row else "not in the catalogue"),
            ("licence", str(self.row.licence) if self.row else "not in the catalogue"),
            ("layout", str(self.weights.layout)),
            ("network", self.identity.recipe() or "not in the model table"),
            ("first block", str(rule) if rule else "not stated in the file"),
            ("classes", str(state[head].shape[0]) if head else "no classifier"),
            ("tensors", f"{len(state)} with {parameters:,} parameters, all finite"),
            *(("note", line) for line in self.weights.said),
        ]


def inspect_file(path: Path) -> Inspection:
    """Read a file, check its hash and its values, and identify it.

    Raises:
        UserError: wrong hash, damaged, no weights, or values that are not finite.
    """
    if path.is_dir() or not path.exists():
        wrong = "a folder; name a file of weights in it" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {wrong}")
    check_file(path)
    row = recognise(path.name)
    promised = _promised(path, row)
    digest = check_hash(path, promised, "its name")
    weights = translate(read_content(path), str(path))
    check_values(weights.state, str(path))
    identity = of_state(weights.state)
    if identity is None:
        raise UserError(
            f"{path}: has tensor names of a supported network, but tensors are missing or have "
            "wrong shapes; save or download it again"
        )
    return Inspection(
        path=path,
        sha256=digest,
        promised=promised,
        row=row,
        weights=weights,
        identity=identity,
    )
