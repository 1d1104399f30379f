"""Where models are taken through their ticks: processes of this machine, or of many.

Both are executors in which each task has a process, and so a memory, of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from sfm_stream.config import Config
from sfm_stream.errors import ConfigError, InvalidState
from sfm_stream.evaluate import kept
from sfm_stream.running import precompile

Of = TypeVar("Of")
Result = TypeVar("Result")


@contextmanager
def open_workers(address: str, jobs: int | None) -> Iterator[tuple[Executor, int]]:
    """Open processes of this machine, or of a cluster's nodes.

    Where an error or an interruption ends their use, what waits is not begun, and what
    runs is ended.

    Args:
        address: of a cluster of Ray; empty: this machine.
        jobs: tasks at the same time, or None: one here, and on a cluster as many as it
            has processors.

    Yields:
        The executor, and the tasks at the same time.

    Raises:
        ConfigError: if Ray is not installed, or no cluster is at the address.
    """
    if not address:
        with processes(jobs or 1) as pool:
            yield pool, jobs or 1
        return
    from sfm_stream.cluster import tasks

    settle = partial(_settle, os.getcwd(), kept.code())  # noqa: PTH109 plain text goes to the node
    with tasks.open_tasks(address, jobs, settle) as (pool, most):
        try:
            yield pool, most
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


@contextmanager
def processes(
    jobs: int,
    tasks_of_each: int | None = 1,
    prepare: Callable[[], object] | None = None,
) -> Iterator[ProcessPoolExecutor]:
    """Open processes of this machine, which end with this one, however that ends.

    They end at once where an error or an interruption ends their use.

    Args:
        jobs: tasks at the same time.
        tasks_of_each: after which a process gives way to a new one; None: never.
        prepare: is called once in each process.
    """
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)  # a worker has `theirs`, never `ours`
    begin = (theirs, prepare)
    with (
        ours, theirs,
        ProcessPoolExecutor(
            jobs, context, _begin, begin, max_tasks_per_child=tasks_of_each
        ) as pool,
    ):  # fmt: skip
        try:
            yield pool
        except BaseException:
            ours.close()
            raise


def finished(
    running: Mapping[Future[Result], Of],
) -> Iterator[tuple[Of, Result]]:
    """Give what each task was of, and its result, as they finish.

    Raises:
        InvalidState: if processes were ended from outside, after what others gave.
    """
    broken: BrokenExecutor | None = None
    for future in as_completed(running):
        try:
            result = future.result()
        except BrokenExecutor as e:
            broken = e
        else:
            yield running[future], result
    if broken is not None:
        problem = "expected all processes to live, one was ended from outside"
        hint = "perhaps for memory: give fewer --jobs; what is done is kept"
        raise InvalidState(f"--jobs: {problem}; {hint}") from broken


def _begin(parent: Connection, prepare: Callable[[], object] | None) -> None:
    """Watch the parent, which alone hears of an interruption, and get ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if prepare:
        prepare()


def _end_with(parent: Connection) -> None:
    """End this process when the other end is closed, as it is however a parent ends."""
    wait([parent])
    os._exit(1)


def _settle(folder: str, code: str) -> None:
    """Make a node's process like the one that asks: folder, code, compiled kernels.

    Raises:
        ConfigError: if the node has no such folder, or other code.
    """
    node = os.uname().nodename
    if kept.code() != code:
        problem = f"expected the same code on all nodes, was another on {node}"
        raise ConfigError("--address", problem, "install the same sfm-stream there")
    try:
        os.chdir(folder)
    except OSError as e:
        problem = f"expected the folder {folder} on all nodes, was none on {node}: {e}"
        hint = "start where storage is shared, files are read by the same names"
        raise ConfigError("--address", problem, hint) from e
    precompile.prepare(Config(), ["value"], partial(print, flush=True))
