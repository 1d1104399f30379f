"""Every array of a row by name, shape and unit, and the sizes that determine them.

Compiled code finds the arrays by the offsets `at_<name>` in `layout.Layout.settings`.
"""

from __future__ import annotations

from typing import NamedTuple

from sfm_stream.state.arena import Place

GAPS = {"decay": 0, "reset": 1, "keep": 2}
GAP_DECAY, GAP_RESET, GAP_KEEP = range(3)
# Number of trackers of an interval's width, and of running means of the absolute error.
# Number of regressors of the error's scale: a constant, logs of these means and of
# three means of moves.
TRACKERS, PACES = 2, 4
SIGHT = 1 + PACES + 3
# The largest number of ticks of a day for a season, and the days whose values are kept.
SLOTS, DAYS_KEPT = 288, 8
# Ridge of the regression of the error's scale at birth.
SPREAD_RIDGE = 1.0
# The state of a level: logarithms of the trackers' widths, the state of their mixture,
# and the logarithm of its correction.
LOG_WIDTH, WEIGHT, REGRET, SQUARE, BOUND, CORRECTION = range(6)
TRACKED = 6
# Ticks whose weight gradients are formed in one pass.
CHUNK = 32
MISSING = {"void": 0, "hold": 1, "mean": 2}
MISSING_VOID, MISSING_HOLD, MISSING_MEAN = range(3)


class Sizes(NamedTuple):
    """The whole numbers that determine the shapes and branches of the compiled tick."""

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
    levels: int  # L: intervals
    bounds: int  # a forecast's mean and its intervals' ends
    ring: int  # R: slots of stored ticks; the last slot is for a peek
    kept: int  # windows of the past that can be learned again
    window: int  # h
    every: int  # h'
    late: int  # most ticks from the begin to the end of a striped update, else 0
    max_pending: int
    gates: int  # G: columns of w_in
    head_rows: int  # Din
    adaptive: int
    errors: int  # R
    regressors: int  # P: of all experts of least squares together
    z_seen: int  # regressors from the cell
    seasons: int  # regressors of the season
    squares: int  # E': experts of least squares
    theta: int  # coefficients of all of them
    cov: int  # elements of the covariances of all of them
    cell: int  # whether any expert needs the cell
    learns: int  # whether the expert `sfm` is used: only its loss has a gradient
    predict: int
    missing: int
    gap: int
    max_gap: int  # ns, 0 for no limit
    clocked: int  # whether the memory turns with time, not with ticks
    sfm_at: int  # number of the expert, or -1
    last_at: int
    shared: int  # whether all streams have one cell
    helpers: int  # number of signals that a target chooses for itself
    screened: int  # ticks before this choice
    weights: int  # learned float32 weights of a row


# Scalars of a row, in order, in the arrays `counters` and `gauges`.
(
    TICKS, LAST_TIME, SINCE_UPDATE, SEGMENT, FRESH, FROZEN, VERSION, ADAM_STEP,
    MOVES, SEEN, MISSES, LABELLED, BACK, BACK_TIME, DRAWS, OFFERED, KEPT_FROM, STEP,
    STEADY, TICKS_OF_DAY, SEASON_TICKS,
) = range(21)  # fmt: skip
COUNTERS = 21
UNIT_NS, VALUE_MEAN, VALUE_VAR, MOVE_SQUARE = range(4)
GAUGES = 4
# The statistics of a signal: its last change; the sums of its squared changes, of its
# changes times the target's next move, and of its changes times the target's change.
CHANGED, SQUARES, WITH_MOVE, WITH_OWN = range(4)
SCREEN = 4
# The longest period of the search, in ticks; the level of the values, and the number of
# values seen.
LONGEST_PERIOD = 512
LEVEL, LOOKED_AT = range(2)
PERIOD = 2
# The state of a striped update, in the array `stripe`: the next stage, the next tick of
# the stage, the numbers of labels of its new and of its old window, the ticks of a
# piece, and TICKS at the last piece.
STAGE, NEXT, LABELS, KNOWN, PIECE, DONE = range(6)
STRIPE = 6
# The state of a shared cell, in the array `sharing`: the step that a row has joined,
# and the numbers of gradients of new and of old labels summed in its home row.
JOINED, NEW, OLD = range(3)
SHARING = 3


