"""The product of machine code, and what it is thrown away for."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.cell.sequence import numba_kernels


@pytest.mark.parametrize("rows", [1, 5, 7])
@pytest.mark.parametrize("width", [1, 5, 6, 11, 12, 19])
@pytest.mark.parametrize("batch", [8, 16, 24, 40])
def test_a_product_is_added_whatever_its_shape(rows, width, batch):
    rng = np.random.default_rng(0)
    w, u, out = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((rows, width), (rows, batch), (width, batch))
    )
    expected = out + w.T.astype(np.float64) @ u
    numba_kernels.add_weighted(w, u, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)


def test_it_is_made_anew_when_its_arithmetic_changes():
    files = {path.name for path in numba_kernels.SOURCES.files()}
    assert files == {"lanes.py", "scalars.py", "parameters.py", "numba_kernels.py"}
