"""Executors that run models in processes of this machine or of a cluster.

In both, each task has its own process, and so its own memory.
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
    """Open processes of this machine or of a cluster's nodes.

    After an error or an interruption, waiting tasks do not begin and running tasks are
    ended.

    Args:
        address: of a Ray cluster; empty for this machine.
        jobs: number of tasks at the same time; None means one on this machine, and the
            number of processors on a cluster.

    Yields:
        The executor, and the number of tasks at the same time.

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
    """Open processes of this machine, which end with this process, however it ends.

    After an error or an interruption they end at once.

    Args:
        jobs: number of tasks at the same time.
        tasks_of_each: number of tasks after which a new process replaces one; None for
            no limit.
        prepare: called once in each process.
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
    """Give the key and the result of each task when it finishes.

    Raises:
        InvalidState: if a process was ended from outside; the results of the others
            come first.
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
    """Prepare a worker: ignore interruptions, watch the parent, call `prepare`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if prepare:
        prepare()


def _end_with(parent: Connection) -> None:
    """End this process when the pipe closes, which happens however the parent ends."""
    wait([parent])
    os._exit(1)


def _settle(folder: str, code: str) -> None:
    """Prepare a process on a node: check the code, set the folder, compile kernels.

    Raises:
        ConfigError: if the node lacks the folder or has other code.
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