def places(s: Sizes) -> tuple[Place, ...]:
    """List every array of a row, arena by arena.

    Args:
        s: the sizes.
    """
    return (
        *_cells(s),
        *_kept(s),
        *_stripe(s),
        *_scales(s),
        *_screen(s),
        *_origins(s),
        *_learned(s),
        *_season(s),
        *_period(),
        *_counts(s),
    )


def _cells(s: Sizes) -> tuple[Place, ...]:
    """List the arrays of the cell: its weights, and the tape of its last ticks."""
    n, d, k, m = s.inputs, s.states, s.frequencies, s.outputs
    q, r, g = s.horizons, s.ring, s.gates
    weights, rows, f32 = weight_count(s), n + m + 1, "f32"
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
        Place(
            "pool", f32, (2 * weights * s.shared,), "sums of a shared cell's gradients"
        ),
    )


def _kept(s: Sizes) -> tuple[Place, ...]:
    """List the windows of the past, see `kernels.learning.reservoir`."""
    n, d, k, m = s.inputs, s.states, s.frequencies, s.outputs
    q, f32 = s.horizons, "f32"
    return (
        Place("kept_u", f32, (s.kept, s.window, n), "inputs of kept windows"),
        Place("kept_tau", f32, (s.kept, s.window), "elapsed time in units"),
        Place("kept_labels", f32, (s.kept, s.window, q), "labels, scaled; NaN: none"),
        Place("kept_memory", f32, (s.kept, k, 2 * d), "Re, Im of memory before them"),
        Place("kept_z", f32, (s.kept, m), "output z before them"),
    )


def _stripe(s: Sizes) -> tuple[Place, ...]:
    """List the state of a striped update, see `kernels.learning.stripe`."""
    striped = int(s.late > 0)
    # a striped update runs a window again with the row's own weights
    held = (p for p in held_places(s) if p.name != "again_weights")
    return (
        *(_only(p._replace(name=f"stripe_{p.name}"), striped) for p in held),
        Place("stripe_loss", "f64", (striped,), "sum of squares so far"),
        Place("stripe", "i64", (STRIPE * striped,), "see STAGE and its neighbours"),
    )


def _only(place: Place, there: int) -> Place:
    """Give a place, or an empty place of its name if `there` is 0.

    So the record of settings has the same fields for all sizes; else the tick would be
    compiled a second time.
    """
    return place if there else place._replace(shape=(0,))


def _scales(s: Sizes) -> tuple[Place, ...]:
    """List the running statistics that scale inputs and labels."""
    n, q, f64 = s.inputs, s.horizons, "f64"
    return (
        Place("input_base", f64, (n,), "the first value of each input, raw units"),
        Place("input_mean", f64, (n,), "of inputs, from their first value on"),
        Place("input_var", f64, (n,), "of inputs, raw units squared"),
        Place("input_count", f64, (n,), "values seen of each input"),
        Place("before", f64, (s.signals,), "signals of the last tick"),
        Place("moves", f64, (s.lags,), "past moves of the target, newest at MOVES"),
        Place("label_square", f64, (q,), "mean square of raw labels"),
        Place("label_count", f64, (q,), "labels seen"),
        Place("gauges", f64, (GAUGES,), "median dt in ns; mean, variance, move"),
    )


def _screen(s: Sizes) -> tuple[Place, ...]:
    """List the statistics for the choice of helpers, see `kernels.inputs.screen`."""
    signals, f64 = s.signals * min(s.helpers, 1), "f64"
    return (
        Place("screen", f64, (signals, SCREEN), "see CHANGED and its neighbours"),
        Place("screen_count", f64, (min(s.helpers, 1),), "ticks looked at; -1: chosen"),
        Place("helpers", f64, (s.helpers,), "numbers of the signals chosen; -1: none"),
    )


