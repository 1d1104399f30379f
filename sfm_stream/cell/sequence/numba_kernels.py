"""SFM and A-SFM over a sequence as machine code: all ticks forward, and backward.

The last axis of every array is the batch, with B a multiple of eight. It fills the
processor's lanes: a product multiplies one weight by eight sequences, and no sum
crosses lanes. The equations are those of `sfm_stream.cell.step`; the tests compare the
two.

    gates   f_ste, f_fre, g, i, for A-SFM tanh(pre_ω), and pre_o  [T, G, B]
    read    A, Re R and Im R; index 0 is the state before the first tick
            [T+1, K, 3D, B]
    heads   o and q  [T, K, 2M, B]
    z       index 0 is the output before the first tick  [T+1, M, B]
    turns   cos and sin of ω_t  [T, 2, K, B]; for SFM [1, 2, K, B], used at all ticks
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sfm_stream.cell import parameters
from sfm_stream.jit import cache
from sfm_stream.jit.lanes import LANES, fma, load, root, splat, spread, store
from sfm_stream.jit.scalars import ONE, ZERO, inline, jit, logistic_lanes, tanh_lanes

SOURCES = cache.Sources(
    ("jit/*.py", "cell/sequence/numba_kernels.py", "cell/parameters.py"),
    ("__init__.py", "blas.py", "cache.py"),
)
EPSILON = np.float32(parameters.EPSILON)
FORGET_CAP = np.float32(parameters.FORGET_CAP)
# Rows whose sums `add_weighted` holds in registers at once.
ROWS = 6


@jit
def forth(gates, read, heads, z, turns, w_z, w_heads, b_z, omega, delta):
    """Advance by T ticks.

    Args:
        gates: holds the pre-activations without the term of z; receives the gates.
        read: index 0 holds the memory before the first tick; receives the later ones.
        heads: receives o and q.
        z: index 0 holds the output before the first tick; receives the later ones.
        turns: receives cos and sin.
        w_z: weights from z to the gates [M, G].
        w_heads: weights from `read` to o and q [K, Din, 2M], Din is D or 3D.
        b_z: [K, M].
        omega: ω [K].
        delta: δ [K]; not read for SFM.
    """
    (ticks, k, m, d), adaptive = sizes(heads, read), is_adaptive(gates, heads, read)
    if not adaptive:
        turn_by(omega, turns[0])
    first_o = gates.shape[1] - k * m
    for t in range(ticks):
        gate, turn = gates[t], turns[t * adaptive]
        add_weighted(w_z, z[t], gate)
        activate(gate, 2 * d + k, first_o)
        if adaptive:
            turn_with(omega, delta, gate[3 * d + k :], turn)
        fill(z[t + 1], ZERO)
        for f in range(k):
            remember(f, k, d, gate, turn, read[t, f], read[t + 1, f])
            given = gate[first_o + f * m : first_o + (f + 1) * m]
            listen(read[t + 1, f], w_heads[f], b_z[f], given, heads[t, f])
            speak(heads[t, f], z[t + 1])


@jit
def back(
    gates, read, heads, turns, z_back, heads_back, delta, d_every, d_gates, d_heads,
    d_memory, d_z, d_read,
):  # fmt: skip
    """Carry the gradient from the last tick to the first.

    Args:
        gates: as written by `forth`.
        read: as written by `forth`.
        heads: as written by `forth`.
        turns: as written by `forth`.
        z_back: w_z transposed [G, M].
        heads_back: w_heads transposed [K, 2M, Din].
        delta: δ [K]; not read for SFM.
        d_every: gradient of z of every tick from the loss [T, M, B].
        d_gates: receives the gradient of the pre-activations [T, G, B].
        d_heads: receives the gradient of the pre-activations of o and q
            [T, K, 2M, B].
        d_memory: holds the gradient of Re R and Im R after the last tick, receives the
            gradient of Re R and Im R before the first [K, 2D, B].
        d_z: receives the gradient of z before the first tick [M, B].
        d_read: work space for the gradient of `read` at one tick [3D, B].
    """
    (ticks, k, m, d), adaptive = sizes(heads, read), is_adaptive(gates, heads, read)
    first_o, seen = gates.shape[1] - k * m, heads_back.shape[2]
    fill(d_z, ZERO)
    for t in range(ticks - 1, -1, -1):
        gate, d_gate, turn = gates[t], d_gates[t], turns[t * adaptive]
        add(d_every[t], d_z)
        fill(d_gate[:first_o], ZERO)
        for f in range(k):
            d_given = d_gate[first_o + f * m : first_o + (f + 1) * m]
            unspeak(heads[t, f], d_z, d_heads[t, f], d_given)
            fill(d_read, ZERO)
            add_weighted(heads_back[f], d_heads[t, f], d_read[:seen])
            recall(
                f, k, d, adaptive, gate, turn, read[t + 1, f], d_read, d_memory[f],
                d_gate,
            )  # fmt: skip
        deactivate(k, d, gate, d_gate)
        if adaptive:
            unturn(delta, gate[3 * d + k :], d_gate[3 * d + k :])
        fill(d_z, ZERO)
        add_weighted(z_back, d_gate, d_z)


@jit
def add_weighted(w, u, out):
    """Add the transpose of w times u to `out`: [I, J], [I, B], [J, B]."""
    width, batch = out.shape
    j = 0
    while j + ROWS <= width:
        b = 0
        while b + 2 * LANES <= batch:
            six_by_two(w, u, out, j, b)
            b += 2 * LANES
        if b < batch:
            six_by_one(w, u, out, j, b)
        j += ROWS
    for row in range(j, width):
        for b in range(0, batch, LANES):
            total = load(out, row * batch + b, LANES)
            for i in range(len(w)):
                weight = spread(w, i * width + row)
                total = fma(weight, load(u, i * batch + b, LANES), total)
            store(out, row * batch + b, LANES, total)


@inline
def six_by_two(w, u, out, j, b):
    """Add to six rows of `out` from j on, for sixteen sequences from b on."""
    width, batch = out.shape
    at, right = j * batch + b, j * batch + b + LANES
    a0, a1 = load(out, at, LANES), load(out, right, LANES)
    b0, b1 = load(out, at + batch, LANES), load(out, right + batch, LANES)
    c0, c1 = load(out, at + 2 * batch, LANES), load(out, right + 2 * batch, LANES)
    d0, d1 = load(out, at + 3 * batch, LANES), load(out, right + 3 * batch, LANES)
    e0, e1 = load(out, at + 4 * batch, LANES), load(out, right + 4 * batch, LANES)
    f0, f1 = load(out, at + 5 * batch, LANES), load(out, right + 5 * batch, LANES)
    for i in range(len(w)):
        x0, x1 = load(u, i * batch + b, LANES), load(u, i * batch + b + LANES, LANES)
        place = i * width + j
        weight = spread(w, place)
        a0, a1 = fma(weight, x0, a0), fma(weight, x1, a1)
        weight = spread(w, place + 1)
        b0, b1 = fma(weight, x0, b0), fma(weight, x1, b1)
        weight = spread(w, place + 2)
        c0, c1 = fma(weight, x0, c0), fma(weight, x1, c1)
        weight = spread(w, place + 3)
        d0, d1 = fma(weight, x0, d0), fma(weight, x1, d1)
        weight = spread(w, place + 4)
        e0, e1 = fma(weight, x0, e0), fma(weight, x1, e1)
        weight = spread(w, place + 5)
        f0, f1 = fma(weight, x0, f0), fma(weight, x1, f1)
    store(out, at, LANES, a0)
    store(out, right, LANES, a1)
    store(out, at + batch, LANES, b0)
    store(out, right + batch, LANES, b1)
    store(out, at + 2 * batch, LANES, c0)
    store(out, right + 2 * batch, LANES, c1)
    store(out, at + 3 * batch, LANES, d0)
    store(out, right + 3 * batch, LANES, d1)
    store(out, at + 4 * batch, LANES, e0)
    store(out, right + 4 * batch, LANES, e1)
    store(out, at + 5 * batch, LANES, f0)
    store(out, right + 5 * batch, LANES, f1)


@inline
def six_by_one(w, u, out, j, b):
    """Add to six rows of `out` from j on, for eight sequences from b on."""
    width, batch = out.shape
    at = j * batch + b
    p, q = load(out, at, LANES), load(out, at + batch, LANES)
    r, s = load(out, at + 2 * batch, LANES), load(out, at + 3 * batch, LANES)
    t, v = load(out, at + 4 * batch, LANES), load(out, at + 5 * batch, LANES)
    for i in range(len(w)):
        x, place = load(u, i * batch + b, LANES), i * width + j
        p, q = fma(spread(w, place), x, p), fma(spread(w, place + 1), x, q)
        r, s = fma(spread(w, place + 2), x, r), fma(spread(w, place + 3), x, s)
        t, v = fma(spread(w, place + 4), x, t), fma(spread(w, place + 5), x, v)
    store(out, at, LANES, p)
    store(out, at + batch, LANES, q)
    store(out, at + 2 * batch, LANES, r)
    store(out, at + 3 * batch, LANES, s)
    store(out, at + 4 * batch, LANES, t)
    store(out, at + 5 * batch, LANES, v)


@inline
def sizes(heads, read):
    """Give T, K, M and D."""
    return heads.shape[0], heads.shape[1], heads.shape[2] // 2, read.shape[2] // 3


@inline
def is_adaptive(gates, heads, read):
    """Give 1 for A-SFM, whose gates have rows for ω, and 0 for SFM."""
    _, k, m, d = sizes(heads, read)
    return int(gates.shape[1] > 3 * d + k * (1 + m))


@inline
def fill(out, number):
    """Set all elements of `out` to a number."""
    value = splat(number)
    for p in range(0, out.size, LANES):
        store(out, p, LANES, value)


@inline
def add(u, out):
    """Add u to `out`."""
    for p in range(0, out.size, LANES):
        store(out, p, LANES, load(out, p, LANES) + load(u, p, LANES))


@inline
def activate(gates, logistics, last):
    """Apply the logistic function to the first rows, tanh to the rows up to `last`."""
    batch = gates.shape[1]
    for p in range(0, logistics * batch, LANES):
        store(gates, p, LANES, logistic_lanes(load(gates, p, LANES)))
    for p in range(logistics * batch, last * batch, LANES):
        store(gates, p, LANES, tanh_lanes(load(gates, p, LANES)))


@inline
def turn_by(omega, turn):
    """Write cos and sin of the angles ω, the same for the whole batch [2, K, B]."""
    for f in range(len(omega)):
        for b in range(turn.shape[2]):
            turn[0, f, b], turn[1, f, b] = math.cos(omega[f]), math.sin(omega[f])


@inline
def turn_with(omega, delta, moved, turn):
    """Write cos and sin of ω + δ moved [2, K, B], with moved [K, B]."""
    for f in range(len(omega)):
        for b in range(turn.shape[2]):
            angle = omega[f] + delta[f] * moved[f, b]
            turn[0, f, b], turn[1, f, b] = math.cos(angle), math.sin(angle)


@jit
def remember(f, k, d, gates, turn, past, now):
    """Rotate the memory of one frequency, forget, add the input: past, now [3D, B]."""
    batch = gates.shape[1]
    for b in range(0, batch, LANES):
        c, s = load(turn, f * batch + b, LANES), load(turn, (k + f) * batch + b, LANES)
        kept = FORGET_CAP * load(gates, (d + f) * batch + b, LANES)
        for at in range(b, d * batch, batch):
            re = load(past, d * batch + at, LANES)
            im = load(past, 2 * d * batch + at, LANES)
            g = load(gates, (d + k) * batch + at, LANES)
            drive = g * load(gates, (2 * d + k) * batch + at, LANES)
            held = kept * load(gates, at, LANES)
            re, im = fma(held, c * re + s * im, drive), held * (c * im - s * re)
            seen = fma(re, re, fma(im, im, splat(EPSILON)))
            store(now, at, LANES, root(seen))
            store(now, d * batch + at, LANES, re)
            store(now, 2 * d * batch + at, LANES, im)


@jit
def listen(read, w_heads, bias, given, heads):
    """Compute o and q of one frequency [2M, B]: bias [M]; given is pre_o [M, B]."""
    batch, half = given.shape[1], given.size
    for p in range(0, half, LANES):
        store(heads, p, LANES, load(given, p, LANES))
        store(heads, half + p, LANES, spread(bias, p // batch))
    add_weighted(w_heads, read[: len(w_heads)], heads)
    for p in range(0, half, LANES):
        store(heads, p, LANES, logistic_lanes(load(heads, p, LANES)))
        store(heads, half + p, LANES, tanh_lanes(load(heads, half + p, LANES)))


@inline
def speak(heads, z):
    """Add one frequency's gated output to z [M, B]."""
    half = z.size
    for p in range(0, half, LANES):
        o, q = load(heads, p, LANES), load(heads, half + p, LANES)
        store(z, p, LANES, fma(o, q, load(z, p, LANES)))


