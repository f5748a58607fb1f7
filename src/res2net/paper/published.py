"""What the paper prints: every number of its Tables 1-10. Quoted, never measured here."""

from __future__ import annotations

from res2net.errors import UserError, did_you_mean
from res2net.paper.networks import NETWORKS
from res2net.paper.published_classification import CLASSIFICATION
from res2net.paper.published_rows import Published
from res2net.paper.published_tasks import POSE_README, TASKS

__all__ = ["POSE_README", "PUBLISHED", "Published", "published", "tables_of"]

PUBLISHED: tuple[Published, ...] = (*CLASSIFICATION, *TASKS)


def published(item: str | None = None, network: str | None = None) -> tuple[Published, ...]:
    """The published results of a table ("Table 1"), of a network, or of both; all by default.

    Raises:
        UserError: no such table, or no such network; names the nearest.
    """
    items = list(dict.fromkeys(row.item for row in PUBLISHED))
    for word, what, known in ((item, "table", items), (network, "model", list(NETWORKS))):
        if word is not None and word not in known:
            raise UserError(f"unknown {what} {word!r}.{did_you_mean(word, known)}")
    return tuple(
        row for row in PUBLISHED if item in (None, row.item) and network in (None, row.network)
    )


def tables_of(network: str) -> tuple[str, ...]:
    """The tables that a network appears in, in the paper's order; empty when the paper lacks it.

    Raises:
        UserError: no such network; names the nearest.
    """
    return tuple(dict.fromkeys(row.item for row in published(network=network)))
