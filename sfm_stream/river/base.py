"""The base of the three River models: parameters, memory, history, explanation."""

from __future__ import annotations

import copy
import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from river import base, conf

from sfm_stream import config
from sfm_stream.cell import frequencies
from sfm_stream.errors import ConfigError
from sfm_stream.river.learner import STREAM, Floats, Learner
from sfm_stream.river.rows import Row
from sfm_stream.state.inputs import CLOCKS

if TYPE_CHECKING:
    import polars as pl

# The default model, except for the regressors of least squares: streams in River are
# often short, and each regressor raises the error of the first hundred rows.
DEFAULT = config.Config()
# River has no clock, so no season either.
INPUTS = [name for name in DEFAULT.features.inputs if name not in CLOCKS]
LAGS = 16
SHOWN = 3
PARAMETERS = {
    "model.states": "n_states",
    "model.frequencies": "n_frequencies",
    "model.outputs": "n_outputs",
    "model.cell": "cell",
    "model.grid": "grid",
    "model.longest_period": "longest_period",
    "features.lags": "lags",
    "learn.optimizer": "optimizer",
    "learn.lr": "lr",
    "learn.clip": "clip_gradient",
    "learn.window": "window_size",
    "learn.every": "window_size",
    "learn.max_pending": "horizon",
    "forecast.levels": "confidence_level",
    "run.seed": "seed",
    "target.horizons": "horizon",
}
"""The parameter behind each setting."""


