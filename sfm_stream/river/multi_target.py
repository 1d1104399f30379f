"""River's regressor for several targets over the engine."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray
from river import base, conf

from sfm_stream.errors import ConfigError, FeatureError
from sfm_stream.river.base import Face, anything, interval
from sfm_stream.river.learner import Learner
from sfm_stream.river.rows import Row, in_order


class SFMMultiTargetRegressor(Face, base.MultiTargetRegressor):
    """State-Frequency Memory networks with linear experts, one per target.

    Each target has a memory and weights of its own, and sees the features and the
    changes and levels of all targets. The first row names the targets; a later row may
    leave some out, or give them as None or NaN, and then they teach nothing. Before
    each target was known once the predictions are 0. All else is as `SFMRegressor` has
    it.

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
        How the frequencies are laid out: `"log"`, `"half"` or `"paper"`.
    longest_period
        Longest period of the `"log"` grid, in ticks.
    lags
        Past changes of the target that the linear experts see.
    optimizer
        Name of the optimiser; `"adam"` is the only one.
    loss
        Name of the loss; `"squared"` is the only one.
    lr
        Learning rate. `mutate({"lr": ...})` changes it at any time.
    clip_gradient
        Largest norm of the gradient.
    window_size
        Ticks that gradients flow back through.
    confidence_level
        Share of the truths that intervals are to hold.
    drift_detector
        Is shown the absolute error of every forecast. At a drift the model keeps what
        it knows and learns as fast as at birth.
    seed
        Seed of the weights at birth. None is a seed like any other: models without one
        are born alike.
    remember
        Rows whose forecasts are kept for `history`; 0, none.

    Attributes:
    ----------
    n_seen
        Rows learned from.
    n_drifts
        Drifts that the detector has seen.
    frequencies
        Frequencies of the memory, in cycles per tick.
    targets
        Names of the targets, empty before the first row.
    amplitudes
        Per target, the amplitude of each frequency now.
    coefficients
        Per target, the memory itself, complex, frequencies times states.
    dominant_period
        Per target, ticks per cycle of the strongest frequency but the constant one.

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
        """Ticks per cycle of each target's strongest frequency but the constant one."""
        return {n: self._dominant_period(own) for n, own in self._named_memories()}

    # River's own takes further keywords, which would pass in silence.
    def learn_one(  # type: ignore[override]
        self, x: Row, y: Mapping[Hashable, float | None]
    ) -> None:
        """Take a step: remember the row, meet its targets, learn.

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
        # a first row that is refused names no targets
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
        """Predict the targets, and change nothing.

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
        """Say how the predictions come about: experts, inputs, frequencies.

        Parameters
        ----------
        x
            The features.

        """
        return self._explain(x, self._targets)

    def _named_memories(self) -> list[tuple[Hashable, NDArray[np.complex64]]]:
        return list(zip(self._targets, self._memories, strict=bool(self._targets)))
