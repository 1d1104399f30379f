"""The engine: takes events, gives records; the only object of the core with state.

Examples:
    >>> import numpy as np
    >>> from sfm_stream.config import from_tree
    >>> from sfm_stream.events import Block
    >>> engine = Engine(from_tree({"target": {"horizons": [1, 10]}}), ["value"])
    >>> time = (1_700_000_000 + np.arange(2_000)) * 10**9
    >>> values = np.sin(np.arange(2_000) / 5)[:, None]
    >>> records = engine.run(Block.ticks(time, values, streams=("wave",)))
    >>> records.count("forecasts"), records.count("scores")
    (4000, 3989)
    >>> scores = records.columns["scores"]
    >>> for name in ("naive", "mean"):
    ...     error = np.abs(scores["truth"] - scores[name])[-100:].mean()
    ...     print(name, round(float(error), 1))
    naive 0.6
    mean 0.0
    >>> engine.memory("wave").shape  # targets, frequencies, states
    (1, 8, 16)
"""

from __future__ import annotations

from sfm_stream.engine.core import Engine

__all__ = ["Engine"]
