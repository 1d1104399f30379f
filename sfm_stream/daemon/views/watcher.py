"""Keeps history, figures and marks of a live process, for its page and metrics.

While a batch is processed, events and records are only queued (`see`, `hear`). The loop
folds the queue (`fold`), as columns of many ticks, at each beat and before each
read.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.daemon.hearing import heard
from sfm_stream.daemon.views import points
from sfm_stream.daemon.views.figures import Figures, known
from sfm_stream.daemon.views.history import History
from sfm_stream.daemon.views.marks import Marks
from sfm_stream.daemon.views.points import NS_PER_MS, Shape
from sfm_stream.daemon.views.signals import Signals
from sfm_stream.errors import InvalidState
from sfm_stream.events import ALL_STREAMS, GAP, Block, Floats, Ints
from sfm_stream.records import Records

if TYPE_CHECKING:
    from sfm_stream.engine import Engine

PIECE = 512
"""Approximate number of events folded at once; the history takes no more."""
MOST_WAITING = 4_096
"""Most blocks and records in the queue."""
MADE = ("seq", "stream", "target", "origin", "time", "mean", "lower", "upper",
        "weights", "amplitude")  # fmt: skip
JUDGED = ("truth", "mean", "naive", "covered", "winkler")
SCORED = ("stream", "target", "horizon", "origin", *JUDGED)
"""Columns that are folded."""
absurd_is_unknown = partial(np.errstate, over="ignore", invalid="ignore")
"""Sums of absurd values overflow without a warning, and are shown as unknown."""
DECIDED = {"catch-up": "learning paused: late", "caught-up": "learning goes on",
           "freeze": "learning paused", "learn": "learning goes on",
           "unjournalled": "without a journal", "journalled": "journalled again",
           "quarantine": "shut out", "release": "let in again"}  # fmt: skip


Left: TypeAlias = "tuple[int, Block] | Records"
"""An item of the queue: a block and the number of its first event, or records."""


class Seen(NamedTuple):
    """Number, receipt and values of the latest events, which records do not hold."""

    seq: Ints
    received: Ints
    values: Floats


class Watcher:
    """Keeps the data that a live process shows of its streams.

    A row is a stream and a target: number of the stream x targets + number of the
    target.

    Args:
        engine: the engine; only names, settings and latest times are read.
        wake: schedules a call of `fold`; may be called in any thread.
        failed: called with errors of folding and of a full queue; the data are left
            out.
        now: gives the time of day, ns.

    Attributes:
        shape: shape of the points.
        history: the latest points of each row.
        figures: figures of each row and horizon.
        marks: gaps, connections, decisions.
        streams: names of the streams, by number.
        received: receipt of each stream's latest tick, ns; for a stream without a tick
            since the start, the tick's time before, or when the stream became known.
        values: the latest value of each row.
    """

    def __init__(
        self,
        engine: Engine,
        wake: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None] = lambda _: None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.shape: Shape = points.shape_of(engine)
        self.history, self.marks = History(self.shape), Marks()
        self.figures = Figures(len(self.shape.horizons))
        self.streams: tuple[str, ...] = ()
        self.numbers: Mapping[str, int] = {}
        self.received: Ints = np.zeros(0, np.int64)
        self.values: Floats = np.zeros(0)
        self._lost = 0
        self._ticked: Ints = np.zeros(0, np.int64)
        self._broken: Ints = np.zeros(0, np.int64)
        self._signals = Signals(engine.config, engine.fields)
        self._wake, self._failed = wake, failed
        self._waiting, self._size = deque[tuple[Left, int]](), 0
        # never empty, so that a search always finds a place
        nothing = np.full((1, len(engine.fields)), np.nan)
        self._seen = Seen(np.array([-1]), np.zeros(1, np.int64), nothing)
        self._folding, self._now, self._begun = threading.Lock(), now, engine.seq
        self._know(engine.streams)
        self.received[:] = list(heard(engine, now()).values())

    def see(self, first: int, block: Block) -> None:
        """Queue events, the first with this number, before the engine observes them."""
        self._leave((first, block), len(block))

    def hear(self, records: Records) -> None:
        """Queue records of the engine."""
        if records.columns:
            self._leave(records, 0)

    def fold(self) -> None:
        """Fold the whole queue."""
        while self.fold_some():
            pass

    def fold_some(self) -> bool:
        """Fold about `PIECE` events of the queue; say whether more are left.

        A piece that raises an error is left out and reported.
        """
        with self._folding, absurd_is_unknown():
            self._tell_lost()
            try:
                if self.history.is_open:
                    self.history.close_some()
                elif self._waiting:
                    self._fold_piece()
            except Exception as error:  # noqa: BLE001 views must not stop ticks
                self._failed(error)
            return bool(self._waiting) or self.history.is_open

    def recall(self, names: tuple[str, ...], told: Mapping[str, NDArray[Any]]) -> None:
        """Add forecasts made before the start, with the `value` at their origin.

        Args:
            names: names of the streams, by number.
            told: columns of about `PIECE` ticks, in order.
        """
        with self._folding, absurd_is_unknown():
            self._know(names)
            ticks = slice(None, None, len(self.shape.horizons))
            self._add(told, told["value"][ticks], told["time"][ticks])
            while self.history.is_open:
                self.history.close_some()

    def number(self, stream: str) -> int | None:
        """Give the number of a stream; None if unknown."""
        return self.numbers.get(stream)

    def judged(self) -> dict[str, dict[str, Any]]:
        """Give the figures of each stream's first target and horizon, by its name."""
        first = slice(0, len(self.streams) * len(self.shape.targets),
                      len(self.shape.targets))  # fmt: skip
        columns = (
            self.figures.scored, self.figures.skill(), self.figures.coverage()
        )  # fmt: skip
        lists = (column[first, 0].tolist() for column in columns)
        return {
            name: {"scored": n, "skill": known(skill), "coverage": known(coverage)}
            for name, n, skill, coverage in zip(self.streams, *lists, strict=True)
        }

    def in_gap(self) -> NDArray[np.bool_]:
        """Give for each stream whether no tick came since its latest gap."""
        broken: NDArray[np.bool_] = self._broken > self._ticked
        return broken

    def unheard(self) -> NDArray[np.bool_]:
        """Give for each stream whether no tick came since the start."""
        silent: NDArray[np.bool_] = self._ticked < self._begun
        return silent

    def _tell_lost(self) -> None:
        """Report what found no room since the queue was read last."""
        lost, self._lost = self._lost, 0
        if lost:
            problem = f"expected at most {MOST_WAITING:,} blocks in the queue"
            was = f"was {MOST_WAITING + lost:,}; the newest {lost:,} are not shown"
            self._failed(InvalidState(f"views: {problem}, {was}"))

    def _leave(self, what: Left, events: int) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append((what, events))
        self._size += events
        if self._size >= PIECE:
            self._size = 0
            self._wake()

    def _fold_piece(self) -> None:
        """Fold about `PIECE` events and their records."""
        blocks, said = self._next_piece()
        if said:
            self._know(said[-1].tables["stream"])
        self._note_events(blocks)
        made = _gathered(said, "forecasts", MADE)
        rows, origins = self._note_forecasts(made) if made else (None, None)
        scored = _gathered(said, "scores", SCORED)
        if scored:
            self._note_scores(scored)
        if rows is not None and origins is not None:
            skill = self.figures.skill(lately=True)
            self.history.note_skill(rows, origins, points.narrow(skill[rows]))
        for records in said:
            if records.count("decisions"):
                self._note_decisions(records)

    def _next_piece(self) -> tuple[list[tuple[int, Block]], list[Records]]:
        """Remove the next piece from the queue."""
        blocks: list[tuple[int, Block]] = []
        said: list[Records] = []
        size = 0
        while self._waiting:
            what, events = self._waiting[0]
            size += events
            if blocks and events and size > PIECE:
                break
            self._waiting.popleft()
            if isinstance(what, Records):
                said.append(what)
            else:
                blocks.append(what)
        return blocks, said

    def _know(self, names: tuple[str, ...]) -> None:
        """Make room for all streams; a table that has not grown is the same object."""
        if names is self.streams:
            return
        more = len(names) - len(self.received)
        self.numbers = {name: i for i, name in enumerate(names)}
        now = self._now()
        self.received = np.pad(self.received, (0, more), constant_values=now)
        self._ticked = np.pad(self._ticked, (0, more), constant_values=-1)
        self._broken = np.pad(self._broken, (0, more), constant_values=-1)
        targets = len(self.shape.targets)
        self.values = np.pad(self.values, (0, more * targets), constant_values=np.nan)
        self.figures.know(len(names) * targets)
        self.streams = names  # assigned last: readers of the names rely on the room

    def _note_events(self, blocks: Sequence[tuple[int, Block]]) -> None:
        """Keep events until their records come, and mark gaps."""
        if not blocks:
            return
        seqs = [np.arange(first, first + len(block)) for first, block in blocks]
        before = self._seen
        self._seen = Seen(
            np.concatenate([before.seq[-PIECE:], *seqs]),
            np.concatenate(
                [before.received[-PIECE:], *(b.received for _, b in blocks)]
            ),
            np.concatenate([before.values[-PIECE:], *(b.values for _, b in blocks)]),
        )
        for first, block in blocks:
            if not block.holds_ticks_alone:
                self._note_gaps(first, block)

    def _note_gaps(self, first: int, block: Block) -> None:
        for i in np.flatnonzero(block.kind == GAP).tolist():
            code, what = int(block.stream[i]), block.notes.get(i, "data were lost")
            stream = "" if code == ALL_STREAMS else block.streams[code]
            number = self.numbers.get(stream)
            if not stream:
                self._broken[:] = first + i
            elif number is not None:
                self._broken[number] = first + i
            self.marks.add(float(block.time[i]) / NS_PER_MS, "gap", what, stream)

    def _note_forecasts(self, made: Mapping[str, NDArray[Any]]) -> tuple[Ints, Ints]:
        """Add forecasts as points; give their rows and origins."""
        q = len(self.shape.horizons)
        seq, time, target = (made[name][::q] for name in ("seq", "time", "target"))
        at, known = self._place_of(seq)
        received = np.where(known, self._seen.received[at], time)
        value = self._signals.of(self._seen.values[at], target)
        value[~known] = np.nan
        return self._add(made, value, received)

    def _add(
        self, made: Mapping[str, NDArray[Any]], value: Floats, received: Ints
    ) -> tuple[Ints, Ints]:
        """Add points made of forecasts, and the value and receipt of their ticks."""
        q = len(self.shape.horizons)
        first = {name: column[::q] for name, column in made.items()}
        streams = first["stream"].astype(np.int64)
        rows = streams * len(self.shape.targets) + first["target"]
        found = points.nothing(points.point(self.shape), 1, len(rows))[0]
        found["time"] = first["time"] / NS_PER_MS
        found["value"] = value
        said = np.stack([made[name] for name in ("mean", "lower", "upper")], axis=-1)
        less = said.reshape(-1, q, 3) - np.nan_to_num(value)[:, None, None]
        found["forecast"] = points.narrow(less)
        found["skill"] = np.nan
        found["lag"] = (received - first["time"]) / NS_PER_MS
        found["origin"] = first["origin"]
        found["weights"] = points.shares(made["weights"]).reshape(len(rows), q, -1)
        found["amplitude"] = points.loudness(first["amplitude"])
        self.history.add(rows, found)
        self.values[rows] = value
        self.received[streams], self._ticked[streams] = received, first["seq"]
        return rows, first["origin"]

    def _place_of(self, seq: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Find events by number; give their places, and which are still known."""
        at = np.searchsorted(self._seen.seq, seq).clip(max=len(self._seen.seq) - 1)
        return at, self._seen.seq[at] == seq

    def _note_scores(self, scored: Mapping[str, NDArray[Any]]) -> None:
        rows = scored["stream"] * len(self.shape.targets) + scored["target"]
        horizons, origins = scored["horizon"], scored["origin"]
        bounds = self.history.forecast(rows, origins, horizons)[:, 1:]
        table = np.stack([scored[name].astype(np.float64) for name in JUDGED])
        self.figures.add(rows, horizons, table, bounds)
        self.history.note_values(rows, origins, table[2])

    def _note_decisions(self, records: Records) -> None:
        columns = records.columns["decisions"]
        streams = records.tables["decisions.stream"]
        actions = records.tables["decisions.action"]
        for at, stream, action in zip(
            columns["time"].tolist(), columns["stream"].tolist(),
            columns["action"].tolist(), strict=True,
        ):  # fmt: skip
            name = actions[action]
            what = DECIDED.get(name, name)
            self.marks.add(at / NS_PER_MS, "decision", what, streams[stream])


def _gathered(
    said: Sequence[Records], kind: str, names: Sequence[str]
) -> Mapping[str, NDArray[Any]]:
    """Concatenate the columns of a kind from several records; {} without any."""
    parts = [records.columns[kind] for records in said if records.count(kind)]
    if not parts:
        return {}
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
