"""Runs one stream of the engine for River: a tick is (x_t, y_{t-1}), its label is y_t.

The state is an engine, the columns of its features, and the last targets. The forecast
of a target takes the place of a target that stays unknown.
"""

from __future__ import annotations

import copy
import math
import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.engine import Engine
from sfm_stream.events import LABEL, TICK, Block, Control, Label, Tick
from sfm_stream.river.past import Past
from sfm_stream.river.rows import Features, Row, number
from sfm_stream.running.precompile import prepare

STREAM = "river"
# Ticks are one second apart: River has no clock, and no input of the model uses time.
START, PERIOD = 946_684_800 * 10**9, 10**9
Floats: TypeAlias = NDArray[np.float64]
# Growth factor of the room for features that appear late. With a factor of 2, a tick of
# 300 features could take three times as long.
GROWTH = 1.5
NO_SCORES = np.zeros((0, 3))


class Learner:
    """Forecasts the targets of rows, takes their truths, and learns.

    Before every target was known once there is no forecast, because the model predicts
    a change from the last value. From then on the forecast is the last value, until the
    model has learned from a row.

    Args:
        settings: with one name in `target.values` per target.
        remember: the number of rows that `past` keeps.

    Attributes:
        features: the columns of the features.
        seen: the number of rows learned from.
        known: last value of each target, or its forecast where the target stayed
            unknown; NaN before the first known value.
        engine: None until every target was known.
        past: the latest forecasts and their truths.
    """

    def __init__(self, settings: Config, remember: int = 0) -> None:
        self._settings = settings
        self.past = Past(remember)
        self.features = Features()
        self.seen = 0
        self.known = [math.nan] * len(settings.target.values)
        self.engine: Engine | None = None
        # The last peeked row that has all columns, `seen` at that moment, and its tick.
        self._peeked: tuple[Row, int, Tick] | None = None
        self._born = self._columns = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_peeked": None}  # a peek is no part of the state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        # A model pickled by a former version has no `past`,
        vars(self).setdefault("past", Past(0))
        vars(self).setdefault("_peeked", None)
        # and no spare columns for features.
        for name in ("_born", "_columns"):
            vars(self).setdefault(name, len(self.features) if self.engine else 0)

    @property
    def has_learned(self) -> bool:
        """Whether the engine has observed a tick."""
        return self.engine is not None and self.engine.seq > 0

    def peek(self, x: Row) -> Floats | None:
        """Forecast the targets of this row without changing the state.

        Returns:
            [Tg, Q, 3]: mean, lower, upper, the bounds NaN until enough forecasts are
            scored; valid until the next call. None before every target was known.

        Raises:
            FeatureError: if a feature is neither a number nor a date.
        """
        plain = self.features.plain(x)
        row = self._row(x) if plain is None else self._filled(plain)
        engine = self.engine
        if engine is None or not engine.seq:
            return self._last_values() if self._has_begun() else None
        tick = self._tick(row)
        if plain is not None or self.features.are(x):
            self._peeked = dict(x), self.seen, tick
        return engine.peek_array(tick)

    def learn(self, x: Row, y: Mapping[Hashable, Any]) -> Floats:
        """Take a row and its targets, and learn.

        Args:
            x: the features.
            y: the targets, in order; a target that is None or NaN is unknown.

        Returns:
            [scores, 5]: truth, mean, last value, interval score and CRPS of the settled
            forecasts, valid until the next call; no rows before every target was known.

        Raises:
            FeatureError: if a feature is neither a number nor a date, or a target is
                not a number.
        """
        truth = list(map(number, y, y.values()))
        peeked = self._peeked
        if peeked is not None and peeked[1] == self.seen and peeked[0] == x:
            return self._answer(peeked[2], truth)
        self._admit(x)
        return self._answer(self._tick(self._row(x)), truth)

    def learn_many(self, names: Sequence[Hashable], rows: Floats, y: Floats) -> None:
        """Take T rows [T, N] of the features `names` with their targets [T], and learn.

        The result is the same as of `learn` row by row, with few calls of the compiled
        tick.
        """
        if not len(rows):
            return
        rows = np.where(np.isinf(rows), np.nan, rows)
        truth = np.where(np.isfinite(y), y, np.nan)
        since = _first_known(rows)
        # A feature gets its column at the first row in which its value is known.
        starts = sorted({0, *(at for at in since if at < len(rows))})
        for begin, end in pairwise([*starts, len(rows)]):
            known = [name for name, at in zip(names, since, strict=True) if at <= begin]
            places = [i for i, at in enumerate(since) if at <= begin]
            self._learn_part(known, rows[begin:end, places], truth[begin:end])

    def _learn_part(
        self, names: Sequence[Hashable], rows: Floats, truth: Floats
    ) -> None:
        """Learn from rows [T, N] of features that are known in the first row."""
        self._admit(dict.fromkeys(names, 0.0))
        values = np.full((len(rows), self._width), np.nan)
        values[:, self.features.places(names)] = rows
        begun = 0
        while begun < len(values) and not self._has_begun():
            tick = self._tick(values[begun].tolist())
            self._answer(tick, [float(truth[begun])])
            begun += 1
        # The tick after an unknown target holds the forecast of that target.
        unknown = (np.flatnonzero(np.isnan(truth[begun:-1])) + begun + 1).tolist()
        for start, end in pairwise([begun, *unknown, len(values)]):
            if start < end:
                self._answer_many(values[start:end], truth[start:end])

    def forecast(self, xs: Sequence[Row]) -> Floats:
        """Forecast the first target at each of the next rows.

        Up to the longest horizon the present state forecasts. Beyond it a copy takes
        the forecasts as values and forecasts from there; the squares of the half-widths
        add up, as the variances of independent errors do.

        Returns:
            [len(xs), 3]: mean, lower, upper of the first target; 0, NaN and NaN before
            every target was known.
        """
        said, start, spread = np.full((len(xs), 3), np.nan), 0, 0.0
        said[:, 0] = 0.0
        dreamer = self
        while start < len(xs) and (now := dreamer.peek(xs[start])) is not None:
            ahead = now[0, : len(xs) - start].copy()
            half = np.hypot(0.5 * (ahead[:, 2] - ahead[:, 1]), spread)
            if dreamer is not self:
                ahead[:, 1], ahead[:, 2] = ahead[:, 0] - half, ahead[:, 0] + half
            said[start : start + len(ahead)] = ahead
            if start + len(ahead) < len(xs):
                dreamer = copy.deepcopy(self) if dreamer is self else dreamer
                dreamer.suppose(xs[start : start + len(ahead)], ahead[:, 0])
            start, spread = start + len(ahead), float(half[-1])
        return said

    def suppose(self, xs: Sequence[Row], means: Floats) -> None:
        """Take rows with these targets as values, without learning from the targets."""
        for x, mean in zip(xs, means.tolist(), strict=True):
            self._answer(self._tick(self._row(x)), [math.nan])
            self.known = [mean]

    def adapt(self) -> None:
        """Learn as fast as at birth from now on."""
        if self.engine is not None:
            self.engine.observe(Control(STREAM, self._time(), "adapt"))
            self.engine.learn()

    def tune(self, settings: Config) -> None:
        """Change the learning rate to that of these settings."""
        self._settings = settings
        if self.engine is not None:
            self.engine.tune(settings.learn.lr)

    def shares(self, target: int) -> dict[str, float]:
        """Give the weight of each expert for a target's next value."""
        engine = self._awake()
        weights = engine.view("mix_weight")[target, 0].tolist()
        return dict(zip(engine.experts, weights, strict=True))

    def inputs(self, target: int) -> dict[str, float]:
        """Give the scaled inputs of a target at the last peeked row, by name."""
        engine = self._awake()
        names = list(engine.inputs.values())[target]
        seen = engine.view("tape_u")[target, -1, : len(names)].tolist()
        pairs = [(self._named(n), v) for n, v in zip(names, seen, strict=True)]
        return {name: value for name, value in pairs if name is not None}

    def _named(self, text: str) -> str | None:
        """Replace a column's name by its feature's name; None for a spare column."""
        names, found = self.features.names, re.search(r"x(\d+)", text)
        if found is None:
            return text
        at = int(found[1])
        return text.replace(found[0], str(names[at])) if at < len(names) else None

    def _has_begun(self) -> bool:
        """Say whether every target was known once; it stays true from then on."""
        return self.engine is not None or not any(map(math.isnan, self.known))

    def _last_values(self) -> Floats:
        """Forecast the last values, as the engine does before its first tick."""
        target = self._settings.target
        said = np.full((len(target.values), len(target.horizons), 3), np.nan)
        said[..., 0] = np.array(self.known)[:, None]
        return said

    def _time(self) -> int:
        return START + self.seen * PERIOD

    def _tick(self, row: Sequence[float]) -> Tick:
        return Tick(STREAM, START + self.seen * PERIOD, (*self.known, *row))

    @property
    def _width(self) -> int:
        """Columns of a tick: those of features, and spare ones for late features."""
        return max(self._columns, len(self.features))

    def _row(self, x: Row) -> Sequence[float]:
        return self._filled(self.features.row(x))

    def _filled(self, row: Sequence[float]) -> Sequence[float]:
        """Give the values of the features, and NaN for the spare columns."""
        waiting = self._columns - len(row)
        return [*row, *[math.nan] * waiting] if waiting > 0 else row

    def _fields(self) -> list[str]:
        columns = [f"x{i}" for i in range(self._width)]
        return [*self._settings.target.values, *columns]

    def _admit(self, x: Row) -> None:
        """Give columns to the new features of a row, and widen the engine if needed.

        Widening copies the whole engine. So the room for late features grows by half
        each time, as the room of a list does. A spare column is a missing value.
        """
        before = len(self.features)
        if not self.features.admit(x) or self.engine is None:
            return
        if len(self.features) <= self._columns:
            new = range(before, len(self.features))
            self.engine.trust_anew([f"x{i}" for i in new])
            return
        late = self._columns - self._born
        self._columns = max(len(self.features), self._born + int(GROWTH * late))
        self.engine = self.engine.widen(self._fields())

    def _answer(self, tick: Tick, truth: list[float]) -> Floats:
        scores, after = NO_SCORES, self.known
        unknown = any(map(math.isnan, truth))
        if self._has_begun():
            absent = [math.nan] * (len(tick.values) - len(truth))
            label = Label(STREAM, tick.time, (*truth, *absent))
            scores = self._awake().observe_labelled(tick, label)
            if unknown:
                after = self._said_last()[:, 0, 0].tolist()
            if self.past.room:
                said = self._said_last()[None]
                self.past.add(self.seen, said, np.array([truth], np.float64))
        self.seen += 1
        self.known = _completed(truth, after) if unknown else truth
        return scores

    def _answer_many(self, rows: Floats, truth: Floats) -> None:
        """Learn from rows [T, N] and targets [T] in one call of the engine.

        Every target was known once before, and only the last one here may be unknown.
        """
        count = len(rows)
        values = np.full((count, 2, 1 + rows.shape[1]), np.nan)
        values[:, 0, 0] = [*self.known, *truth[:-1]]
        values[:, 0, 1:], values[:, 1, 0] = rows, truth
        time = np.repeat(self._time() + np.arange(count) * PERIOD, 2)
        block = Block(
            streams=(STREAM,),
            kind=np.tile(np.array([TICK, LABEL], np.int8), count),
            stream=np.zeros(2 * count, np.int32),
            time=time,
            received=time,
            values=values.reshape(2 * count, -1),
            code=np.zeros(2 * count, np.int64),
        )
        said = self._awake().run(block).columns["forecasts"]
        if self.past.room:
            bounds = np.stack([said[name] for name in ("mean", "lower", "upper")], -1)
            self.past.add(self.seen, bounds.reshape(count, 1, -1, 3), truth[:, None])
        self.seen += count
        last = float(truth[-1])
        self.known = [float(self._said_last()[0, 0, 0]) if math.isnan(last) else last]

    def _said_last(self) -> Floats:
        """Copy the forecasts of the last tick: mean, lower, upper [Tg, Q, 3]."""
        engine = self._awake()
        bounds = engine.view("origin_bounds")
        slot = (engine.ticks[STREAM] - 1) % (bounds.shape[1] - 1)
        return np.array(bounds[:, slot], np.float64)

    def _awake(self) -> Engine:
        """Give the engine; make it at the first call."""
        if self.engine is None:
            prepare(self._settings, self._fields(), _tell)
            self.engine = Engine(self._settings, self._fields())
            self._born = self._columns = len(self.features)
        return self.engine


def _completed(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Replace each value that is NaN by the other value at its place."""
    return [
        other if math.isnan(value) else value
        for value, other in zip(values, others, strict=True)
    ]


def _first_known(rows: Floats) -> list[int]:
    """Give the first row in which each column is not NaN, or the number of rows."""
    known = ~np.isnan(rows)
    first = np.where(known.any(axis=0), known.argmax(axis=0), len(rows))
    return [int(at) for at in first]


def _tell(notice: str) -> None:
    sys.stderr.write(f"sfm-stream: {notice}\n")
