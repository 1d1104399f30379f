"""Stage 3: one step of the State-Frequency Memory, in float32.

The equations are those of `sfm_stream.cell.step`; the tests compare the two. The values
for the backward pass are stored in the tick's slot of the tape.
"""

from __future__ import annotations

import math

import numpy as np

from sfm_stream.cell import parameters
from sfm_stream.jit.lanes import LANES, fma, load, root, splat, store
from sfm_stream.jit.scalars import (
    ONE,
    ZERO,
    inline,
    jit,
    logistic,
    logistic_lanes,
    tanh,
    tanh_lanes,
)
from sfm_stream.kernels.memory.products import weighted_rows
from sfm_stream.kernels.rows import (
    bias_z,
    cube,
    matrix,
    vector,
    weights_heads,
    weights_in,
)

EPSILON = np.float32(parameters.EPSILON)
FORGET_CAP = np.float32(parameters.FORGET_CAP)
# The least base of a power: a gate can saturate to exactly 0, where it has no gradient.
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
    forget, drive = vector(work.f32, s.at_forget, d), vector(work.f32, s.at_drive, d)
    advance_memory(s, gates, turn, tau, read[before], turned, read[slot], forget, drive)
    heads = weights_heads(x, s.at_weights, s)
    bias = bias_z(x, s.at_weights, s)
    for j in range(m):
        z[slot, j] = ZERO
    for f in range(k):
        begin = s.gates - (k - f) * m
        for j in range(2 * m):
            head[j] = ZERO
        weighted_rows(read[slot, f, : s.head_rows], heads[f], head)
        add_output(m, bias[f], head, gates[begin : begin + m], out[f], z[slot])


@inline
def activate_gates(s, gates):
    """Apply logistic to f_ste, f_fre and g, and tanh to i and omega; o comes later."""
    sigmoids = 2 * s.states + s.frequencies
    last = sigmoids + s.states + s.frequencies * s.adaptive
    for j in range(sigmoids):
        gates[j] = logistic(gates[j])
    for j in range(sigmoids, last):
        gates[j] = tanh(gates[j])


@inline
def rotate_by(s, tables, gates, tau, turn):
    """Compute cos and sin of this tick's rotation, and the tanh of its shift."""
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
def advance_memory(s, gates, turn, tau, past, turned, now, forget, drive):
    """Rotate the memory, forget, and add the input; store A, Re, Im.

    `turned` receives the rotated memory. Shapes: past and now [K, 3D], turned [K, 2D],
    turn [3, K], gates [G], forget and drive [D].
    """
    d = s.states
    ste, fre = gates[:d], gates[d : d + s.frequencies]
    g, i = gates[d + s.frequencies :], gates[2 * d + s.frequencies :]
    whole = d - d % LANES
    for j in range(d):
        drive[j] = g[j] * i[j]
    for k in range(s.frequencies):
        kept, c, sn = FORGET_CAP * fre[k], turn[0, k], turn[1, k]
        for j in range(d):
            forget[j] = kept * ste[j]
        if s.clocked != 0:
            for j in range(d):
                forget[j] = max(forget[j], TINY) ** tau
        for j in range(0, whole, LANES):
            remember(d, j, LANES, c, sn, past[k], turned[k], now[k], forget, drive)
        if whole < d:
            left = d - whole
            remember(d, whole, left, c, sn, past[k], turned[k], now[k], forget, drive)


@inline
def remember(d, j, left, c, sn, past, turned, now, forget, drive):
    """Advance eight states from j on: past, now [3D], turned [2D], forget, drive [D].

    EPSILON gives A = |R| a finite gradient at 0.
    """
    x, y = load(past, d + j, left), load(past, 2 * d + j, left)
    re, im = c * x + sn * y, c * y - sn * x
    store(turned, j, left, re)
    store(turned, d + j, left, im)
    kept = load(forget, j, left)
    re, im = fma(kept, re, load(drive, j, left)), kept * im
    store(now, j, left, root(fma(re, re, fma(im, im, splat(EPSILON)))))
    store(now, d + j, left, re)
    store(now, 2 * d + j, left, im)


@jit
def add_output(m, bias, head, gates, out, z):
    """Add one frequency's gated output to z.

    Shapes: bias, gates, out and z [M], head [2M].
    """
    whole = m - m % LANES
    for j in range(0, whole, LANES):
        gate_output(m, j, LANES, bias, head, gates, out, z)
    if whole < m:
        gate_output(m, whole, m - whole, bias, head, gates, out, z)


@inline
def gate_output(m, j, left, bias, head, gates, out, z):
    """Compute eight gated outputs from j on."""
    gate = logistic_lanes(load(gates, j, left) + load(head, j, left))
    value = tanh_lanes(load(head, m + j, left) + load(bias, j, left))
    store(gates, j, left, gate)
    store(out, j, left, value)
    store(z, j, left, fma(gate, value, load(z, j, left)))


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
    """Carry the memory to `slot` over a gap of `units` unseen ticks.

    The memory rotates, and decays by the forget gates of the last tick; infinite
    `units` erase it.
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
