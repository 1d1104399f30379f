"""Delivery of records to a sink in threads of its own, so that the model never waits.

    model's thread    offer, mark: puts records and barriers into the box
    keeper's          empties the box into the backlog, hands out the next piece
    sink's            writes or flushes one piece at a time, however long it takes

Only the keeper's thread uses the backlog, and only the sink's thread uses the sink, so
no lock is needed. A write that fails is repeated, with longer and longer pauses, before
the next piece is written.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from sfm_stream.errors import Fenced, RecordsLost, SinkError
from sfm_stream.notices import Say, info, warning
from sfm_stream.notices import error as failing
from sfm_stream.settings import Sink as Settings
from sfm_stream.sinks.backlog import Backlog, Barrier
from sfm_stream.sinks.opening import place_of

if TYPE_CHECKING:
    from sfm_stream.records import Records
    from sfm_stream.sinks.chosen import Chosen

LINGER_S = 0.1
"""Seconds to gather records: fewer wake-ups leave the interpreter to the model."""
BOX = 65_536
"""Most blocks in the box: it fills only while a disk holds up the keeper."""
RETRY_S, LONGEST_RETRY_S = 0.1, 30.0
CALM_S = 10.0
"""Seconds without a lost record after which a sink keeps up again."""
LOSES = "is too slow: records are lost"
SPILLS = "is too slow: records wait on disk"
OVERLOADS = {LOSES: failing, SPILLS: warning}
ENDED = "its thread has ended; standard error says why"


class Status(msgspec.Struct, frozen=True):
    """The state of a delivery.

    Attributes:
        name: file or folder of the sink, or its kind if it has none.
        kind: kind of the sink.
        queued: rows queued in memory, those being written included.
        spilled: rows queued on disk.
        dropped: rows lost.
        written: rows that the sink has taken, of the kinds and streams it chooses.
        blocked_s: seconds since the running call of the sink began; 0 without one.
        error: the current error of the sink or the spill, or empty.
        lost: why records that the sink had written are gone, or empty.
    """

    name: str
    kind: str
    queued: int
    spilled: int
    dropped: int
    written: int
    blocked_s: float
    error: str
    lost: str = ""


class _Signal(Enum):
    """Signals in the box, beside records and barriers."""

    NEXT = auto()  # the sink is idle
    CLOSE = auto()  # no more records come
    STOP = auto()  # end now, and give up the queued records


Item: TypeAlias = "Records | Barrier"


class Delivery:
    """A sink behind a bounded queue.

    Only one thread may call `offer`; any thread may call the other methods.

    Args:
        name: name of its folder of spilled records, and of its thread.
        sink: the sink with its choice of records; from now on only the delivery's own
            thread uses it.
        settings: kind, queue and overload.
        folder: parent of the folder of spilled records.
        say: takes a line for the log when a problem begins and when it ends; called in
            threads of the delivery.
        guard: raises `Fenced` if this process may no longer write; called before each
            call of the sink.

    Raises:
        SinkError: if the folder cannot be used.
    """

    def __init__(
        self,
        name: str,
        sink: Chosen,
        settings: Settings,
        folder: Path,
        say: Say = lambda _: None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink, self._settings, self._say = sink, settings, say
        self._name = place_of(settings)
        self._guard = guard
        self._backlog = Backlog(folder / name, settings.queue, settings.overload)
        self._box: SimpleQueue[Item | Settings | _Signal] = SimpleQueue()
        self._turns: SimpleQueue[Item | None] = SimpleQueue()
        self._hurry, self._closing = threading.Event(), threading.Event()
        self._closed, self._abandoned = threading.Event(), threading.Event()
        # each of these is written by only one thread
        self._offered = self._refused = self._handed = 0
        self._error, self._overload, self._lost, self._gone = "", "", 0, ""
        self._lost_at = -math.inf
        self._since: float | None = None
        for work in (self._keep, self._serve):
            # a call of a sink that never returns must not keep the process alive
            threading.Thread(
                target=self._to_its_end, args=(work,), name=f"sink {name}", daemon=True
            ).start()

    def offer(self, records: Records) -> None:
        """Queue records for delivery; returns at once, even while the sink blocks."""
        count = len(records)
        if not count:
            return
        if self._box.qsize() >= BOX:
            self._refused += count
            return
        self._offered += count
        self._box.put(records)

    def obey(self, settings: Settings) -> None:
        """Apply a new queue and overload from the next records on."""
        self._urge(settings)

    def mark(self, done: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `done` with the sink's position when all records so far are flushed.

        `done` is called in the sink's thread, and its errors end the delivery.
        """
        self._urge(Barrier(done))

    def close(self, deadline_s: float) -> bool:
        """Deliver the queued records, close the sink, and say whether that succeeded.

        After the deadline the sink is abandoned; its missing records can be computed
        again from the journal.
        """
        self._closing.set()
        self._urge(_Signal.CLOSE)
        closed = self._closed.wait(deadline_s)
        if not closed:
            self._abandoned.set()
            self._urge(_Signal.STOP)
            self._turns.put(None)
        return closed

    def state(self) -> Status:
        """Give the state of the delivery."""
        since, spilled = self._since, self._backlog.spilled
        lost = self._backlog.dropped
        waiting = self._offered - self._handed - spilled - lost
        return Status(
            name=self._name,
            kind=self._settings.kind,
            queued=max(waiting, 0),
            spilled=spilled,
            dropped=lost + self._refused,
            written=self._sink.written,
            blocked_s=0.0 if since is None else time.monotonic() - since,
            error=self._error or self._backlog.trouble,
            lost=self._gone,
        )

    def _urge(self, item: Barrier | Settings | _Signal) -> None:
        """Put something into the box, and wake the keeper at once."""
        self._box.put(item)
        self._hurry.set()

    def _to_its_end(self, work: Callable[[], None]) -> None:
        """Run in a thread of its own; the status shows if an error ended it."""
        through = False
        try:
            work()
            through = True
        finally:
            if not through:
                self._error = ENDED

    def _keep(self) -> None:
        """Keep the backlog, in the keeper's thread."""
        seen: set[_Signal] = set()
        while _Signal.STOP not in seen:
            first = self._box.get()
            self._hurry.wait(LINGER_S)
            self._hurry.clear()
            self._sort(first, seen)
            while not self._box.empty():
                self._sort(self._box.get(), seen)
            if _Signal.NEXT in seen:
                self._hand_out(seen)
            self._tell_of_overload()
        self._turns.put(None)

    def _sort(self, item: Item | Settings | _Signal, seen: set[_Signal]) -> None:
        if isinstance(item, _Signal):
            seen.add(item)
        elif isinstance(item, Settings):
            self._settings = item
            self._backlog.obey(item.queue, item.overload)
        else:
            self._backlog.add(item)

    def _hand_out(self, seen: set[_Signal]) -> None:
        """Hand the next piece to the sink; when closing and empty, stop."""
        item = self._backlog.next()
        if item is not None:
            seen.remove(_Signal.NEXT)
            self._turns.put(item)
        elif _Signal.CLOSE in seen:
            seen.add(_Signal.STOP)

    def _tell_of_overload(self) -> None:
        """Log once when records begin to be spilled or lost, and when that ends."""
        before, self._overload = self._overload, self._overloaded()
        self._lost = self._backlog.dropped
        if self._overload != before:
            make = OVERLOADS.get(self._overload, info)
            now = self._overload or f"keeps up again; {self._lost} records were lost"
            self._say(make(f"sink {self._name} {now}"))

    def _overloaded(self) -> str:
        """Say how the sink falls behind, or nothing; a loss counts for `CALM_S`."""
        backlog = self._backlog
        if backlog.dropped > self._lost:
            self._lost_at = time.monotonic()
            return LOSES
        if backlog.spilled:
            return self._overload or SPILLS
        is_calm = time.monotonic() - self._lost_at >= CALM_S
        has_room = backlog.rows * 2 <= self._settings.queue
        return "" if is_calm and has_room else self._overload

    def _serve(self) -> None:
        """Write the pieces that the keeper hands out, in the sink's thread."""
        while (item := self._ask()) is not None:
            self._carry_out(item)
        self._let_go()

    def _ask(self) -> Item | None:
        self._urge(_Signal.NEXT)
        return self._turns.get()

    def _carry_out(self, item: Item) -> None:
        if not isinstance(item, Barrier):
            if self._insist(partial(self._sink.write, item)):
                self._handed += len(item)
        elif self._insist(self._sink.flush):
            item.done(self._sink.position())

    def _let_go(self) -> None:
        flushed = self._insist(self._sink.flush)
        try:
            self._guard()
            self._sink.close()
        except (SinkError, Fenced) as e:
            self._complain(str(e))
            return
        if flushed:
            self._closed.set()

    def _insist(self, call: Callable[[], None]) -> bool:
        """Repeat a call until it succeeds; False if the delivery ends before."""
        pause = RETRY_S
        while True:
            self._since = time.monotonic()
            try:
                self._guard()
                call()
            except Fenced as e:
                self._complain(str(e))
                return False
            except SinkError as e:
                self._complain(str(e))
                if isinstance(e, RecordsLost):  # the sink goes on in a new place
                    self._gone = str(e)
            else:
                self._complain("")
                return True
            finally:
                self._since = None
            if self._closing.wait(pause):
                self._abandoned.wait(RETRY_S)
            if self._abandoned.is_set():
                return False
            pause = min(2 * pause, LONGEST_RETRY_S)

    def _complain(self, error: str) -> None:
        if bool(error) != bool(self._error):
            make, now = (failing, error) if error else (info, "works again")
            self._say(make(f"sink {self._name}: {now}"))
        self._error = error
