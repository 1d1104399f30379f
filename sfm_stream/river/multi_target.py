"""A regressor with several targets for River, built on the engine."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray
from river import base, conf

from sfm_stream.errors import ConfigError, FeatureError
from sfm_stream.river.base import SFMModel, anything, interval
from sfm_stream.river.learner import Learner
from sfm_stream.river.rows import Row, in_order


class SFMMultiTargetRegressor(SFMModel, base.MultiTargetRegressor):
    """State-Frequency Memory networks with linear experts, one per target.

    Each target has its own memory and weights, and sees the features and the changes
    and levels of all targets. The first row names the targets. A later row may leave
    targets out, or give None or NaN; the model learns nothing from these. The
    predictions are 0 until every target was known once. All else is the same as in
    `SFMRegressor`.

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
    targets
        Names of the targets, empty before the first row.
    amplitudes
        Per target, the amplitude of each frequency now.
    coefficients
        Per target, the memory itself, complex, frequencies times states.
    dominant_period
        Per target, ticks per cycle of the strongest frequency above 0.

    Examples:
    --------
    >>> from sfm_stream.river import SFMMultiTargetRegressor
    >>> from river import datasets

    >>> model = SFMMultiTargetRegressor(seed=1)
    >>> for x, y in datasets.TrumpApproval():
    ...     model.learn_one(x, {"approve": y, "disapprove": 100 - y})
    >>> shares = model.predict_one(x)
    >>> sorted(shares), abs(sum(shares.values()) - 100) < 2
    (['approve', 'disapprove'], True)

    """

    _targets: tuple[Hashable, ...] = ()

    @property
    def targets(self) -> tuple[Hashable, ...]:
        """Names of the targets."""
        return self._targets

    @property
    def _names(self) -> tuple[Hashable, ...]:
        return self._targets

    @property
    def amplitudes(self) -> dict[Hashable, dict[float, float]]:
        """Amplitude of each frequency now, per target."""
        return {name: self._amplitudes(own) for name, own in self._named_memories()}

    @property
    def coefficients(self) -> dict[Hashable, NDArray[np.complex64]]:
        """The memory of each target, complex [frequencies, states]."""
        return dict(self._named_memories())

    @property
    def dominant_period(self) -> dict[Hashable, float]:
        """Ticks per cycle of each target's strongest frequency above 0."""
        return {n: self._dominant_period(own) for n, own in self._named_memories()}

    # River's method takes any keywords: a misspelt one would pass in silence.
    def learn_one(  # type: ignore[override]
        self, x: Row, y: Mapping[Hashable, float | None]
    ) -> None:
        """Take a row: move the memory, compare the forecasts with the targets, learn.

        Parameters
        ----------
        x
            The features.
        y
            The targets by name.

        """
        if not isinstance(y, Mapping):
            hint = "name each target"
            raise FeatureError("y", y, "a dict of targets", hint)
        targets = self._targets or in_order(y)
        if not y.keys() <= set(targets):
            problem = f"expected some of {list(targets)}, was {list(y)}"
            raise ConfigError("y", problem, "name all targets in the first row")
        if not targets:
            return
        learner = self._learner
        if not self._targets:
            learner = Learner(self._settings(len(targets)), self.remember)
        scores = learner.learn(x, {name: y.get(name) for name in targets})
        # A refused first row does not name the targets.
        self._targets, self._learner = targets, learner
        self._watch(scores)

    @overload
    def predict_one(
        self, x: Row, with_interval: Literal[False] = ...
    ) -> dict[Hashable, float]: ...
    @overload
    def predict_one(
        self, x: Row, with_interval: Literal[True]
    ) -> dict[Hashable, conf.Interval]: ...
    def predict_one(
        self, x: Row, with_interval: bool = False
    ) -> dict[Hashable, float] | dict[Hashable, conf.Interval]:
        """Predict the targets without changing the model.

        Parameters
        ----------
        x
            The features.
        with_interval
            Whether to give intervals in place of predictions.

        """
        said = self._learner.peek(x)
        if with_interval:
            if said is None:
                return {name: anything() for name in self._targets}
            return {n: interval(s[0]) for n, s in zip(self._targets, said, strict=True)}
        if said is None:
            return dict.fromkeys(self._targets, 0.0)
        return dict(zip(self._targets, said[:, 0, 0].tolist(), strict=True))

    def debug_one(self, x: Row) -> str:
        """Explain the predictions by experts, inputs and frequencies.

        Parameters
        ----------
        x
            The features.

        """
        return self._explain(x, self._targets)

    def _named_memories(self) -> list[tuple[Hashable, NDArray[np.complex64]]]:
        return list(zip(self._targets, self._memories, strict=bool(self._targets)))
