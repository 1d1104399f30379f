"""The history of each stream and target: all latest ticks, and extremes of older ones.

    600 ticks         all ticks; 300 if there are too many rows for 600
    2,048 ticks       2 of each 32: the ticks with the least and the greatest value
    32,768 ticks      2 of each 512

Points are given with the forecasts that were *due* at their tick, ready to be drawn.
The ring of all ticks holds the forecasts that were *made* there.

The rings of a row (a stream and target) take `points x size` bytes; all rings together
take at most `MOST_BYTES`. Points are kept packed, see `points.pack`. A row that comes
when the memory is used up has no ring until a client views it: then it takes the ring
of the row that was not viewed for the longest time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfm_stream.daemon.views.points import (
    ABSENT,
    LARGEST,
    NS_PER_MS,
    Points,
    Shape,
    kept_point,
    narrow,
    nothing,
    offsets,
    pack,
    point,
    unpack,
)

if TYPE_CHECKING:
    from sfm_stream.events import Floats, Ints

ALL, FEW = 600, 128
"""Points of the finest ring, and of each coarser one."""
LEAST = ALL // 2
"""Points of the finest ring if there are many rows."""
BUCKETS = (32, 512)
"""Ticks of a bucket; the coarser rings keep two points per bucket."""
MOST_BYTES = 32 * 2**20
FIRST_PLACES = 16
CLOSED, CLOSED_BY_TIME = 64, 16
"""Buckets closed at once, without and with a horizon in time: 1 to 2 ms of work."""
NOWHERE = -1


class History:
    """Rings of points, by row.

    Args:
        shape: shape of the points.
        most_bytes: most bytes of all rings.

    Attributes:
        most: most rows with rings.
        all: points of the finest ring.
    """

    def __init__(self, shape: Shape, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._plain, self._kind = point(shape), kept_point(shape)
        self._shape = shape
        self.most, self.all = self._capacity(LEAST), ALL
        self._place: Ints = np.full(FIRST_PLACES, NOWHERE, np.int64)
        self._taken, self._looked = 0, 0
        self._last_look: dict[int, int] = {}
        self._full: deque[tuple[int, int]] = deque()
        self._rings = self._room(min(FIRST_PLACES, self._capacity(ALL)))
        self._newest: Ints = np.full(self.most, -1, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all rings."""
        return sum(ring.nbytes for ring in self._rings)

    def look(self, row: int) -> None:
        """Give a ring to a row that a client views."""
        self._know(np.array([row]))
        self._looked += 1
        self._last_look[row] = self._looked
        if self._place[row] == NOWHERE:
            placed = np.flatnonzero(self._place != NOWHERE)
            looks = [self._last_look.get(one, 0) for one in placed.tolist()]
            least = placed[int(np.argmin(looks))]
            self._place[row], self._place[least] = self._place[least], NOWHERE
            for ring in self._rings:
                ring["origin"][self._place[row]] = ABSENT
            self._newest[self._place[row]] = -1

    def add(self, rows: Ints, points: Points) -> None:
        """Add points with the forecasts made at them.

        Args:
            rows: [n], the row of each point; points of a row are in order.
            points: [n].
        """
        can_take = self.all - BUCKETS[0]  # more overwrites open buckets
        if len(rows) > can_take and np.bincount(rows).max() > can_take:
            self._add_in_turns(rows, points)
            return
        self._know(rows)
        places = self._place[rows]
        kept = places != NOWHERE
        places, points = places[kept], points[kept]
        origins = points["origin"].astype(np.int64)
        self._rings[0][places, origins % self.all] = pack(points, self._kind)
        self._newest[places] = origins
        full = np.flatnonzero(origins % BUCKETS[0] == BUCKETS[0] - 1)
        self._full += zip(places[full].tolist(), origins[full].tolist(), strict=True)

    def _add_in_turns(self, rows: Ints, points: Points) -> None:
        """Add the points in two halves, and close buckets between."""
        half = len(rows) // 2
        for part in (slice(None, half), slice(half, None)):
            self.add(rows[part], points[part])
            self._close_all()

    @property
    def is_open(self) -> bool:
        """Whether full buckets are still missing in the coarser rings."""
        return bool(self._full)

    def close_some(self) -> None:
        """Copy the extremes of some full buckets into the coarser rings.

        Only some per call: streams that tick together fill their buckets together.
        """
        most = CLOSED if all(self._shape.ticks) else CLOSED_BY_TIME
        some = [self._full.popleft() for _ in range(min(most, len(self._full)))]
        places, lasts = np.array(some, np.int64).reshape(-1, 2).T
        self._close(places, lasts)
        ends = lasts % BUCKETS[1] == BUCKETS[1] - 1
        for place, last in zip(places[ends], lasts[ends], strict=True):
            self._close_middle(int(place), int(last))

    def note_skill(self, rows: Ints, origins: Ints, skill: NDArray[np.float32]) -> None:
        """Write the present skill [n, Q] to points that were added."""
        places = self._place[rows]
        kept = places != NOWHERE
        at = places[kept], origins[kept] % self.all
        self._rings[0]["skill"][at] = skill[kept].clip(-LARGEST, LARGEST)

    def forecast(self, rows: Ints, origins: Ints, horizons: Ints) -> Floats:
        """Give forecasts made at origins: mean and bounds [n, 3]; NaN if unknown."""
        self._know(rows)
        return self._forecast(self._place[rows], origins, horizons)

    def latest(self, row: int) -> Points:
        """Give the last point of a row with the forecasts made there, [1] or [0]."""
        ring, origins = self._of(row)
        return unpack(ring[origins[-1:] % self.all], self._plain)

    def since(self, row: int, origin: int) -> Points:
        """Give the points after an origin, with the forecasts due at them."""
        place = self._place[row] if row < len(self._place) else NOWHERE
        if place == NOWHERE or self._newest[place] <= origin:  # the usual case
            return unpack(self._rings[0][0, :0], self._plain)
        origins = self._of(row)[1]
        origins = origins[np.searchsorted(origins, origin, "right") :]
        return self._due(np.full(len(origins), place), origins)

    def whole(self, row: int) -> Points:
        """Give all points of a row in order of time, the coarse ones first."""
        found = self.since(row, -1)
        parts = [found] if len(found) else []
        for ring in self._rings[1:] if parts else ():
            older = ring[self._place[row]]
            older = older[older["origin"] < parts[0]["origin"][0]]
            if len(older):
                inside = older[np.argsort(older["origin"])]
                parts.insert(0, unpack(inside, self._plain))
        return np.concatenate(parts) if parts else found

    def note_values(self, rows: Ints, origins: Ints, values: Floats) -> None:
        """Write values of ticks that became known only with their scores."""
        places, slots = self._place[rows], origins % self.all
        ring = self._rings[0]
        there = (places != NOWHERE) & (ring["origin"][places, slots] == origins)
        there &= ring["unit"][places, slots] < 0
        if there.any():
            at = places[there], slots[there]
            known = unpack(ring[at], self._plain)
            known["value"] = values[there]
            known["forecast"] = narrow(known["forecast"] - values[there, None, None])
            ring[at] = pack(known, self._kind)

    def _of(self, row: int) -> tuple[Points, Ints]:
        """Give the ring of a row, and the origins it holds, in order."""
        place = self._place[row] if row < len(self._place) else NOWHERE
        if place == NOWHERE:
            return self._rings[0][0], np.zeros(0, np.int64)
        ring = self._rings[0][place]
        origins = ring["origin"][ring["origin"] != ABSENT].astype(np.int64)
        origins.sort()
        if len(origins):  # older ones are left from the last turn of the ring
            origins = origins[origins > origins[-1] - self.all]
        return ring, origins

    def _forecast(self, places: Ints, origins: Ints, horizons: Ints | int) -> Floats:
        """Give the forecasts made at places: mean and bounds [n, 3]; NaN if unknown."""
        slots, ring = origins % self.all, self._rings[0]
        known = (places != NOWHERE) & (origins >= 0)
        known &= ring["origin"][places, slots] == origins
        parts = ring["parts"][places, slots, horizons]
        less = offsets(parts, ring["unit"][places, slots, None])
        found: Floats = ring["base"][places, slots, None] + less
        found[~known] = np.nan
        return found

    def _due(self, places: Ints, origins: Ints) -> Points:
        """Give points [n] with the forecasts that were due at them."""
        found = unpack(self._rings[0][places, origins % self.all], self._plain)
        value = np.nan_to_num(found["value"])[:, None]
        for q, ticks in enumerate(self._shape.ticks):
            made = origins - ticks if ticks else self._before(places, found["time"], q)
            found["forecast"][:, q] = narrow(self._forecast(places, made, q) - value)
        return found

    def _before(self, places: Ints, times: Floats, horizon: int) -> Ints:
        """Give the last origins at least a horizon in time before."""
        made = np.empty(len(places), np.int64)
        for place in set(places.tolist()):
            here = places == place
            ring, ns = self._rings[0][place], self._shape.ns[horizon]
            made[here] = _made_before(ring, times[here], ns)
        return made

    def _close(self, places: Ints, lasts: Ints) -> None:
        """Copy the least and greatest points of full buckets [n] into the middle ring.

        A bucket without a known value is skipped.
        """
        fine = BUCKETS[0]
        bucket = lasts[:, None] + np.arange(1 - fine, 1)
        ring, at = self._rings[0], (places[:, None], bucket % self.all)
        value = ring["base"][at]
        known = (ring["origin"][at] == bucket) & (ring["unit"][at] >= 0)
        known &= np.isfinite(value)
        least = np.where(known, value, np.inf).argmin(1)
        greatest = np.where(known, value, -np.inf).argmax(1)
        ends = np.sort(np.stack([least, greatest], 1), axis=1)
        some = known.any(1)
        origins = np.take_along_axis(bucket, ends, 1)[some]
        points = self._due(places[some].repeat(2), origins.ravel())
        slots = 2 * (lasts[some, None] // fine) % FEW + np.arange(2)
        kept = pack(points, self._kind).reshape(-1, 2)
        self._rings[1][places[some, None], slots] = kept

    def _close_middle(self, place: int, last: int) -> None:
        """Copy the extremes of a full bucket from the middle into the coarsest ring."""
        size = BUCKETS[1]
        ring = self._rings[1][place]
        inside = ring["origin"].astype(np.int64) // size == last // size
        points = unpack(ring[inside], self._plain)
        known = points[np.isfinite(points["value"])]
        if len(known):
            ends = [int(known["value"].argmin()), int(known["value"].argmax())]
            at = 2 * (last // size) % FEW
            self._rings[2][place, at : at + 2] = pack(known[sorted(ends)], self._kind)

    def _know(self, rows: Ints) -> None:
        """Give rings to new rows, as long as there is memory."""
        top = int(rows.max(initial=-1)) + 1
        if top > len(self._place):
            more = np.full(max(top, 2 * len(self._place)), NOWHERE, np.int64)
            more[: len(self._place)] = self._place
            self._place = more
        if self._taken >= self.most:
            return
        new = np.unique(rows[self._place[rows] == NOWHERE])[: self.most - self._taken]
        if not len(new):
            return
        self._place[new] = np.arange(self._taken, self._taken + len(new))
        self._taken += len(new)
        if self._taken > self._capacity(self.all):
            self._shorten()
        room = len(self._rings[0])
        if self._taken > room:
            most = self._capacity(self.all)
            more_rings = self._room(min(max(2 * room, self._taken), most))
            for ring, wider in zip(self._rings, more_rings, strict=True):
                wider[:room] = ring
            self._rings = more_rings

    def _capacity(self, length: int) -> int:
        """Give the number of rows that fit with this length of the finest ring."""
        size = self._kind.itemsize * (length + FEW * len(BUCKETS))
        return max(self._most_bytes // size, 1)

    def _shorten(self) -> None:
        """Shorten the finest rings to `LEAST`; keep their latest points."""
        self._close_all()
        old, *coarser = self._rings
        self.all = LEAST
        origins = old["origin"].astype(np.int64)
        recent = origins > self._newest[: len(old), None] - LEAST
        recent &= origins != ABSENT
        place, slot = np.nonzero(recent)
        new = nothing(self._kind, len(old), LEAST)
        new[place, origins[place, slot] % LEAST] = old[place, slot]
        self._rings = (new, *coarser)

    def _close_all(self) -> None:
        while self.is_open:
            self.close_some()

    def _room(self, places: int) -> tuple[Points, ...]:
        lengths = (self.all, *(FEW for _ in BUCKETS))
        return tuple(nothing(self._kind, places, length) for length in lengths)


def _made_before(ring: Points, times: Floats, ns: int) -> Ints:
    """Give the last origins at least a horizon in time before; -1 for none."""
    held = ring[ring["origin"] != ABSENT]
    held = held[np.argsort(held["origin"])]
    at = np.searchsorted(held["time"], times - ns / NS_PER_MS, "right") - 1
    origins: Ints = held["origin"].astype(np.int64)
    return np.where(at >= 0, origins[np.maximum(at, 0)], -1)
