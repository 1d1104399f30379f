"""Stage 6: truncated back-propagation through time over the stored activations.

Each label contributes once, at the first update after it matured. The gradient of a
horizon's labels flows back over the `learn.window` ticks that end at its newest labelled
origin; the windows of several horizons are swept together, newest tick first. Activations
are those of the tick, weights those of now (BPTT(h; h'), Williams and Peng, Neural
Computation 2, 1990).
"""

# mypy: disable-error-code="no-untyped-def"
# Compiled functions carry no annotations: numba infers their types.

from __future__ import annotations

import math

from sfm_stream.bank import CHUNK, COUNTERS, SEGMENT
from sfm_stream.kernels.cell import FORGET_CAP, TINY
from sfm_stream.kernels.numeric import ONE, TWO, ZERO, inline, jit, row_products
from sfm_stream.kernels.rows import (
    bias_z,
    cube,
    linear_biases,
    linear_heads,
    matrix,
    vector,
    weights_heads,
    weights_in,
)


@jit
def windows(s, row, spans):
    """Set spans [Q, 3]: first swept tick, first and last origin with news.

    Returns the number of labels to learn from.
    """
    labels = matrix(row.f32, s.at_labels, s.ring, s.horizons)
    learned = vector(row.i64, s.at_learned, s.horizons)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    segment = row.i64[s.at_counters + SEGMENT]
    count, slots = 0, s.ring - 1
    for q in range(s.horizons):
        first, last = learned[q], head[q] - 1
        while last >= first and math.isnan(labels[last % slots, q]):
            last -= 1
        for t in range(first, last + 1):
            if not math.isnan(labels[t % slots, q]):
                count += 1
        spans[q, 0] = max(min(first, last - s.window + 1), segment)
        spans[q, 1] = first
        spans[q, 2] = last
    return count


@jit
def sweep(s, tables, row, work, spans, labels):
    """Add the gradient of the mean squared error to work's; return the sum of squares.

    The carries hold the gradients of z [M] and of (Re R, Im R) [K, 2D] at the tick
    being swept, which come from the tick after it.
    """
    k, d, m = s.frequencies, s.states, s.outputs
    carry_z = vector(work.f32, s.at_carry_z, m)
    carry = matrix(work.f32, s.at_carry, k, 2 * d)
    delta = matrix(work.f32, s.at_delta, CHUNK, s.gates)
    deltas = cube(work.f32, s.at_deltas, k, CHUNK, 2 * m)
    loss, filled, previous = 0.0, 0, -1
    tick = next_swept(spans, row.i64[s.at_counters])
    while tick >= 0:
        if tick != previous - 1:
            for j in range(m):
                carry_z[j] = ZERO
            for f in range(k):
                for j in range(2 * d):
                    carry[f, j] = ZERO
        loss += learn_labels(s, row, work, spans, tick, labels, carry_z)
        back_step(
            s, tables, row, work, tick % (s.ring - 1), carry_z, carry,
            delta[filled], deltas[:, filled],
        )  # fmt: skip
        filled += 1
        following = next_swept(spans, tick)
        if filled == CHUNK or following != tick - 1:
            weight_gradients(s, row, work, tick, filled, delta, deltas)
            filled = 0
        previous, tick = tick, following
    return loss


@jit
def next_swept(spans, tick):
    """Give the newest tick before `tick` that lies in a window, or -1."""
    best = -1
    for q in range(len(spans)):
        if spans[q, 2] >= spans[q, 1] and spans[q, 0] < tick:
            best = max(best, min(spans[q, 2], tick - 1))
    return best


@inline
def learn_labels(s, row, work, spans, tick, labels, dz):
    """Add the news of the labels of one origin; return their squared errors' sum."""
    m, slot, loss = s.outputs, tick % (s.ring - 1), 0.0
    z = matrix(row.f32, s.at_tape_z, s.ring, m)[slot]
    label = matrix(row.f32, s.at_labels, s.ring, s.horizons)[slot]
    v = linear_heads(row.f32, s.at_weights, s)
    c = linear_biases(row.f32, s.at_weights, s)
    dv = linear_heads(work.f32, s.at_gradient, s)
    dc = linear_biases(work.f32, s.at_gradient, s)
    for q in range(s.horizons):
        outside = tick < spans[q, 1] or tick > spans[q, 2]
        if not outside and not math.isnan(label[q]):
            error = c[q] - label[q]
            for j in range(m):
                error += v[q, j] * z[j]
            loss += error * error
            pull = TWO * error / labels
            dc[q] += pull
            for j in range(m):
                dv[q, j] += pull * z[j]
                dz[j] += pull * v[q, j]
    return loss


