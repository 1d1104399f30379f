"""One stream of the engine in River's order: a tick is (x_t, y_{t-1}), its label y_t.

The state is one thing: an engine, the columns of its features, the last targets. In the
place of a target that stays unknown stands what was forecast of it.
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
# Ticks are a second apart: River has no clock, and the model does not look at this one.
START, PERIOD = 946_684_800 * 10**9, 10**9
Floats: TypeAlias = NDArray[np.float64]
# How the room for features that come late grows when it is too small. If it doubled, a
# tick of 300 features could take three times as long.
GROWTH = 1.5
NO_SCORES = np.zeros((0, 3))


class Learner:
    """Forecasts, meets the truth, and learns.

    There is no forecast before every target was known once: what is predicted is a
    change from the last value. From then on the last value is the forecast, until a row
    was learned.

    Args:
        settings: with a field in `target.values` per target.
        remember: rows that are kept in `past`.

    Attributes:
        features: the columns.
        seen: rows learned from.
        known: last value of each target, or what was forecast of it where it stayed
            unknown; NaN before.
        engine: None until every target was known.
        past: the latest forecasts and what became of them.
    """

    def __init__(self, settings: Config, remember: int = 0) -> None:
        self._settings = settings
        self.past = Past(remember)
        self.features = Features()
        self.seen = 0
        self.known = [math.nan] * len(settings.target.values)
        self.engine: Engine | None = None
        # A row with all columns that was peeked at, when, and the tick it made.
        self._peeked: tuple[Row, int, Tick] | None = None
        self._born = self._columns = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_peeked": None}  # to peek changes nothing

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        # a model that a former version pickled has no past
        vars(self).setdefault("past", Past(0))
        vars(self).setdefault("_peeked", None)
        # nor columns that wait for features
        for name in ("_born", "_columns"):
            vars(self).setdefault(name, len(self.features) if self.engine else 0)

    @property
    def has_learned(self) -> bool:
        """Whether the engine has taken in a tick."""
        return self.engine is not None and self.engine.seq > 0

    def peek(self, x: Row) -> Floats | None:
        """Say what comes after this row, and change nothing.

        Returns:
            [Tg, Q, 3]: mean, lower, upper, the bounds NaN until enough is scored; it
            holds until the next call. None where nothing can be said.

        Raises:
            FeatureError: if a feature is no number.
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
        """Take in a row and what came of it, and learn.

        Args:
            x: the features.
            y: the targets, in order; None and NaN leave one unknown.

        Returns:
            [scores, 3]: truth, mean and last value of what was settled; it holds until
            the next call.

        Raises:
            FeatureError: if a feature or target is no number.
        """
        truth = list(map(number, y, y.values()))
        peeked = self._peeked
        if peeked is not None and peeked[1] == self.seen and peeked[0] == x:
            return self._answer(peeked[2], truth)
        self._admit(x)
        return self._answer(self._tick(self._row(x)), truth)

    def learn_many(self, names: Sequence[Hashable], rows: Floats, y: Floats) -> None:
        """Take in T rows [T, N] of the features `names`, and their targets [T].

        The same as `learn` row by row, in one call of the compiled tick.
        """
        if not len(rows):
            return
        rows = np.where(np.isinf(rows), np.nan, rows)
        truth = np.where(np.isfinite(y), y, np.nan)
        since = _first_known(rows)
        # a feature has a column from the first row on in which it is known
        starts = sorted({0, *(at for at in since if at < len(rows))})
        for begin, end in pairwise([*starts, len(rows)]):
            known = [name for name, at in zip(names, since, strict=True) if at <= begin]
            places = [i for i, at in enumerate(since) if at <= begin]
            self._learn_part(known, rows[begin:end, places], truth[begin:end])

    def _learn_part(
        self, names: Sequence[Hashable], rows: Floats, truth: Floats
    ) -> None:
        """Take in rows [T, N] of features that all have columns from the first on."""
        self._admit(dict.fromkeys(names, 0.0))
        values = np.full((len(rows), self._width), np.nan)
        values[:, self.features.places(names)] = rows
        begun = 0
        while begun < len(values) and not self._has_begun():
            tick = self._tick(values[begun].tolist())
            self._answer(tick, [float(truth[begun])])
            begun += 1
        # what comes after an unknown target stands on its forecast
        unknown = (np.flatnonzero(np.isnan(truth[begun:-1])) + begun + 1).tolist()
        for start, end in pairwise([begun, *unknown, len(values)]):
            if start < end:
                self._answer_many(values[start:end], truth[start:end])

    def forecast(self, xs: Sequence[Row]) -> Floats:
        """Say what comes after each of several rows that follow each other.

        Up to the longest horizon these are forecasts made now. Beyond it a copy goes on
        from them as if they had come true; the squares of the half-widths add up, as
        those of independent errors do.

        Returns:
            [len(xs), 3]: mean, lower, upper of the first target; zeros and NaN where
            nothing can be said.
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
        """Go on as if these targets had come, and learn nothing from them."""
        for x, mean in zip(xs, means.tolist(), strict=True):
            self._answer(self._tick(self._row(x)), [math.nan])
            self.known = [mean]

    def adapt(self) -> None:
        """Learn as fast as at birth from now on."""
        if self.engine is not None:
            self.engine.observe(Control(STREAM, self._time(), "adapt"))
            self.engine.learn()

    def tune(self, settings: Config) -> None:
        """Learn at the rate of these settings from now on."""
        self._settings = settings
        if self.engine is not None:
            self.engine.tune(settings.learn.lr)

    def shares(self, target: int) -> dict[str, float]:
        """Give the weight of each expert for a target's next value."""
        engine = self._awake()
        weights = engine.view("mix_weight")[target, 0].tolist()
        return dict(zip(engine.experts, weights, strict=True))

    def inputs(self, target: int) -> dict[str, float]:
        """Name what a target's model saw of the row last given to `peek`, scaled."""
        engine = self._awake()
        names = list(engine.inputs.values())[target]
        seen = engine.view("tape_u")[target, -1, : len(names)].tolist()
        pairs = [(self._named(n), v) for n, v in zip(names, seen, strict=True)]
        return {name: value for name, value in pairs if name is not None}

    def _named(self, text: str) -> str | None:
        """Put a feature's own name for its column's; None where no feature has it."""
        names, found = self.features.names, re.search(r"x(\d+)", text)
        if found is None:
            return text
        at = int(found[1])
        return text.replace(found[0], str(names[at])) if at < len(names) else None

    def _has_begun(self) -> bool:
        """Say whether every target was known once; then it is so for good."""
        return self.engine is not None or not any(map(math.isnan, self.known))

    def _last_values(self) -> Floats:
        """Say that nothing changes, as the engine does before it has seen a tick."""
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
        """Columns of a tick: those of the features, and some that wait for one."""
        return max(self._columns, len(self.features))

    def _row(self, x: Row) -> Sequence[float]:
        return self._filled(self.features.row(x))

    def _filled(self, row: Sequence[float]) -> Sequence[float]:
        """Give the values of the features, and none for the columns that wait."""
        waiting = self._columns - len(row)
        return [*row, *[math.nan] * waiting] if waiting > 0 else row

    def _fields(self) -> list[str]:
        columns = [f"x{i}" for i in range(self._width)]
        return [*self._settings.target.values, *columns]

    def _admit(self, x: Row) -> None:
        """Give the new names of a row columns, and the engine room for them.

        All of the engine is copied when it is widened. So the room for features that
        came late grows by half, as that of a list does, and a column that waits holds
        nothing: it is a value that is missing.
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
        """Take in rows [T, N] and targets [T] of a stream that has begun.

        Only the last target may be unknown.
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
        """Copy what was forecast at the last tick: mean, lower, upper [Tg, Q, 3]."""
        engine = self._awake()
        bounds = engine.view("origin_bounds")
        slot = (engine.ticks[STREAM] - 1) % (bounds.shape[1] - 1)
        return np.array(bounds[:, slot], np.float64)

    def _awake(self) -> Engine:
        """Give the engine, made when the first tick comes."""
        if self.engine is None:
            prepare(self._settings, self._fields(), _tell)
            self.engine = Engine(self._settings, self._fields())
            self._born = self._columns = len(self.features)
        return self.engine


def _completed(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Put another in the place of each value that is NaN."""
    return [
        other if math.isnan(value) else value
        for value, other in zip(values, others, strict=True)
    ]


def _first_known(rows: Floats) -> list[int]:
    """Give the first row in which each column is known; their number if none is."""
    known = ~np.isnan(rows)
    first = np.where(known.any(axis=0), known.argmax(axis=0), len(rows))
    return [int(at) for at in first]


def _tell(notice: str) -> None:
    sys.stderr.write(f"sfm-stream: {notice}\n")
