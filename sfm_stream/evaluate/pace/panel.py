"""The pace of many streams side by side, on the CPU or on a GPU.

Whole calls of the engine are timed: sorting a block by row, the way to the device and
back, and the records are part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sfm_stream import config
from sfm_stream.backends.spread import cores
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.events import Block
from sfm_stream.settings.units import SECOND

FIRST_TIME = 1_704_067_200 * 10**9
"""2024-01-01T00:00:00Z in ns."""
SEED = 0
# Of each stream in a block, at least, and events of a block: a replay's are as long or
# longer.
TICKS, EVENTS = 32, 8_192
# Blocks that are timed, one before them is not: at least and at most, and events of all
# of them where that lies between.
LEAST, MOST, IN_ALL = 4, 400, 131_072
CELL = {"states": 32, "frequencies": 8, "outputs": 32}
READOUT = "amplitude"
DEFAULT = "1,64,1024"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
# What is measured: the cell with its head alone, without and with learning; all of it.
MODELS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "forward": {"forecast": {"experts": ["sfm"]}, "learn": {"enabled": False}},
    "learn": {"forecast": {"experts": ["sfm"]}},
    "learn C0": {
        "forecast": {"experts": ["sfm"]},
        "model": {**CELL, "readout": READOUT},
        "learn": {"window": 32, "every": 32},
    },
    "full tick": {},
}


def measure(
    say: Callable[[str], None], device: str, streams: Sequence[int]
) -> dict[str, Any]:
    """Measure panels of so many streams on a device.

    Args:
        say: told what is being measured.
        device: as `run.device` has it.
        streams: how many side by side, in turn.

    Returns:
        `device`, and per model stream-ticks per second by number of streams, and
        `round, us`: a block with one tick of each stream, median, microseconds. On the
        CPU each is said of one core, and of all where there are more, with how many
        times the pace all have: the median of pairs of blocks, one after the other; on
        a GPU the cell of C0 in torch is measured beside.

    Raises:
        ConfigError: if the device is not there.
    """
    found: dict[str, Any] = {"device": device}
    on = _cores() if device == "cpu" else {"": {"device": device}}
    for name, tree in MODELS.items():
        for count in streams:
            say(f"measuring {name} of {count} streams")
            ticks = max(TICKS, EVENTS // count)
            taken = _taken(on, tree, count, ticks)
            for where, seconds in taken.items():
                rates = found.setdefault(f"{name}{where}, ticks/s", {})
                rates[str(count)] = count * ticks / float(np.median(seconds))
            _compare(found, name, count, taken)
    for count in streams:
        say(f"measuring a round of {count} streams")
        taken = _taken(on, {}, count, 1)
        for where, seconds in taken.items():
            rounds = found.setdefault(f"round{where}, us", {})
            rounds[str(count)] = float(np.median(seconds)) * 1e6
        _compare(found, "round", count, taken)
    return found if device == "cpu" else found | _in_torch(say, device, streams)


def _compare(
    found: dict[str, Any], name: str, streams: int, taken: Mapping[str, Sequence[float]]
) -> None:
    """Note how many times the pace of one core all cores have: the median pair's."""
    if len(taken) > 1:
        (_, one), (where, all_of_them) = taken.items()
        ratios = found.setdefault(f"{name}{where}, times one", {})
        ratios[str(streams)] = float(np.median(np.divide(one, all_of_them)))


def _in_torch(
    say: Callable[[str], None], device: str, streams: Sequence[int]
) -> dict[str, Any]:
    """Measure the cell of C0 in torch, on the same panels."""
    from sfm_stream.evaluate.pace import torch_panel
    from sfm_stream.state import inputs, layout

    settings = config.from_tree(MODELS["learn C0"])
    seen = inputs.plan(settings, ["value"]).inputs.shape[1]
    cell = layout.cell_sizes(settings, int(seen))
    return torch_panel.measure(say, device, streams, cell, settings.learn.window)


def _cores() -> dict[str, dict[str, Any]]:
    """Name settings of `[run]` for one core and for all."""
    named = {count: f" on {count} core{'s' * (count > 1)}" for count in (1, cores())}
    return {text: {"device": "cpu", "threads": n} for n, text in named.items()}


def sizes(text: str) -> list[int]:
    """Read numbers of streams as `1,64,1024`; empty text is `DEFAULT`.

    Raises:
        ConfigError: for what is no list of whole numbers above 0.
    """
    parts = [part.strip() for part in (text or DEFAULT).split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        problem = f"expected whole numbers above 0 such as {DEFAULT}, was {text!r}"
        raise ConfigError("--streams", problem)
    return [int(part) for part in parts]


def compiled(say: Callable[[str], None]) -> dict[str, Any]:
    """Say what the cell's kernels need of a GPU, without one.

    Args:
        say: told what is being compiled.

    Returns:
        By cell, architecture and kernel: registers of a thread, bytes spilled, threads
        and bytes of shared memory of a block.

    Raises:
        ConfigError: without the extra `cuda`.
    """
    from importlib.util import find_spec

    if find_spec("cuda") is None:
        raise ConfigError(
            "run.device", "compiling for a GPU needs the package cuda, which is absent",
            "install sfm-stream[cuda]",
        )  # fmt: skip
    from sfm_stream.backends.cuda import compiling, prelude
    from sfm_stream.state import inputs, layout

    found: dict[str, Any] = {}
    for name, model in (("default", {}), ("C0", {**CELL, "readout": READOUT})):
        settings = config.from_tree({"model": model})
        made = layout.lay_out(settings, inputs.plan(settings, ["value"]))
        block = prelude.shape(made.sizes)
        for architecture in ARCHITECTURES:
            say(f"compiling the {name} cell for {architecture}")
            for kernel in compiling.usage(made, architecture):
                found[f"{name} {architecture} {kernel.name}"] = {
                    "registers": kernel.registers,
                    "spilled_bytes": kernel.spilled,
                    "threads": block.threads,
                    "shared_bytes": block.shared_bytes[kernel.name],
                }
    return found


def _taken(
    on: Mapping[str, Mapping[str, Any]], tree: Mapping[str, Any], streams: int,
    ticks: int,
) -> dict[str, list[float]]:  # fmt: skip
    """Give the seconds that each of some blocks takes, by where it is computed.

    Each block goes to all in turn, and every other one the other way round, so that
    what else the machine does tells on all.
    """
    engines = {
        where: Engine(config.from_tree({**tree, "run": run}), ["value"])
        for where, run in on.items()
    }
    taken: dict[str, list[float]] = {where: [] for where in on}
    blocks = min(max(LEAST, IN_ALL // (streams * ticks)), MOST)
    for number in range(1 + blocks):
        block = _block(number * ticks, streams, ticks)
        for where in list(on)[:: 1 - 2 * (number % 2)]:
            begun = time.perf_counter()
            engines[where].run(block)
            taken[where].append(time.perf_counter() - begun)
    return {where: each[1:] for where, each in taken.items()}


def _block(first: int, streams: int, ticks: int) -> Block:
    """Give ticks of all streams, tick by tick."""
    names = tuple(f"s{j}" for j in range(streams))
    times = FIRST_TIME + np.repeat(np.arange(first, first + ticks), streams) * SECOND
    random = np.random.default_rng([SEED, first])
    values = random.standard_normal((ticks * streams, 1))
    stream = np.tile(np.arange(streams, dtype=np.int32), ticks)
    return Block.ticks(times, values, streams=names, stream=stream)
