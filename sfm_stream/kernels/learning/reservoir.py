"""The reservoir: stored windows of the past, to learn from them again.

A window holds the inputs and elapsed times of its ticks, the labels, and the memory
before its first tick. While there is room all windows are stored. Then they form a
reservoir: a new window replaces one drawn at random, with a probability such that all
windows of the past are equally likely to be stored (Vitter, Random sampling with a
reservoir, ACM TOMS 11, 1985). After LONGEST windows this probability stays constant, so
that old windows disappear in time. The draws come from a generator that is part of the
state.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import inline, jit
from sfm_stream.kernels.rows import cube, matrix, vector
from sfm_stream.state.places import (
    COUNTERS,
    DRAWS,
    KEPT_FROM,
    OFFERED,
    SEGMENT,
    TICKS,
)

LONGEST = 10_000
# The generator of Park and Miller, Random number generators: good ones are hard to
# find, Communications of the ACM 31, 1988, with their later multiplier.
MULTIPLIER, MODULUS = 48_271, 2_147_483_647


@inline
def draw(counters, count):
    """Draw the next whole number below `count` from the row's generator."""
    counters[DRAWS] = counters[DRAWS] * MULTIPLIER % MODULUS
    return counters[DRAWS] % count


@jit
def offer(s, row):
    """Store the newest window with all labels settled, if none of it was stored."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    stop = head[0]
    for q in range(1, s.horizons):
        stop = min(stop, head[q])
    first = stop - s.window
    # The memory before the window must be on the tape, and in the same segment.
    oldest = max(counters[SEGMENT], counters[TICKS] - s.ring + 1) + 1
    if first < counters[KEPT_FROM] or first < oldest:
        return
    counters[KEPT_FROM] = stop
    place = counters[OFFERED]
    if place >= s.kept:
        place = draw(counters, min(place + 1, LONGEST))
    counters[OFFERED] += 1
    if place < s.kept:
        store(s, row, place, first)


@inline
def store(s, row, place, first):
    """Copy the window that begins at tick `first` from the tape."""
    x, slots, n, d = row.f32, s.ring - 1, s.inputs, s.states
    u = matrix(x, s.at_tape_u, s.ring, n + s.outputs + 1)
    labels = matrix(x, s.at_labels, s.ring, s.horizons)
    kept_u = cube(x, s.at_kept_u, s.kept, s.window, n)[place]
    kept_tau = matrix(x, s.at_kept_tau, s.kept, s.window)[place]
    kept_labels = cube(x, s.at_kept_labels, s.kept, s.window, s.horizons)[place]
    for t in range(s.window):
        slot = (first + t) % slots
        for j in range(n):
            kept_u[t, j] = u[slot, j]
        kept_tau[t] = x[s.at_tape_tau + slot]
        for q in range(s.horizons):
            kept_labels[t, q] = labels[slot, q]
    before = (first - 1) % slots
    read = cube(x, s.at_tape_read, s.ring, s.frequencies, 3 * d)[before]
    memory = cube(x, s.at_kept_memory, s.kept, s.frequencies, 2 * d)[place]
    for k in range(s.frequencies):
        for j in range(2 * d):
            memory[k, j] = read[k, d + j]
    z = matrix(x, s.at_tape_z, s.ring, s.outputs)[before]
    kept_z = matrix(x, s.at_kept_z, s.kept, s.outputs)[place]
    for j in range(s.outputs):
        kept_z[j] = z[j]


@jit
def fetch(s, again, row, work):
    """Draw a window of the past and copy it to the second tape.

    The memory before the window goes to slot 0, its ticks to slots 1 to `window`. The
    draw is among all windows of the past. If the drawn window is not stored, there is
    nothing to learn: otherwise the model would overfit the few stored windows.

    Returns:
        The number of labels in the window; 0 if it is not stored.
    """
    counters = vector(row.i64, s.at_counters, COUNTERS)
    count = min(counters[OFFERED], LONGEST)
    if count == 0:
        return 0
    place = draw(counters, count)
    if place >= s.kept:
        return 0
    x, tape, n, d = row.f32, work.f32, s.inputs, s.states
    u = matrix(tape, again.at_tape_u, again.ring, n + s.outputs + 1)
    labels = matrix(tape, again.at_labels, again.ring, s.horizons)
    kept_u = cube(x, s.at_kept_u, s.kept, s.window, n)[place]
    kept_tau = matrix(x, s.at_kept_tau, s.kept, s.window)[place]
    kept_labels = cube(x, s.at_kept_labels, s.kept, s.window, s.horizons)[place]
    known = 0
    for t in range(s.window):
        for j in range(n):
            u[t + 1, j] = kept_u[t, j]
        tape[again.at_tape_tau + t + 1] = kept_tau[t]
        for q in range(s.horizons):
            labels[t + 1, q] = kept_labels[t, q]
            known += 0 if math.isnan(kept_labels[t, q]) else 1
    read = cube(tape, again.at_tape_read, again.ring, s.frequencies, 3 * d)[0]
    memory = cube(x, s.at_kept_memory, s.kept, s.frequencies, 2 * d)[place]
    for k in range(s.frequencies):
        for j in range(2 * d):
            read[k, d + j] = memory[k, j]
    z = matrix(tape, again.at_tape_z, again.ring, s.outputs)[0]
    kept_z = matrix(x, s.at_kept_z, s.kept, s.outputs)[place]
    for j in range(s.outputs):
        z[j] = kept_z[j]
    return known