def _origins(s: Sizes) -> tuple[Place, ...]:
    """List the values kept for each origin until its labels settle."""
    q, e, r, f64 = s.horizons, s.experts, s.ring, "f64"
    return (
        Place("origin_value", f64, (r,), "target at the origin"),
        Place("origin_center", f64, (r, q), "what a scaled forecast of 0 means"),
        Place("origin_scale", f64, (r, q), "what a scaled forecast of 1 adds"),
        Place("origin_regressors", f64, (r, s.regressors), "see `experts`"),
        Place("origin_experts", f64, (r, q, e), "experts' scaled forecasts"),
        Place("origin_mixed", f64, (r, q), "their weighted mean, scaled"),
        Place("origin_bounds", f64, (r, q, s.bounds), "mean, quantiles; target units"),
        Place("origin_sight", f64, (r, q, SIGHT), "see `interval.look_at_moves`"),
        Place(
            "origin_widths", f64, (r, q, s.levels, TRACKERS + 1), "see `interval.say`"
        ),
        Place("origin_season", f64, (r, q, s.seasons), "of the regressors"),
    )


def _learned(s: Sizes) -> tuple[Place, ...]:
    """List the learned state of the experts, their mixture and the intervals."""
    q, e, f64 = s.horizons, s.experts, "f64"
    return (
        Place("errors", f64, (s.errors,), "of settled forecasts, newest at MISSES"),
        Place("theta", f64, (q, s.theta), "coefficients of least squares"),
        Place(
            "cov",
            f64,
            (q, s.cov),
            "their covariances, of which the lower halves count",
        ),
        Place("mix_weight", f64, (q, e), "experts' weights, sum 1"),
        Place("mix_regret", f64, (q, e), "discounted second-order regret"),
        Place("mix_square", f64, (q, e), "discounted squared regret"),
        Place("mix_bound", f64, (q, e), "largest regret of late"),
        Place("quick_regret", f64, (q, e), "the three of the quick memory"),
        Place("quick_square", f64, (q, e), "discounted squared regret"),
        Place("quick_bound", f64, (q, e), "largest regret of late"),
        Place("interval", f64, (q, 1 + PACES), "scores; running means of |error|"),
        Place("trackers", f64, (q, s.levels, TRACKED, TRACKERS), "log half-widths"),
        Place("spread_theta", f64, (q, SIGHT), "coefficients of log |error|"),
        Place("spread_cov", f64, (q, SIGHT, SIGHT), "their covariance"),
    )


def _season(s: Sizes) -> tuple[Place, ...]:
    """List the values and labels of other days, see `kernels.inputs.season`."""
    q, slots, f64, i64 = s.horizons, SLOTS * min(s.seasons, 1), "f64", "i64"
    return (
        Place("season_mean", f64, (q, slots, 3), "labels by time of day, and how many"),
        Place("season_value", f64, (slots * DAYS_KEPT,), "target by time"),
        Place("season_time", i64, (slots * DAYS_KEPT,), "ns, of those values"),
    )


def _period() -> tuple[Place, ...]:
    """List the statistics for the period, see `kernels.inputs.period`."""
    return (
        Place("period_past", "f64", (LONGEST_PERIOD,), "values less their level"),
        Place("period_products", "f64", (LONGEST_PERIOD + 1,), "their mean, by lag"),
        Place("period_gauges", "f64", (PERIOD,), "see LEVEL and its neighbour"),
    )


def _counts(s: Sizes) -> tuple[Place, ...]:
    """List the numbers of ticks and the counters."""
    q, r, i64 = s.horizons, s.ring, "i64"
    return (
        Place("origin_time", i64, (r,), "ns"),
        Place("head_tick", i64, (q,), "oldest origin that waits"),
        Place("learned", i64, (q,), "oldest origin not learned from"),
        Place("counters", i64, (COUNTERS,), "see TICKS and its neighbours"),
        Place("sharing", i64, (SHARING * s.shared,), "see JOINED and its neighbours"),
    )


