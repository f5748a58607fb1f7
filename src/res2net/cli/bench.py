"""``res2net bench``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from res2net.cli.bench_engines import deploy, folder, roofline
from res2net.cli.meaning import check_meaning
from res2net.cli.parser import Parser, portable, read_options
from res2net.cli.progress import track
from res2net.errors import UserError

if TYPE_CHECKING:
    from res2net.bench.protocol import Timing

SUBJECTS = {
    "deploy": "networks in inference engines, ours beside timm's and torchvision's",
    "roofline": "what each stage reaches in our engine, beside the processor's measured peak",
    "train-step": "a training step beside timm's: images a second, memory",
    "folder": "an artifact over a folder of files, beside the network alone",
    "loading": "the share of an epoch that reading images costs",
    "dense": "training step and inference of the other tasks, beside other libraries' models",
    "evaluators": "COCO's AP beside faster-coco-eval called directly, peaks of heat maps",
    "serve": "a crowd before `res2net serve`: who is answered, who has to come back, p95",
    "parity": "outputs, gradients and statistics beside timm's and torchvision's, same weights",
}
MEANS = {  # option → subjects that read it
    "model": ("deploy", "roofline", "train-step", "loading", "parity"),
    "batch": ("deploy", "train-step", "loading", "dense"),
    "size": ("deploy", "roofline", "train-step", "loading", "dense"),
    "task": ("dense",),
    "rounds": ("deploy", "roofline", "train-step", "dense", "evaluators"),
    "makers": ("deploy",),
    "engines": ("deploy",),
    "precisions": ("deploy", "roofline"),
    "chart": ("deploy", "roofline"),
    "data": ("folder", "loading"),
    "artifact": ("folder", "serve"),
    "clients": ("serve",),
    "requests": ("serve",),
    "queue": ("serve",),
    "epochs": ("loading",),
    "workers": ("loading",),
}
EXAMPLES = (
    "res2net bench train-step --model res2net50_26w_4s --batch 8",
    "res2net bench deploy --model resnet50,res2net50_26w_4s --engines openvino --chart speed.png",
    "res2net bench dense --task segment --size 256 --rounds 15",
    "res2net bench loading --model resnet50 --data photos/ --batch 32",
)


def make_parser() -> Parser:
    """All options of a measurement."""
    subjects = "\n".join(f"  {name:<12} {what}" for name, what in SUBJECTS.items())
    parser = Parser(
        "bench SUBJECT [--option value ...]",
        "Measure this machine. Cases run interleaved in rotating order; the ratio of two is the "
        "median of the ratios round by round. Run it while nothing else runs.",
        EXAMPLES,
    )
    parser.description = f"{parser.description}\n\nsubjects:\n{subjects}"
    parser.add_argument("subject", type=str, help="what to measure")
    parser.add_argument(
        "--model",
        type=str,
        default="res2net50_26w_4s",
        help="network; deploy, roofline: several, by commas",
    )
    parser.add_argument(
        "--batch", type=int | None, help="images at a time; default 8, dense 2, deploy 1"
    )
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument(
        "--task", type=str | None, help="dense: one of the tasks; default: all, one after the other"
    )
    parser.add_argument("--rounds", type=int, default=45, help="counted rounds")
    parser.add_argument("--makers", type=str, default="ours,timm", help="deploy: also torchvision")
    parser.add_argument(
        "--engines",
        type=str,
        default="eager-nchw,eager,onnxruntime,openvino,native",
        help="deploy: also compiled (minutes for each network)",
    )
    parser.add_argument("--precisions", type=str, default="fp32,bf16,int8", help="deploy, roofline")
    parser.add_argument("--chart", type=Path | None, help="deploy, roofline: draw the figures, PNG")
    parser.add_argument("--data", type=str, help="loading: FORMAT:PATH; folder: images")
    parser.add_argument(
        "--artifact", type=str | None, help="folder: what `res2net export` wrote; serve: RUN too"
    )
    parser.add_argument("--clients", type=int, default=64, help="serve: that ask at a time")
    parser.add_argument("--requests", type=int, default=1000, help="serve: of all clients")
    parser.add_argument("--queue", type=int, default=32, help="serve: images that may wait")
    parser.add_argument("--epochs", type=int, default=2, help="loading: epochs of each kind")
    parser.add_argument("--workers", type=int | None, help="loading: processes that read")
    parser.add_argument("--out", type=Path | None, help="CSV to append the figures to")
    return parser


def main(argv: Sequence[str]) -> None:
    """Measure and print; append to a file where asked."""
    options = read_options(make_parser(), argv)
    measures = {"deploy": deploy, "roofline": roofline, "train-step": train_step}
    measures |= {"folder": folder, "loading": loading, "parity": parity}
    measures |= {"dense": dense, "evaluators": evaluators, "serve": serve}
    if options.subject not in measures:
        raise UserError(f"unknown subject {options.subject!r}; it can be {', '.join(measures)}")
    check_meaning(argv, MEANS, options.subject, "bench {}")
    for name in ("batch", "size", "rounds", "clients", "requests", "queue", "epochs"):
        if options[name] is not None and options[name] < 1:
            raise UserError(f"--{name} is {options[name]}; it must be at least 1")
    if options.batch is None:
        options.batch = {"deploy": 1, "dense": 2}.get(options.subject, 8)
    rows = measures[options.subject](options)
    if options.out:
        from res2net.bench.protocol import append_rows

        append_rows(options.out, rows, shlex.join(["res2net", "bench", *portable(argv)]))
        print(f"appended to {options.out}")


def train_step(options: Any) -> list[dict[str, object]]:
    """Time and memory of a training step, ours and timm's."""
    import torch
    from rich.console import Console

    from res2net.bench import train_step as bench
    from res2net.bench.protocol import interleave
    from res2net.cli.tables import new_table
    from res2net.machine import note_slow_bf16
    from res2net.processor import threads

    torch.set_num_threads(threads())
    note_slow_bf16("bf16")  # of some cases
    given = {"network": options.model, "batch": options.batch, "size": options.size}
    memory = {case: bench.peak_memory(case, **given) for case in bench.CASES}
    saved = {case: bench.saved_bytes(case, **given) for case in bench.CASES}
    timings = interleave(
        {case: bench.make_training(case, **given).step for case in bench.CASES},
        rounds=options.rounds,
        track=lambda numbers: track(numbers, len(numbers), "training steps"),  # type: ignore[arg-type, return-value]
    )
    table = new_table(
        "case", "img/s (median)", "ms (median)", "ms (least)", "peak MiB", "saved MiB"
    )
    rows: list[dict[str, object]] = []
    for case, timing in timings.items():
        row = {
            "network": options.model,
            "batch": options.batch,
            "size": options.size,
            "case": case,
            "images_per_second": round(options.batch / timing.median, 2),
            "median_ms": round(1000 * timing.median, 1),
            "least_ms": round(1000 * timing.least, 1),
            "peak_mib": round(memory[case] / 2**20),
            "saved_mib": round(saved[case] / 2**20),
            "n": len(timing.seconds),
        }
        row |= speed_ratios(case, timings)
        rows.append(row)
        table.add_row(
            *(
                str(row[k])
                for k in (
                    "case",
                    "images_per_second",
                    "median_ms",
                    "least_ms",
                    "peak_mib",
                    "saved_mib",
                )
            )
        )
    console = Console()
    console.print(table)
    for row in rows:
        for name in ("speed_over_timm_default", "speed_over_timm_equal"):
            if row.get(name) != "":
                console.print(f"{row['case']}: {name.replace('_', ' ')} {row[name]}x")
    return rows


