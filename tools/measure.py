"""Repeat the measurements of docs/benchmarks.md on this processor (`make measure`).

``python tools/measure.py`` runs the commands one after the other, the most informative first,
appends their rows to results/ and prints the seconds of each; run it on an idle machine. ``--list``
shows the commands, ``--try`` runs each in its smallest form without writing results, ``--only
NAME,NAME`` runs some, ``--since NAME`` starts at one.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from res2net.bench.growth import KINDS
from res2net.bench.options import NETWORK
from res2net.bench.protocol import commit_to_record
from res2net.errors import UserError
from res2net.processor import has_bf16

ROOT = Path(__file__).resolve().parent.parent
BF16 = "bf16"  # needs instructions that only some processors have
PAIR = f"resnet50,{NETWORK}"
# Groups that take a command about three minutes, each with its reference.
GROUPS = (
    f"{PAIR},res2net50_48w_2s,res2net50_14w_8s",
    "resnet50,res2net50_18w_6s,res2net50_26w_6s,res2net50_26w_8s",
    "resnet50,resnet101,res2net101_26w_4s,res2next50",
)
OTHERS = "resnet50,dla60,dla60_res2net,blres2net50"
TABLE3 = f"{GROUPS[0]},res2net50_26w_6s,res2net50_26w_8s,res2net50_18w_4s"
TASKS = {
    "detect": (1, 224),
    "instances": (1, 224),
    "segment": (2, 160),
    "saliency": (2, 224),
    "pose": (2, 224),
}  # fmt: skip  task → batch, pixels
PIXELS = (160, 320, 448, 640)
SMALLEST = {  # subject → options for the smallest run, besides the rounds
    "serve": ("--requests", "50"),
    "loading": ("--epochs", "1"),
    "growth": ("--sizes", "20,200"),
    "parity": ("--model", "resnet18"),
}
MADE = Path("runs/measure")  # from the root, as recorded commands name it
ARTIFACT, PHOTOS = "{made}/shipped-openvino", "{made}/photos"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of ``res2net bench``."""

    name: str
    words: str  # after `res2net bench`; {made} is a folder of photos and an artifact
    out: str  # results file
    rounds: int | None = None

    @property
    def needs_bf16(self) -> bool:
        """Whether all its rows are in bf16."""
        return f"--precisions {BF16}" in self.words

    def typed(self, made: Path, *, smallest: bool) -> list[str]:
        """Its arguments, for a recorded run or the smallest one."""
        words = shlex.split(self.words.format(made=made))
        if smallest:
            words = words[: words.index("--chart")] if "--chart" in words else words  # the last
            rounds = [] if self.rounds is None else ["--rounds", "1"]
            return [*words, *rounds, *SMALLEST.get(words[0], ())]
        rounds = [] if self.rounds is None else ["--rounds", str(self.rounds)]
        return [*words, *rounds, "--out", f"results/{self.out}"]


