"""Stage 6: truncated back-propagation through time over the stored activations.

Each label contributes once, at the first update after it settled. The gradient of a
horizon's labels flows back over the `learn.window` ticks that end at its newest
labelled origin; the windows of several horizons are swept together, newest tick first.
The activations are those stored at the tick, the weights are the present ones (BPTT(h;
h'), Williams and Peng, Neural Computation 2, 1990).
"""

from __future__ import annotations

import math

from sfm_stream.jit.lanes import LANES, fma, load, load_or, splat, store, total
from sfm_stream.jit.scalars import ONE, TWO, ZERO, inline, jit
from sfm_stream.kernels.memory.cell import FORGET_CAP, TINY
from sfm_stream.kernels.memory.products import add_products, row_products
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
from sfm_stream.state.places import CHUNK, SEGMENT, TICKS

# Later than any tick.
NEVER = 2**62


@jit
def windows(s, row, spans):
    """Set spans [Q, 3]: first swept tick, first and last origin with new labels.

    Returns the number of labels to learn from.
    """
    labels = matrix(row.f32, s.at_labels, s.ring, s.horizons)
    learned = vector(row.i64, s.at_learned, s.horizons)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    segment = row.i64[s.at_counters + SEGMENT]
    count, slots = 0, s.ring - 1
    # After a burst voids pending forecasts, the last label's window may begin before
    # the tape. New ticks overwrite the oldest slots while a striped update is under
    # way.
    stored = row.i64[s.at_counters + TICKS] - slots + s.late
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


@inline
def sweep(s, tables, row, work, spans, labels):
    """Add the gradient of the mean squared error to `work`; give the sum of squares."""
    forget_carries(s, work)
    newest = next_swept(spans, NEVER)
    loss, _ = sweep_on(s, tables, row, work, work, spans, labels, newest, NEVER)
    return loss


@inline
def forget_carries(s, held):
    """Set the carries to 0: no gradient flows into the next swept tick."""
    for j in range(s.outputs):
        held.f32[s.at_carry_z + j] = ZERO
    for j in range(s.frequencies * 2 * s.states):
        held.f32[s.at_carry + j] = ZERO


@jit
def sweep_on(s, tables, row, work, held, spans, labels, tick, most):
    """Sweep back from a tick over at most `most` ticks.

    `held` contains the gradient and the carries: the gradients of z [M] and of (Re R,
    Im R) [K, 2D] at the swept tick that come from the tick after it.

    Returns:
        The sum of squares, and the next tick to sweep, or -1.
    """
    k, d, m = s.frequencies, s.states, s.outputs
    carry_z = vector(held.f32, s.at_carry_z, m)
    carry = matrix(held.f32, s.at_carry, k, 2 * d)
    delta = matrix(work.f32, s.at_delta, CHUNK, s.gates)
    deltas = cube(work.f32, s.at_deltas, k, CHUNK, 2 * m)
    loss, filled, swept = 0.0, 0, 0
    while tick >= 0 and swept < most:
        loss += learn_labels(s, row, held, spans, tick, labels, carry_z)
        back_step(
            s, tables, row, work, tick % (s.ring - 1), carry_z, carry,
            delta[filled], deltas, filled,
        )  # fmt: skip
        filled += 1
        swept += 1
        following = next_swept(spans, tick)
        ends = following != tick - 1 or tick == 0
        if filled == CHUNK or ends or swept == most:
            weight_gradients(s, row, held, tick, filled, delta, deltas)
            filled = 0
        if ends:
            forget_carries(s, held)
        tick = following
    return loss, tick


@jit
def next_swept(spans, tick):
    """Give the newest tick before `tick` that is in a window, or -1."""
    best = -1
    for q in range(len(spans)):
        if spans[q, 2] >= spans[q, 1] and spans[q, 0] < tick:
            best = max(best, min(spans[q, 2], tick - 1))
    return best


@jit
def count_swept(spans):
    """Count the ticks that are in a window."""
    count, tick = 0, next_swept(spans, NEVER)
    while tick >= 0:
        count += 1
        tick = next_swept(spans, tick)
    return count


