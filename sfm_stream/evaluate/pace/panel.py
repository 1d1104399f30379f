"""Measures the pace of many streams in one engine, on the CPU or on a GPU.

The times are of whole calls of the engine. They include sorting a block by row, copies
to the device and back, and the records.
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
from sfm_stream.evaluate.pace.subject import CELL, FIRST_TIME, READOUT, SEED
from sfm_stream.events import Block
from sfm_stream.settings.units import SECOND

# The least number of ticks per stream in a block, and the usual number of events in a
# block: blocks of a replay are as long or longer.
TICKS, EVENTS = 32, 8_192
# The least and the largest number of timed blocks, after one without timing; between
# these, the number of events in all timed blocks.
LEAST, MOST, IN_ALL = 4, 400, 131_072
DEFAULT = "1,64,1024"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
# The measured models: the cell with its head alone, without and with learning; the
# whole default model.
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
    """Measure models with several numbers of streams on a device.

    Args:
        say: receives a message before each measurement.
        device: in the form of `run.device`.
        streams: numbers of streams to measure.

    Returns:
        `device`; per model, stream-ticks per second by number of streams; and `round,
        us`, the median microseconds of a block with one tick of each stream. On the CPU
        each figure is measured on one core, and on all cores if there are more; then
        `times one` is the ratio of the two, the median over pairs of adjacent blocks.
        On a GPU the cell of C0 in torch is measured too.

    Raises:
        ConfigError: if the device is absent.
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
    """Add the ratio of the pace on all cores to one core, the median over pairs."""
    if len(taken) > 1:
        (_, one), (where, all_of_them) = taken.items()
        ratios = found.setdefault(f"{name}{where}, times one", {})
        ratios[str(streams)] = float(np.median(np.divide(one, all_of_them)))


def _in_torch(
    say: Callable[[str], None], device: str, streams: Sequence[int]
) -> dict[str, Any]:
    """Measure the cell of C0 in torch, with the same numbers of streams."""
    from sfm_stream.evaluate.pace import torch_panel
    from sfm_stream.state import inputs, layout

    settings = config.from_tree(MODELS["learn C0"])
    seen = inputs.plan(settings, ["value"]).inputs.shape[1]
    cell = layout.cell_sizes(settings, int(seen))
    return torch_panel.measure(say, device, streams, cell, settings.learn.window)


def _cores() -> dict[str, dict[str, Any]]:
    """Give the settings of `[run]` for one core and for all cores, by name."""
    named = {count: f" on {count} core{'s' * (count > 1)}" for count in (1, cores())}
    return {text: {"device": "cpu", "threads": n} for n, text in named.items()}


def sizes(text: str) -> list[int]:
    """Read numbers of streams such as `1,64,1024`; empty text means `DEFAULT`.

    Raises:
        ConfigError: if the text is not a list of whole numbers above 0.
    """
    parts = [part.strip() for part in (text or DEFAULT).split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        problem = f"expected whole numbers above 0 such as {DEFAULT}, was {text!r}"
        raise ConfigError("--streams", problem)
    return [int(part) for part in parts]


def compiled(say: Callable[[str], None]) -> dict[str, Any]:
    """Compile the cell's kernels for GPUs; give the resources they need.

    This runs without a GPU.

    Args:
        say: receives a message before each compilation.

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
    """Give the seconds of each timed block, by the settings that computed it.

    All engines take each block in turn, in alternating order, so that other work of the
    machine affects all equally.
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
