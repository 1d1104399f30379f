"""All models for comparisons, by name: variants of our engine, and peers.

To add a peer, write a function from a `Task` to a `referee.Peer`; name it in `PEERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.evaluate.peers import river, simple
from sfm_stream.evaluate.peers.recurrent import Recurrent
from sfm_stream.evaluate.peers.scaling import LAGS, Regressed, Regressors, Task

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.evaluate.referee import Peer

FORGETS_NOTHING, FORGETS, FORGETS_FAST = 1.0, 0.9999, 0.999


def _sfm(config: Config) -> Config:
    return replace(config, model=replace(config.model, cell="sfm"))


def _a_sfm(config: Config) -> Config:
    return replace(config, model=replace(config.model, cell="a-sfm"))


def _shared(config: Config) -> Config:
    return replace(config, model=replace(config.model, cell="sfm", shared=True))


def _no_cell(config: Config) -> Config:
    experts = tuple(e for e in config.forecast.experts if "sfm" not in e)
    return replace(config, forecast=replace(config.forecast, experts=experts))


def _least_squares(forgetting: float, *, rest: bool) -> Callable[[Task], Peer]:
    def create(task: Task) -> Peer:
        x = Regressors(task, LAGS, rest=rest)
        fit = simple.LeastSquares(len(task.ahead), x.size, forgetting)
        return Regressed(task, x, fit)

    return create


def _linear(make: Callable[[int], river.Linear]) -> Callable[[Task], Peer]:
    def create(task: Task) -> Peer:
        return Regressed(
            task, Regressors(task, LAGS, rest=False), make(len(task.ahead))
        )

    return create


def _recurrent(kind: str) -> Callable[[Task], Peer]:
    def create(task: Task) -> Peer:
        x = Regressors(task, 0, rest=True)
        return Regressed(task, x, Recurrent(kind, task, x.size))

    return create


ENGINES: Mapping[str, Callable[[Config], Config]] = {
    "sfm": _sfm,
    "a-sfm": _a_sfm,
    "sfm-shared": _shared,
    "no-cell": _no_cell,
}
"""Variants of our engine: by name, the function that changes the settings."""
PEERS: Mapping[str, Callable[[Task], Peer]] = {
    "last": simple.Last,
    "mean": simple.Mean,
    "rls": _least_squares(FORGETS_NOTHING, rest=False),
    "rls-all": _least_squares(FORGETS_NOTHING, rest=True),
    "ewls": _least_squares(FORGETS, rest=False),
    "ewls-all": _least_squares(FORGETS, rest=True),
    "ewls-fast": _least_squares(FORGETS_FAST, rest=False),
    "snarimax": river.Snarimax,
    "holtwinters": river.HoltWinters,
    "linear": _linear(river.linear),
    "bayes": _linear(river.bayes),
    "lstm": _recurrent("LSTM"),
    "gru": _recurrent("GRU"),
}
"""Peers: by name, the function that makes one for a target of a stream."""


def check(models: Sequence[str]) -> None:
    """Refuse names of unknown models.

    Raises:
        ConfigError: naming the most similar known model.
    """
    known = (*ENGINES, *PEERS)
    for name in models:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError("--models", f"expected a model, was {name!r}", hint)
