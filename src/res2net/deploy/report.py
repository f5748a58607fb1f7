"""``report.md`` of an artifact: what was exported, from what, and how well it agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from res2net.card import ModelCard
from res2net.deploy.quantise import Sensitivity
from res2net.deploy.targets import Target
from res2net.deploy.verify import Verification, limits
from res2net.tasks.deployed import Comparison

LAYERS = 10  # rows of the most affected layers


def report(
    card: ModelCard,
    record: Mapping[str, Any],
    comparison: Comparison,
    target: Target,
    found: Verification,
    layers: Sequence[Sensitivity] = (),
    notes: Sequence[str] = (),
) -> str:
    """The report, as Markdown.

    Args:
        record: the ``artifact`` part of ``model.json``.
        comparison: the results that have to agree.
        layers: sensitivity of an int8 model, the most affected layer first.
        notes: remarks on the export, in sentences.
    """
    head = [f"# {card.network} for {target.engine}, {target.precision}", ""]
    if record["structure_only"]:
        head += [
            "**Structure only**: the weights are random, so classes and accuracy are meaningless; "
            "speed and numerical agreement are not.",
            "",
        ]
    parts = [
        head,
        _facts(card, record),
        [
            "## Verification",
            "",
            *_verdict(comparison, target, found),
            "",
            *_outputs(comparison, target, found),
        ],
    ]
    if notes:
        parts.append(["", *(f"- {note}" for note in notes)])
    if layers:
        parts.append(_sensitivity(layers))
    return "\n".join(line for part in parts for line in part) + "\n"


def _facts(card: ModelCard, record: Mapping[str, Any]) -> list[str]:
    image = record["input"]
    batch = "any number of" if image["batch"] is None else image["batch"]
    outputs = ", ".join(
        f"`{each['name']}`"
        + (f" ({each['channels']} channels, stride {each['stride']})" if "stride" in each else "")
        for each in record["outputs"]
    )
    rows = [
        ("from", f"`{record['source']['target']}`"),
        ("sha256 of the weights", f"`{record['source']['sha256']}`"),
        ("network", f"{card.network} {card.options or ''}".strip()),
        (
            "input",
            f"`{image['name']}`: {batch} images, {image['height']}×{image['width']} pixels, "
            f"{image['dtype']} RGB, {image['layout']}; {_shaping(card)}, normalisation is inside",
        ),
        ("outputs", f"{outputs}, float32"),
        ("operators", record["opset"]),
        ("files", ", ".join(f"`{name}`" for name in record["files"])),
        ("versions", ", ".join(f"{name} {v}" for name, v in record["versions"].items())),
    ]
    if card.notes:
        rows.append(("notes", card.notes))
    return ["| | |", "| --- | --- |", *(f"| {what} | {text} |" for what, text in rows), ""]


def _shaping(card: ModelCard) -> str:
    if card.task in ("classify", "features"):
        return f"resize to {card.preprocess.resize} and crop before"
    return f"`res2net predict` preprocesses images for --task {card.task}"


def _verdict(comparison: Comparison, target: Target, found: Verification) -> list[str]:
    if found.unrun:
        return [found.unrun]
    lines = [f"Compared with PyTorch in fp32, unfolded, on {found.images} images ({found.origin})."]
    if found.blank:
        lines.append(found.blank)
    if found.agreement is not None:
        least, _ = limits(found, target, comparison)
        needed = f" (needed: {100 * least:.0f} %)" if least else ""
        lines.append(f"Same {found.agreed_on}: {100 * found.agreement:.2f} %{needed}.")
    if found.scores:
        lines.append(f"{found.scores[0].upper()}{found.scores[1:]}.")
    return lines


def _outputs(comparison: Comparison, target: Target, found: Verification) -> list[str]:
    if found.unrun:
        return []
    _, tolerance = limits(found, target, comparison)
    allowed = "–" if tolerance is None else f"{tolerance:.0e}"
    return [
        "| output | relative L2 | worst image | allowed |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{name}` | {each.overall:.1e} | {each.worst:.1e} | {allowed} |"
            for name, each in found.outputs.items()
        ),
    ]


def _sensitivity(layers: Sequence[Sensitivity]) -> list[str]:
    shown = layers[:LAYERS]
    return [
        "",
        "## Layers most affected by int8",
        "",
        "Relative L2 of a layer's output against fp32, including errors of earlier layers; "
        f"{len(shown)} of {len(layers)} layers. `sensitivity.csv` has all.",
        "",
        "| layer | relative L2 |",
        "| --- | --- |",
        *(f"| `{each.layer}` | {each.error:.3f} |" for each in shown),
    ]


def as_csv(layers: Sequence[Sensitivity]) -> str:
    """layer, relative_l2: one row per layer."""
    rows = ["layer,relative_l2", *(f'"{each.layer}",{each.error:.6f}' for each in layers)]
    return "\n".join(rows) + "\n"
