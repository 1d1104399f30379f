"""Measures the pace of the kernels, of eager torch, and of whole replays.

Everything runs on one thread in one run, and each figure is a median of several repeats
without the first: so the figures of two backends are comparable.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.errors import InvalidState
from sfm_stream.evaluate.pace.one_by_one import each_tick_us
from sfm_stream.evaluate.pace.subject import CELL, FIRST_TIME, READOUT, SEED
from sfm_stream.events import Block
from sfm_stream.running import precompile
from sfm_stream.settings.units import SECOND

if TYPE_CHECKING:
    from sfm_stream.events import Floats

Call: TypeAlias = Callable[..., object]

US_PER_S = 1e6
FIRST_PART = "records/forecasts-000000.parquet"
FEATURES = 8
"""Features of a row for River."""
WINDOW = 32
INPUTS = 8
FIELDS = 4
SCHEDULES = ("staggered", "striped")
# Live ticks or rows that one model takes before the other model's turn: a busy moment
# of the machine then affects both models, and the processor's caches stay warm.
IN_TURN = 512
# Models of the paper that learn whole sequences, in their size for music, and the
# number of sequences in a batch.
LEARNERS = ("sfm", "a-sfm", "lstm")
SIDE_BY_SIDE = 16
# One thread, and bytecode on disk after the first repeat, as an installed package has
# it, even if this process does not write bytecode.
ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes of the measurements.

    Attributes:
        repeats: of each measurement; the first is left out.
        ticks: per repeat of a kernel.
        eager_ticks: per repeat of eager torch, a multiple of the window.
        live_ticks: number of ticks that are observed and learned one by one.
        file_ticks: in the replayed file.
        sequence_ticks: of a sequence that a model learns whole.
    """

    repeats: int = 7
    ticks: int = 16_384
    eager_ticks: int = 1_280
    live_ticks: int = 10_000
    file_ticks: int = 1_000_000
    sequence_ticks: int = 80


def measure(say: Callable[[str], None], size: Size | None = None) -> dict[str, Any]:
    """Measure everything on this machine.

    Args:
        say: receives a message before each measurement.
        size: of the measurements.

    Returns:
        As printed by `sfm-stream bench --json`: times in microseconds per tick or in
        seconds, paces in ticks per second.
    """
    size = size or Size()
    say("measuring the cell: fused kernels and eager torch")
    predict, learn = _cell(size)
    say("measuring sequences: SFM, A-SFM and an LSTM")
    sequences = _sequences(size)
    say("measuring the whole tick")
    full = _full_tick(size)
    live, striped = _live(size).values()
    beyond = {f"{name}_beyond_kernel": us - full for name, us in live.items()}
    say("measuring River's calls")
    river = _river(size)
    say("measuring a replay with records, and the start of a process")
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as folder:
        replay_pace = _replay(Path(folder), size)
        warm = _warm_start(Path(folder), size)
    say("measuring compilation")
    return {
        "config": {
            **CELL,
            "readout": READOUT,
            "inputs": INPUTS,
            "window": WINDOW,
            "every": WINDOW,
        },
        "predict_us": predict,
        "learn_us": learn,
        "sequence_us": sequences,
        "full_tick_us": full,
        "replay_ticks_per_s": replay_pace,
        "observe_learn_us": live | beyond,
        "striped_us": striped,
        "river_us": river,
        "compile_s": _compile(),
        "warm_start_s": warm,
    }


