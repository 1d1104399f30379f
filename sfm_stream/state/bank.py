"""The bank: the arrays of all streams, their growth, and their snapshots.

A row of the bank is one pair (stream, target).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.cell import parameters
from sfm_stream.config import Config
from sfm_stream.errors import CheckpointMismatch
from sfm_stream.events.kinds import NO_TIME
from sfm_stream.state import ring
from sfm_stream.state.arena import Arena, arena, view
from sfm_stream.state.inputs import Plan
from sfm_stream.state.layout import cell_sizes, lay_out, split, with_ring
from sfm_stream.state.moment import NO_ROOM, Moment
from sfm_stream.state.places import (
    BACK,
    COUNTERS,
    DRAWS,
    FRESH,
    FROZEN,
    KEPT_FROM,
    LABELLED,
    LAST_TIME,
    OFFERED,
    SEGMENT,
    SIGHT,
    SINCE_UPDATE,
    SPREAD_RIDGE,
    STAGE,
    TICKS,
    VERSION,
    WEIGHT,
    table_places,
    work_places,
)

# The counter LABELLED before the first label.
NO_LABEL = -1
# The room for rows grows by this factor; unused room takes no memory.
ROOM = 1.5
MATRIX, CUBE = 2, 3
"""Numbers of dimensions of an array."""
BEFORE_BACK = 12
"""Number of counters in snapshots from before the counter BACK existed."""
GOLDEN = 2_654_435_769
"""2^32 divided by the golden ratio: any number of its multiples spread evenly."""
KEPT = "kept_"
NOTHING = np.zeros(0)


class Bank:
    """B rows of the layout, in three arenas; it grows when streams appear."""

    def __init__(
        self, config: Config, plan: Plan, real: type[np.floating[Any]] = np.float32
    ) -> None:
        self._first, self._whole = ring.first(config), ring.whole(config)
        self._least = 0
        self.layout = lay_out(config, plan, self._first)
        self._real = real
        self._cell = cell_sizes(config, self.layout.sizes.inputs)
        self._seed = config.run.seed
        self._staggers = config.learn.schedule != "together"
        self._views: dict[str, NDArray[Any]] = {}
        self._fetch: Callable[[Arena], None] | None = None
        self._held: list[Moment] = []
        self.rows = self._room = arena(0, self.layout.places, real)
        self.work = arena(1, work_places(self.layout.sizes), real)

    def __len__(self) -> int:
        return len(self.rows.i64)

    @property
    def is_home(self) -> bool:
        """Whether `rows` are up to date: no backend keeps them elsewhere."""
        return self._fetch is None

    def leave(self, fetch: Callable[[Arena], None]) -> None:
        """Let a backend keep the rows elsewhere until they are read here.

        Args:
            fetch: writes the present rows into the given arena.
        """
        self._fetch = fetch

    def come_home(self) -> None:
        """Copy the rows back, if a backend keeps them elsewhere."""
        if self._fetch is not None:
            fetch, self._fetch = self._fetch, None
            self.keep_all()
            fetch(self.rows)

    def view(self, name: str) -> NDArray[Any]:
        """Give an array of all rows by name, [B, ...], sharing memory."""
        self.come_home()
        if name not in self._views:
            self._views[name] = view(self.rows, self.layout.places, name)
        return self._views[name]

    def ends_segment(self, row: int, time: int) -> bool:
        """Say whether a tick at `time`, ns, comes after more than `stream.max_gap`."""
        last = int(self.view("counters")[row, LAST_TIME])
        return 0 < self.layout.sizes.max_gap < time - last

    def has_work(self, first: int) -> bool:
        """Say whether an update is due or under way.

        Args:
            first: first row of a stream; below 0 means any stream.
        """
        s, counters = self.layout.sizes, self.view("counters")
        stage = self.view("stripe")[:, STAGE] if s.late else NOTHING
        if first < 0:
            since = counters[:, SINCE_UPDATE]
            return bool((since >= s.every).any() or stage.any())
        rows = range(first, first + s.targets)
        due = any(counters.item(row, SINCE_UPDATE) >= s.every for row in rows)
        return due or (s.late > 0 and any(stage[row] for row in rows))

    def weights(self, row: int) -> dict[str, NDArray[np.float32]]:
        """Give the named weight blocks of a row, sharing memory."""
        return split(self.layout.sizes, self.view("weights")[row])

    def memory(self, first: int) -> NDArray[np.complex64]:
        """Copy the memory R of the stream with this first row, [Tg, K, D]."""
        s = self.layout.sizes
        last = (self.view("counters")[first, TICKS] - 1) % (s.ring - 1)
        read = self.view("tape_read")[first : first + s.targets, last]
        re, im = read[..., s.states : 2 * s.states], read[..., 2 * s.states :]
        return np.asarray(re + 1j * im, np.complex64)

    def grow(self, rows: int) -> None:
        """Add rows; their initial state depends only on the seed and their number."""
        self.come_home()
        first = len(self)
        if first + rows > len(self._room.i64):
            self._make_room(first + rows)
        there = first + rows
        f32, f64, i64 = self._room
        self.rows = Arena(f32[:there], f64[:there], i64[:there])
        self._views.clear()
        for row in range(first, first + rows):
            self._begin_row(row)

    def _make_room(self, rows: int) -> None:
        """Make room for rows and spare ones, so that new rows seldom copy all rows."""
        room = arena(max(rows, int(ROOM * len(self))), self.layout.places, self._real)
        for name in Arena._fields:
            getattr(room, name)[: len(self)] = getattr(self.rows, name)
        self._move_to(room)

    def _move_to(self, room: Arena) -> None:
        """Use another arena from now on; the old rows no longer change."""
        self._room, self._held = room, []

    def lacks_room(self, first: int) -> bool:
        """Say whether the ring may have no room for one more tick of a stream.

        Args:
            first: first row of the stream; below 0 for an event without a stream.
        """
        s = self.layout.sizes
        if first < 0 or s.ring >= self._whole:
            return False
        timed, mine = self._table("horizons")[:, 1] > 0, slice(first, first + s.targets)
        ticks = self.view("counters")[mine, TICKS, None]
        waiting = (ticks - self.view("head_tick")[mine])[:, timed]
        return ring.is_short(s, int(waiting.max(initial=0)))

    def lengthen(self, first: int) -> bool:
        """Grow the ring if one more tick may not fit; say whether it grew."""
        if not self.lacks_room(first):
            return False
        self._have_ring(min(2 * self.layout.sizes.ring, self._whole))
        return True

    def have_whole_ring(self) -> None:
        """Grow the ring to its full size, and keep that size."""
        self._least = self._whole
        self._have_ring(self._whole)

    def _have_ring(self, slots: int) -> None:
        """Move all rows to a layout with a longer ring."""
        if slots > self.layout.sizes.ring:
            self._take(ring.longer(self.arrays(), slots))

    def _take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Make new rows for arrays, and copy the arrays into them."""
        if (slots := ring.of(arrays)) != self.layout.sizes.ring:
            self.layout = with_ring(self.layout, slots)
        rows = len(arrays["counters"])
        self.rows = arena(rows, self.layout.places, self._real)
        self._move_to(self.rows)
        self._views.clear()
        windows = kept_windows(arrays)
        for place in self.layout.places:
            if place.size:
                own, given = self.view(place.name), arrays[place.name]
                if place.name.startswith(KEPT):  # the places behind these are empty
                    own, given = own[:, :windows], given[:, :windows]
                own[...] = given

    def _begin_row(self, row: int) -> None:
        s = self.layout.sizes
        if s.cell:
            rng = np.random.default_rng([self._seed, row])
            born = parameters.birth(self._cell, rng)
            blocks = self.weights(row)
            for name, value in zip(("w_in", "w_heads", "b_z"), born, strict=True):
                blocks[name][...] = value
        self.view("labels")[row] = np.nan
        # There is no value to hold yet: a first tick with a missing value is refused.
        self.view("before")[row] = np.nan
        ridges = self._table("ridges")
        for _, _, size, first, begin in self._table("squares"):
            cov = np.diag(1.0 / ridges[first : first + size])
            self.view("cov")[row, :, begin : begin + size * size] = cov.reshape(-1)
        self.view("helpers")[row] = -1.0
        self.view("mix_weight")[row] = self._table("prior")
        self.view("trackers")[row, :, :, WEIGHT] = self._table("even")
        self.view("spread_cov")[row] = np.eye(SIGHT) / SPREAD_RIDGE
        counters = self.view("counters")[row]
        counters[LAST_TIME] = NO_TIME
        counters[FRESH] = 1
        counters[LABELLED] = NO_LABEL
        counters[SINCE_UPDATE] = self._head_start(row)
        seeds = np.random.default_rng([self._seed, row, DRAWS])
        counters[DRAWS] = seeds.integers(1, 2**31 - 1)
        if s.shared and row >= s.targets:
            home = row % s.targets  # its row holds the shared weights
            self.view("weights")[row] = self.view("weights")[home]
            counters[VERSION] = self.view("counters")[home, VERSION]

    def _head_start(self, row: int) -> int:
        """Give the ticks by which a row's updates come before those of the first row.

        Without this, streams that begin and tick together would all learn at the same
        tick, and the next tick would wait for all of them.
        """
        s = self.layout.sizes
        stream = row // s.targets if self._staggers else 0
        return (stream * GOLDEN % 2**32) * s.every >> 32

    def _table(self, name: str) -> NDArray[Any]:
        places = table_places(self.layout.sizes)
        table: NDArray[Any] = view(self.layout.tables, places, name)[0]
        return table

    def begin_anew(self, frozen: int) -> None:
        """Count ticks from 0; keep the learned state, drop pending forecasts."""
        s = self.layout.sizes
        counters = self.view("counters")
        for row, ticks in enumerate(counters[:, TICKS]):
            last = (int(ticks) + s.ring - 2) % (s.ring - 1)
            for name in ("tape_read", "tape_z", "tape_gates"):
                tape = self.view(name)[row]
                # The slot before that of tick 0, see `kernels/tick.observe_tick`.
                tape[s.ring - 2] = tape[last]
        for counter in (TICKS, SEGMENT, KEPT_FROM):
            counters[:, counter] = 0
        counters[:, SINCE_UPDATE] = [self._head_start(row) for row in range(len(self))]
        counters[:, FRESH] = 1
        counters[:, FROZEN] = frozen
        counters[:, LAST_TIME] = NO_TIME
        counters[:, LABELLED] = NO_LABEL
        counters[:, BACK] = 0
        for name in ("head_tick", "learned", "moves", "errors", "stripe"):
            self.view(name)[...] = 0
        self.view("labels")[...] = np.nan

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give every array by name, sharing memory, including the slots of a peek."""
        return {place.name: self.view(place.name) for place in self.layout.places}

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copy every array, by name; the slots of a peek are set to 0."""
        self.come_home()
        moment = Moment(self.rows, self.layout.places, {}, NO_ROOM)
        return {place.name: moment.whole(place.name) for place in self.layout.places}

    def hold(
        self, beside: Mapping[str, NDArray[Any]], room: NDArray[np.uint8] = NO_ROOM
    ) -> Moment:
        """Give the present rows as a moment: rows are saved before they change.

        Args:
            beside: other arrays of the same moment.
            room: memory for saved rows; if it is too small, other memory is allocated.
        """
        self.come_home()
        moment = Moment(self.rows, self.layout.places, beside, room)
        self._held.append(moment)
        return moment

    @property
    def is_held(self) -> bool:
        """Whether rows must be saved before they change here."""
        return bool(self._held) and self.is_home

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Save rows, which are about to change, for all held moments."""
        self._held = [moment for moment in self._held if not moment.is_over]
        for moment in self._held:
            moment.keep(rows)

    def keep_all(self) -> None:
        """Save every row for all held moments."""
        self.keep(np.arange(len(self)))

    def changing(self, name: str) -> NDArray[Any]:
        """Give an array of all rows for writing; save rows for held moments first."""
        self.keep_all()
        return self.view(name)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load a snapshot.

        Raises:
            CheckpointMismatch: if an array is absent or has another shape.
        """
        arrays = _with_all_counters(arrays)
        layout = with_ring(self.layout, self._slots(arrays))
        rows = len(arrays["counters"]) if "counters" in arrays else 0
        for place in layout.places:
            shape = (rows, *place.shape)
            absent = None if place.size else shape  # an empty array may be absent
            was = arrays[place.name].shape if place.name in arrays else absent
            if was != shape:
                raise CheckpointMismatch(
                    place.name,
                    f"expected shape {shape}, was {was}",
                    "use the configuration the checkpoint was made with",
                )
        self._fetch = None
        self._take(ring.longer(arrays, max(layout.sizes.ring, self._least)))

    def _slots(self, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Give the slots of a snapshot's ring, or the own ones if not allowed."""
        labels = arrays.get(ring.LABELS)
        if labels is None or labels.ndim != CUBE:
            return self.layout.sizes.ring
        may_be = self._first <= ring.of(arrays) <= self._whole
        return ring.of(arrays) if may_be else self.layout.sizes.ring


def kept_windows(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Count the places that may hold a kept window, in the row with the most.

    After a drift the counter is 0, but the arrays still hold windows.
    """
    offered = int(np.max(arrays["counters"][:, OFFERED], initial=0))
    held = arrays["kept_tau"].any(axis=(0, 2)) | arrays["kept_z"].any(axis=(0, 2))
    return max(offered, int(np.max(np.flatnonzero(held) + 1, initial=0)))


def _with_all_counters(
    arrays: Mapping[str, NDArray[Any]],
) -> Mapping[str, NDArray[Any]]:
    """Add the counters that an older snapshot lacks, at 0."""
    counters = arrays.get("counters")
    if counters is None or counters.ndim != MATRIX or counters.shape[1] != BEFORE_BACK:
        return arrays
    added = COUNTERS - BEFORE_BACK
    return {**arrays, "counters": np.pad(counters, ((0, 0), (0, added)))}