def speed_ratios(case: str, timings: dict[str, Timing]) -> dict[str, object]:
    """How many times faster than timm's default and than timm at equal precision and layout."""
    from res2net.bench.train_step import DEFAULTS, EQUAL

    ratios: dict[str, object] = {"speed_over_timm_default": "", "speed_over_timm_equal": ""}
    if case == DEFAULTS[0]:
        ratios["speed_over_timm_default"] = round(timings[case].speed_over(timings[DEFAULTS[1]]), 3)
    if case in dict(EQUAL):
        ratios["speed_over_timm_equal"] = round(
            timings[case].speed_over(timings[dict(EQUAL)[case]]), 3
        )
    return ratios


def dense(options: Any) -> list[dict[str, object]]:
    """Time and memory of each dense task, ours and others'."""
    import torch

    from res2net.bench import dense as bench
    from res2net.bench.protocol import interleave
    from res2net.cli.tables import new_table, show
    from res2net.machine import note_slow_bf16
    from res2net.processor import threads

    torch.set_num_threads(threads())
    note_slow_bf16("bf16")  # of some cases
    if options.task is not None and options.task not in bench.CASES:
        raise UserError(f"--task {options.task}: it can be {', '.join(bench.CASES)}")
    given = {"batch": options.batch, "size": options.size}
    shown = ("task", "kind", "case", "median_ms", "speed_of_ours", "peak_mib")
    table = new_table(*shown)
    rows: list[dict[str, object]] = []
    for task in [options.task] if options.task else bench.CASES:
        running = {case: bench.make(task, case, **given) for case in bench.CASES[task]}
        for kind in bench.KINDS:
            timings = interleave(
                {case: each[kind] for case, each in running.items()},
                rounds=options.rounds,
                track=lambda numbers: track(numbers, len(numbers), "rounds"),  # type: ignore[arg-type, return-value]
            )
            for case, timing in timings.items():
                ratio = timings[bench.EQUAL].speed_over(timing)
                row: dict[str, object] = {
                    "task": task,
                    "network": bench.NETWORK,
                    **given,
                    "kind": kind,
                    "case": case,
                    "median_ms": round(1000 * timing.median, 1),
                    "least_ms": round(1000 * timing.least, 1),
                    "speed_of_ours": "" if case in bench.OURS else round(ratio, 3),
                    "peak_mib": round(bench.peak_memory(task, case, kind, **given) / 2**20),
                    "n": len(timing.seconds),
                }
                rows.append(row)
                table.add_row(*(str(row[name]) for name in shown))
    show(table)
    return rows


