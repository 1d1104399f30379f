"""Stage 3: one step of the State-Frequency Memory, in float32.

The equations are those of `sfm_stream.cell.sfm`, which this is tested against. What the
backward pass needs is left in the tick's slot of the tape.
"""

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
from sfm_stream.kernels.rows import (
    bias_z,
    cube,
    matrix,
    vector,
    weights_heads,
    weights_in,
)

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
    forget = vector(work.f32, s.at_forget, d)
    advance_memory(s, gates, turn, tau, read[before], turned, read[slot], forget)
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


@jit
def advance_memory(s, gates, turn, tau, past, turned, now, forget):
    """Turn, forget and drive the memory; leave A, Re, Im and what was turned.

    Shapes: past and now [K, 3D], turned [K, 2D], turn [3, K], gates [G], forget [D].
    """
    d, clocked = s.states, s.clocked
    ste, fre = gates[:d], gates[d : d + s.frequencies]
    g, i = gates[d + s.frequencies :], gates[2 * d + s.frequencies :]
    for k in range(s.frequencies):
        rotate(d, turn[0, k], turn[1, k], past[k, d:], past[k, 2 * d :],
               turned[k], turned[k, d:])  # fmt: skip
        kept = FORGET_CAP * fre[k]
        for j in range(d):
            forget[j] = kept * ste[j]
        if clocked != 0:
            for j in range(d):
                forget[j] = max(forget[j], TINY) ** tau
        drive(d, forget, turned[k], g, i, now[k, d:])
        for j in range(d):
            now[k, 2 * d + j] = forget[j] * turned[k, d + j]
        measure(d, now[k, d:], now[k, 2 * d :], now[k])


@jit
def rotate(d, c, s, re, im, re_out, im_out):
    """Turn D complex numbers by the angle whose cos is c and whose sin is -s."""
    for j in range(d):
        x, y = re[j], im[j]
        re_out[j] = c * x + s * y
        im_out[j] = c * y - s * x


@inline
def drive(d, forget, turned, g, i, out):
    """Write f * turned + g * i, all [D]."""
    for j in range(d):
        out[j] = forget[j] * turned[j] + g[j] * i[j]


@inline
def measure(d, re, im, out):
    """Write A = |R|, with a gradient even at 0."""
    for j in range(d):
        out[j] = math.sqrt(re[j] * re[j] + im[j] * im[j] + EPSILON)


@jit
def add_output(m, read, heads, bias, gates, head, out, z):
    """Add one frequency's gated output to z.

    Shapes: read [Din], heads [Din, 2M], bias, gates, out and z [M], head [2M].
    """
    for j in range(2 * m):
        head[j] = ZERO
    weighted_rows(read, heads, head)
    value = head[m:]
    for j in range(m):
        gates[j] = logistic(gates[j] + head[j])
    for j in range(m):
        out[j] = tanh(value[j] + bias[j])
    for j in range(m):
        z[j] += gates[j] * out[j]


@jit
def amplitude(states, read, out):
    """Write the root mean square of A over the states: read [K, 3D], out [K]."""
    for k in range(len(read)):
        total = ZERO
        for d in range(states):
            total += read[k, d] * read[k, d]
        out[k] = math.sqrt(total / np.float32(states))


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
