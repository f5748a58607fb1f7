"""A training run from configuration to report."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from pytorch_lightning.loggers import TensorBoardLogger

from res2net import machine
from res2net.config import RunConfig
from res2net.errors import UserError
from res2net.models.weights import read_weights
from res2net.tasks.table import Job, find_task
from res2net.train.callbacks import (
    Bar,
    EpochSeed,
    History,
    Patience,
    StopAfter,
    above_bar,
    shows_progress,
)
from res2net.train.checkpoints import AtomicCheckpointIO, checkpoint_callbacks, to_go_on_from
from res2net.train.folder import check_folder, kept_whole, write_config
from res2net.train.optimise import make_optimiser
from res2net.train.start import settle_start

Say = Callable[[str], None]


def fit(config: RunConfig, run: Path, *, resume: bool, say: Say = print) -> None:
    """Train, keep the best, evaluate it and write the run folder.

    The folder comes into being once data and network are known to work.

    Args:
        run: the folder; it must not exist unless ``resume``.
        say: takes each line for people.

    Raises:
        UserError: anything the user can mend, out of memory and a loss that is not finite included.
        Stopped: by Ctrl-C; a checkpoint of the last whole epoch is kept.
    """
    together = machine.processes(config.train.devices)
    first = together.rank == 0  # the first process speaks and writes for all
    config = settle_start(config, run, say if first else lambda _: None)
    new = check_folder(config, run, resume=resume) if first else False
    quiet_libraries()
    machine.set_threads(config.train.threads, together)
    keeping = kept_whole(run, new=new) if first else nullcontext()
    enough_memory = partial(machine.memory_mended_by, memory_advice(config))
    with enough_memory():
        task = find_task(config.task)
        job = task.build_job(
            config,
            together,
            lambda module, steps: make_optimiser(
                module, config.train, steps, config.head.lr_factor
            ),
        )
    with keeping, enough_memory():
        if first:
            write_config(config, run)
            announce(config, job, together, run, say)
        history = train(config, job, run, together, resume=resume, say=say)
        if first:
            task.conclude(run, job, history.rows, batches=config.train.val_batches, say=say)


def train(
    config: RunConfig,
    job: Job,
    run: Path,
    together: machine.Processes,
    *,
    resume: bool,
    say: Say,
) -> History:
    """Let Lightning train; what it saw is in the returned history."""
    history = History(run, above_bar(say))
    start = to_go_on_from(run) if resume else None
    if start:
        check_classes(job, start)
    elif resume and together.rank == 0:
        say("no checkpoint to go on from: training from the beginning")
    job.module.to(memory_format=torch.channels_last)
    trainer = make_trainer(config, job, run, together, history)
    with _interrupts_raised():
        trainer.fit(
            job.module, job.train_loader, job.val_loader, ckpt_path=start, weights_only=True
        )
    if not history.grown and together.rank == 0:
        say("nothing is left to train; raise --train.epochs to go on")
    return history


def make_trainer(
    config: RunConfig, job: Job, run: Path, together: machine.Processes, history: History
) -> pl.Trainer:
    """Lightning's Trainer, set up as the configuration says.

    Raises:
        UserError: devices or a strategy that this machine does not have.
    """
    options = config.train
    callbacks: list[Callback] = [
        EpochSeed(config.seed),
        history,
        *checkpoint_callbacks(run, job.monitor),
    ]
    if options.ema:
        callbacks.append(EMAWeightAveraging(decay=options.ema))
    if options.early_stop:
        callbacks.append(Patience(options.early_stop, job.monitor))
    if options.max_steps > 0:
        callbacks.append(StopAfter(options.max_steps))
    if shows_progress():
        callbacks.append(Bar())
    try:
        return pl.Trainer(
            accelerator=machine.best_device().type,  # "auto" would take Apple's GPU
            devices=together.devices,
            num_nodes=together.nodes,
            strategy=_strategy(options.strategy, together),
            precision=machine.lightning_precision(options.precision),  # type: ignore[arg-type]
            max_epochs=options.epochs,
            limit_val_batches=options.val_batches,
            accumulate_grad_batches=options.accumulate,
            gradient_clip_val=options.clip or None,
            sync_batchnorm=torch.cuda.is_available() and together.world > 1,
            callbacks=callbacks,
            logger=TensorBoardLogger(run, name="tensorboard", version=""),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=run,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours follows from seed and epoch alone
            enable_model_summary=False,
            enable_progress_bar=shows_progress(),
            log_every_n_steps=max(1, min(50, len(job.train_loader))),
        )
    except (MisconfigurationException, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--train.devices or --train.strategy: {reason}") from error


def check_classes(job: Job, checkpoint: Path) -> None:
    """A run goes on with the classes that it began with.

    Raises:
        UserError: the data have others now, or the checkpoint is damaged.
    """
    _, card = read_weights(checkpoint)
    before = list(card["classes"]) if card else []
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
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)  # which Lightning leaves ignored


def announce(config: RunConfig, job: Job, together: machine.Processes, run: Path, say: Say) -> None:
    """What is about to happen, in a few lines."""
    images, size, options = job.images, job.card.preprocess.size, config.train
    parameters = sum(p.numel() for p in job.module.model.parameters())
    precision = machine.known_precision(options.precision)
    device, threads = "GPU", ""
    if not torch.cuda.is_available():
        device, threads = "CPU", f", {_count(torch.get_num_threads(), 'thread')}"
    say(f"run folder: {run}")
    say(
        f"{config.model} ({parameters / 1e6:.2f}M parameters) on {images.name}: "
        f"{len(images.train)} training and {len(images.val)} validation images, "
        f"{len(images.classes)} classes, {size}x{size} pixels"
    )
    say(
        f"recipe {config.recipe}: {_count(options.epochs, 'epoch')} of {_count(job.steps, 'step')}"
        f"{f' (stops after {options.max_steps})' if options.max_steps > 0 else ''}, batch "
        f"{options.batch}, {options.optimizer}, {precision} on {_count(together.world, device)}"
        f"{threads}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _strategy(name: str, together: machine.Processes) -> str:
    if name == "auto" and together.world > 1:
        return "ddp"
    return name


def quiet_libraries() -> None:
    """Lightning's remarks on choices that this project makes on purpose."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # --compile, no GPU
    for message, _reason in (
        (r".*does not have many workers.*", "workers fit the machine"),
        (r".*Consider setting `persistent_workers=True`.*", "0 workers was asked for"),
        (r".*number of training batches .* is smaller than the logging interval.*", "small data"),
        (r".*Checkpoint directory .* exists and is not empty.*", "--resume means that"),
        (r".*You're resuming from a checkpoint that ended before the epoch ended.*", "epochs only"),
        (r".*isinstance\(treespec, LeafSpec\).*", "Lightning 2.6 on torch 2.14"),
        (r".*experiment logs directory .* exists and is not empty.*", "--resume means that"),
        (r".*Found \d+ module\(s\) in eval mode at the start of training.*", "frozen levels are"),
    ):
        warnings.filterwarnings("ignore", message=message)


def memory_advice(config: RunConfig) -> str:
    """Which setting to lower where the memory does not suffice."""
    size = f" (it is {config.input.size})" if config.input.size else ""
    return (
        f"lower --train.batch (it is {config.train.batch}; --train.accumulate keeps the batch that "
        f"the learning rate was meant for) or --input.size{size}, set "
        "--train.gradient_checkpointing full, or use fewer --input.workers"
    )