def _cell(size: Size) -> tuple[dict[str, float], dict[str, float]]:
    """Time the cell with a linear head, in numba and torch, frozen and learning."""
    import torch

    from sfm_stream.cell.parameters import Sizes
    from sfm_stream.evaluate.pace.eager_torch import Eager

    torch.set_num_threads(1)
    sizes = Sizes(
        inputs=INPUTS,
        states=CELL["states"],
        frequencies=CELL["frequencies"],
        outputs=CELL["outputs"],
        phase=False,
    )
    eager = Eager(sizes, window=WINDOW)
    x = torch.tensor(_walk(size.eager_ticks, INPUTS), dtype=torch.float32)
    y = x[:, 0].roll(-1)
    frozen, learning = _cell_engine(learns=False), _cell_engine(learns=True)
    found = _medians(
        size.repeats,
        {
            "predict numba": lambda: _run(frozen, size.ticks),
            "predict torch": lambda: _timed(lambda: eager.predict(x)) / len(x),
            "learn numba": lambda: _run(learning, size.ticks),
            "learn torch": lambda: _timed(lambda: eager.learn(x, y)) / len(x),
        },
    )
    return (
        {"numba": found["predict numba"], "torch": found["predict torch"]},
        {"numba": found["learn numba"], "torch": found["learn torch"]},
    )


def _sequences(size: Size) -> dict[str, float]:
    """Time a forward and a backward pass over a batch of sequences, per tick."""
    import torch

    from sfm_stream.cell.baselines import catalogue

    torch.set_num_threads(1)
    keys = catalogue.TASKS["music"].inputs
    walk = _walk(size.sequence_ticks * SIDE_BY_SIDE, keys)
    x = torch.tensor(walk, dtype=torch.float32).view(-1, SIDE_BY_SIDE, keys)

    def learn(net: catalogue.Headed[Any]) -> float:
        return _timed(lambda: net(x)[0].square().mean().backward()) / len(x)

    nets = {name: catalogue.model(name, "music", seed=SEED) for name in LEARNERS}
    passes = {name: partial(learn, net) for name, net in nets.items()}
    return _medians(size.repeats, passes)


def _cell_engine(*, learns: bool) -> Engine:
    tree = {
        "features": {"inputs": ["level(*)"]},
        "model": {**CELL, "readout": READOUT},
        "learn": {"enabled": learns, "window": WINDOW, "every": WINDOW},
        "forecast": {"experts": ["sfm"]},
        "run": {"backend": "numba"},
    }
    return Engine(from_tree(tree), [f"field_{i}" for i in range(INPUTS)])


def _full_tick(size: Size) -> float:
    """Time the default model: all experts, intervals, clock, learning."""
    engine = _default({})
    return _medians(size.repeats, {"": lambda: _run(engine, size.ticks)})[""]


def _default(learn: Mapping[str, str]) -> Engine:
    """Make the default model, with some keys of `[learn]` changed."""
    return Engine(from_tree({"learn": learn}), [f"field_{i}" for i in range(FIELDS)])


def _run(engine: Engine, ticks: int) -> float:
    """Run the next block; give the microseconds per tick."""
    block = _block(engine.seq, ticks, len(engine.fields))
    return _timed(lambda: engine.run(block)) / ticks


def _live(size: Size) -> dict[str, dict[str, float]]:
    """Time `observe` and `learn` together, tick by tick, from Python, by schedule."""
    engines = {name: _default({"schedule": name}) for name in SCHEDULES}
    for engine in engines.values():
        _run(engine, size.ticks)
    taken: dict[str, list[float]] = {name: [] for name in SCHEDULES}
    events = list(_block(size.ticks, size.live_ticks, FIELDS).events())
    for first in range(0, len(events), IN_TURN):
        for name, engine in engines.items():
            taken[name] += each_tick_us(engine, events[first : first + IN_TURN])
    return {
        name: {f"p{q}": float(np.percentile(times, q)) for q in (50, 99)}
        for name, times in taken.items()
    }


