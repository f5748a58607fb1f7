"""Which code each file of results measures, and when a figure is older than that code.

The rule: ``changed`` is the date of the last change that alters a file's figures, kept by hand.
Whoever changes the sources in such a way moves it; renaming code does not. Rows from before that
date are marked below their table. ``reviewed`` is the date up to which the history of the sources
has been read for such changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REVIEW_DAYS = 60  # that sources may change after their last review
MARKED_DAYS = 90  # that rows may be older than a change; then they are measured again or removed
OLDER = "older than the code"


@dataclass(frozen=True, kw_only=True)
class Measures:
    """A file of results."""

    question: str
    tables: tuple[str, ...]  # generated, that print its rows
    sources: tuple[str, ...]  # files and folders from the root
    changed: str
    why: str
    reviewed: str = "2026-11-29"


BENCH, NATIVE = "src/res2net/bench/", "src/res2net/native"
ENGINES = (f"{BENCH}apart.py", f"{BENCH}deploy.py", f"{BENCH}engines.py", "src/res2net/deploy")
APART = "each engine has a process of its own and the second call of a round is timed"
FOLDED = "norms are folded in the networks of every maker, or of none"
DECODED = "photos are decoded to twice the size that is needed, and 512 pixels"
CHEAP = "cheap checkpointing recomputes in one function"


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
    "deploy.csv": _engines("Which engine is the fastest for one image?", "deploy"),
    "native_networks.csv": _engines(
        "What does each network take, beside ResNet-50?",
        "deploy-native",
        "extra-runtime",
        eager=False,
    ),
    "deploy_networks.csv": _engines(
        "The same in PyTorch, DLA and bL among them", "deploy-networks", native=False
    ),
    "deploy_networks_int8.csv": _engines(
        "The same in int8, DLA and bL among them", "deploy-networks-int8", native=False, eager=False
    ),
    "native_batch8.csv": _engines(
        "What do eight images at a time take?", "deploy-native-batch8", eager=False
    ),
    "deploy_batch8.csv": _engines("The same in all other engines", "deploy-batch8", native=False),
    "native_sizes.csv": _engines("What do larger images take?", "deploy-sizes", eager=False),
    "deploy_compiled.csv": _engines(
        "What does torch.compile bring?", "deploy-compiled", native=False
    ),
    "reproduce_runtime.csv": _engines(
        "What does Table 3's runtime column become here?",
        *("reproduce-runtime", "extra-runtime"),
        native=False,
    ),
    "gpu_deploy.csv": _engines(
        "What does inference take on a GPU, in PyTorch?",
        *("deploy-gpu", "extra-runtime"),
        native=False,
    ),
    "roofline.csv": Measures(
        question="What does each stage reach of the processor's peak?",
        tables=("roofline",),
        sources=(f"{BENCH}roofline.py", NATIVE),
        changed="2026-11-26",
        why="the roofline's peak is measured on every thread",
    ),
    "train_step.csv": _steps("What does a training step take, beside timm's?", "train-step"),
    "gpu_train_step.csv": _steps("The same on a GPU", "gpu-train-step"),
    "loading.csv": Measures(
        question="What does reading images cost in training?",
        tables=("loading",),
        sources=(f"{BENCH}loading.py", "src/res2net/data"),
        changed="2026-11-26",
        why=DECODED,
    ),
    "folder.csv": Measures(
        question="What does reading images cost an artifact?",
        tables=("folder",),
        sources=(f"{BENCH}folder.py", "src/res2net/runtime", "src/res2net/data/photo.py"),
        changed="2026-11-26",
        why=DECODED,
    ),
    "serve.csv": Measures(
        question="How many clients can a server answer?",
        tables=("serve",),
        sources=(f"{BENCH}serve.py", "src/res2net/serve"),
        changed="2026-11-28",
        why="the server watches clients that stall or leave",
    ),
    "tasks.csv": Measures(
        question="What do the other tasks take, beside other libraries' models?",
        tables=("tasks-speed",),
        sources=(f"{BENCH}tasks.py", "src/res2net/heads", "src/res2net/tasks"),
        changed="2026-11-29",
        why="segmenters of equal parameters are compared",
    ),
    "evaluators.csv": Measures(
        question="What do evaluators take, beside other libraries'?",
        tables=("evaluators",),
        sources=(f"{BENCH}evaluators.py", "src/res2net/metrics/coco.py"),
        changed="2026-11-29",
        why="annotated images are held in flat arrays",
    ),
    "parity.csv": Measures(
        question="How far are outputs and gradients from other libraries' with equal weights?",
        tables=("parity",),
        sources=(f"{BENCH}parity.py", "src/res2net/nn", "src/res2net/models"),
        changed="2026-11-24",
        why="gradients and statistics are compared in float64",
    ),
    "growth.csv": Measures(
        question="How do time and memory grow with data, classes and weights?",
        tables=("growth",),
        sources=(f"{BENCH}growth.py", "src/res2net/data", "src/res2net/weights/read.py"),
        changed="2026-11-29",
        why="an index keeps the list of a folder",
    ),
}


def older(file: str, rows: Sequence[Mapping[str, str]]) -> str:
    """A sentence where rows of a file are older than the code; else ""."""
    found = MEASURES.get(file)
    dates = sorted({row["date"] for row in rows if found and row["date"] < found.changed})
    if not found or not dates:
        return ""
    return f"Rows of {', '.join(dates)} are {OLDER}: since {found.changed} {found.why}."