class SFMModel(base.Base):
    """Parameters of a model, and its learner, which holds all learned state."""

    remember: int = 0

    def __init__(
        self,
        n_states: int = DEFAULT.model.states,
        n_frequencies: int = DEFAULT.model.frequencies,
        n_outputs: int = DEFAULT.model.outputs,
        cell: str = DEFAULT.model.cell,
        grid: str = DEFAULT.model.grid,
        longest_period: float = DEFAULT.model.longest_period,
        lags: int = LAGS,
        optimizer: str = DEFAULT.learn.optimizer,
        loss: str = "squared",
        lr: float = DEFAULT.learn.lr,
        clip_gradient: float = DEFAULT.learn.clip,
        window_size: int = DEFAULT.learn.window,
        confidence_level: float = DEFAULT.forecast.levels[-1],
        drift_detector: base.DriftDetector | None = None,
        seed: int | None = None,
        remember: int = 0,
    ) -> None:
        self.n_states = n_states
        self.n_frequencies = n_frequencies
        self.n_outputs = n_outputs
        self.cell = cell
        self.grid = grid
        self.longest_period = longest_period
        self.lags = lags
        self.optimizer = optimizer
        self.loss = loss
        self._lr = lr
        self.clip_gradient = clip_gradient
        self.window_size = window_size
        self.confidence_level = confidence_level
        self.drift_detector = drift_detector
        self.seed = seed
        self.remember = remember
        if loss != "squared":
            raise ConfigError("loss", f"expected 'squared', was {loss!r}")
        if not isinstance(remember, int) or remember < 0:
            problem = f"expected a whole number from 0 on, was {remember!r}"
            raise ConfigError("remember", problem)
        self._detector = None if drift_detector is None else drift_detector.clone()
        self._n_drifts = 0
        self._learner = Learner(self._settings(1), remember)

    @property
    def _heads(self) -> int:
        """The largest horizon that is forecast directly; the least is 1."""
        return 1

    def _settings(self, targets: int) -> config.Config:
        """Give the parameters as settings.

        Raises:
            ConfigError: naming the invalid parameter.
        """
        try:
            return self._read(targets)
        except ConfigError as e:
            known = PARAMETERS.get(e.at.partition("[")[0])
            if known is None:
                raise
            raise ConfigError(known, e.problem, e.hint) from e

    def _read(self, targets: int) -> config.Config:
        return config.from_tree(
            {
                "stream": {"missing": "mean"},
                "target": {
                    "values": [f"y{i}" for i in range(targets)],
                    "horizons": [f"1..{self._heads}"],
                },
                "features": {
                    "lags": self.lags,
                    "errors": 0,
                    "seasons": False,
                    "inputs": INPUTS,
                    "widest": None,
                    "most": None,
                },
                "model": {
                    "cell": self.cell,
                    "states": self.n_states,
                    "frequencies": self.n_frequencies,
                    "outputs": self.n_outputs,
                    "grid": self.grid,
                    "longest_period": self.longest_period,
                },
                "learn": {
                    "optimizer": self.optimizer,
                    "lr": self._lr,
                    "clip": self.clip_gradient,
                    "window": self.window_size,
                    "every": min(DEFAULT.learn.every, self.window_size),
                },
                "forecast": {"levels": [self.confidence_level]},
                "run": {"seed": self.seed or 0},
            }
        )

    @property
    def _mutable_attributes(self) -> set[str]:
        return {"lr"}

    @property
    def lr(self) -> float:
        """Learning rate of the optimiser; `mutate` changes it at any time."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        before, self._lr = self._lr, lr
        try:
            settings = self._settings(len(self._learner.known))
        except ConfigError:
            self._lr = before
            raise
        self._learner.tune(settings)

    @property
    def n_seen(self) -> int:
        """Number of rows that the model has learned from."""
        return self._learner.seen

    @property
    def n_drifts(self) -> int:
        """Number of drifts that the detector has reported."""
        return self._n_drifts

    @property
    def frequencies(self) -> list[float]:
        """Frequencies of the memory, in cycles per tick."""
        omega = frequencies.frequencies(
            self.grid, self.n_frequencies, self.longest_period
        )
        return [float(w) / math.tau for w in omega]

    @property
    def _memories(self) -> NDArray[np.complex64]:
        """The memory of each target, complex [Tg, K, D]."""
        engine = self._learner.engine
        if engine is None:
            shape = (len(self._learner.known), self.n_frequencies, self.n_states)
            return np.zeros(shape, np.complex64)
        return engine.memory(STREAM)

    def _amplitudes(self, memory: NDArray[np.complex64]) -> dict[float, float]:
        found = np.sqrt(np.mean(np.abs(memory) ** 2, axis=1))
        return dict(zip(self.frequencies, found.tolist(), strict=True))

    def _dominant_period(self, memory: NDArray[np.complex64]) -> float:
        found = self._amplitudes(memory)
        turning = [frequency for frequency in found if frequency > 0.0]
        return 1.0 / max(turning, key=found.__getitem__) if turning else math.inf

    def history(self, n: int = 1_000) -> pl.DataFrame:
        """Give the latest forecasts with their bounds and truths, for plotting.

        Parameters
        ----------
        n
            The largest number of rows; the model keeps at most `remember` rows.

        Returns:
        -------
        A line per row, target and step ahead: `row`, the number of the forecast row,
        `target`, `ahead`, `mean`, `lower`, `upper`, `truth`, `error`.

        """
        if not isinstance(n, int) or n < 0:
            problem = f"expected a whole number from 0 on, was {n!r}"
            raise ConfigError("n", problem)
        if not self.remember:
            hint = "make the model with remember=1000"
            raise ConfigError("remember", "expected some rows to be kept, was 0", hint)
        return self._learner.past.frame(n, self._names)

    @property
    def _names(self) -> Sequence[Hashable]:
        """Names of the targets."""
        return ("y",)

    def _watch(self, scores: Floats) -> None:
        """Give the drift detector the mean absolute error of the settled forecasts."""
        if self._detector is None or not len(scores):
            return
        self._detector.update(float(np.mean(np.abs(scores[:, 0] - scores[:, 1]))))
        if self._detector.drift_detected:
            self._n_drifts += 1
            self._learner.adapt()

    def _explain(self, x: Row, names: Sequence[object]) -> str:
        """Explain forecasts of the targets `names` by experts, inputs, frequencies."""
        said = self._learner.peek(x)
        if said is None or not self._learner.has_learned:
            return "Nothing is learned yet: the prediction is the last target, or 0."
        lines = [f"{self.n_seen} rows learned from, {self.n_drifts} drifts"]
        for i, name in enumerate(names):
            mean, lower, upper = said[i, 0].tolist()
            lines.append(f"{name}: {mean:.6g}, interval {lower:.6g} to {upper:.6g}")
            shares = self._learner.shares(i)
            lines += [f"  {expert}: {share:.1%}" for expert, share in shares.items()]
            lines.append("  strongest inputs, in deviations:")
            seen = sorted(self._learner.inputs(i).items(), key=lambda it: -abs(it[1]))
            lines += [f"    {text}: {value:+.3f}" for text, value in seen[:SHOWN]]
            lines.append("  strongest frequencies, in cycles per tick:")
            strong = sorted(
                self._amplitudes(self._memories[i]).items(), key=lambda it: -it[1]
            )
            lines += [
                f"    {w:.5f}: amplitude {size:.3f}" for w, size in strong[:SHOWN]
            ]
        return "\n".join(lines)

    @property
    def _raw_memory_usage(self) -> int:
        # River's walk over attributes would enter the compiler's tables.
        bare = copy.copy(self)
        vars(bare)["_learner"] = self._learner.features
        engine = self._learner.engine
        walked: int = super(SFMModel, bare)._raw_memory_usage
        return walked + (0 if engine is None else engine.nbytes)


class OneTarget(SFMModel):
    """Reads the memory of a model with one target."""

    @property
    def amplitudes(self) -> dict[float, float]:
        """Amplitude of each frequency now: root mean square of |R| over the states."""
        return self._amplitudes(self._memories[0])

    @property
    def coefficients(self) -> NDArray[np.complex64]:
        """The memory itself, complex [frequencies, states], at its present phase."""
        memory: NDArray[np.complex64] = self._memories[0]
        return memory

    @property
    def dominant_period(self) -> float:
        """Ticks per cycle of the strongest frequency above 0."""
        return self._dominant_period(self._memories[0])


def interval(said: Floats) -> conf.Interval:
    """Make an interval of mean, lower and upper; unbounded while the bounds are NaN."""
    _, lower, upper = said.tolist()
    return anything() if math.isnan(lower) else conf.Interval(lower, upper)


def anything() -> conf.Interval:
    """Give the unbounded interval, for a model without forecasts."""
    return conf.Interval(-math.inf, math.inf)
