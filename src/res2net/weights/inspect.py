"""What a file of weights is: hash, layout, network, licence, as (name, value) pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from res2net.data.foreign import check_file
from res2net.errors import UserError
from res2net.weights.cache import check_hash, promised_hash
from res2net.weights.catalogue import WeightFile, recognise
from res2net.weights.fit import check_values
from res2net.weights.identify import Identity, of_state
from res2net.weights.layouts import Weights, translate
from res2net.weights.reading import read_content


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """A file that was read and found sound."""

    path: Path
    sha256: str
    promised: str  # leading digits that its name promises, "" for none
    row: WeightFile | None  # of the catalogue
    weights: Weights
    identity: Identity

    def facts(self) -> list[tuple[str, str]]:
        """(name, value) pairs for people."""
        state = self.weights.state
        parameters = sum(
            value.numel()
            for key, value in state.items()
            if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
        )
        heads = (k for k in ("fc.weight", "classifier.weight") if k in state and state[k].ndim)
        head = next(heads, None)
        rule = self.weights.first_block or (self.row.first_block if self.row else None)
        said = "as its name promises" if self.promised else "its name promises none"
        return [
            ("file", f"{self.path} ({self.path.stat().st_size:,} bytes)"),
            ("sha256", f"{self.sha256} ({said})"),
            ("published as", self.row.name if self.row else "unknown to the catalogue"),
            ("licence", str(self.row.licence) if self.row else "unknown to the catalogue"),
            ("layout", str(self.weights.layout)),
            ("network", self.identity.recipe() or "none of the model table"),
            ("first block", str(rule) if rule else "not said by the file"),
            ("classes", str(state[head].shape[0]) if head else "no classifier"),
            ("tensors", f"{len(state)} with {parameters:,} parameters, all finite"),
            *(("note", line) for line in self.weights.said),
        ]


def inspect_file(path: Path) -> Inspection:
    """Read a file, check its hash and its numbers, and find out what it is.

    Raises:
        UserError: wrong hash, damaged, no weights, numbers that are not finite.
    """
    if path.is_dir() or not path.exists():
        raise UserError(f"{path} is a folder" if path.is_dir() else f"{path}: no such file")
    check_file(path)
    row = recognise(path.name)
    promised = row.sha256 if row else promised_hash(path.name)
    digest = check_hash(path, promised, "its name")
    weights = translate(read_content(path), str(path))
    check_values(weights.state, str(path))
    identity = of_state(weights.state)
    if identity is None:
        raise UserError(
            f"{path}: named like a network of this project, but tensors are missing or have shapes "
            "that no such network has; save or fetch it again"
        )
    return Inspection(
        path=path,
        sha256=digest,
        promised=promised,
        row=row,
        weights=weights,
        identity=identity,
    )
