"""Models for River, the library for online learning, built on the engine.

A model is one stream. Its tick is (x_t, y_{t-1}), and the label of the tick is y_t.
`predict_one` and `forecast` do not change the model. `learn_one` takes the tick and its
label, and learns.
"""

from __future__ import annotations

from sfm_stream.river.forecaster import SFMForecaster
from sfm_stream.river.multi_target import SFMMultiTargetRegressor
from sfm_stream.river.regressor import SFMRegressor

__all__ = ["SFMForecaster", "SFMMultiTargetRegressor", "SFMRegressor"]
