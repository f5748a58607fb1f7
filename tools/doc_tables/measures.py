"""The code that each results file measures, and whether its figures are older than that code.

The rule: ``changed`` is the date of the last change that affects a file's figures, set by hand.
A change of the sources that affects figures moves it; renaming code does not. Rows from before
that date are flagged below their table. ``reviewed`` is the date up to which the history of the
sources was reviewed for such changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REVIEW_DAYS = 60  # sources may change for so long after their last review
MARKED_DAYS = 90  # rows may predate a change by so long; then they are measured again or removed
OLDER = "older than the code"


@dataclass(frozen=True, kw_only=True)
class Measures:
    """A file of results."""

    question: str
    tables: tuple[str, ...]  # generated tables that show its rows
    sources: tuple[str, ...]  # files and folders from the root
    changed: str
    why: str
    reviewed: str = "2026-11-29"


BENCH, NATIVE = "src/res2net/bench/", "src/res2net/native"
ENGINES = (f"{BENCH}apart.py", f"{BENCH}deploy.py", f"{BENCH}engines.py", "src/res2net/deploy")
APART = "each engine runs in its own process and the second call of a round is timed"
FOLDED = "batch norms are folded in our networks and timm's alike"
DECODED = "photos are decoded at no less than twice the target size and 512 pixels"
CHEAP = "cheap checkpointing recomputes in a single function"


def _engines(question: str, *tables: str, native: bool = True, eager: bool = True) -> Measures:
    sources = (*ENGINES, NATIVE) if native else ENGINES
    changed, why = ("2026-11-29", FOLDED) if eager else ("2026-11-26", APART)
    return Measures(question=question, tables=tables, sources=sources, changed=changed, why=why)


def _steps(question: str, table: str) -> Measures:
    sources = (f"{BENCH}train_step.py", f"{BENCH}memory.py", "src/res2net/nn", "src/res2net/models")
    return Measures(
        question=question, tables=(table,), sources=sources, changed="2026-11-29", why=CHEAP
    )


MEASURES: Mapping[str, Measures] = {
    "deploy.csv": _engines("Which engine is fastest for one image?", "deploy"),
    "native_networks.csv": _engines(
        "How fast is each network, compared with ResNet-50?",
        "deploy-native",
        "extra-runtime",
        eager=False,
    ),
    "deploy_networks.csv": _engines(
        "The same in PyTorch, with DLA and Big-Little", "deploy-networks", native=False
    ),
    "deploy_networks_int8.csv": _engines(
        "The same in int8, with DLA and Big-Little",
        "deploy-networks-int8",
        native=False,
        eager=False,
    ),
    "native_batch8.csv": _engines("How fast is a batch of 8?", "deploy-native-batch8", eager=False),
    "deploy_batch8.csv": _engines("The same in all other engines", "deploy-batch8", native=False),
    "native_sizes.csv": _engines("How fast are larger images?", "deploy-sizes", eager=False),
    "deploy_compiled.csv": _engines(
        "How much does torch.compile gain?", "deploy-compiled", native=False
    ),
    "reproduce_runtime.csv": _engines(
        "What are the runtimes of Table 3 on this machine?",
        *("reproduce-runtime", "extra-runtime"),
        native=False,
    ),
    "gpu_deploy.csv": _engines(
        "How fast is inference on a GPU, in PyTorch?",
        *("deploy-gpu", "extra-runtime"),
        native=False,
    ),
    "roofline.csv": Measures(
        question="What share of the processor's peak does each stage reach?",
        tables=("roofline",),
        sources=(f"{BENCH}roofline.py", NATIVE),
        changed="2026-11-26",
        why="the roofline's peak is measured on every thread",
    ),
    "train_step.csv": _steps("How fast is a training step, compared with timm's?", "train-step"),
    "gpu_train_step.csv": _steps("The same on a GPU", "gpu-train-step"),
    "loading.csv": Measures(
        question="How much time does reading images take in training?",
        tables=("loading",),
        sources=(f"{BENCH}loading.py", "src/res2net/data"),
        changed="2026-11-26",
        why=DECODED,
    ),
    "folder.csv": Measures(
        question="How much time does reading images take with an exported model?",
        tables=("folder",),
        sources=(f"{BENCH}folder.py", "src/res2net/runtime", "src/res2net/data/photo.py"),
        changed="2026-11-26",
        why=DECODED,
    ),
    "serve.csv": Measures(
        question="How many clients can a server handle?",
        tables=("serve",),
        sources=(f"{BENCH}serve.py", "src/res2net/serve"),
        changed="2026-11-28",
        why="the server monitors clients that stall or disconnect",
    ),
    "tasks.csv": Measures(
        question="How fast are the other tasks, compared with other libraries' models?",
        tables=("tasks-speed",),
        sources=(f"{BENCH}tasks.py", "src/res2net/heads", "src/res2net/tasks"),
        changed="2026-11-29",
        why="the segmenters compared have equal parameters",
    ),
    "evaluators.csv": Measures(
        question="How fast are the evaluators, compared with other libraries'?",
        tables=("evaluators",),
        sources=(f"{BENCH}evaluators.py", "src/res2net/metrics/coco.py"),
        changed="2026-11-29",
        why="annotations are stored in flat arrays",
    ),
    "parity.csv": Measures(
        question="With equal weights, how far are outputs and gradients from other libraries'?",
        tables=("parity",),
        sources=(f"{BENCH}parity.py", "src/res2net/nn", "src/res2net/models"),
        changed="2026-11-24",
        why="gradients and statistics are compared in float64",
    ),
    "growth.csv": Measures(
        question="How do time and memory grow with data, classes and weights?",
        tables=("growth",),
        sources=(
            *(f"{BENCH}growth.py", "src/res2net/data", "src/res2net/weights/read.py"),
            "src/res2net/models/weights.py",
        ),
        changed="2026-11-30",
        reviewed="2026-11-30",
        why="COCO outlines are packed as they are read; weights are copied into a network",
    ),
}


def older(file: str, rows: Sequence[Mapping[str, str]]) -> str:
    """A sentence if rows of a file are older than the code; else ""."""
    found = MEASURES.get(file)
    dates = sorted({row["date"] for row in rows if found and row["date"] < found.changed})
    if not found or not dates:
        return ""
    return f"Rows of {', '.join(dates)} are {OLDER}: since {found.changed} {found.why}."