def _commands() -> list[Command]:
    """All commands, the most informative first."""
    found: list[tuple[str, str, str, int | None]] = []
    engines = {
        "fp32": "eager-nchw,eager,onnxruntime,openvino,native",
        BF16: "eager,openvino,native",
        "int8": "onnxruntime,openvino,native",
    }
    for kind, named in engines.items():
        words = f"deploy --model {PAIR} --engines {named} --precisions {kind}"
        found.append((f"deploy-{kind}", words, "deploy.csv", 15))
    found.append(("train-step", "train-step", "train_step.csv", 3))
    for task, (batch, size) in TASKS.items():
        words = f"tasks --task {task} --batch {batch} --size {size}"
        found.append((f"tasks-{task}", words, "tasks.csv", 3))
    ours = "--makers ours --engines native,openvino"
    for kind in engines:
        for i, group in enumerate(GROUPS, 1):
            words = f"deploy --model {group} {ours} --precisions {kind}"
            found.append((f"networks-{kind}-{i}", words, "native_networks.csv", 15))
    for kind in engines:
        both = f"deploy --model {PAIR} --batch 8 --precisions {kind}"
        words = f"{both} --engines native,openvino"
        found.append((f"batch8-{kind}", words, "native_batch8.csv", 9))
        rest = ",".join(name for name in engines[kind].split(",") if name != "native")
        found.append((f"batch8-all-{kind}", f"{both} --engines {rest}", "deploy_batch8.csv", 6))
    for kind in ("fp32", BF16):
        for size in PIXELS:
            words = f"deploy --model {PAIR} {ours} --precisions {kind} --size {size}"
            found.append((f"size{size}-{kind}", words, "native_sizes.csv", 9))
    precisions = "fp32,bf16,int8" if has_bf16() else "fp32,int8"
    words = f"roofline --model {PAIR} --precisions {precisions} --chart docs/pictures/roofline.png"
    found.append(("roofline", words, "roofline.csv", 15))
    found.append(("evaluators", "evaluators", "evaluators.csv", 15))
    for artifact, name in (("src/res2net/shipped", "pytorch"), (ARTIFACT, "openvino")):
        found.append((f"serve-{name}", f"serve --artifact {artifact}", "serve.csv", None))
    words = f"folder --artifact {ARTIFACT} --data {PHOTOS}"
    found.append(("folder", words, "folder.csv", None))
    words = f"loading --data folder:{PHOTOS} --batch 8"
    found.append(("loading", words, "loading.csv", None))
    for what in KINDS:
        found.append((f"growth-{what}", f"growth --what {what}", "growth.csv", 3))
    for kind in ("fp32", BF16):
        words = f"deploy --model {TABLE3} --makers ours --engines eager,openvino,native"
        found.append(
            (f"table3-{kind}", f"{words} --precisions {kind}", "reproduce_runtime.csv", 15)
        )
        for i, group in enumerate((*GROUPS, OTHERS), 1):
            words = f"deploy --model {group} --makers ours --engines eager,openvino"
            name = f"eager-networks-{kind}-{i}"
            found.append((name, f"{words} --precisions {kind}", "deploy_networks.csv", 9))
    for i, group in enumerate((*GROUPS, OTHERS), 1):
        words = f"deploy --model {group} --makers ours --engines openvino --precisions int8"
        found.append((f"int8-networks-{i}", words, "deploy_networks_int8.csv", 9))
    for kind in ("fp32", BF16):
        words = f"deploy --model {PAIR} --engines compiled --precisions {kind}"
        found.append((f"compiled-{kind}", words, "deploy_compiled.csv", 9))
    found.append(("parity", "parity --model all", "parity.csv", None))
    return [Command(name=n, words=w, out=o, rounds=r) for n, w, o, r in found]


def make_inputs(made: Path) -> None:
    """Photos of 500×375 pixels in two classes, and the shipped network as an artifact."""
    shutil.rmtree(made, ignore_errors=True)  # of an earlier run
    chance = np.random.default_rng(0)
    for i in range(160):
        coarse = chance.integers(0, 256, (12, 16, 3), np.uint8)
        photo = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        file = made / "photos" / f"class{i % 2}" / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo.save(file, quality=90)
    words = ["export", "src/res2net/shipped", "--to", "openvino", "--precision", "fp32"]
    words += ["--images", str(made / "photos"), "--out", str(made / "shipped-openvino")]
    subprocess.run([sys.executable, "-m", "res2net", *words], cwd=ROOT, check=False)


def chosen(options: argparse.Namespace) -> list[Command]:
    """The commands selected by the options.

    Raises:
        UserError: an unknown name.
    """
    every = _commands()
    names = [each.name for each in every]
    only = options.only.split(",") if options.only else names
    since = options.since or names[0]
    if wrong := [name for name in (*only, since) if name not in names]:
        raise UserError(f"unknown command {wrong[0]}; it can be {', '.join(names)}")
    return [each for each in every[names.index(since) :] if each.name in only]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the commands; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="only show the commands")
    parser.add_argument(
        "--try", dest="smallest", action="store_true", help="smallest form, without writing results"
    )
    parser.add_argument("--only", default="", help="commands to run, separated by commas")
    parser.add_argument("--since", default="", help="first command to run")
    options = parser.parse_args(argv)
    failed = []
    try:
        commands = chosen(options)
        if not (options.smallest or options.list):
            commit_to_record(ROOT / "results")
    except UserError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    if not options.list and any("{made}" in each.words for each in commands):
        make_inputs(ROOT / MADE)
    for each in commands:
        if each.needs_bf16 and not has_bf16():
            print(f"{each.name}: skipped, this processor has no bfloat16 instructions")
            continue
        words = each.typed(MADE, smallest=options.smallest)
        print(f"{each.name}: {shlex.join(['res2net', 'bench', *words])}", flush=True)
        if options.list:
            continue
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "res2net", "bench", *words], cwd=ROOT)
        print(f"{each.name}: {time.perf_counter() - start:.0f} s", flush=True)
        failed += [each.name] if done.returncode else []
    if failed:
        print(f"measure: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
