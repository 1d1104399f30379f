"""The three products of the cell: forward, backward, and for the weights' gradient.

Each reads its matrix from the second-level cache once, in memory order; the sums stay
in registers.
"""

from __future__ import annotations

from sfm_stream.jit.lanes import LANES, fma, load, splat, spread, store, totals
from sfm_stream.jit.scalars import ZERO, inline, jit

# Columns that `weighted_rows` and `add_products` hold in registers at once; by default
# the heads of a frequency have WIDE columns.
WIDE, PAIR = 4 * LANES, 2 * LANES


@jit
def weighted_rows(u, w, out):
    """Add u @ w to `out`: [I], [I, J], [J]."""
    rows, width = w.shape
    j = 0
    while j + WIDE <= width:
        weighted_wide(u, w, rows, width, j, out)
        j += WIDE
    while j < width:
        left = width - j
        total = load(out, j, left)
        for i in range(rows):
            total = fma(spread(u, i), load(w, i * width + j, left), total)
        store(out, j, left, total)
        j += LANES


@inline
def weighted_wide(u, w, rows, width, j, out):
    """Add u @ w to 32 columns of `out` from j on."""
    a, b = load(out, j, LANES), load(out, j + LANES, LANES)
    c, d = load(out, j + 2 * LANES, LANES), load(out, j + 3 * LANES, LANES)
    at = j
    for i in range(rows):
        x = spread(u, i)
        a = fma(x, load(w, at, LANES), a)
        b = fma(x, load(w, at + LANES, LANES), b)
        c = fma(x, load(w, at + 2 * LANES, LANES), c)
        d = fma(x, load(w, at + 3 * LANES, LANES), d)
        at += width
    store(out, j, LANES, a)
    store(out, j + LANES, LANES, b)
    store(out, j + 2 * LANES, LANES, c)
    store(out, j + 3 * LANES, LANES, d)


@jit
def row_products(w, v, out):
    """Set out = w @ v: [I, J], [J], [I]; eight rows share one pass over `v`."""
    rows, width = w.shape
    i = 0
    while i + 8 <= rows:
        a = b = c = d = e = f = g = h = splat(ZERO)
        for j in range(0, width - LANES + 1, LANES):
            x, at = load(v, j, LANES), i * width + j
            a = fma(x, load(w, at, LANES), a)
            b = fma(x, load(w, at + width, LANES), b)
            c = fma(x, load(w, at + 2 * width, LANES), c)
            d = fma(x, load(w, at + 3 * width, LANES), d)
            e = fma(x, load(w, at + 4 * width, LANES), e)
            f = fma(x, load(w, at + 5 * width, LANES), f)
            g = fma(x, load(w, at + 6 * width, LANES), g)
            h = fma(x, load(w, at + 7 * width, LANES), h)
        store(out, i, LANES, totals(a, b, c, d, e, f, g, h))
        for k in range(i, i + 8):
            add_rest(w[k], v, k, width - width % LANES, out)
        i += 8
    while i < rows:
        out[i] = ZERO
        add_rest(w[i], v, i, 0, out)
        i += 1


@inline
def add_rest(w, v, i, first, out):
    """Add to out[i] the products of w and v from `first` on."""
    for j in range(first, len(v)):
        out[i] += w[j] * v[j]


@jit
def add_products(tape, at, step, b, count, out):
    """Add to out[i, j] the sum over c < count of tape[at + c step + i] b[c, j].

    Shapes: tape flat, b [C, J], out [I, J].
    """
    rows, width = out.shape
    for j in range(0, width - PAIR + 1, PAIR):
        i = 0
        while i + 4 <= rows:
            add_block(tape, at + i, step, b, count, out, i * width + j, width, j)
            i += 4
        while i < rows:
            place = i * width + j
            p, q = load(out, place, LANES), load(out, place + LANES, LANES)
            for c in range(count):
                x = spread(tape, at + c * step + i)
                p = fma(x, load(b, c * width + j, LANES), p)
                q = fma(x, load(b, c * width + j + LANES, LANES), q)
            store(out, place, LANES, p)
            store(out, place + LANES, LANES, q)
            i += 1
    for j in range(width - width % PAIR, width, LANES):
        left = width - j
        for i in range(rows):
            p = load(out, i * width + j, left)
            for c in range(count):
                x = spread(tape, at + c * step + i)
                p = fma(x, load(b, c * width + j, left), p)
            store(out, i * width + j, left, p)


@inline
def add_block(tape, at, step, b, count, out, place, width, j):
    """Add to four rows and sixteen columns of `out` that begin at `place`."""
    second, third, fourth = place + width, place + 2 * width, place + 3 * width
    p, q = load(out, place, LANES), load(out, place + LANES, LANES)
    r, s = load(out, second, LANES), load(out, second + LANES, LANES)
    t, u = load(out, third, LANES), load(out, third + LANES, LANES)
    v, w = load(out, fourth, LANES), load(out, fourth + LANES, LANES)
    for c in range(count):
        x, y = load(b, c * width + j, LANES), load(b, c * width + j + LANES, LANES)
        one = at + c * step
        z = spread(tape, one)
        p, q = fma(z, x, p), fma(z, y, q)
        z = spread(tape, one + 1)
        r, s = fma(z, x, r), fma(z, y, s)
        z = spread(tape, one + 2)
        t, u = fma(z, x, t), fma(z, y, u)
        z = spread(tape, one + 3)
        v, w = fma(z, x, v), fma(z, y, w)
    store(out, place, LANES, p)
    store(out, place + LANES, LANES, q)
    store(out, second, LANES, r)
    store(out, second + LANES, LANES, s)
    store(out, third, LANES, t)
    store(out, third + LANES, LANES, u)
    store(out, fourth, LANES, v)
    store(out, fourth + LANES, LANES, w)
