"""Compiles the kernels before the first tick, in a process of its own.

A process that has just compiled the kernels gives records whose last bits differ from
the records of processes that load the same kernels from disk. Probably it calls each
stage as it was compiled alone, and the other processes call the copies inlined into the
tick. So another process compiles, and every run loads the kernels from disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfm_stream.backends import contract
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Heartbeat, Tick

if TYPE_CHECKING:
    from sfm_stream.config import Config

NOTICE = "compiling kernels, about a minute, once"
COMPILE = """
import time
from sfm_stream import config
from sfm_stream.running import precompile
settings = config.Config()
begun = time.perf_counter()
precompile.call(settings, ["value"])
precompile.call_panel(settings, ["value"])
print(time.perf_counter() - begun)
"""


def prepare(config: Config, fields: Sequence[str], say: Callable[[str], None]) -> None:
    """Load the kernels; compile them first if that was never done.

    Args:
        config: settings of the run.
        fields: fields of its ticks.
        say: takes a message before a compilation.
    """
    if not is_ready(config):
        compile_apart(say)
    call(config, fields)


def is_ready(config: Config) -> bool:
    """Say whether the kernels that a run needs are compiled."""
    return contract.choose(config.run.backend, config.run.device).is_ready()


def compile_apart(say: Callable[[str], None]) -> None:
    """Compile the kernels in a process of its own.

    If that fails, the first call compiles them in this process and raises the error.
    """
    say(NOTICE)
    child(["-c", COMPILE])


def call(config: Config, fields: Sequence[str]) -> None:
    """Run one heartbeat through the kernels of a new engine."""
    Engine(config, fields).run(Block.of([Heartbeat("", 0)], len(fields)))


def call_panel(config: Config, fields: Sequence[str]) -> None:
    """Run ticks of two streams through the kernels that only large blocks use."""
    from sfm_stream.backends.spread import LEAST_EVENTS

    values = (0.0,) * len(fields)
    ticks = [Tick("ab"[i % 2], i, values) for i in range(LEAST_EVENTS)]
    Engine(config, fields).run(Block.of(ticks, len(fields)))


def child(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run this Python interpreter, with this package, in a process of its own.

    Args:
        arguments: arguments of the interpreter.
        environment: environment variables to add.
    """
    return subprocess.run(  # noqa: S603 our own interpreter and package
        [sys.executable, "-P", *arguments],
        env={**surroundings(), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def surroundings() -> dict[str, str]:
    """Give the environment variables with which another Python finds this package."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
