"""A regressor with one target for River, built on the engine."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from narwhals.stable.v2.typing import IntoDataFrame, IntoSeries
from river import base, conf

from sfm_stream.river import dataframes
from sfm_stream.river.base import OneTarget, anything, interval
from sfm_stream.river.rows import Row


class SFMRegressor(OneTarget, base.MiniBatchRegressor):
    """State-Frequency Memory network with linear experts, for one target.

    The rows are ticks of one stream, and their order matters: a recurrent memory of
    states times frequencies goes from row to row. The model predicts the difference
    between the next target and the last known one, and scales features and target
    itself.

    `predict_one` does not change the model, however often it is called. `learn_one`
    moves the memory by one row, compares the forecasts with `y`, and learns. So where
    labels come late, as with `delay` in `progressive_val_score`, the memory and the
    last known target are those of the last row learned from.

    Features may have any hashable name, and may appear and vanish. A feature that is
    absent, None, NaN or infinite counts as its mean; a date is read as a calendar; any
    other value raises a `FeatureError`. Where the target is None, NaN or infinite, the
    memory moves, but the model learns nothing and uses its own forecast as the last
    target. Before the first known target the prediction is 0.

    Parameters
    ----------
    n_states
        Number of states of the memory.
    n_frequencies
        Number of frequencies that each state remembers.
    n_outputs
        Number of outputs that are read from the memory.
    cell
        `"sfm"` with fixed frequencies, or `"a-sfm"`, whose frequencies move.
    grid
        Spacing of the frequencies: `"log"`, `"half"` or `"paper"`.
    longest_period
        Longest period of the `"log"` grid, in ticks.
    lags
        Number of past changes of the target that the linear experts see.
    optimizer
        Name of the optimiser; `"adam"` is the only one.
    loss
        Name of the loss; `"squared"` is the only one.
    lr
        Learning rate. `mutate({"lr": ...})` changes it at any time.
    clip_gradient
        Largest norm of the gradient.
    window_size
        Number of ticks through which gradients flow back.
    confidence_level
        Share of the truths that the intervals should cover.
    drift_detector
        Gets the mean absolute error of the forecasts that each row settles. At a drift
        the model keeps its learned state and learns as fast as at birth.
    seed
        Seed of the initial weights. None is the same seed as 0, so models without a
        seed begin with the same weights.
    remember
        Number of rows whose forecasts are kept for `history`; 0 keeps no rows.

    Attributes:
    ----------
    n_seen
        Number of rows that the model has learned from.
    n_drifts
        Number of drifts that the detector has reported.
    frequencies
        Frequencies of the memory, in cycles per tick.
    amplitudes
        Amplitude of each frequency now: root mean square of the memory over the states.
    coefficients
        The memory itself, complex, frequencies times states.
    dominant_period
        Ticks per cycle of the strongest frequency above 0.

    Examples:
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from sfm_stream.river import SFMRegressor

    >>> model = SFMRegressor(seed=1)
    >>> metric = evaluate.progressive_val_score(
    ...     datasets.TrumpApproval(), model, metrics.MAE()
    ... )
    >>> metric.get() < 0.3
    True

    Intervals are calibrated online: in the long run they cover the share of truths
    given by `confidence_level`. Until 20 forecasts are scored they are unbounded.

    >>> x, y = next(iter(datasets.TrumpApproval()))
    >>> y in model.predict_one(x, with_interval=True)
    False
    >>> model.predict_one(x, with_interval=True).width < 3
    True

    The memory can be read.

    >>> len(model.amplitudes) == len(model.frequencies) == 8
    True
    >>> model.coefficients.shape
    (8, 16)

    References:
    ----------
    [^1]: [Hu, Hao, and Guo-Jun Qi. "State-Frequency Memory Recurrent Neural Networks." International Conference on Machine Learning, 2017.](http://proceedings.mlr.press/v70/hu17c.html)

    """  # noqa: E501 a reference is one line

    def learn_one(self, x: Row, y: float | None) -> None:
        """Take a row: move the memory, compare the forecast with the target, learn.

        Parameters
        ----------
        x
            The features.
        y
            The target, or None where it is unknown.

        """
        self._watch(self._learner.learn(x, {"y": y}))

    @overload
    def predict_one(self, x: Row, with_interval: Literal[False] = ...) -> float: ...
    @overload
    def predict_one(self, x: Row, with_interval: Literal[True]) -> conf.Interval: ...
    def predict_one(self, x: Row, with_interval: bool = False) -> float | conf.Interval:
        """Predict the target without changing the model.

        Parameters
        ----------
        x
            The features.
        with_interval
            Whether to give the interval in place of the prediction.

        """
        said = self._learner.peek(x)
        if with_interval:
            return anything() if said is None else interval(said[0, 0])
        return 0.0 if said is None else float(said[0, 0, 0])

    def learn_many(self, X: IntoDataFrame, y: dataframes.Column) -> None:
        """Learn from rows in their order, with the result of `learn_one` row by row.

        Parameters
        ----------
        X
            A data frame of features; its rows are ticks.
        y
            The targets: a series, an array, a list, or a frame of one column.

        """
        names, rows = dataframes.columns(X)
        truth = dataframes.column(y, "y", len(rows))
        if self._detector is None:
            self._learner.learn_many(names, rows, truth)
            return
        for row, value in zip(rows.tolist(), truth.tolist(), strict=True):
            self.learn_one(dict(zip(names, row, strict=True)), value)

    def predict_many(self, X: IntoDataFrame) -> IntoSeries:
        """Predict each row with `predict_one`, as if that row came next.

        Parameters
        ----------
        X
            A data frame of features.

        """
        names, rows = dataframes.columns(X)
        xs = (dict(zip(names, row, strict=True)) for row in rows.tolist())
        return dataframes.series(np.array([self.predict_one(x) for x in xs]), "y", X)

    def debug_one(self, x: Row) -> str:
        """Explain the prediction by experts, inputs and frequencies.

        Parameters
        ----------
        x
            The features.

        """
        return self._explain(x, ["y"])
