"""Stage 6: truncated back-propagation through time over the stored activations.

Each label contributes once, at the first update after it matured. The gradient of a
horizon's labels flows back over the `learn.window` ticks that end at its newest
labelled origin; the windows of several horizons are swept together, newest tick first.
Activations are those of the tick, weights those of now (BPTT(h; h'), Williams and Peng,
Neural Computation 2, 1990).
"""

from __future__ import annotations

import math

from sfm_stream.kernels.cell import FORGET_CAP, TINY, rotate
from sfm_stream.kernels.numeric import (
    ONE,
    TWO,
    ZERO,
    inline,
    jit,
    row_products,
    weighted_rows,
)
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
from sfm_stream.layout import CHUNK, SEGMENT, TICKS


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
    # Where a burst voids what waits, the last label's window can begin before the tape.
    stored = row.i64[s.at_counters + TICKS] - slots
    for q in range(s.horizons):
        first, last = max(learned[q], stored), head[q] - 1
        while last >= first and math.isnan(labels[last % slots, q]):
            last -= 1
        for t in range(first, last + 1):
            if not math.isnan(labels[t % slots, q]):
                count += 1
        spans[q, 0] = max(min(first, last - s.window + 1), segment, stored)
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
            delta[filled], deltas, filled,
        )  # fmt: skip
        filled += 1
        following = next_swept(spans, tick)
        if filled == CHUNK or following != tick - 1 or tick == 0:
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
def back_step(s, tables, row, work, slot, dz, carry, delta, deltas, c):
    """Go back one tick.

    On entry dz [M] and carry [K, 2D] are the gradients at this tick, on return at the
    one before; delta [G] and deltas[:, c] [K, 2M] receive those of the
    pre-activations.
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
    d_f = vector(work.f32, s.at_forget, d)
    reach = vector(tables.f32, s.at_reach, k)
    first_o = s.gates - k * m
    for j in range(first_o):
        delta[j] = ZERO
    for j in range(s.head_rows, 3 * d):
        reads[j] = ZERO
    for f in range(k):
        begin = first_o + f * m
        back_output(
            m, gates[begin : begin + m], out[f], dz, delta[begin : begin + m],
            deltas[f, c],
        )  # fmt: skip
        row_products(heads[f], deltas[f, c], reads[: s.head_rows])
        d_turn = back_memory(
            s, gates, read[f], turned[f], turn, f, tau, reads, carry[f], delta, d_f
        )
        if s.adaptive != 0:
            shift = turn[2, f]
            d_turn *= tau * reach[f] * (ONE - shift * shift)
            delta[3 * d + k + f] = d_turn
    back_gates(s, gates, delta)
    z_rows = weights_in(x, s.at_weights, s)[s.inputs : s.inputs + m]
    row_products(z_rows, delta, dz)


@jit
def back_output(m, gates, out, dz, delta, deltas):
    """Split dz into the gradients of one frequency's gate and value."""
    values = deltas[m:]
    for j in range(m):
        delta[j] = dz[j] * out[j] * gates[j] * (ONE - gates[j])
    for j in range(m):
        deltas[j] = delta[j]
    for j in range(m):
        values[j] = dz[j] * gates[j] * (ONE - out[j] * out[j])


@jit
def back_memory(s, gates, read, turned, turn, k, tau, reads, carry, delta, d_f):
    """Go back through one frequency of the memory, leaving gradients of its gates.

    Shapes: read and reads [3D], turned and carry [2D], delta [G], d_f [D]. Returns the
    gradient of the angle the memory was turned by.
    """
    d, clocked = s.states, s.clocked
    fre, ste = gates[d + k], gates[:d]
    kept = FORGET_CAP * fre
    d_re, d_im = carry[:d], carry[d:]
    re, im = turned[:d], turned[d:]
    d_ste, d_g = delta[:d], delta[d + s.frequencies :]
    back_measure(d, reads, read, reads[d:], read[d:], d_re)
    back_measure(d, reads, read, reads[2 * d :], read[2 * d :], d_im)
    for j in range(d):
        d_g[j] += d_re[j]
    for j in range(d):
        d_f[j] = d_re[j] * re[j] + d_im[j] * im[j]
    if clocked == 0:
        for j in range(d):
            d_re[j] *= kept * ste[j]
        for j in range(d):
            d_im[j] *= kept * ste[j]
    else:
        for j in range(d):
            base = max(kept * ste[j], TINY)
            f = base**tau
            d_f[j] *= tau * f / base
            d_re[j] *= f
            d_im[j] *= f
    for j in range(d):
        d_ste[j] += kept * d_f[j]
    d_fre, d_turn = ZERO, ZERO
    for j in range(d):
        d_fre += d_f[j] * ste[j]
    delta[d + k] = FORGET_CAP * d_fre * fre * (ONE - fre)
    for j in range(d):
        d_turn += d_re[j] * im[j] - d_im[j] * re[j]
    rotate(d, turn[0, k], -turn[1, k], d_re, d_im, d_re, d_im)
    return d_turn


@inline
def back_measure(d, d_a, a, d_part, part, carry):
    """Add to `carry` what a part of R gets through itself and through A = |R|."""
    for j in range(d):
        carry[j] += d_part[j] + d_a[j] / a[j] * part[j]


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
    k, d, m = s.frequencies, s.states, s.outputs
    rows = s.inputs + m + 1
    u = matrix(row.f32, s.at_tape_u, s.ring, rows)
    read = matrix(row.f32, s.at_tape_read, s.ring, k * 3 * d)
    d_in = weights_in(work.f32, s.at_gradient, s)
    d_heads = weights_heads(work.f32, s.at_gradient, s)
    d_bias = bias_z(work.f32, s.at_gradient, s)
    columns = matrix(work.f32, s.at_columns, max(rows, s.head_rows), CHUNK)
    newest, slots = oldest + count - 1, s.ring - 1
    gather_columns(u, 0, rows, newest, slots, count, columns)
    for i in range(rows):
        weighted_rows(columns[i, :count], delta[:count], d_in[i])
    for f in range(k):
        gather_columns(read, f * 3 * d, s.head_rows, newest, slots, count, columns)
        for r in range(s.head_rows):
            weighted_rows(columns[r, :count], deltas[f, :count], d_heads[f, r])
        for c in range(count):
            for j in range(m):
                d_bias[f, j] += deltas[f, c, m + j]


@jit
def gather_columns(tape, first, width, newest, slots, count, columns):
    """Lay the ticks of a ring side by side.

    Sets columns[i, c] = tape[newest - c, first + i] for i < width and c < count; the
    strides of the tape would cost more than this copy.
    """
    for c in range(count):
        slot = (newest - c) % slots
        for i in range(width):
            columns[i, c] = tape[slot, first + i]
