"""The engine as models of River, the library for learning one row at a time.

One stream, in River's order: a tick is (x_t, y_{t-1}), and its label is y_t.
`predict_one` and `forecast` peek and change nothing. `learn_one` takes the step, meets
y_t, and learns.
"""

from __future__ import annotations

from sfm_stream.river.forecaster import SFMForecaster
from sfm_stream.river.multi_target import SFMMultiTargetRegressor
from sfm_stream.river.regressor import SFMRegressor

__all__ = ["SFMForecaster", "SFMMultiTargetRegressor", "SFMRegressor"]
