"""The rules of a comparison: the ticks a peer sees, and when it may learn.

An engine that forecasts the last value takes the same events. Its records give the
accepted, folded and rejected ticks, the moment when each label settles, and the
forecasts that a gap voids. So a peer cannot see a label earlier than our model does, or
score another tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from sfm_stream.engine import Engine
from sfm_stream.evaluate.widths import Judged, Widths, judge
from sfm_stream.records import VOIDED_REASONS, Records
from sfm_stream.state import inputs, targets

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.events import Block, Floats, Ints

WHAT_SETTLED = ("horizon", "origin", "truth")
GAP = VOIDED_REASONS.index("gap")
Columns: TypeAlias = Mapping[str, NDArray[Any]]


class Seen(NamedTuple):
    """A tick as a peer sees it.

    Attributes:
        stream: number of the stream.
        origin: number of the tick in the stream, from 0.
        time: ns.
        values: float64 [S], the targets first, then the other fields.
        fresh: whether the tick is the first of its stream or the first after a gap.
    """

    stream: int
    origin: int
    time: int
    values: Floats
    fresh: bool


class Labels(NamedTuple):
    """The labels of one target that settled at the same moment.

    Attributes:
        stream: number of the stream.
        target: number of the target.
        horizon: int64 [n], numbers of the horizons.
        origin: int64 [n], the ticks at which the forecasts were made.
        truth: float64 [n].
        rows: slice of these labels among the scores of the round.
    """

    stream: int
    target: int
    horizon: Ints
    origin: Ints
    truth: Floats
    rows: slice


class Peer(Protocol):
    """A forecaster of one target of one stream, for comparison with our model."""

    def forecast(self, seen: Seen) -> Floats:
        """Take a tick; give the means [Q] of the target at every horizon."""

    def learn(self, labels: Labels) -> None:
        """Learn from labels; the tick that settled them comes afterwards."""


class Ring:
    """A ring buffer of rows, kept until no label can need them.

    Args:
        wait: number of ticks for which a row is kept.
        width: of a row.
    """

    def __init__(self, wait: int, width: int) -> None:
        self._rows = np.full((wait + 1, width), np.nan)

    def put(self, origin: int, row: Floats) -> None:
        """Store the row of a tick."""
        self._rows[origin % len(self._rows)] = row

    def at(self, origin: Ints, column: Ints | slice | int = slice(None)) -> Floats:
        """Give the rows of ticks [n], or one column of each."""
        rows: Floats = self._rows[origin % len(self._rows), column]
        return rows


@dataclass(frozen=True, slots=True)
class Round:
    """The steps for peers that follow from a block of events.

    Attributes:
        steps: ticks and labels in order; the labels that a tick settles come before it.
        scores: columns of scores, with the last value as forecast.
        tables: texts of the codes in these columns.
    """

    steps: Sequence[Seen | Labels]
    scores: Columns
    tables: Mapping[str, tuple[str, ...]]

    def answered(self, means: Floats, judged: Judged) -> Records:
        """Give the scores with other forecasts [n] in place of the last values."""
        columns = {**self.scores, "mean": means, **judged._asdict()}
        return Records({"scores": columns}, self.tables)


class Referee:
    """Turns blocks of events into the ticks and labels for peers.

    Attributes:
        targets: names [Tg].
        values: names [S] of the values of a tick: the targets, then the other fields.
        horizons: names [Q].
        left_out: records of the rejected events and voided forecasts of the latest
            block.
        levels: of the intervals [L].

    Raises:
        ConfigError: if a target names an unknown field.
    """

    def __init__(self, settings: Config, fields: Sequence[str]) -> None:
        self.targets = inputs.plan(settings, fields).targets
        others = tuple(name for name in fields if name not in self.targets)
        self.values = (*self.targets, *others)
        target = replace(settings.target, values=self.values, predict="change")
        last = replace(settings.forecast, experts=("last",))
        self._engine = Engine(replace(settings, target=target, forecast=last), fields)
        self.horizons = self._engine.horizons
        self._ended: set[tuple[int, int]] = set()
        self.left_out = Records({}, {})
        self._wait = targets.longest_wait(settings)
        self.levels = settings.forecast.levels

    def ring(self, width: int) -> Ring:
        """Make a ring for rows that wait for their labels."""
        return Ring(self._wait, width)

    @property
    def seq(self) -> int:
        """Number of events so far."""
        return self._engine.seq

    @property
    def ticks(self) -> Mapping[str, int]:
        """Number of accepted ticks so far, per stream."""
        return self._engine.ticks

    def take(self, block: Block) -> Round:
        """Take events; give the steps for the peers."""
        records = self._engine.run(block)
        self._note_gaps(records.columns["voided"])
        tables = {**records.tables, "target": self.targets}
        scores, voided = (self._ours(records, kind) for kind in ("scores", "voided"))
        rejected = records.columns["rejected"]
        self.left_out = Records({"voided": voided, "rejected": rejected}, tables)
        steps: list[Seen | Labels] = []
        moments = []
        for made, when in (
            _labels(scores), self._seen(records.columns["forecasts"])
        ):  # fmt: skip
            steps += made
            moments.append(when)
        # A moment is an event number and a time, as one event may close several bins.
        # The sort is stable: at the same moment labels stay before the tick.
        seq, time = np.concatenate(moments, axis=1)
        order = np.lexsort((time, seq))
        return Round([steps[i] for i in order], scores, tables)

    def _ours(self, records: Records, kind: str) -> dict[str, NDArray[Any]]:
        """Give the columns of a kind, only for the targets of the run."""
        columns = records.columns[kind]
        ours = columns["target"] < len(self.targets)
        return {name: column[ours] for name, column in columns.items()}

    def _note_gaps(self, voided: Columns) -> None:
        """Remember the newest tick before each gap."""
        gap = voided["reason"] == GAP
        newest: dict[tuple[int, int], int] = {}
        columns = (voided[name][gap].tolist() for name in ("stream", "seq", "origin"))
        for stream, seq, origin in zip(*columns, strict=True):
            newest[stream, seq] = max(origin, newest.get((stream, seq), origin))
        self._ended |= {(stream, origin) for (stream, _), origin in newest.items()}

    def _seen(self, forecasts: Columns) -> tuple[list[Seen], Ints]:
        """Give the ticks and their moments [2, n]."""
        # The forecasts of a tick are adjacent: by value, then by horizon.
        width = len(self.values) * len(self.horizons)
        first = {name: forecasts[name][::width] for name in ("seq", "time")}
        values = forecasts["mean"][:: len(self.horizons)].reshape(-1, len(self.values))
        streams = forecasts["stream"][::width].tolist()
        origins = forecasts["origin"][::width].tolist()
        ticks = zip(streams, origins, first["time"].tolist(), values, strict=True)
        made = [
            Seen(stream, origin, time, row, self._begins(stream, origin))
            for stream, origin, time, row in ticks
        ]
        return made, np.stack([first["seq"], first["time"]])

    def _begins(self, stream: int, origin: int) -> bool:
        before = (stream, origin - 1)
        ended = before in self._ended
        self._ended.discard(before)
        return ended or origin == 0


def _labels(scores: Columns) -> tuple[list[Labels], Ints]:
    """Group scores by moment, stream and target; give the groups' moments [2, n]."""
    keys = np.stack([scores[name] for name in ("seq", "time", "stream", "target")])
    starts = np.flatnonzero((np.diff(keys, prepend=-1) != 0).any(0))
    edges = [*starts.tolist(), keys.shape[1]]
    made = []
    for start, stop in pairwise(edges):
        rows = slice(start, stop)
        stream, target = keys[2:, start].tolist()
        horizon, origin, truth = (scores[name][rows] for name in WHAT_SETTLED)
        made.append(Labels(stream, target, horizon, origin, truth, rows))
    return made, keys[:2, starts]