@inline
def learn_labels(s, row, held, spans, tick, labels, dz):
    """Add the gradients from one origin's new labels; give the sum of squares."""
    m, slot, loss = s.outputs, tick % (s.ring - 1), 0.0
    z = matrix(row.f32, s.at_tape_z, s.ring, m)[slot]
    label = matrix(row.f32, s.at_labels, s.ring, s.horizons)[slot]
    v = linear_heads(row.f32, s.at_weights, s)
    c = linear_biases(row.f32, s.at_weights, s)
    dv = linear_heads(held.f32, s.at_gradient, s)
    dc = linear_biases(held.f32, s.at_gradient, s)
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
    """Carry the gradient back over one tick.

    On entry dz [M] and carry [K, 2D] are the gradients at this tick, on return those at
    the tick before; delta [G] and deltas[:, c] [K, 2M] receive the gradients of the
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
    fade = vector(work.f32, s.at_fade, 2 * d)
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
            s, gates, read[f], turned[f], turn, f, tau, reads, carry[f], delta, fade
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
    """Compute the gradients of one frequency's output gate and value from dz.

    Shapes: gates, out, dz and delta [M], deltas [2M].
    """
    whole = m - m % LANES
    for j in range(0, whole, LANES):
        back_gate(m, j, LANES, gates, out, dz, delta, deltas)
    if whole < m:
        back_gate(m, whole, m - whole, gates, out, dz, delta, deltas)


@inline
def back_gate(m, j, left, gates, out, dz, delta, deltas):
    """Carry the gradient back through eight outputs from j on."""
    gate, value, pull = load(gates, j, left), load(out, j, left), load(dz, j, left)
    gated = pull * gate
    d_gate = gated * value * (ONE - gate)
    store(delta, j, left, d_gate)
    store(deltas, j, left, d_gate)
    store(deltas, m + j, left, gated * (ONE - value * value))


@jit
def back_memory(s, gates, read, turned, turn, k, tau, reads, carry, delta, fade):
    """Carry the gradient back through one frequency of the memory, to its gates.

    Shapes: read and reads [3D], turned and carry [2D], delta [G], fade [2D]. Returns
    the gradient of the angle of the rotation.
    """
    d = s.states
    fre, ste = gates[d + k], gates[:d]
    kept, c, sn = FORGET_CAP * fre, turn[0, k], turn[1, k]
    d_ste, d_g = delta[:d], delta[d + s.frequencies :]
    fade_of(s, kept, ste, tau, fade)
    d_fre, d_turn = splat(ZERO), splat(ZERO)
    whole = d - d % LANES
    for j in range(0, whole, LANES):
        d_fre, d_turn = back_states(
            d, j, LANES, kept, c, sn, read, turned, reads, carry, ste, fade, d_ste, d_g,
            d_fre, d_turn,
        )  # fmt: skip
    if whole < d:
        d_fre, d_turn = back_states(
            d, whole, d - whole, kept, c, sn, read, turned, reads, carry, ste, fade,
            d_ste, d_g, d_fre, d_turn,
        )  # fmt: skip
    delta[d + k] = FORGET_CAP * total(d_fre) * fre * (ONE - fre)
    return total(d_turn)


@inline
def fade_of(s, kept, ste, tau, fade):
    """Compute f, and its derivative by the product of the gates: both [D]."""
    slope = fade[s.states :]
    for j in range(s.states):
        fade[j], slope[j] = kept * ste[j], ONE
    if s.clocked != 0:
        for j in range(s.states):
            base = max(fade[j], TINY)
            fade[j] = base**tau
            slope[j] = tau * fade[j] / base


@inline
def back_states(
    d, j, left, kept, c, sn, read, turned, reads, carry, ste, fade, d_ste, d_g, d_fre,
    d_turn,
):  # fmt: skip
    """Carry the gradient back through eight states from j on.

    Adds to the gradients of f_fre and of the angle. A part of R gets its gradient
    directly and through A = |R|.
    """
    through = load(reads, j, left) / load_or(read, j, left, ONE)
    re, im = load(turned, j, left), load(turned, d + j, left)
    d_re = load(carry, j, left) + load(reads, d + j, left)
    d_im = load(carry, d + j, left) + load(reads, 2 * d + j, left)
    d_re = fma(through, load(read, d + j, left), d_re)
    d_im = fma(through, load(read, 2 * d + j, left), d_im)
    store(d_g, j, left, load(d_g, j, left) + d_re)
    d_f = (d_re * re + d_im * im) * load(fade, d + j, left)
    f = load(fade, j, left)
    d_re, d_im = d_re * f, d_im * f
    store(d_ste, j, left, load(d_ste, j, left) + kept * d_f)
    store(carry, j, left, c * d_re - sn * d_im)
    store(carry, d + j, left, c * d_im + sn * d_re)
    d_fre = fma(d_f, load(ste, j, left), d_fre)
    return d_fre, d_turn + (d_re * im - d_im * re)


@inline
def back_gates(s, gates, delta):
    """Convert the gradients of f_ste and of g ∘ i to those of the pre-activations."""
    g = s.states + s.frequencies
    i = g + s.states
    for j in range(s.states):
        delta[j] *= gates[j] * (ONE - gates[j])
        driven, gate, value = delta[g + j], gates[g + j], gates[i + j]
        delta[g + j] = driven * value * gate * (ONE - gate)
        delta[i + j] = driven * gate * (ONE - value * value)


@inline
def weight_gradients(s, row, held, oldest, count, delta, deltas):
    """Add the gradients of the weights from `count` ticks, from `oldest` on."""
    slots, newest = s.ring - 1, oldest + count - 1
    # The tape is a ring: these ticks are in one contiguous part, or in two.
    first = min(count, newest % slots + 1)
    add_run(s, row, held, newest % slots, 0, first, delta, deltas)
    if first < count:
        add_run(s, row, held, slots - 1, first, count, delta, deltas)


@jit
def add_run(s, row, held, slot, begin, end, delta, deltas):
    """Add the gradients from ticks in adjacent slots: delta[begin : end].

    The newest tick is in `slot`, the others are before it.
    """
    k, d, m = s.frequencies, s.states, s.outputs
    rows, count = s.inputs + m + 1, end - begin
    u = vector(row.f32, s.at_tape_u, s.ring * rows)
    read = vector(row.f32, s.at_tape_read, s.ring * k * 3 * d)
    d_heads = weights_heads(held.f32, s.at_gradient, s)
    d_bias = bias_z(held.f32, s.at_gradient, s)
    add_products(
        u, slot * rows, -rows, delta[begin:end], count,
        weights_in(held.f32, s.at_gradient, s),
    )  # fmt: skip
    for f in range(k):
        add_products(
            read, (slot * k + f) * 3 * d, -k * 3 * d, deltas[f, begin:end], count,
            d_heads[f],
        )  # fmt: skip
        for c in range(begin, end):
            for j in range(m):
                d_bias[f, j] += deltas[f, c, m + j]
