"""The layout of a bank: every array of a row by name, shape and unit.

They lie side by side in an `Arena`; compiled code finds their places by the offsets
`at_<name>` of `Layout.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.cell import frequencies as grids
from sfm_stream.cell import parameters
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError
from sfm_stream.state import targets
from sfm_stream.state.arena import Arena, Place, arena, offsets, row_size, view
from sfm_stream.state.experts import SIZE, regressors, squares, trust, uses_cell
from sfm_stream.state.inputs import Plan

GAPS = {"decay": 0, "reset": 1, "keep": 2}
GAP_DECAY, GAP_RESET, GAP_KEEP = range(3)
# Absolute errors from which the interval is calibrated.
ERRORS_KEPT = 200
# Bytes of a row at most.
LARGEST_ROW = 4 << 30
# Ticks whose weight gradients are formed in one pass.
CHUNK = 32
MISSING = {"void": 0, "hold": 1, "mean": 2}
MISSING_VOID, MISSING_HOLD, MISSING_MEAN = range(3)


class Sizes(NamedTuple):
    """The whole numbers that fix every shape and every branch of the compiled tick."""

    fields: int  # F
    signals: int  # S
    inputs: int  # N
    states: int  # D
    frequencies: int  # K
    outputs: int  # M
    horizons: int  # Q
    experts: int  # E
    lags: int  # L
    targets: int  # Tg
    ring: int  # R: stored ticks, the last slot being the scratch of a peek
    window: int  # h
    every: int  # h'
    max_pending: int
    gates: int  # G: columns of w_in
    head_rows: int  # Din
    adaptive: int
    errors: int  # R
    regressors: int  # P: of all experts of least squares together
    squares: int  # E': experts of least squares
    theta: int  # their coefficients
    cov: int  # elements of their covariances
    cell: int  # whether any expert needs the cell
    learns: (
        int  # whether the expert `sfm` stands there, so that gradients have a source
    )
    predict: int
    missing: int
    gap: int
    max_gap: int  # ns, 0 for none
    clocked: int  # memory turns with time
    sfm_at: int  # number of the expert, or -1
    last_at: int
    weights: int  # learned float32 weights of a row


class Knobs(NamedTuple):
    """The real numbers of the compiled tick."""

    lr: float
    clip: float  # norm of the gradient
    scale: float  # ticks over which statistics forget
    ridge: float
    level: float
    input_clip: float  # deviations


# Scalars of a row, in order, in the arrays `counters` and `gauges`.
(
    TICKS, LAST_TIME, SINCE_UPDATE, SEGMENT, FRESH, FROZEN, VERSION, ADAM_STEP,
    MOVES, SEEN, MISSES, LABELLED, BACK, BACK_TIME,
) = range(14)  # fmt: skip
COUNTERS = 14
UNIT_NS, VALUE_MEAN, VALUE_VAR, MOVE_SQUARE = range(4)
GAUGES = 4


def places(s: Sizes) -> tuple[Place, ...]:
    """List every array of a row, in the order the kernels take them.

    Args:
        s: the sizes.
    """
    n, d, k, m = s.inputs, s.states, s.frequencies, s.outputs
    q, e, r, g = s.horizons, s.experts, s.ring, s.gates
    weights = weight_count(s)
    f32, f64, i64 = "f32", "f64", "i64"
    rows = n + m + 1
    return (
        Place("weights", f32, (weights,), "w_in, w_heads, b_z, v, c"),
        Place("moment", f32, (weights,), "Adam's mean of gradients"),
        Place("moment2", f32, (weights,), "Adam's mean of squared gradients"),
        Place("tape_u", f32, (r, rows), "inputs of the gates: x, z before, 1"),
        Place("tape_gates", f32, (r, g), "activations of the gates, columns of w_in"),
        Place("tape_turned", f32, (r, k, 2 * d), "Re, Im of memory before, turned"),
        Place("tape_read", f32, (r, k, 3 * d), "A, Re R, Im R after the tick"),
        Place("tape_out", f32, (r, k, m), "tanh(W_z A + b_z)"),
        Place(
            "tape_turn", f32, (r, 3, k), "cos, sin of the rotation; tanh of its shift"
        ),
        Place("tape_tau", f32, (r,), "elapsed time in units, 1 by default"),
        Place("tape_z", f32, (r, m), "output z"),
        Place("labels", f32, (r, q), "matured labels, scaled; NaN until then"),
        Place("input_mean", f64, (n,), "of inputs, raw units"),
        Place("input_var", f64, (n,), "of inputs, raw units squared"),
        Place("input_count", f64, (n,), "values seen of each input"),
        Place("before", f64, (s.signals,), "signals of the last tick"),
        Place("moves", f64, (s.lags,), "past moves of the target, newest at MOVES"),
        Place("label_square", f64, (q,), "mean square of raw labels"),
        Place("label_count", f64, (q,), "labels seen"),
        Place("origin_value", f64, (r,), "target at the origin"),
        Place("origin_center", f64, (r, q), "what a scaled forecast of 0 means"),
        Place("origin_scale", f64, (r, q), "what a scaled forecast of 1 adds"),
        Place("origin_regressors", f64, (r, s.regressors), "see `experts`"),
        Place("origin_experts", f64, (r, q, e), "experts' scaled forecasts"),
        Place("origin_mixed", f64, (r, q), "their weighted mean, scaled"),
        Place("origin_bounds", f64, (r, q, 3), "mean, lower, upper in target units"),
        Place("errors", f64, (s.errors,), "of settled forecasts, newest at MISSES"),
        Place("theta", f64, (q, s.theta), "coefficients of least squares"),
        Place("cov", f64, (q, s.cov), "their inverse covariances, one after another"),
        Place("mix_weight", f64, (q, e), "experts' weights, sum 1"),
        Place("mix_regret", f64, (q, e), "discounted second-order regret"),
        Place("mix_square", f64, (q, e), "discounted squared regret"),
        Place("mix_bound", f64, (q, e), "largest regret of late"),
        Place("interval", f64, (q, 2 + 2 * ERRORS_KEPT), "see kernels/interval.py"),
        Place("gauges", f64, (GAUGES,), "median dt in ns; mean, variance, move"),
        Place("origin_time", i64, (r,), "ns"),
        Place("head_tick", i64, (q,), "oldest origin that waits"),
        Place("learned", i64, (q,), "oldest origin not learned from"),
        Place("counters", i64, (COUNTERS,), "see TICKS and its neighbours"),
    )


def table_places(s: Sizes) -> tuple[Place, ...]:
    """List what is fixed while a bank lives.

    Args:
        s: the sizes.
    """
    k = s.frequencies
    return (
        Place("turn", "f32", (3, k), "cos w, sin w, w in radians per tick"),
        Place("reach", "f32", (k,), "how far an adaptive frequency may move"),
        Place("prior", "f64", (s.experts,), "weights of the experts at birth"),
        Place("forgetting", "f64", (s.squares,), "factor of each least squares"),
        Place("squares", "i64", (s.squares, 5), "see `experts.squares`"),
        Place("signals", "i64", (s.signals, 5), "code and fields of each signal"),
        Place("target", "i64", (s.targets,), "signal of each target"),
        Place("inputs", "i64", (s.targets, s.inputs, 2), "code and signal of each"),
        Place("horizons", "i64", (s.horizons, 2), "ticks, ns"),
    )


def work_places(s: Sizes) -> tuple[Place, ...]:
    """List the room the kernels calculate in; nothing in it outlives a call.

    Args:
        s: the sizes.
    """
    k, d, m, f32 = s.frequencies, s.states, s.outputs, "f32"
    return (
        Place("gradient", f32, (weight_count(s),), "of the weights"),
        Place("delta", f32, (CHUNK, s.gates), "gradients of the gates"),
        Place("deltas", f32, (k, CHUNK, 2 * m), "gradients of the heads"),
        Place("reads", f32, (3 * d,), "gradients of A, Re, Im"),
        Place("carry", f32, (k, 2 * d), "gradients of Re, Im of the tick before"),
        Place("carry_z", f32, (m,), "gradients of z of the tick before"),
        Place("head", f32, (2 * m,), "heads of one frequency"),
        Place("forget", f32, (d,), "forget gate of one frequency"),
        Place("fade", f32, (2 * d,), "the same and its slope, going back"),
        Place("drive", f32, (d,), "g * i, what enters the memory"),
        Place("now", "f64", (s.signals,), "signals of the tick"),
        Place("product", "f64", (s.regressors,), "cov @ regressors"),
        Place("spans", "i64", (s.horizons, 3), "first swept, first, last origin"),
    )


def weight_count(s: Sizes) -> int:
    """Give the number of learned float32 weights of a row."""
    k, m = s.frequencies, s.outputs
    cell = (s.inputs + m + 1) * s.gates + k * s.head_rows * 2 * m + k * m
    return (cell + s.horizons * (m + 1)) * s.cell


@dataclass(frozen=True, slots=True)
class Layout:
    """All that is fixed while a bank lives.

    Attributes:
        sizes: see `Sizes`.
        knobs: see `Knobs`.
        settings: sizes, knobs and the offset `at_<name>` of every place as one
            structured record [1]; compiled code gets a single pointer.
        places: every array of a row.
        plan: how fields become inputs.
        tables: arena [1, ...] of `table_places`.
        omega: float64 [K], radians per tick.
    """

    sizes: Sizes
    knobs: Knobs
    settings: NDArray[np.void]
    places: tuple[Place, ...]
    plan: Plan
    tables: Arena
    omega: NDArray[np.float64]


def lay_out(config: Config, plan: Plan) -> Layout:
    """Lay out the rows of a bank.

    Raises:
        ConfigError: if the frequencies or memories cannot be, or a row is too large.
    """
    s = _sizes(config, plan)
    _expect_to_fit(s)
    omega = grids.frequencies(
        config.model.grid, config.model.frequencies, config.model.longest_period
    )
    knobs = Knobs(
        lr=config.learn.lr,
        clip=config.learn.clip,
        scale=float(config.features.scale),
        ridge=config.forecast.ridge,
        level=config.forecast.level,
        input_clip=config.forecast.input_clip,
    )
    return Layout(
        sizes=s,
        knobs=knobs,
        settings=_settings(s, knobs),
        places=places(s),
        plan=plan,
        tables=_tables(config, s, plan, omega),
        omega=omega,
    )


def size(layout: Layout, rows: int) -> int:
    """Give the bytes that a bank of so many rows takes.

    Args:
        layout: of the rows.
        rows: streams times targets.
    """
    return rows * row_size(layout.places) + row_size(work_places(layout.sizes))


def _expect_to_fit(s: Sizes) -> None:
    """Refuse sizes that no machine has room for, before any room is made.

    Raises:
        ConfigError: naming the largest array.
    """
    every = (*places(s), *work_places(s))
    total = row_size(places(s)) + row_size(work_places(s))
    if total > LARGEST_ROW:
        largest = max(every, key=lambda place: place.size)
        raise ConfigError(
            "model",
            f"expected at most {LARGEST_ROW >> 30} GiB per stream and target, "
            f"was {total >> 30:,} GiB, most of it {largest.name} {largest.shape}",
            "lower model.states, learn.window, features.lags or target.horizons",
        )


def _settings(s: Sizes, knobs: Knobs) -> NDArray[np.void]:
    at: dict[str, int] = {}
    for table in (places(s), table_places(s), work_places(s)):
        at |= {f"at_{name}": begin for name, begin in offsets(table).items()}
    values = s._asdict() | knobs._asdict() | at
    kinds = [(k, "f8" if k in Knobs._fields else "i8") for k in values]
    return np.array([tuple(values.values())], np.dtype(kinds))


def _tables(config: Config, s: Sizes, plan: Plan, omega: NDArray[np.float64]) -> Arena:
    table = table_places(s)
    made = arena(1, table)
    linear, forgetting = squares(config, s.inputs)
    for name, value in {
        "forgetting": forgetting,
        "squares": linear,
        "turn": np.stack([np.cos(omega), np.sin(omega), omega]),
        "reach": grids.spacing(omega),
        "prior": trust(config),
        "signals": plan.signals,
        "target": plan.target,
        "inputs": plan.inputs,
        "horizons": targets.horizon_table(config),
    }.items():
        view(made, table, name)[0] = value
    return made


def _sizes(config: Config, plan: Plan) -> Sizes:
    model, learn = config.model, config.learn
    experts = list(config.forecast.experts)
    n, m = int(plan.inputs.shape[1]), model.outputs
    cell = cell_sizes(config, n)
    lags = config.features.lags
    wait = targets.longest_wait(config)
    linear, _ = squares(config, n)
    s = Sizes(
        fields=len(plan.fields),
        signals=len(plan.signals),
        inputs=n,
        states=model.states,
        frequencies=model.frequencies,
        outputs=m,
        horizons=len(targets.horizon_table(config)),
        experts=len(experts),
        lags=lags,
        targets=len(plan.targets),
        # An update reaches back `window` ticks from the newest settled origin, and no
        # label waits longer than `every` <= `window` ticks to be learned from.
        ring=wait + learn.window + 2,
        window=learn.window,
        every=learn.every,
        max_pending=learn.max_pending,
        gates=cell.gate_columns,
        head_rows=cell.head_rows,
        adaptive=int(cell.adaptive),
        errors=config.features.errors,
        regressors=int(regressors(config, n)[-1]),
        squares=len(linear),
        theta=int(linear[:, SIZE].sum()),
        cov=int((linear[:, SIZE] ** 2).sum()),
        cell=int(uses_cell(config)),
        learns=int("sfm" in experts),
        predict=targets.PREDICT[config.target.predict],
        missing=MISSING[config.stream.missing],
        gap=GAPS[learn.gap],
        max_gap=config.stream.max_gap.ns,
        clocked=int(config.stream.clock == "time"),
        sfm_at=_index(experts, "sfm"),
        last_at=_index(experts, "last"),
        weights=0,
    )
    return s._replace(weights=weight_count(s))


def _index(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1


def cell_sizes(config: Config, inputs: int) -> parameters.Sizes:
    """Give the sizes of the cell that sees that many inputs."""
    model = config.model
    return parameters.Sizes(
        inputs=inputs,
        states=model.states,
        frequencies=model.frequencies,
        outputs=model.outputs,
        adaptive=model.cell == "a-sfm",
        phase=model.readout == "amplitude+phase",
        longest_period=model.longest_period,
        longest_memory=model.longest_memory,
    )


def split(s: Sizes, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Name the blocks of a flat vector of weights or gradients, sharing memory.

    Args:
        s: the sizes.
        flat: [weight_count].

    Returns:
        w_in [N+M+1, G], w_heads [K, Din, 2M], b_z [K, M], v [Q, M] and c [Q]: the
        linear heads on z.
    """
    n, k, m, q = s.inputs, s.frequencies, s.outputs, s.horizons
    shapes = {
        "w_in": (n + m + 1, s.gates),
        "w_heads": (k, s.head_rows, 2 * m),
        "b_z": (k, m),
        "v": (q, m),
        "c": (q,),
    }
    blocks, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        blocks[name] = flat[start : start + size].reshape(shape)
        start += size
    return blocks