def run_peers(
    blocks: Iterable[Block],
    referee: Referee,
    create: Callable[[int, int], Peer],
    write: Callable[[Records], None],
) -> None:
    """Run peers over blocks of events: score, learn, forecast, tick by tick.

    Args:
        blocks: in order.
        referee: makes the ticks and labels for the peers.
        create: makes the peer of a stream and a target, by their numbers.
        write: takes the scores of a block as columns.
    """
    rows: dict[tuple[int, int], _Watched] = {}
    for block in blocks:
        taken = referee.take(block)
        count = len(taken.scores["mean"])
        means, widths = np.empty(count), np.empty((count, len(referee.levels)))
        for step in taken.steps:
            if isinstance(step, Labels):
                row = rows[step.stream, step.target]
                means[step.rows], widths[step.rows] = row.settle(step)
                continue
            for target in range(len(referee.targets)):
                one = step.stream, target
                if one not in rows:
                    rows[one] = _Watched(create(*one), referee)
                rows[one].forecast(step)
        errors = taken.scores["truth"] - means
        write(taken.answered(means, judge(referee.levels, errors, widths)))


class _Watched:
    """A peer, its pending forecasts, and the widths of its intervals."""

    def __init__(self, peer: Peer, referee: Referee) -> None:
        horizons, levels = len(referee.horizons), len(referee.levels)
        self._peer, self._levels = peer, levels
        self._widths = Widths(horizons, referee.levels)
        self._means = referee.ring(horizons)
        self._said = referee.ring(horizons * levels)
        self._ticks = 0

    def forecast(self, seen: Seen) -> None:
        """Store the forecasts and half-widths of a tick."""
        self._means.put(seen.origin, self._peer.forecast(seen))
        self._said.put(seen.origin, self._widths.say().ravel())
        self._ticks = seen.origin + 1

    def settle(self, labels: Labels) -> tuple[Floats, Floats]:
        """Learn from labels; give their forecasts [n] and half-widths [n, L]."""
        means = self._means.at(labels.origin, labels.horizon)
        rows = self._said.at(labels.origin).reshape(len(means), -1, self._levels)
        said = rows[np.arange(len(means)), labels.horizon]
        self._peer.learn(labels)
        wait = self._ticks - labels.origin
        self._widths.learn(labels.horizon, wait, labels.truth - means, said)
        return means, said