def _river(size: Size) -> dict[str, float]:
    """Time `predict_one` and `learn_one` of our model and of River's linear model.

    The two models take turns; the ratio is the median over pairs of adjacent turns.
    """
    from river import linear_model, preprocessing

    from sfm_stream.river import SFMRegressor

    names = [f"feature_{i}" for i in range(FEATURES)]
    rows = [dict(zip(names, row, strict=True)) for row in _walk(size.live_ticks,
            FEATURES).tolist()]  # fmt: skip
    truths = _walk(size.live_ticks, 1)[:, 0].tolist()

    def learn(predict_one: Call, learn_one: Call, part: slice) -> float:
        def go() -> None:
            for x, y in zip(rows[part], truths[part], strict=True):
                predict_one(x)
                learn_one(x, y)

        return _timed(go) / len(rows[part])

    linear = preprocessing.StandardScaler() | linear_model.LinearRegression()
    models: dict[str, Any] = {"sfm": SFMRegressor(), "linear": linear}
    taken: dict[str, list[float]] = {name: [] for name in models}
    turns = [slice(at, at + IN_TURN) for at in range(0, len(rows), IN_TURN)]
    for part in turns * size.repeats:
        for name, model in models.items():
            taken[name].append(learn(model.predict_one, model.learn_one, part))
    ours, theirs = (times[len(turns) :] for times in taken.values())
    return {
        "sfm": statistics.median(ours),
        "linear": statistics.median(theirs),
        "linear_to_sfm": float(np.median(np.divide(theirs, ours))),
    }


def _replay(folder: Path, size: Size) -> float:
    """Give the pace of a replay with records, including the start of the process."""
    config = _quotes(folder, size.file_ticks)
    begun = time.perf_counter()
    _replayed(folder, config)
    return size.file_ticks / (time.perf_counter() - begun)


def _warm_start(folder: Path, size: Size) -> float:
    """Time a process from its start until the forecast of its first tick is on disk.

    Kernels and bytecode are compiled before.
    """
    config = _quotes(folder, 1)

    def once() -> float:
        begun = time.time()
        return (_replayed(folder, config) / FIRST_PART).stat().st_mtime - begun

    return _medians(size.repeats, {"": once})[""]


def _replayed(folder: Path, config: Path) -> Path:
    """Run a whole `sfm-stream replay` and give its folder."""
    out = tempfile.mkdtemp(dir=folder)
    _child(["-m", "sfm_stream", "replay", str(config), "--out", out], ENVIRONMENT)
    return Path(out)


def _compile() -> float:
    """Time the compilation of the kernels in a process with an empty cache, s."""
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as folder:
        said = _child(["-c", precompile.COMPILE], {"NUMBA_CACHE_DIR": folder})
    return float(said.split()[-1])


def _child(arguments: list[str], environment: Mapping[str, str]) -> str:
    done = precompile.child(arguments, environment)
    if done.returncode:
        raise InvalidState(f"bench: a child process failed: {done.stderr[-500:]}")
    return done.stdout


def _quotes(folder: Path, ticks: int) -> Path:
    """Write a file of bid and ask, and a configuration that reads it."""
    import polars as pl

    mid = 100 + 0.01 * _walk(ticks, 1)[:, 0].cumsum()
    times = FIRST_TIME + np.arange(ticks) * SECOND
    quotes = pl.DataFrame({"time": times, "bid": mid - 0.01, "ask": mid + 0.01})
    quotes.write_parquet(folder / f"quotes-{ticks}.parquet")
    config = folder / f"quotes-{ticks}.toml"
    config.write_text(
        f'[feed]\nconnector = "parquet"\npath = "quotes-{ticks}.parquet"\n'
        'time = "time"\n[target]\nvalues = ["mid"]\n'
    )
    return config


def _block(seq: int, ticks: int, fields: int) -> Block:
    times = FIRST_TIME + np.arange(seq, seq + ticks, dtype=np.int64) * SECOND
    return Block.ticks(times, _walk(ticks, fields), streams=("main",))


def _walk(ticks: int, width: int) -> Floats:
    return np.random.default_rng(SEED).standard_normal((ticks, width))


def _medians(
    repeats: int, measured: Mapping[str, Callable[[], float]]
) -> dict[str, float]:
    """Measure in turns, so that a busy moment of the machine affects all equally."""
    taken: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(repeats):
        for name, once in measured.items():
            taken[name].append(once())
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def _timed(call: Callable[[], object]) -> float:
    """Give the microseconds that a call takes."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * US_PER_S