def table_places(s: Sizes) -> tuple[Place, ...]:
    """List the tables, which are the same for all rows and do not change.

    Args:
        s: the sizes.
    """
    k = s.frequencies
    return (
        Place("turn", "f32", (3, k), "cos w, sin w, w in radians per tick"),
        Place("reach", "f32", (k,), "how far an adaptive frequency may move"),
        Place("prior", "f64", (s.experts,), "weights of the experts at birth"),
        Place("forgetting", "f64", (s.squares,), "factor of each least squares"),
        Place("clips", "f64", (s.squares,), "of each least squares, deviations"),
        Place("ridges", "f64", (s.theta,), "see `experts.ridges`"),
        Place("levels", "f64", (s.levels,), "of the intervals, rising"),
        Place("usual", "f64", (s.levels,), "half-widths of normal errors"),
        Place("even", "f64", (TRACKERS,), "weights of the trackers at birth"),
        Place("squares", "i64", (s.squares, 5), "see `experts.squares`"),
        Place("signals", "i64", (s.signals, 5), "code and fields of each signal"),
        Place("target", "i64", (s.targets,), "signal of each target"),
        Place("inputs", "i64", (s.targets, s.inputs, 2), "code and signal of each"),
        Place("horizons", "i64", (s.horizons, 2), "ticks, ns"),
    )


def work_places(s: Sizes) -> tuple[Place, ...]:
    """List the work arrays of the kernels; their contents do not outlive a call.

    Args:
        s: the sizes.
    """
    k, d, m, f32 = s.frequencies, s.states, s.outputs, "f32"
    return (
        *held_places(s),
        Place("delta", f32, (CHUNK, s.gates), "gradients of the gates"),
        Place("deltas", f32, (k, CHUNK, 2 * m), "gradients of the heads"),
        Place("reads", f32, (3 * d,), "gradients of A, Re, Im"),
        Place("head", f32, (2 * m,), "heads of one frequency"),
        Place("forget", f32, (d,), "forget gate of one frequency"),
        Place("fade", f32, (2 * d,), "the same and its slope, going back"),
        Place("drive", f32, (d,), "g * i, what enters the memory"),
        Place("now", "f64", (s.signals,), "signals of the tick"),
        Place("seen", "f64", (s.regressors,), "regressors as an expert clips them"),
        Place("product", "f64", (max(s.regressors, SIGHT),), "cov @ regressors"),
        Place("sight", "f64", (SIGHT,), "see `interval.look_at_moves`"),
        Place("quick_weight", "f64", (s.experts,), "what the quick memory trusts"),
    )


def held_places(s: Sizes) -> tuple[Place, ...]:
    """List the work arrays that hold an update from its begin to its end.

    A striped update outlives a call, so these arrays are in the row then.
    """
    k, d, m, f32 = s.frequencies, s.states, s.outputs, "f32"
    return (
        *again_places(s),
        Place("gradient", f32, (weight_count(s),), "of the weights"),
        Place("carry", f32, (k, 2 * d), "gradients of Re, Im of the tick before"),
        Place("carry_z", f32, (m,), "gradients of z of the tick before"),
        Place("spans", "i64", (s.horizons, 3), "first swept, first, last origin"),
    )


def again_places(s: Sizes) -> tuple[Place, ...]:
    """List the arrays of a row with room for one window and the tick before it.

    Args:
        s: the sizes.
    """
    return tuple(
        _only(place._replace(name=f"again_{place.name}"), s.kept)
        for place in _cells(again_sizes(s))
        if place.name.startswith("tape_") or place.name in {"weights", "labels"}
    )


def again_sizes(s: Sizes) -> Sizes:
    """Give the sizes of a row with room for one window and the tick before it."""
    # The last slot of the ring is for a peek, as in every row.
    return s._replace(ring=s.window + 2)


def weight_count(s: Sizes) -> int:
    """Give the number of learned float32 weights of a row."""
    k, m = s.frequencies, s.outputs
    cell = (s.inputs + m + 1) * s.gates + k * s.head_rows * 2 * m + k * m
    return (cell + s.horizons * (m + 1)) * s.cell
