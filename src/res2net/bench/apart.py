"""Time cases of several engines, each engine in its own process, interleaved by round.

In one process engines slow each other down: idle threads spin, and allocators are shared. If
engines ran one after the other, a temporary slowdown of the machine would affect only one of them.
So the processes are kept, and every round visits each of them. A case is called twice per round
and the second call is timed, with warm caches. Memory placement can favour a process for its
lifetime, so the rounds are divided among several processes.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection

import torch

from res2net.bench.engines import Call, Case, prepare
from res2net.bench.protocol import Timing, Track, rotated
from res2net.errors import UserError

LIVES = 3  # consecutive processes per engine
WARMUP = 2  # uncounted rounds of each process


def time_apart(
    groups: Sequence[Sequence[Case]],
    *,
    size: int,
    rounds: int,
    lives: int = LIVES,
    track: Track | None = None,
) -> dict[Case, Timing]:
    """Time every case once a round; the order of processes and of their cases rotates.

    Args:
        groups: cases that share a process.
        size: pixels.
        rounds: counted rounds in total.
        lives: number of times that the processes are started.
        track: shows the progress.

    Raises:
        UserError: a case cannot be made, or its process died.
    """
    seconds: dict[Case, list[float]] = {case: [] for group in groups for case in group}
    for life in range(lives):
        share = rounds * (life + 1) // lives - rounds * life // lives
        numbers = range(WARMUP + share)
        with ExitStack() as stack:
            apart = []
            for group in groups:
                apart.append(_Process(group, size))
                stack.callback(apart[-1].close)
            for process in apart:
                process.wait()
            label = f"{len(seconds)} cases, {life + 1}/{lives}"
            for number in track(numbers, len(numbers), label) if track else numbers:
                for process in rotated(apart, number):
                    for case, elapsed in process.round(number):
                        if number >= WARMUP:
                            seconds[case].append(elapsed)
    return {case: Timing(str(case), tuple(values)) for case, values in seconds.items()}


class _Process:
    """Cases in another process, which sleeps between rounds."""

    def __init__(self, cases: Sequence[Case], size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._cases = cases
        self._here, there = context.Pipe()
        given = (there, list(cases), size, torch.get_num_threads())
        self._process = context.Process(target=_serve, args=given, daemon=True)
        self._process.start()
        there.close()

    def wait(self) -> None:
        """Wait until its cases are ready."""
        self._receive()

    def round(self, number: int) -> list[tuple[Case, float]]:
        """Seconds of each case, in the order of this round."""
        self._here.send(number)
        return [(self._cases[index], elapsed) for index, elapsed in self._receive()]

    def close(self) -> None:
        """End it after its current round."""
        self._here.close()
        self._process.join()

    def _receive(self) -> list[tuple[int, float]]:
        try:
            found = self._here.recv()
        except EOFError:
            raise UserError(f"the process that timed {self._cases[0].engine} died") from None
        if isinstance(found, BaseException):
            raise found
        return found


def _serve(to_parent: Connection, cases: Sequence[Case], size: int, threads: int) -> None:
    """The other process: make the cases, then run one round per received number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    torch.set_num_threads(threads)
    try:
        calls = [prepare(case, size) for case in cases]
    except UserError as error:
        to_parent.send(error)
        return
    with suppress(EOFError, OSError):  # until the parent has gone
        to_parent.send([])
        while True:
            order = rotated(range(len(calls)), to_parent.recv())
            to_parent.send([(index, _second_call(calls[index])) for index in order])


def _second_call(call: Call) -> float:
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
