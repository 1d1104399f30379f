"""Stage 3: one step of the State-Frequency Memory, in float32.

The equations are those of `sfm_stream.cell.sfm`, which this is tested against. What the
backward pass needs is left in the tick's slot of the tape.
"""

# mypy: disable-error-code="no-untyped-def"
# Compiled functions carry no annotations: numba infers their types.

from __future__ import annotations

import math

import numpy as np

from sfm_stream.cell import birth
from sfm_stream.kernels.numeric import (
    ONE,
    ZERO,
    inline,
    jit,
    logistic,
    tanh,
    weighted_rows,
)
from sfm_stream.kernels.rows import bias_z, cube, matrix, vector, weights_heads
from sfm_stream.kernels.rows import weights_in

EPSILON = np.float32(birth.EPSILON)
FORGET_CAP = np.float32(birth.FORGET_CAP)
# A gate can saturate to exactly 0, whose power has no gradient.
TINY = np.float32(1.2e-38)


@jit
def step(s, tables, row, work, before, slot):
    """Advance the memory from slot `before` to `slot`, whose inputs u[:N] are set."""
    n, k, d, m = s.inputs, s.frequencies, s.states, s.outputs
    x = row.f32
    u = matrix(x, s.at_tape_u, s.ring, n + m + 1)[slot]
    gates = matrix(x, s.at_tape_gates, s.ring, s.gates)[slot]
    z = matrix(x, s.at_tape_z, s.ring, m)
    turn = cube(x, s.at_tape_turn, s.ring, 3, k)[slot]
    read = cube(x, s.at_tape_read, s.ring, k, 3 * d)
    turned = cube(x, s.at_tape_turned, s.ring, k, 2 * d)[slot]
    out = cube(x, s.at_tape_out, s.ring, k, m)[slot]
    tau = vector(x, s.at_tape_tau, s.ring)[slot]
    head = vector(work.f32, s.at_head, 2 * m)
    for j in range(m):
        u[n + j] = z[before, j]
    u[n + m] = ONE
    for j in range(s.gates):
        gates[j] = ZERO
    weighted_rows(u, weights_in(x, s.at_weights, s), gates)
    activate_gates(s, gates)
    rotate_by(s, tables, gates, tau, turn)
    advance_memory(s, gates, turn, tau, read[before], turned, read[slot])
    heads = weights_heads(x, s.at_weights, s)
    bias = bias_z(x, s.at_weights, s)
    for j in range(m):
        z[slot, j] = ZERO
    for f in range(k):
        begin = s.gates - (k - f) * m
        add_output(
            m, read[slot, f, : s.head_rows], heads[f], bias[f],
            gates[begin : begin + m], head, out[f], z[slot],
        )  # fmt: skip


@inline
def activate_gates(s, gates):
    """Squash f_ste, f_fre, g (logistic) and i, omega (tanh); o waits for its heads."""
    sigmoids = 2 * s.states + s.frequencies
    last = sigmoids + s.states + s.frequencies * s.adaptive
    for j in range(sigmoids):
        gates[j] = logistic(gates[j])
    for j in range(sigmoids, last):
        gates[j] = tanh(gates[j])


@inline
def rotate_by(s, tables, gates, tau, turn):
    """Write cos and sin of this tick's rotation, and the tanh of its shift."""
    fixed = matrix(tables.f32, s.at_turn, 3, s.frequencies)
    reach = vector(tables.f32, s.at_reach, s.frequencies)
    shift = 3 * s.states + s.frequencies
    for k in range(s.frequencies):
        if s.adaptive == 0 and s.clocked == 0:
            turn[0, k], turn[1, k] = fixed[0, k], fixed[1, k]
        else:
            w = fixed[2, k]
            if s.adaptive != 0:
                turn[2, k] = gates[shift + k]
                w += reach[k] * turn[2, k]
            turn[0, k] = math.cos(w * tau)
            turn[1, k] = math.sin(w * tau)


@inline
def advance_memory(s, gates, turn, tau, past, turned, now):
    """Turn, forget and drive the memory; leave A, Re, Im and what was turned.

    Shapes: past and now [K, 3D], turned [K, 2D], turn [3, K], gates [G].
    """
    d, g = s.states, s.states + s.frequencies
    i = g + d
    for k in range(s.frequencies):
        c, sn = turn[0, k], turn[1, k]
        kept = FORGET_CAP * gates[d + k]
        for j in range(d):
            re, im = past[k, d + j], past[k, 2 * d + j]
            turned[k, j] = c * re + sn * im
            turned[k, d + j] = c * im - sn * re
        for j in range(d):
            f = kept * gates[j]
            if s.clocked != 0:
                f = np.float32(max(f, TINY) ** tau)
            re = f * turned[k, j] + gates[g + j] * gates[i + j]
            im = f * turned[k, d + j]
            now[k, j] = math.sqrt(re * re + im * im + EPSILON)
            now[k, d + j] = re
            now[k, 2 * d + j] = im


@jit
def add_output(m, read, heads, bias, gates, head, out, z):
    """Add one frequency's gated output to z.

    Shapes: read [Din], heads [Din, 2M], bias, gates, out and z [M], head [2M].
    """
    for j in range(2 * m):
        head[j] = ZERO
    weighted_rows(read, heads, head)
    for j in range(m):
        gate = logistic(gates[j] + head[j])
        value = tanh(head[m + j] + bias[j])
        gates[j] = gate
        out[j] = value
        z[j] += gate * value


@jit
def amplitude(states, read, out):
    """Write the root mean square of A over the states: read [K, 3D], out [K]."""
    for k in range(len(read)):
        total = ZERO
        for d in range(states):
            total += read[k, d] * read[k, d]
        out[k] = math.sqrt(total / states)


@jit
def lose(s, tables, row, before, slot, units):
    """Carry the memory to `slot` over `units` ticks that nobody saw.

    It turns and decays by the forget gates of the last tick; endless units erase it.
    """
    d, k = s.states, s.frequencies
    gates = matrix(row.f32, s.at_tape_gates, s.ring, s.gates)[before]
    read = cube(row.f32, s.at_tape_read, s.ring, k, 3 * d)
    z = matrix(row.f32, s.at_tape_z, s.ring, s.outputs)
    omega = matrix(tables.f32, s.at_turn, 3, k)[2]
    for f in range(k):
        angle = omega[f] * units if math.isfinite(units) else 0.0
        c, sn = math.cos(angle), math.sin(angle)
        for j in range(d):
            decay = float(FORGET_CAP * gates[j] * gates[d + f]) ** units
            re, im = read[before, f, d + j], read[before, f, 2 * d + j]
            read[slot, f, d + j] = decay * (c * re + sn * im)
            read[slot, f, 2 * d + j] = decay * (c * im - sn * re)
    for j in range(s.outputs):
        z[slot, j] = z[before, j] if math.isfinite(units) else ZERO
