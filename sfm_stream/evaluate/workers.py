"""Where models are taken through their ticks: processes of this machine, or of many.

Both are executors in which each task has a process, and so a memory, of its own.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from contextlib import contextmanager
from functools import partial
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

    Where an error or an interruption ends their use, what waits is not begun.

    Args:
        address: of a cluster of Ray; empty: this machine.
        jobs: tasks at the same time, or None: one here, and on a cluster as many as it
            has processors.

    Yields:
        The executor, and the tasks at the same time.

    Raises:
        ConfigError: if Ray is not installed, or no cluster is at the address.
    """
    with _opened(address, jobs) as (pool, most):
        try:
            yield pool, most
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


@contextmanager
def _opened(address: str, jobs: int | None) -> Iterator[tuple[Executor, int]]:
    if not address:
        yield processes(jobs or 1), jobs or 1
        return
    from sfm_stream.cluster import tasks

    settle = partial(_settle, os.getcwd(), kept.code())  # noqa: PTH109 plain text goes to the node
    with tasks.open_tasks(address, jobs, settle) as opened:
        yield opened


def processes(jobs: int) -> ProcessPoolExecutor:
    """Give a pool of processes of this machine, a new one for each task."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, max_tasks_per_child=1)


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
