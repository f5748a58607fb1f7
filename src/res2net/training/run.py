"""A training run, from configuration to report."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from res2net import machine
from res2net.config import AUTO, READ_BY, RunConfig
from res2net.data.values import LOOKED
from res2net.errors import UserError, counted
from res2net.files import write_text
from res2net.paper.tasks import CLASSIFY, PRETRAIN
from res2net.tasks.finish import finish
from res2net.tasks.job import build_job
from res2net.tasks.selection import part_of, settle
from res2net.tasks.table import find_task
from res2net.tasks.task import Job
from res2net.training.callbacks import (
    Averaging,
    Bar,
    EpochSeed,
    History,
    Pace,
    Patience,
    StopAfter,
    Unfreezing,
    above_bar,
    shows_progress,
    speak,
)
from res2net.training.checkpoints import (
    BEST,
    FOLDER,
    AtomicCheckpointIO,
    Configured,
    checkpoint_callbacks,
    read_newest,
    read_state,
)
from res2net.training.folder import (
    CONFIG,
    check_edits,
    check_folder,
    taken,
    undone_where_it_fails,
    write_config,
)
from res2net.training.loggers import WithinEpochs, add_pictures, make_loggers
from res2net.training.optimise import make_optimiser
from res2net.training.search import search, settle_searched
from res2net.training.whole_step import make_whole_step
from res2net.weights import download
from res2net.weights.pretrained import IN1K, open_pretrained

Say = Callable[[str], None]
Newest = tuple[Path, dict[str, Any]]  # a checkpoint, what it holds
# an optional download must not delay a run
BRIEF = download.Patience(rounds=1, stall=10.0)


def fit(
    config: RunConfig,
    run: Path,
    *,
    resume: bool,
    services: Sequence[str] = (),
    say: Say = speak,
) -> None:
    """Train, keep the best weights, evaluate them and write the run folder.

    The folder is created once data and network are known to work. From the first check to the
    last file no other process can train in it.

    Args:
        run: the folder; it must not exist unless ``resume``.
        services: where metrics are logged beside TensorBoard.
        say: called with each line for people.

    Raises:
        UserError: any user error, including out of memory and a loss that is not finite.
        TakenError: another process trains in the folder.
        Stopped: by Ctrl-C; a checkpoint of the last whole epoch is kept.
    """
    processes = machine.processes(config.train.devices)
    first = processes.rank == 0  # the first process prints, writes and locks the folder for all
    with taken(run) if first else nullcontext():
        _fit(config, run, processes, services, resume=resume, say=say if first else lambda _: None)


def _fit(
    config: RunConfig,
    run: Path,
    processes: machine.Processes,
    services: Sequence[str],
    *,
    resume: bool,
    say: Say,
) -> None:
    first = processes.rank == 0
    config = settle_searched(settle_anchors(settle_pretrained(config, run, say), run), run)
    new = check_folder(config, run, resume=resume) if first else False
    quiet_libraries()
    machine.set_threads(config.train.threads, processes)
    keeping = undone_where_it_fails(run, new=new) if first else nullcontext()
    enough_memory = partial(machine.memory_mended_by, memory_advice(config))
    found = read_newest(run, say) if resume else None
    kept = None if found is None else _card_of(found)

    def make_job(own: RunConfig, say: Say | None = None) -> Job:
        optimiser = partial(_optimiser, own)
        return build_job(find_task(own.task), own, processes, optimiser, say, kept)

    with enough_memory():
        searched = search(config, make_job, processes, say)
        config = searched.config
        job = make_job(config, say)
    if job.card.options.get("anchors") and config.head.anchors == AUTO:
        sides = tuple(job.card.options["anchors"])
        say(f"anchors from the training boxes: {', '.join(map(str, sides))} pixels")
        config = replace(config, head=replace(config.head, anchors=sides))
    job.module.whole_step = make_whole_step(config, job.task, processes)
    saved = RunConfig.read(run / CONFIG) if resume and (run / CONFIG).is_file() else None
    job = replace(job, select=settle(config.train.select, job.images.validation, saved))
    config = replace(config, train=replace(config.train, select=job.select))
    with enough_memory():
        start = find_start(config, job, run, found, say) if resume else None
    del found  # Lightning reads the checkpoint again
    with keeping, enough_memory():
        if first:
            write_config(config, run)
            searched.write(run)
            announce(config, job, processes, run, say)
        loggers = make_loggers(run, services)
        history, ending = train(config, job, run, processes, loggers, start, say)
        if first:
            finish(run, job, history.rows, batches=config.train.val_batches, say=say)
            add_pictures(loggers, run)
            _report_ending(run, ending)


def settle_pretrained(config: RunConfig, run: Path, say: Say) -> RunConfig:
    """Decide ``--net.pretrained auto``: published weights of exactly this network, else none.

    A resumed run keeps its first decision.

    Args:
        say: called with the decision; the licence is printed where weights are loaded.
    """
    if config.net.pretrained != AUTO:
        return config
    if (run / CONFIG).is_file():
        decided = RunConfig.read(run / CONFIG).net.pretrained
        if decided not in (None, IN1K):  # the only possible decisions of "auto"
            raise UserError(
                f"{run / CONFIG}: net.pretrained is {str(decided)!r}, not what --net.pretrained "
                "auto becomes; give the run's own --net.pretrained"
            )
        return _starting_from(config, decided, say)
    if config.net.variant() or config.net.norm == "group":
        say("training from scratch: published weights exist only for the unmodified network")
        return _starting_from(config, None, say)
    try:
        open_pretrained(IN1K, config.model, patience=BRIEF)
    except UserError as error:
        say(f"training from scratch: {error}")
        return _starting_from(config, None, say)
    return _starting_from(config, IN1K, say)


def settle_anchors(config: RunConfig, run: Path) -> RunConfig:
    """``--head.anchors auto`` of a resumed run: its first decision, whatever its data are now."""
    saved = config.task in READ_BY["head.anchors"] and (run / CONFIG).is_file()
    if not saved or config.head.anchors != AUTO:
        return config
    decided = RunConfig.read(run / CONFIG).head.anchors
    return replace(config, head=replace(config.head, anchors=decided))


def _starting_from(config: RunConfig, pretrained: str | None, say: Say) -> RunConfig:
    net, train = replace(config.net, pretrained=pretrained), config.train
    if pretrained is None and (net.norm == "frozen" or train.frozen_levels):
        say("no level is frozen: without published weights all levels have to be trained")
        net = replace(net, norm="batch" if net.norm == "frozen" else net.norm)
        train = replace(train, frozen_levels=0)
    return replace(config, net=net, train=train)


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """The state that a resumed run starts from."""

    checkpoint: Path
    best_lost: bool  # there is no intact best checkpoint


def _card_of(found: Newest) -> dict[str, Any]:
    """The card in a checkpoint; empty if unknown."""
    card: dict[str, Any] = found[1].get("hyper_parameters", {}).get("card", {})
    return card


def _optimiser(config: RunConfig, module: Any, steps: int) -> dict[str, Any]:
    body = find_task(config.task).body(module.model)
    return make_optimiser(module, config.train, steps, config.head.lr_factor, body)


def find_start(
    config: RunConfig, job: Job, run: Path, found: Newest | None, say: Say
) -> Start | None:
    """The checkpoint that a run resumes from; None if there is none.

    Args:
        found: result of ``read_newest``.

    Raises:
        UserError: it is damaged, or of other classes or options.
    """
    if found is None:
        say(f"{run} has no checkpoint to resume from: training starts from the first epoch")
        return None
    checkpoint, content = found
    check_classes(job, content)
    check_edits(config, content, run)
    try:
        read_state(run / FOLDER / BEST)
    except UserError as error:
        say(f"{error}; the best epoch from now on replaces it, or the last if none is left")
        return Start(checkpoint=checkpoint, best_lost=True)
    return Start(checkpoint=checkpoint, best_lost=False)


def train(
    config: RunConfig,
    job: Job,
    run: Path,
    processes: machine.Processes,
    loggers: Sequence[Logger],
    start: Start | None,
    say: Say,
) -> tuple[History, str]:
    """Run Lightning's training.

    Returns:
        The history of the epochs, and why early stopping ended it; "" if it did not.
    """
    history = History(run, above_bar(say))
    job.module.to(memory_format=torch.channels_last)
    trainer = make_trainer(
        config, job, run, processes, history, loggers, best_lost=bool(start and start.best_lost)
    )
    with _interrupts_raised():
        trainer.fit(
            job.module,
            job.train_loader,
            job.val_loader,
            ckpt_path=start.checkpoint if start else None,
            weights_only=True,
        )
    patience = trainer.early_stopping_callback
    ending = patience.why(history.rows) if isinstance(patience, Patience) else ""
    if not history.grown:
        say(f"nothing is left to train: {_what_ends(config, trainer)}")
    elif ending:
        say(ending)
    return history, ending


def _what_ends(config: RunConfig, trainer: pl.Trainer) -> str:
    """Every option that prevents further training of a run, and how to change it."""
    options, ends = config.train, []
    if trainer.current_epoch >= options.epochs:
        ends.append(f"all of --train.epochs {options.epochs} are done, raise it to continue")
    if 0 < options.max_steps <= trainer.global_step:
        ends.append(
            f"--train.max-steps {options.max_steps} is reached, raise it or set -1 for no limit"
        )
    patience = trainer.early_stopping_callback
    if isinstance(patience, Patience) and patience.exhausted:
        ends.append(
            f"--train.early-stop {options.early_stop} ends the run ({patience.wait_count} epochs "
            "without improvement), raise it or set 0 to never stop"
        )
    return "; ".join(ends)


def _report_ending(run: Path, ending: str) -> None:
    """Add the reason for an early end to the report."""
    report = run / "report.md"
    if ending:
        write_text(report, f"{report.read_text(encoding='utf-8')}\n## End\n\n{ending}\n")


def make_trainer(
    config: RunConfig,
    job: Job,
    run: Path,
    processes: machine.Processes,
    history: History,
    loggers: Sequence[Logger],
    *,
    best_lost: bool = False,
) -> pl.Trainer:
    """Lightning's Trainer for the configuration.

    Args:
        best_lost: a resumed run has no best checkpoint; it is chosen among the coming epochs.

    Raises:
        UserError: devices or a strategy that this machine does not have.
    """
    options = config.train
    pace = Pace(history.say, bar=shows_progress())
    callbacks: list[Callback] = [
        EpochSeed(config.seed),
        history,
        pace,
        WithinEpochs(),
        Configured(config),
        *checkpoint_callbacks(run, job.task.monitor, anew=best_lost),
    ]
    if options.ema:
        callbacks.append(Averaging(options.ema))
    if options.unfreeze_every:
        if processes.world > 1:
            raise UserError("--train.unfreeze-every is for one process; leave it out")
        body = job.task.body(job.module.model)
        callbacks.append(Unfreezing(body, options.unfreeze_every, body.frozen_levels))
    if options.early_stop:
        callbacks.append(Patience(options.early_stop, job.task.monitor))
    if options.max_steps > 0:
        callbacks.append(StopAfter(options.max_steps))
    if shows_progress():
        callbacks.append(Bar(pace))
    try:
        return pl.Trainer(
            accelerator=machine.best_device().type,  # "auto" would take Apple's GPU
            devices=processes.devices,
            num_nodes=processes.nodes,
            strategy=_strategy(options.strategy, processes),
            precision=machine.lightning_precision(options.precision),  # type: ignore[arg-type]
            benchmark=job.task.one_size or None,
            max_epochs=options.epochs,
            limit_val_batches=options.val_batches,
            accumulate_grad_batches=options.accumulate,
            gradient_clip_val=options.clip or None,
            sync_batchnorm=torch.cuda.is_available() and processes.world > 1,
            callbacks=callbacks,
            logger=list(loggers),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=run,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours depends on seed and epoch alone
            enable_model_summary=False,
            enable_progress_bar=shows_progress(),
            log_every_n_steps=max(1, min(50, len(job.train_loader))),
        )
    except (MisconfigurationException, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--train.devices or --train.strategy: {reason}") from error


def check_classes(job: Job, content: dict[str, Any]) -> None:
    """Check that a resumed run has the same classes.

    Args:
        content: the checkpoint's.

    Raises:
        UserError: the data have other classes now.
    """
    card = content.get("hyper_parameters", {}).get("card", {})
    before = list(card.get("classes", ()))
    now = list(job.card.classes)
    if before != now:
        differ = sorted(set(before) ^ set(now))
        raise UserError(
            f"--resume: the data have {len(now)} classes, the run has {len(before)} "
            f"(different: {', '.join(differ[:5])}); start another run"
        )


@contextmanager
def _interrupts_raised() -> Iterator[None]:
    """Ctrl-C and SIGTERM as ``KeyboardInterrupt``: Lightning makes them a ``SystemExit``."""
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    except RuntimeError as error:  # whoever stops a group of processes stops the loader's first
        if "is killed by signal: Terminated" not in str(error):
            raise
        raise KeyboardInterrupt from None
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored


def announce(
    config: RunConfig, job: Job, processes: machine.Processes, run: Path, say: Say
) -> None:
    """Print a summary of the run in a few lines."""
    images, size, options = job.images, job.card.preprocess.size, config.train
    parameters = sum(p.numel() for p in job.module.model.parameters())
    precision = machine.known_precision(options.precision)
    device, threads = "GPU", ""
    if not torch.cuda.is_available():
        device, threads = "CPU", f", {counted(torch.get_num_threads(), 'thread')}"
    say(f"run folder: {run}")
    # elsewhere it is a side of images that are not square
    inputs = f"{size}x{size}" if config.task in (CLASSIFY, PRETRAIN) else f"input size {size}"
    say(
        f"{config.model} ({parameters / 1e6:.2f}M parameters) on {images.name}: "
        f"{len(images.train)} training and {len(images.val)} validation images, "
        f"{counted(len(images.classes), 'class')}, {inputs} pixels"
    )
    _announce_values(config, job, say)
    if images.validation != "given":
        groups = f"; images are grouped by {config.input.group_by}" if config.input.group_by else ""
        say(f"validated on {part_of(images.validation)}{groups}")
    if images.test is not None and len(images.test):
        say(f"{len(images.test)} test images are unused; `res2net evaluate --split test` uses them")
    shortened = 0 < options.max_steps < options.epochs * job.steps
    say(
        f"recipe {config.recipe}: {counted(options.epochs, 'epoch')} of "
        f"{counted(job.steps, 'step')}"
        f"{f' (stops after {options.max_steps})' if shortened else ''}, batch "
        f"{options.batch}, {options.optimizer}, {precision} on {counted(processes.world, device)}"
        f"{threads}"
    )


def _announce_values(config: RunConfig, job: Job, say: Say) -> None:
    """Print the range of values and the channels, if they are unusual."""
    preprocess = job.card.preprocess
    number = len(job.images.train)
    looked = f"{LOOKED} of {number}" if number > LOOKED else "all"
    if preprocess.range is not None:
        low, high = preprocess.range
        origin = "--input.range" if config.input.range else f"read from {looked} training images"
        say(f"values {low:g}..{high:g} of images with more than 8 bits become 0..255 ({origin})")
    if preprocess.channels != 3:
        origin = "--input.channels" if config.input.channels else "the images' own number"
        say(f"images of {counted(preprocess.channels, 'channel')} ({origin})")


def _strategy(name: str, processes: machine.Processes) -> str:
    if name == "auto" and processes.world > 1:
        return "ddp"
    return name


def quiet_libraries() -> None:
    """Silence Lightning's remarks on deliberate choices of this project."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # --compile, no GPU
    for message, _reason in (
        (r".*does not have many workers.*", "workers fit the machine"),
        (r".*Consider setting `persistent_workers=True`.*", "0 workers were requested"),
        (r".*number of training batches .* is smaller than the logging interval.*", "small data"),
        (r".*Checkpoint directory .* exists and is not empty.*", "--resume means that"),
        (r".*You're resuming from a checkpoint that ended before the epoch ended.*", "epochs only"),
        (r"Detected call of `lr_scheduler.step\(\)` before.*", "fp16 skips steps that overflow"),
        (r".*isinstance\(treespec, LeafSpec\).*", "Lightning 2.6 on torch 2.14"),
        (r".*experiment logs directory .* exists and is not empty.*", "--resume means that"),
        (r"GPU available but not used.*", "Apple's is not used on purpose"),
        (r".*Found \d+ module\(s\) in eval mode at the start of training.*", "frozen levels are"),
    ):
        warnings.filterwarnings("ignore", message=message)


def memory_advice(config: RunConfig) -> str:
    """Which setting to lower if memory does not suffice."""
    size = f" (it is {config.input.size})" if config.input.size else ""
    return (
        f"lower --train.batch (it is {config.train.batch}; --train.accumulate keeps the batch that "
        f"the learning rate was meant for) or --input.size{size}, set "
        "--train.gradient-checkpointing full, or use fewer --input.workers"
    )