@inline
def back_step(s, tables, row, work, slot, dz, carry, delta, deltas):
    """Go back one tick.

    On entry dz [M] and carry [K, 2D] are the gradients at this tick, on return at the
    one before; delta [G] and deltas [K, 2M] receive those of the pre-activations.
    """
    k, d, m = s.frequencies, s.states, s.outputs
    x = row.f32
    gates = matrix(x, s.at_tape_gates, s.ring, s.gates)[slot]
    out = cube(x, s.at_tape_out, s.ring, k, m)[slot]
    read = cube(x, s.at_tape_read, s.ring, k, 3 * d)[slot]
    turned = cube(x, s.at_tape_turned, s.ring, k, 2 * d)[slot]
    turn = cube(x, s.at_tape_turn, s.ring, 3, k)[slot]
    tau = vector(x, s.at_tape_tau, s.ring)[slot]
    heads = weights_heads(x, s.at_weights, s)
    reads = vector(work.f32, s.at_reads, 3 * d)
    first_o = s.gates - k * m
    for j in range(first_o):
        delta[j] = ZERO
    for j in range(s.head_rows, 3 * d):
        reads[j] = ZERO
    for f in range(k):
        begin = first_o + f * m
        back_output(
            m, gates[begin : begin + m], out[f], dz, delta[begin : begin + m],
            deltas[f],
        )  # fmt: skip
        row_products(heads[f], deltas[f], reads[: s.head_rows])
        back_memory(s, gates, read[f], turned[f], turn, f, tau, reads, carry[f],
                    delta, vector(tables.f32, s.at_reach, k))  # fmt: skip
    back_gates(s, gates, delta)
    z_rows = weights_in(x, s.at_weights, s)[s.inputs : s.inputs + m]
    row_products(z_rows, delta, dz)


@inline
def back_output(m, gates, out, dz, delta, deltas):
    """Split dz into the gradients of one frequency's gate and value."""
    for j in range(m):
        gate, value = gates[j], out[j]
        opened = dz[j] * value * gate * (ONE - gate)
        delta[j] = opened
        deltas[j] = opened
        deltas[m + j] = dz[j] * gate * (ONE - value * value)


@inline
def back_memory(
    s, gates, read, turned, turn, k, tau, reads, carry, delta, reach
):
    """Go back through one frequency of the memory, leaving gradients of its gates.

    Shapes: read and reads [3D], turned and carry [2D], delta [G].
    """
    d, g = s.states, s.states + s.frequencies
    c, sn, fre = turn[0, k], turn[1, k], gates[d + k]
    kept = FORGET_CAP * fre
    d_fre, d_turn = ZERO, ZERO
    for j in range(d):
        scale = reads[j] / read[j]
        d_re = carry[j] + reads[d + j] + scale * read[d + j]
        d_im = carry[d + j] + reads[2 * d + j] + scale * read[2 * d + j]
        delta[g + j] += d_re
        f = kept * gates[j]
        d_f = d_re * turned[j] + d_im * turned[d + j]
        if s.clocked != 0:
            base = max(f, TINY)
            f = base**tau
            d_f *= tau * f / base
        delta[j] += kept * d_f
        d_fre += FORGET_CAP * d_f * gates[j]
        d_re *= f
        d_im *= f
        d_turn += d_re * turned[d + j] - d_im * turned[j]
        carry[j] = c * d_re - sn * d_im
        carry[d + j] = sn * d_re + c * d_im
    delta[d + k] = d_fre * fre * (ONE - fre)
    if s.adaptive != 0:
        shift = turn[2, k]
        delta[3 * d + s.frequencies + k] = (
            d_turn * tau * reach[k] * (ONE - shift * shift)
        )


@inline
def back_gates(s, gates, delta):
    """Turn gradients of f_ste and of g o i into those of their pre-activations."""
    g = s.states + s.frequencies
    i = g + s.states
    for j in range(s.states):
        delta[j] *= gates[j] * (ONE - gates[j])
        driven, gate, value = delta[g + j], gates[g + j], gates[i + j]
        delta[g + j] = driven * value * gate * (ONE - gate)
        delta[i + j] = driven * gate * (ONE - value * value)


@inline
def weight_gradients(s, row, work, oldest, count, delta, deltas):
    """Add the weights' gradients of `count` ticks, the last of which is `oldest`."""
    k, d, m, slots = s.frequencies, s.states, s.outputs, s.ring - 1
    u = matrix(row.f32, s.at_tape_u, s.ring, s.inputs + m + 1)
    read = matrix(row.f32, s.at_tape_read, s.ring, k * 3 * d)
    d_in = weights_in(work.f32, s.at_gradient, s)
    d_heads = weights_heads(work.f32, s.at_gradient, s)
    d_bias = bias_z(work.f32, s.at_gradient, s)
    newest = (oldest + count - 1) % slots
    for i in range(s.inputs + m + 1):
        add_outer(u, i, newest, slots, delta, count, d_in[i])
    for f in range(k):
        for c in range(count):
            for j in range(m):
                d_bias[f, j] += deltas[f, c, m + j]
        for r in range(s.head_rows):
            column = f * 3 * d + r
            add_outer(read, column, newest, slots, deltas[f], count, d_heads[f, r])


@jit
def add_outer(tape, column, newest, slots, delta, count, out):
    """Add the sum over c of tape[newest - c, column] * delta[c] to `out`.

    The tape is a ring of `slots`; four ticks share one pass over `out`.
    """
    width = len(out)
    c, t = 0, newest
    while c < count:
        if c + 4 <= count and t >= 3:
            a, b = tape[t, column], tape[t - 1, column]
            e, f = tape[t - 2, column], tape[t - 3, column]
            p, q, r, w = delta[c], delta[c + 1], delta[c + 2], delta[c + 3]
            for j in range(width):
                out[j] += (a * p[j] + b * q[j]) + (e * r[j] + f * w[j])
            c += 4
            t -= 4
        else:
            a, p = tape[t, column], delta[c]
            for j in range(width):
                out[j] += a * p[j]
            c += 1
            t -= 1
        if t < 0:
            t += slots
