"""Events in, records out: the core's only stateful object.

    observe(event)   score what is settled, then forecast
    learn()          then learn
    run(block)       both, for every event of a block

The engine knows no clock, socket, file or thread. What it says depends on the events it
was given and their order alone, whether they came one by one or in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream import config, features, kernels, layout, targets, transcript
from sfm_stream.bank import Bank
from sfm_stream.errors import CheckpointMismatch, InvalidState, ShapeError
from sfm_stream.events import ALL_STREAMS, CONTROL, TICK, Block, Event, Tick
from sfm_stream.kernels.resample import Resampler
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROW, Events, Out
from sfm_stream.kernels.tick import FREEZE, LEARN, OBSERVE, PEEK
from sfm_stream.records import Forecast, Record, Records
from sfm_stream.transcript import Columns, Owners

FORMAT = 1
# Events per call of the compiled tick: its buffers stay in the cache, and the call's
# own cost vanishes.
PORTION = 1024
Column = NDArray[Any]


class Engine:
    """A bank of streams that forecasts, scores and learns.

    Attributes:
        seq: events observed so far; equals the journal position.
        backend: name of the kernels that compute.
        experts: names [E].
        targets: names [Tg].
        horizons: names [Q].
        frequencies: float64 [K], radians per tick.
    """

    def __init__(self, settings: config.Config, fields: Sequence[str]) -> None:
        self.config = settings
        self.seq = 0
        plan = features.plan(settings, fields)
        self.backend, self._advance = kernels.choose(
            settings.run.backend, settings.run.device
        )
        self._bank = Bank(settings, plan)
        self.fields = plan.fields
        self.targets = plan.targets
        self.experts = tuple(settings.forecast.experts)
        self.horizons = targets.labels(settings)
        self.frequencies = self._bank.layout.omega
        self._streams: dict[str, int] = {}
        self._first_row = np.zeros(0, np.int64)
        self._owners = self._own()
        self._frozen = not settings.learn.enabled
        self._resampler = Resampler(settings, fields) if settings.stream.every else None
        self._out = _buffers(self._bank.layout.sizes, PORTION)
        self._single = _one_event(len(self.fields))
        self._sizes = self._bank.layout.sizes
        self._entry: kernels.Advance | None = None
        self._observed: Events | None = None

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams seen so far, in order of appearance."""
        return tuple(self._streams)

    @property
    def ticks(self) -> Mapping[str, int]:
        """Ticks taken in so far, per stream; rejected ones do not count."""
        counters = self._bank.view("counters")
        return {
            name: int(counters[self._first_row[number], layout.TICKS])
            for name, number in self._streams.items()
            if self._first_row[number] >= 0
        }

    @property
    def inputs(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the model's inputs, per target."""
        return dict(zip(self.targets, self._bank.layout.plan.names, strict=True))

    def view(self, name: str) -> Column:
        """Give an array of the bank by name, [rows, ...]; see `layout.places`."""
        return self._bank.view(name)

    def observe(self, event: Event) -> list[Record]:
        """Score what the event settles, then forecast.

        Raises:
            InvalidState: if the last observed event was not followed by `learn`.
        """
        if self._observed is not None:
            raise InvalidState("observe: expected learn() first, was observe() again")
        if self._resampler is None and self._fill_single(event):
            self._observed = self._single
            self.seq += 1
            return self._carry_out_single(OBSERVE)
        events = self._take_in(Block.of([event], len(self.fields)))
        self._observed = events
        # One event may close several bins: all but the last are past.
        stop = len(events.kind)
        last = max(stop - 1, 0)
        past = self._carry_out(events, 0, last, OBSERVE + LEARN)
        now = self._carry_out(events, last, stop, OBSERVE)
        both = transcript.join([past.columns, now.columns])
        return list(Records(both, now.tables).rows())

    def learn(self) -> list[Record]:
        """Learn from what the observed event settled.

        Raises:
            InvalidState: if no event was observed since the last call.
        """
        if self._observed is None:
            raise InvalidState("learn: expected observe(event) first, was learn()")
        events, self._observed = self._observed, None
        if not self._is_due(events):
            return []
        if events is self._single:
            return self._carry_out_single(LEARN)
        stop = len(events.kind)
        return list(self._carry_out(events, max(stop - 1, 0), stop, LEARN).rows())

    def run(self, block: Block) -> Records:
        """Observe and learn every event of a block.

        Raises:
            InvalidState: between `observe` and `learn`.
            ShapeError: if its ticks do not have the engine's fields.
        """
        if self._observed is not None:
            raise InvalidState("run: expected learn() first, was run()")
        shape = (len(block), len(self.fields))
        if block.values.shape != shape:
            raise ShapeError("block.values", str(shape), str(block.values.shape))
        events = self._take_in(block)
        return self._carry_out(events, 0, len(events.kind), OBSERVE + LEARN)

    def peek(self, tick: Tick) -> list[Forecast]:
        """Say what comes after this tick, and change nothing.

        What the tick would settle is not learned from first, so `observe` may say a
        little more. Nothing is said of a stream not yet seen, nor of ticks that are
        folded into bins.
        """
        if tick.stream not in self._streams or self._resampler is not None:
            return []
        block = Block.of([tick], len(self.fields))
        events = self._events(block, self.seq, self._numbers(block))
        records = self._carry_out(events, 0, 1, PEEK)
        return [r for r in records.rows() if isinstance(r, Forecast)]

    def snapshot(self) -> tuple[dict[str, Column], dict[str, Any]]:
        """Copy the whole state.

        Returns:
            Arrays by name, and what else there is as plain values.

        Raises:
            InvalidState: between `observe` and `learn`.
        """
        if self._observed is not None:
            raise InvalidState("snapshot: expected learn() first, was snapshot()")
        arrays = self._bank.snapshot()
        if self._resampler is not None:
            for name, value in self._resampler.snapshot().items():
                arrays[f"bin_{name}"] = value
        meta = {
            "state_format": FORMAT,
            "digest": config.digest(self.config),
            "seq": self.seq,
            "fields": list(self.fields),
            "streams": list(self._streams),
            "first_row": self._first_row.tolist(),
            "frozen": self._frozen,
        }
        return arrays, meta

    def restore(self, arrays: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
        """Take back a snapshot and go on as if nothing had happened.

        Raises:
            CheckpointMismatch: if it is another model's.
        """
        self._expect(meta)
        rest = {k: v for k, v in arrays.items() if not k.startswith("bin_")}
        self._bank.restore(rest)
        if self._resampler is not None:
            self._resampler.restore(
                {k[4:]: v for k, v in arrays.items() if k.startswith("bin_")}
            )
        self.seq = int(meta["seq"])
        self._streams = {name: i for i, name in enumerate(meta["streams"])}
        self._first_row = np.array(meta["first_row"], np.int64)
        self._owners = self._own()
        self._frozen = bool(meta["frozen"])
        self._observed = None

    def adopt(self, arrays: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
        """Take over what another run has learned, and begin to count anew.

        What waited there is forgotten; memory, weights and statistics stay.

        Raises:
            CheckpointMismatch: if it is another model's.
        """
        self.restore(arrays, meta)
        self.seq = 0
        self._frozen = not self.config.learn.enabled
        self._bank.begin_anew(self._frozen)
        if self._resampler is not None:
            self._resampler = Resampler(self.config, self.fields)

    def _expect(self, meta: Mapping[str, Any]) -> None:
        expected = {
            "state_format": FORMAT,
            "digest": config.digest(self.config),
            "fields": list(self.fields),
        }
        for key, value in expected.items():
            if meta.get(key) != value:
                raise CheckpointMismatch(
                    "checkpoint",
                    f"expected {key} {value}, was {meta.get(key)}",
                    "use the configuration and feed it was made with",
                )

    def _fill_single(self, event: Event) -> bool:
        """Write a tick of a known stream into the columns kept for one event."""
        if not isinstance(event, Tick) or event.stream not in self._streams:
            return False
        if len(event.values) != len(self.fields):
            raise ShapeError("tick.values", f"({len(self.fields)},)", str(event.values))
        one, number = self._single, self._streams[event.stream]
        one.stream[0] = number
        one.row[0] = self._first_row[number]
        one.time[0] = event.time
        one.values[0] = event.values
        one.seq[0] = self.seq
        return True

    def _carry_out_single(self, phase: int) -> list[Record]:
        self._out.counts[:] = 0
        while self._call_single(phase) == 0:
            self._enlarge()
        return transcript.records(self._out, self._owners)

    def _call_single(self, phase: int) -> int:
        arguments = self._arguments(self._single, 0, 1, phase)
        if self._entry is not None:
            return int(self._entry(*arguments))
        reached = int(self._advance(*arguments))
        self._entry = kernels.resolve(self._advance, arguments)
        return reached

    def _arguments(
        self, events: Events, start: int, end: int, phase: int
    ) -> tuple[Any, ...]:
        layout, own = self._bank.layout, self._bank
        return (
            layout.settings, layout.tables, own.rows, own.work,
            events, start, end, phase, self._out,
        )  # fmt: skip

    def _enlarge(self) -> None:
        self._out = _buffers(self._bank.layout.sizes, 2 * len(self._out.score_int))

    def _own(self) -> Owners:
        count = len(self.targets)
        with_rows = np.flatnonzero(self._first_row >= 0)
        return Owners(
            streams=list(self._streams),
            of_row=np.repeat(with_rows, count),
            targets=self.targets,
            horizons=self.horizons,
            fields=self.fields,
            experts=len(self.experts),
        )

    def _take_in(self, block: Block) -> Events:
        self._bear(block)
        events = self._events(block, self.seq, self._numbers(block))
        self.seq += len(block)
        self._note_controls(block)
        return events if self._resampler is None else self._fold(events)

    def _bear(self, block: Block) -> None:
        """Give rows to the streams first named by a tick or control, in order."""
        # A control waits for no tick: a stream frozen by name is born frozen.
        named = (block.kind == TICK) | (block.kind == CONTROL)
        seen = block.stream[named & (block.stream != ALL_STREAMS)]
        numbers, first = np.unique(seen, return_index=True)
        wanted = self.config.stream.symbols
        for number in numbers[np.argsort(first)]:
            name = block.streams[number]
            if name in self._streams:
                continue
            self._streams[name] = len(self._streams)
            row = NO_ROW
            if not wanted or name in wanted:
                row = len(self._bank)
                self._bank.grow(len(self.targets))
                self._bank.view("counters")[row:, layout.FROZEN] = self._frozen
            self._first_row = np.append(self._first_row, row)
            self._owners = self._own()

    def _numbers(self, block: Block) -> NDArray[np.int64]:
        # A gap or heartbeat may name a stream that never ticked: no row has it.
        table = [self._streams.get(name, NO_ROW) for name in block.streams]
        return np.array([*table, ALL_STREAMS], np.int64)[block.stream]

    def _events(self, block: Block, seq: int, numbers: NDArray[np.int64]) -> Events:
        return Events(
            kind=_plain(block.kind, np.int8),
            stream=numbers,
            row=self._rows(numbers),
            time=_plain(block.time, np.int64),
            values=_plain(block.values, np.float64),
            code=_plain(block.code, np.int64),
            seq=np.arange(seq, seq + len(block), dtype=np.int64),
        )

    def _rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        table = np.concatenate([self._first_row, [NO_ROW, ALL_ROWS]])
        return table[numbers]

    def _fold(self, events: Events) -> Events:
        assert self._resampler is not None  # noqa: S101 the caller has looked
        kind, stream, time, values, code, seq = self._resampler.fold(
            events.kind, events.stream, events.time, events.values, events.code,
            events.seq,
        )  # fmt: skip
        return Events(kind, stream, self._rows(stream), time, values, code, seq)

    def _note_controls(self, block: Block) -> None:
        for i in np.flatnonzero(block.kind == CONTROL):
            if block.stream[i] == ALL_STREAMS:
                self._frozen = bool(block.code[i] == FREEZE)

    def _is_due(self, events: Events) -> bool:
        # Only the rows of an event can have become due with it.
        row, s = int(events.row[-1]) if len(events.row) else NO_ROW, self._sizes
        since = self.view("counters")[:, layout.SINCE_UPDATE]
        if row < 0:
            return bool((since >= s.every).any())
        return any(since[row + i] >= s.every for i in range(s.targets))

    def _carry_out(self, events: Events, start: int, stop: int, phase: int) -> Records:
        parts: list[Columns] = []
        while start < stop:
            end = min(start + PORTION, stop)
            self._out.counts[:] = 0
            reached = self._call(events, start, end, phase)
            if reached == start and not self._out.counts.any():
                self._enlarge()
                continue
            parts.append(transcript.columns(self._out, self._owners))
            start = reached
        if not parts:
            self._out.counts[:] = 0
            parts.append(transcript.columns(self._out, self._owners))
        return Records(transcript.join(parts), self._owners.tables(self.experts))

    def _call(self, events: Events, start: int, end: int, phase: int) -> int:
        return int(self._advance(*self._arguments(events, start, end, phase)))


def _plain(column: Column, kind: type[np.generic]) -> Column:
    """Give a column as compiled code knows it, copied only where it must be.

    Another order, type or a read-only flag would compile the tick a second time, and
    separately compiled code differs in the last bits.
    """
    return np.require(column, kind, ["C", "W"])


def _buffers(s: layout.Sizes, records: int) -> Out:
    """Make room for some records of each kind."""
    each = records * s.horizons * s.targets
    return Out(
        forecast_int=np.zeros((each, 6), np.int64),
        forecast_num=np.zeros((each, 3 + s.experts + s.frequencies)),
        score_int=np.zeros((each, 6), np.int64),
        score_num=np.zeros((each, 3)),
        notice_int=np.zeros((each, 6), np.int64),
        notice_num=np.zeros((each, 2)),
        counts=np.zeros(3, np.int64),
    )


def _one_event(fields: int) -> Events:
    """Make the columns of a single tick, to be filled again and again."""
    return Events(
        kind=np.full(1, TICK, np.int8),
        stream=np.zeros(1, np.int64),
        row=np.zeros(1, np.int64),
        time=np.zeros(1, np.int64),
        values=np.zeros((1, fields)),
        code=np.zeros(1, np.int64),
        seq=np.zeros(1, np.int64),
    )
