"""The arguments of compiled code, and views of named arrays in an arena.

    u = matrix(row.f32, s.at_tape_u, s.ring, s.inputs + s.outputs + 1)

gives the array `tape_u` of `layout.places`. `row`, `tables` and `work` are each one row
of an `Arena`; `s` is the record `Layout.settings`. Tuples of many arrays would work
too, but would take minutes to compile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import lower_builtin, type_callable
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

from sfm_stream.jit.scalars import inline
from sfm_stream.state.arena import Arena
from sfm_stream.state.places import Sizes


class Events(NamedTuple):
    """T events as columns; see `sfm_stream.events.Block`."""

    kind: Any
    stream: Any
    row: Any  # the first row of the stream, ALL_ROWS, NO_ROW or NO_ROOM
    time: Any
    values: Any
    code: Any
    seq: Any


class Out(NamedTuple):
    """The buffers for records; `counts` holds the number of records of each kind."""

    forecast_int: Any  # seq, row, horizon, origin, time, due
    forecast_num: Any  # mean, quantiles [2L], weights [E], amplitude [K]
    score_int: Any  # seq, row, horizon, origin, time, covered
    score_num: Any  # truth, mean, naive, winkler, crps
    notice_int: Any  # kind, seq, row or stream, and three numbers that depend on kind
    notice_num: Any  # loss, norm
    counts: Any  # forecasts, scores, notices


ALL_ROWS, NO_ROW, NO_ROOM = -1, -2, -3


def plain(column: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    """Give a column in the form for compiled code; copy it only if needed.

    For another memory order or type, or a read-only column, numba would compile the
    tick a second time, and separately compiled code differs in the last bits.
    """
    if column.dtype == kind and column.flags.carray:
        return column
    return np.require(column, kind, ["C", "W"])


def room(s: Sizes, records: int) -> Out:
    """Make buffers for the records of `records` ticks."""
    each = records * s.horizons * s.targets
    notices = each + s.helpers * s.targets  # all targets choose helpers at one tick
    return Out(
        forecast_int=np.zeros((each, 6), np.int64),
        forecast_num=np.zeros((each, s.bounds + s.experts + s.frequencies)),
        score_int=np.zeros((each, 6), np.int64),
        score_num=np.zeros((each, 5)),
        notice_int=np.zeros((notices, 6), np.int64),
        notice_num=np.zeros((notices, 2)),
        counts=np.zeros(3, np.int64),
    )


@inline
def arena_row(arena, b):
    """Give row b of an arena."""
    return Arena(arena.f32[b], arena.f64[b], arena.i64[b])


@inline
def vector(flat, at, i):
    """Give i elements from `at` on."""
    return flat[at : at + i]


def matrix(flat, at, i, j):
    """Give i x j elements from `at` on."""
    return flat[at : at + i * j].reshape(i, j)


def cube(flat, at, i, j, k):
    """Give i x j x k elements from `at` on."""
    return flat[at : at + i * j * k].reshape(i, j, k)


@type_callable(matrix)
def _matrix(context: Any) -> Any:
    return lambda flat, at, i, j: types.Array(flat.dtype, 2, "C")


@type_callable(cube)
def _cube(context: Any) -> Any:
    return lambda flat, at, i, j, k: types.Array(flat.dtype, 3, "C")


def _seen(context: Any, builder: Any, signed: Any, given: Any) -> Any:
    """View part of a contiguous array, from one element on, in another shape.

    `reshape` does the same, but calls a C function first, which takes 20 ns.
    """
    flat, at, *sides = given
    data = context.make_array(signed.args[0])(context, builder, flat).data
    item = context.get_abi_sizeof(context.get_data_type(signed.return_type.dtype))
    size = context.get_constant(types.intp, item)
    steps = [size]
    for side in reversed(sides[1:]):
        steps.insert(0, builder.mul(steps[0], side))
    made = context.make_array(signed.return_type)(context, builder)
    first = builder.gep(data, [at])
    populate_array(made, first, sides, steps, size, meminfo=None)
    return made._getvalue()  # noqa: SLF001 numba's proxies have no other way out


lower_builtin(matrix, types.Array, *[types.Integer] * 3)(_seen)
lower_builtin(cube, types.Array, *[types.Integer] * 4)(_seen)


@inline
def weights_in(flat, at, s):
    """Give w_in [N+M+1, G] of the weights or gradient that begin at `at`."""
    return matrix(flat, at, s.inputs + s.outputs + 1, s.gates)


@inline
def weights_heads(flat, at, s):
    """Give w_heads [K, Din, 2M]."""
    begin = at + (s.inputs + s.outputs + 1) * s.gates
    return cube(flat, begin, s.frequencies, s.head_rows, 2 * s.outputs)


@inline
def bias_z(flat, at, s):
    """Give b_z [K, M]."""
    begin = at + (s.inputs + s.outputs + 1) * s.gates
    begin += s.frequencies * s.head_rows * 2 * s.outputs
    return matrix(flat, begin, s.frequencies, s.outputs)


@inline
def linear_heads(flat, at, s):
    """Give v [Q, M], the linear heads."""
    begin = at + s.weights - s.horizons * (s.outputs + 1)
    return matrix(flat, begin, s.horizons, s.outputs)


@inline
def linear_biases(flat, at, s):
    """Give c [Q], the constants of the linear heads."""
    return vector(flat, at + s.weights - s.horizons, s.horizons)