@inline
def unspeak(heads, d_z, d_heads, d_given):
    """Compute the gradients of o's and q's pre-activations from that of z; copy o's."""
    half = d_z.size
    for p in range(0, half, LANES):
        o, q = load(heads, p, LANES), load(heads, half + p, LANES)
        through = load(d_z, p, LANES) * o
        d_o = through * q * (ONE - o)
        store(d_heads, p, LANES, d_o)
        store(d_given, p, LANES, d_o)
        store(d_heads, half + p, LANES, through * (ONE - q * q))


@jit
def recall(f, k, d, adaptive, gates, turn, read, d_read, d_memory, d_gates):
    """Carry the gradient back through the memory of one frequency.

    Shapes: read and d_read [3D, B], d_memory [2D, B]. The gradients of log f_ste and of
    g ∘ i are added to the rows of f_ste and g; those of log f_fre and of the angle are
    written to the rows of f_fre and ω.
    """
    batch = gates.shape[1]
    for b in range(0, batch, LANES):
        c, s = load(turn, f * batch + b, LANES), load(turn, (k + f) * batch + b, LANES)
        kept = FORGET_CAP * load(gates, (d + f) * batch + b, LANES)
        forgot, turned = splat(ZERO), splat(ZERO)
        for at in range(b, d * batch, batch):
            re = load(read, d * batch + at, LANES)
            im = load(read, 2 * d * batch + at, LANES)
            through = load(d_read, at, LANES) / load(read, at, LANES)
            d_re = load(d_memory, at, LANES) + load(d_read, d * batch + at, LANES)
            d_im = load(d_memory, d * batch + at, LANES)
            d_im = d_im + load(d_read, 2 * d * batch + at, LANES)
            d_re, d_im = fma(through, re, d_re), fma(through, im, d_im)
            driven = (d + k) * batch + at
            g, i = load(gates, driven, LANES), load(gates, driven + d * batch, LANES)
            re = re - g * i  # Re R before the input was added
            d_f = fma(d_re, re, d_im * im)
            forgot = forgot + d_f
            turned = turned + (d_re * im - d_im * re)
            store(d_gates, at, LANES, load(d_gates, at, LANES) + d_f)
            store(d_gates, driven, LANES, load(d_gates, driven, LANES) + d_re)
            held = kept * load(gates, at, LANES)
            d_re, d_im = held * d_re, held * d_im
            store(d_memory, at, LANES, c * d_re - s * d_im)
            store(d_memory, d * batch + at, LANES, c * d_im + s * d_re)
        store(d_gates, (d + f) * batch + b, LANES, forgot)
        if adaptive:
            store(d_gates, (3 * d + k + f) * batch + b, LANES, turned)


@inline
def deactivate(k, d, gates, d_gates):
    """Convert the gradients of log f and of g ∘ i to those of the pre-activations."""
    batch = gates.shape[1]
    for p in range(0, (d + k) * batch, LANES):
        f = load(gates, p, LANES)
        store(d_gates, p, LANES, load(d_gates, p, LANES) * (ONE - f))
    for p in range((d + k) * batch, (2 * d + k) * batch, LANES):
        g, i = load(gates, p, LANES), load(gates, p + d * batch, LANES)
        through = load(d_gates, p, LANES) * g
        store(d_gates, p, LANES, through * i * (ONE - g))
        store(d_gates, p + d * batch, LANES, through * (ONE - i * i))


@inline
def unturn(delta, moved, d_moved):
    """Convert the gradients of the angles to those of the pre-activations of ω."""
    batch = moved.shape[1]
    for f in range(len(delta)):
        for p in range(f * batch, (f + 1) * batch, LANES):
            x = load(moved, p, LANES)
            slope = delta[f] * (ONE - x * x)
            store(d_moved, p, LANES, load(d_moved, p, LANES) * slope)


# Once in a process, before compiled code is loaded from the cache.
_entry: Any = forth
cache.discard([_entry.stats.cache_path], SOURCES)
