"""The three products equal numpy's, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.backends import contract
from sfm_stream.kernels.memory import products

# Throws away what older sources were compiled to.
contract.choose("numba", "cpu")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# Around every width and number of rows that is treated on its own.
WIDTHS = [1, 5, 8, 15, 16, 17, 63, 64, 65, 88]
ROWS = [1, 3, 4, 7, 8, 9, 17, 24]


def noise(*shape):
    rng = np.random.default_rng(list(shape))
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", WIDTHS)
def test_weighted_rows_are_added(rows, width):
    u, w, out = noise(rows), noise(rows, width), noise(width)
    expected = out + u.astype(float) @ w
    products.weighted_rows(u, w, out)
    np.testing.assert_allclose(out, expected, **CLOSE)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", WIDTHS)
def test_row_products_replace_what_was_there(rows, width):
    w, v, out = noise(rows, width), noise(width), noise(rows)
    products.row_products(w, v, out)
    np.testing.assert_allclose(out, w.astype(float) @ v, **CLOSE)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("step", [40, -40])
def test_products_over_ticks_are_added(rows, width, step):
    ticks = 5
    tape, b, out = noise(400), noise(ticks, width), noise(rows, width)
    at = 3 if step > 0 else 300
    u = np.stack([tape[at + c * step :][:rows] for c in range(ticks)])
    expected = out + u.T.astype(float) @ b
    products.add_products(tape, at, step, b, ticks, out)
    np.testing.assert_allclose(out, expected, **CLOSE)


def test_nothing_beyond_the_arrays_is_written():
    room = np.full(40, 7.0, np.float32)
    products.weighted_rows(noise(9), noise(9, 21), room[8:29])
    products.row_products(noise(19, 13), noise(13), room[8:27])
    assert (room[:8] == 7.0).all()
    assert (room[29:] == 7.0).all()
