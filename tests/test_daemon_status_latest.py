from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.daemon.status.latest import Latest


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(1, 7))
def test_the_latest_are_kept_however_they_come(sizes, most):
    latest = Latest(most)
    number = np.arange(sum(sizes), dtype=float)
    for part in np.split(number, np.cumsum(sizes[:-1], dtype=int)):
        latest.add(part)
    assert sorted(latest.values()) == number[-most:].tolist()
    assert latest.count == len(number)