def evaluators(options: Any) -> list[dict[str, object]]:
    """Evaluators and decoders beside the plain way."""
    from res2net.bench import evaluators as bench
    from res2net.bench.protocol import interleave
    from res2net.cli.tables import new_table, show

    timings = interleave(bench.make(), rounds=options.rounds)
    table = new_table("case", "ms (median)", "speed of ours over it")
    rows: list[dict[str, object]] = []
    for case, timing in timings.items():
        ours = timings.get(bench.OURS.get(case, ""))
        row: dict[str, object] = {
            "case": case,
            "median_ms": round(1000 * timing.median, 2),
            "least_ms": round(1000 * timing.least, 2),
            "speed_of_ours": round(ours.speed_over(timing), 3) if ours else "",
            "n": len(timing.seconds),
        }
        rows.append(row)
        table.add_row(case, str(row["median_ms"]), str(row["speed_of_ours"]))
    show(table)
    return rows


def loading(options: Any) -> list[dict[str, object]]:
    """The share of an epoch that reading images costs."""
    from res2net.bench.loading import loading_share
    from res2net.config import InputOptions, RunConfig, TrainOptions
    from res2net.data.augment import Augment
    from res2net.data.source import parse_source

    if not options.data:
        raise UserError("--data is missing; `res2net bench --help` explains it")
    config = RunConfig(
        model=options.model,
        data=str(parse_source(options.data)),
        recipe="imagenet",
        input=InputOptions(size=options.size, workers=options.workers),
        augment=Augment(),
        train=TrainOptions(batch=options.batch),
    )
    found = loading_share(config, epochs=options.epochs)
    print(
        f"{options.model}, {options.size} pixels, batch {options.batch}: {found.images} images in "
        f"{found.loaded:.1f} s with the loader, {found.ready:.1f} s without; loading costs "
        f"{100 * found.share:.1f} % of the epoch"
    )
    return [
        {
            "network": options.model,
            "size": options.size,
            "batch": options.batch,
            "data": Path(str(options.data)).name,
            "images": found.images,
            "seconds_loaded": round(found.loaded, 2),
            "seconds_ready": round(found.ready, 2),
            "loading_share": round(found.share, 4),
            "n": options.epochs,
        }
    ]


def parity(options: Any) -> list[dict[str, object]]:
    """Differences from timm and torchvision: of one network, or with ``--model all`` of all."""
    from res2net.bench.parity import SHARED, compare
    from res2net.cli.tables import new_table, show

    pairs = [pair for pair in SHARED if options.model in ("all", pair[0])]
    if not pairs:
        shared = ", ".join(dict.fromkeys(network for network, _ in SHARED))
        raise UserError(f"--model {options.model}: no other library has it; all, or {shared}")
    shown = ("network", "library", "logits", "levels", "gradients", "statistics")
    table = new_table(*shown)
    rows: list[dict[str, object]] = []
    for network, library in track(pairs, len(pairs), "comparing"):
        found = compare(network, library)
        levels = f"{max(found.levels.values()):.1e}" if found.levels else ""
        row: dict[str, object] = {
            "network": network,
            "library": library,
            "sizes": " ".join(map(str, found.sizes)),
            "logits": f"{found.logits:.1e}",
            "level_names": " ".join(found.levels),
            "levels": levels,
            "gradients": f"{found.gradients:.1e}",
            "statistics": f"{found.statistics:.1e}",
            "holds": found.holds,
        }
        rows.append(row)
        table.add_row(*(str(row[name]) for name in shown))
    show(table)
    return rows


def serve(options: Any) -> list[dict[str, object]]:
    """A crowd before a server of its own process, on loopback.

    Raises:
        UserError: no target, or a server that does not start.
    """
    from res2net.bench.serving import figures, measure_target

    if not options.artifact:
        raise UserError("--artifact is missing: a run or an artifact to serve")
    numbers = {name: options[name] for name in ("clients", "requests", "queue")}
    model, crowd = measure_target(options.artifact, **numbers)
    print(crowd.line())
    return [figures(model, crowd, **numbers)]
