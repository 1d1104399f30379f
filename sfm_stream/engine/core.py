"""The engine: takes events, gives records; the only object of the core with state.

    observe(event)   score the forecasts that the event settles, then forecast
    learn()          learn from the observed event
    run(block)       observe and learn every event of a block
    observe_block(block), learn_block()
                     as run, but give the records before learning from the last event
    observe_labelled(tick, label)
                     observe and learn a tick and its label, the value to forecast

The engine uses no clock, socket, file or thread. Its records depend on the events and
their order alone, whether the events came one by one or in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import json
from numpy.typing import NDArray

from sfm_stream import config
from sfm_stream.backends import contract  # fmt: skip
from sfm_stream.engine import decode, earlier, signature
from sfm_stream.engine.buffers import Caller
from sfm_stream.engine.decode import Owners
from sfm_stream.engine.former import FormerNames
from sfm_stream.engine.intake import BIN, Intake
from sfm_stream.engine.pair import Pair
from sfm_stream.errors import InvalidState
from sfm_stream.events import CONTROL, Block, Event, Label, Tick
from sfm_stream.kernels.records import FORECASTS, SCORES
from sfm_stream.kernels.rows import Events
from sfm_stream.kernels.tick import KEEP, LEARN, OBSERVE, PEEK
from sfm_stream.records import Forecast, Record, Records
from sfm_stream.state import inputs, places, targets, widen
from sfm_stream.state.bank import Bank
from sfm_stream.state.moment import NO_ROOM, Moment

Column = NDArray[Any]


class Engine(FormerNames):
    """A bank of streams that forecasts, scores and learns.

    Attributes:
        backend: the backend that computes.
        experts: names [E].
        targets: names [Tg].
        horizons: names [Q].
        frequencies: float64 [K], radians per tick.

    Args:
        settings: as `config.load` or `config.from_tree` gives them.
        fields: names of a tick's values, in order.

    Raises:
        ConfigError: if a target or input names no field, or the device is absent.
    """

    def __init__(self, settings: config.Config, fields: Sequence[str]) -> None:
        self.config = settings
        plan = inputs.plan(settings, fields)
        run = settings.run
        self.backend = contract.choose(run.backend, run.device, run.threads)
        self._bank = Bank(settings, plan)
        self._sizes = self._bank.layout.sizes
        self.fields = plan.fields
        self.targets = plan.targets
        self.experts = tuple(settings.forecast.experts)
        self.horizons = targets.labels(settings)
        self.frequencies = self._bank.layout.omega
        self._intake = Intake(settings, self._bank)
        self._owners = self._owners_now()
        self._call = Caller(self.backend, self._bank)
        self._single, self._aside = Pair(len(self.fields)), Pair(len(self.fields))
        self._place = 0
        self._expected: tuple[Tick, int] | None = None
        self._observed: Events | None = None

    @property
    def seq(self) -> int:
        """Events observed so far; equals the journal position."""
        return self._intake.seq

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams seen so far, in order of appearance."""
        return tuple(self._intake.streams.numbers)

    @property
    def learning(self) -> bool:
        """Whether new streams learn."""
        return not self._intake.frozen

    @property
    def ticks(self) -> Mapping[str, int]:
        """Ticks accepted so far, per stream; rejected ticks do not count."""
        ticks = self._bank.view("counters")[:, places.TICKS]
        pairs = zip(self.streams, self._intake.streams.first_row, strict=True)
        return {name: int(ticks[row]) for name, row in pairs if row >= 0}

    @property
    def latest(self) -> Mapping[str, int]:
        """Time of the latest accepted tick, ns, per stream with at least one tick."""
        at, row = self.view("counters")[:, places.LAST_TIME], self._intake.streams.row
        return {name: int(at[row(name)]) for name, n in self.ticks.items() if n}

    @property
    def inputs(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the model's inputs, per target."""
        return dict(zip(self.targets, self._bank.layout.plan.names, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by all streams, buffers included."""
        held = (*self._bank.rows, *self._bank.work, *self._call.out)
        return sum(array.nbytes for array in held)

    def view(self, name: str) -> Column:
        """Give an array of the bank by name, [rows, ...]; see `places.places`."""
        return self._bank.view(name)

    def births(self, block: Block) -> int:
        """Count the streams that a block would add: each takes time to set up."""
        return len(self._intake.streams.newcomers(block))

    def observe(self, event: Event) -> list[Record]:
        """Score the forecasts that the event settles, then forecast.

        Raises:
            InvalidState: if the last observed event was not followed by `learn`.
            ShapeError, FeatureError: if it is no event, or a value is not a number.
        """
        if not self._intake.is_single(event):
            return list(self.observe_block(Block.of([event], len(self.fields))).rows())
        self._observe_single("observe", event)
        return decode.records(self._call.out, self._owners)

    def learn(self) -> list[Record]:
        """Learn from the labels that the observed event settled.

        Raises:
            InvalidState: if no event was observed since the last call.
        """
        if self._observed is None:
            raise InvalidState("learn: expected observe(event) first, was learn()")
        if self._observed is not self._single.events:
            return list(self.learn_block().rows())
        if not self._learn_single():
            return []
        return decode.records(self._call.out, self._owners)

    def observe_block(self, block: Block) -> Records:
        """Observe and learn every event of a block; only observe the last one.

        Raises:
            InvalidState: if the last observed event was not learned from.
            ShapeError: if the ticks do not have one value per field of the engine.
        """
        if len(block) == 1 and self._intake.is_single(event := next(block.events())):
            self._observe_single("observe_block", event)
            return self._said(self._call.said(self._owners))
        events = self._take_in("observe_block", block)
        self._observed = events
        # One event may close several bins: all bins but the last are learned at once.
        stop = len(events.kind)
        last = max(stop - 1, 0)
        spans = ((0, last, OBSERVE + LEARN), (last, stop, OBSERVE))
        return self._said(self._call.many(events, spans, self._owners), block)

    def learn_block(self) -> Records:
        """Learn from the last event of the block that `observe_block` took.

        Raises:
            InvalidState: if no event was observed since the last call.
        """
        if self._observed is None:
            problem = "expected observe_block(block) first, was learn_block()"
            raise InvalidState(f"learn_block: {problem}")
        if self._observed is self._single.events:
            there = self._learn_single()
            return self._said(self._call.said(self._owners) if there else {})
        events, self._observed, self._expected = self._observed, None, None
        stop = len(events.kind)
        if not (stop and self._bank.has_work(int(events.row[-1]))):
            return self._said({})
        last = [(max(stop - 1, 0), stop, LEARN)]
        return self._said(self._call.many(events, last, self._owners))

    def run(self, block: Block) -> Records:
        """Observe and learn every event of a block.

        Raises:
            InvalidState: between `observe` and `learn`.
            ShapeError: if the ticks do not have one value per field of the engine.
        """
        events = self._take_in("run", block)
        every = [(0, len(events.kind), OBSERVE + LEARN)]
        return self._said(self._call.many(events, every, self._owners), block)

    def peek(self, tick: Tick) -> list[Forecast]:
        """Forecast from this tick without changing the engine's state.

        `observe` learns from settled forecasts first, so its forecasts may differ. The
        list is empty for a stream not yet seen, and where ticks fold into bins.
        """
        there = len(self.peek_array(tick)) > 0
        said = decode.records(self._call.out, self._owners) if there else []
        return [record for record in said if isinstance(record, Forecast)]

    def peek_array(self, tick: Tick) -> Column:
        """Give the forecasts of `peek` as numbers, valid until the next call.

        Returns: float64 [Tg, Q, 1 + 2L], the mean and the quantiles, NaN until enough
            forecasts are scored; Tg is 0 where `peek` gives an empty list.
        """
        count, self._expected = 0, None
        if self._intake.knows(tick.stream):
            self._intake.write(self._aside, 0, tick)
            self._call.few(self._aside, 0, 1, PEEK)
            self._expected = (tick, self._intake.seq)
            count = self._call.counts[FORECASTS]
        said: Column = self._call.bounds[: count // len(self.horizons)]
        return said

    def observe_labelled(self, tick: Tick, label: Label) -> Column:
        """Observe a tick and its label, and learn from both.

        One call for `observe` and `learn` of the tick, then of the label.

        Returns: float64 [scores, 5], truth, mean, last value, interval score and CRPS
            of all forecasts that were settled, valid until the next call.

        Raises:
            InvalidState: between `observe` and `learn`, and where ticks fold into bins.
        """
        if self._observed is not None or self._intake.folds:
            problem = "expected learn() first and no stream.every"
            raise InvalidState(f"observe_labelled: {problem}")
        if not self._intake.knows(tick.stream):
            self._admit(Block.of([tick], len(self.fields)))
        expected = self._expected == (tick, self._intake.seq)
        kept = expected and not self._intake.ends_segment(tick)
        phase = OBSERVE + LEARN + KEEP * kept
        if not expected:  # else `peek_array` has written the tick already
            self._expected = None
            self._intake.write(self._aside, 0, tick)
        self._intake.answer(self._aside, label)
        self._call.few(self._aside, 0, 2, phase)
        scored: Column = self._call.out.score_num[: self._call.counts[SCORES]]
        return scored

    def tune(self, lr: float) -> None:
        """Change the learning rate from now on.

        Raises:
            ConfigError: if the rate is not above 0.
        """
        tree = config.to_tree(self.config)
        tree["learn"]["lr"] = lr
        self.config = config.from_tree(tree)
        self._bank.layout.settings["lr"] = lr

    def widen(self, fields: Sequence[str]) -> Engine:
        """Make an engine for ticks with more fields that keeps the learned state.

        Args:
            fields: the names of the old fields, in any order, and of the new ones.

        Raises:
            InvalidState: between `observe` and `learn`.
            ConfigError: if an old field is absent, or a new one would be forecast.
        """
        bins, meta = self._told("widen")
        wider = Engine(self.config, fields)
        arrays = self._bank.arrays() | bins
        arrays = widen.widen(arrays, self._bank.layout, wider._bank.layout)
        wider.restore(arrays, meta | {"fields": list(wider.fields)})
        return wider

    def trust_anew(self, fields: Sequence[str]) -> None:
        """Reset the variances of least squares for fields that never had a value."""
        self._expect_learned("trust_anew")
        self._expected = None
        widen.trust_anew(self._bank.changing("cov"), self._bank.layout, fields)

    def memory(self, stream: str) -> NDArray[np.complex64]:
        """Copy the memory R of a stream, complex [Tg, K, D].

        Raises:
            InvalidState: if the engine holds no memory of this stream.
        """
        return self._bank.memory(self._intake.streams.held(stream))

    def snapshot(self) -> tuple[dict[str, Column], dict[str, Any]]:
        """Copy the whole state.

        Returns:
            Arrays by name, and the rest of the state as plain values.

        Raises:
            InvalidState: between `observe` and `learn`.
        """
        bins, meta = self._told("snapshot")
        return self._bank.snapshot() | bins, meta

    def hold(self, room: Column = NO_ROOM) -> tuple[Moment, dict[str, Any]]:
        """Give a snapshot to read in parts, then end; `room` holds `nbytes` bytes."""
        bins, meta = self._told("hold")
        return self._bank.hold(bins, room), meta

    def _told(self, call: str) -> tuple[dict[str, Column], dict[str, Any]]:
        """Give the parts of a snapshot beside the bank: open bins and plain values."""
        self._expect_learned(call)
        bins, taken_in = self._intake.snapshot()
        return bins, signature.identity(self.config, self.fields) | taken_in

    def restore(self, arrays: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
        """Load a snapshot, and go on from the moment when it was taken.

        Raises:
            CheckpointMismatch: if the snapshot belongs to another model.
        """
        signature.expect(meta, self.config, self.fields)
        arrays = earlier.of_now(arrays, meta, self.config, self._bank.layout)
        self._bank.restore(
            {name: of for name, of in arrays.items() if not name.startswith(BIN)}
        )
        self._intake.restore(arrays, meta)
        self._owners = self._owners_now()
        self._observed = self._expected = None

    def __getstate__(self) -> dict[str, Any]:
        arrays, meta = self.snapshot()
        # As text: pickle tells equal strings from a shared one, and a copy shares none.
        return {"config": self.config, "arrays": arrays, "meta": json.encode(meta)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        meta = json.decode(m) if isinstance(m := state["meta"], bytes) else m
        self.__init__(state["config"], meta["fields"])  # type: ignore[misc]
        self.restore(state["arrays"], meta)

    def adopt(self, arrays: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
        """Take over the learned state of another run, and count events from 0.

        The pending forecasts are dropped; memory, weights and statistics stay.

        Raises:
            CheckpointMismatch: if the snapshot belongs to another model.
        """
        self.restore(arrays, meta)
        self._intake.begin_anew(self.config)
        self._bank.begin_anew(self._intake.frozen)

    def _observe_single(self, call: str, event: Tick | Label) -> None:
        """Observe one event of a known stream without making a block."""
        self._expect_learned(call)
        self._place = int(isinstance(event, Label))
        self._intake.take(self._single, self._place, event)
        self._observed = self._single.events
        self._call.few(self._single, self._place, self._place + 1, OBSERVE)

    def _learn_single(self) -> bool:
        """Learn from the single event; say whether there was anything to learn."""
        self._observed = self._expected = None
        due = self._bank.has_work(int(self._single.events.row[self._place]))
        if due:
            self._call.few(self._single, self._place, self._place + 1, LEARN)
        return due

    def _owners_now(self) -> Owners:
        first_row = self._intake.streams.first_row
        of_row = np.flatnonzero(first_row >= 0).repeat(len(self.targets))
        return Owners(
            list(self.streams), of_row, self.targets, self.horizons, self.fields,
            self.experts, self._sizes.bounds,
        )  # fmt: skip

    def _expect_learned(self, call: str) -> None:
        if self._observed is not None:
            raise InvalidState(f"{call}: expected learn() first, was {call}()")

    def _take_in(self, call: str, block: Block) -> Events:
        self._expect_learned(call)
        self._admit(block)
        return self._intake.events(block)

    def _admit(self, block: Block) -> None:
        if self._intake.admit(block):
            self._owners = self._owners_now()

    def _said(self, columns: decode.Columns, block: Block | None = None) -> Records:
        """Make records of columns; the decisions in a block come first."""
        if block is not None and not block.holds_ticks_alone and CONTROL in block.kind:
            first, numbers = self.seq - len(block), self._intake.streams.of(block)
            columns = {**decode.decisions(block, first, numbers), **columns}
        return Records(columns, self._owners.tables)
