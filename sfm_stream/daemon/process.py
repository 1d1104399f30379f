"""The live process: its parts, its threads, and the order of start and stop.

    loop      sockets, timers, signals; short batches
    model     long batches, recovery, beats
    others    sinks, checkpoints, the journal's fsync and compression

A batch goes to the model's thread only if it would block the loop for too long: the
hand-over costs more than a short batch. In both cases one batch runs at a time.

Start: recovery, then live. Stop: feeds, waiting events, checkpoint, sinks, journal.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from sfm_stream.config import each_feed
from sfm_stream.daemon.feeding import Feeding
from sfm_stream.daemon.host import pid_file
from sfm_stream.daemon.host.systemd import Notifier, Progress, watch
from sfm_stream.daemon.http.broadcast import Hub
from sfm_stream.daemon.http.prometheus import Meters
from sfm_stream.daemon.http.server import Pages, serving
from sfm_stream.daemon.http.viewers import Gallery
from sfm_stream.daemon.named_sinks import RECORDS
from sfm_stream.daemon.recovery import recover
from sfm_stream.daemon.reload import expect_hot
from sfm_stream.daemon.status.collect import Birth, complete, outline
from sfm_stream.daemon.status.failures import Failures
from sfm_stream.daemon.status.model import LIVE, Outline, State, Vitals, told
from sfm_stream.daemon.status.pulse import Pulse
from sfm_stream.daemon.status.refusals import Refusals, account, listed, notices_of
from sfm_stream.daemon.status.telling import Telling, ending, stopped
from sfm_stream.daemon.views.points import NS_PER_MS
from sfm_stream.daemon.views.recall import show_before
from sfm_stream.daemon.views.watcher import Watcher
from sfm_stream.daemon.worker import Witness, Worker
from sfm_stream.errors import SFMStreamError, amount
from sfm_stream.events import Block
from sfm_stream.notices import Say, error, info, warning
from sfm_stream.running import judgement, loops, precompile
from sfm_stream.storage import epoch, lock, run_folder

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import LiveFeed
    from sfm_stream.records import Records
    from sfm_stream.settings import Daemon
    from sfm_stream.storage.epoch import Epoch
    from sfm_stream.storage.run_folder import Run

T = TypeVar("T")
MARKS = (run_folder.INFO, "journal", epoch.NAME, pid_file.NAME)
"""Files and folders of which the folder of a live run has at least one."""
HOLD = 0.004
"""Seconds that a batch may block the loop, by estimate."""
BEAT = 0.25
"""Seconds between beats, which do the work that is due by time."""
PATIENCE = 30.0
"""Seconds after which the process counts as started even without data."""
SWITCH = 0.0005
"""Seconds after which a waiting thread gets the interpreter."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a process needs to start.

    Attributes:
        config: its settings.
        folder: folder of its run.
        open_feed: opens the feed of a configuration.
        read: reads the configuration again.
        start: a run to start warm from, if the run is new.
        strict: whether it is an error if more than a tenth of the rows was not taken.
    """

    config: Config
    folder: Path
    open_feed: Callable[[Config], LiveFeed]
    read: Callable[[], Config]
    start: Run | None = None
    strict: bool = False


class Process:
    """The live process of a run.

    Args:
        given: settings, folder and feed.
        say: takes a line for the log.
        environment: environment variables, with the address of a service manager if
            there is one.

    Attributes:
        state: what it does; `catching up` is told as `live`.
        address: address of its pages, once they are served; else empty.
        failures: failures of parts other than the model.
    """

    def __init__(
        self,
        given: Given,
        say: Say,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._given, self._say = given, say
        self._notifier = Notifier(environment, say)
        self.state, self.address = State.STARTING, ""
        self._birth = Birth(given.folder.resolve())
        self.failures = Failures()
        self._meters = Meters()
        self._gallery = Gallery(self._told, self._shut)
        unserved = partial(self.failures.note, "websocket")
        self._hub = Hub(gallery=self._gallery, failed=unserved)
        self._loop = asyncio.get_running_loop()
        self._announced, self._telling = False, Telling()
        self._pulse, self._refusals = Pulse(self._meters.observe_held), Refusals()
        self._config = given.config
        self._feeding = Feeding(given.open_feed, say)
        self._model = ThreadPoolExecutor(1, "model")
        self._turn, self._reloading = asyncio.Lock(), asyncio.Lock()
        self._told_to_stop = asyncio.Event()
        self._worker: Worker | None = None
        self._own: Epoch | None = None

    async def run(self) -> None:
        """Recover, run until told to stop, and close everything in order.

        Raises:
            SFMStreamError: if the process cannot start or cannot continue.
        """
        run_folder.expect_free(self._given.folder, MARKS)
        sys.setswitchinterval(SWITCH)
        async with AsyncExitStack() as served:
            served.enter_context(self.failures.overheard())
            if self._config.daemon.listen:
                pages = Pages(self.vitals_soon, self._settings, self._meters, self._hub)
                serve = serving(self._config.daemon.listen, pages)
                self.address = await served.enter_async_context(serve)
            await self._feeding.begin(self._config)
            lease = self._config.daemon.lease.seconds
            taking = partial(epoch.take, self._given.folder, lease)
            own = served.enter_context(await asyncio.to_thread(taking))
            self._own = own
            if own.seized:
                self._take_over(own)
            served.enter_context(pid_file.held(self._given.folder))
            await self._recover_and_live(own)

    def vitals(self) -> Vitals:
        """Give the status; waits for the running batch."""
        if self._gallery.watcher is not None:
            self._gallery.watcher.fold()
        return complete(*self._outline())

    async def vitals_soon(self) -> Vitals:
        """Give the status; a thread waits for the running batch, not the loop."""
        self._fold_some()
        return await asyncio.to_thread(complete, *self._outline())

    def _outline(self) -> tuple[Outline, Worker | None, dict[str, dict[str, Any]]]:
        """Gather the parts of the status that belong to the loop, for `complete`."""
        others = (self._hub.state(),) if self._config.daemon.listen else ()
        watcher, held = self._gallery.watcher, self._pulse.late
        alarms = (self._own.problem if self._own else "", self._refusals.alarm)
        found = outline(
            self._birth, self.state, self._feeding, others, held, self.failures, alarms
        )
        return found, self._worker, watcher.judged() if watcher else {}

    def stop(self) -> None:
        """Stop in order: take no new events, finish waiting ones, save, and end."""
        self._notifier.stopping()
        self._feeding.settle()
        self._told_to_stop.set()

    async def reload(self) -> None:
        """Read the configuration again and apply it, or refuse it as a whole."""
        if self._worker is None:
            self._say(warning("not reloaded: it is still recovering"))
            return
        async with self._reloading:  # the settings read last must apply
            self._notifier.reloading()
            try:
                config = self._given.read()
                expect_hot(self._config, config)
                await self._obey(self._worker, config)
            except SFMStreamError as refused:
                self._say(error(f"not reloaded: {refused}"))
            else:
                self._config = config
                self._say(info("reloaded"))
            self._notifier.ready(self.state)

    def _take_over(self, own: Epoch) -> None:
        """Take the run away from a process that was silent for too long."""
        told = f"the process before was silent: epoch {own.number} takes its place"
        self._say(warning(told))
        pid_file.take_over(self._given.folder)
        lock.take_over(self._given.folder / "journal")

    async def _recover_and_live(self, own: Epoch) -> None:
        with self._model:
            await self._in_model(self._compiled)
            self.state = State.RECOVERING
            recovered = partial(self._recovered, own)
            worker = self._worker = await self._in_model(recovered)
            if at := self.address:
                self._say(info(f"see {at} in a browser, or {at}/status"))
            try:
                await self._live(worker)
            finally:
                self.state = State.STOPPING
                await self._in_model(worker.close)
                self.state = State.STOPPED
                vitals = self.vitals()
                self._say(stopped(vitals))
                found = account(vitals)
                for line in notices_of(found):
                    self._say(line)
            if found["not_taken"]:
                where = str(self._given.folder)
                judgement.refuse(found, where, strict=self._given.strict)

    def _compiled(self) -> None:
        if not precompile.is_ready(self._config):
            self.state = State.COMPILING
            precompile.compile_apart(lambda line: self._say(info(line)))

    def _recovered(self, own: Epoch) -> Worker:
        given = self._given
        found = recover(
            self._config, self._feeding.feed, given.folder, start=given.start,
            say=self._say, guard=own.expect_own,
        )  # fmt: skip
        if found.events:
            self._say(
                info(f"recovered {amount(found.events, 'event')} from the journal")
            )
        meters = self._meters
        failed = partial(self.failures.note, "views")
        watcher = Watcher(found.engine, self._fold_soon, failed)
        if found.engine.seq and self._config.daemon.listen:
            show_before(
                watcher, found.sinks[RECORDS], found.run.records,
                found.engine.streams, failed,
            )  # fmt: skip
        # not earlier: a page would take an empty history for a new one
        meters.watcher = self._gallery.watcher = watcher
        witness = Witness(
            self._publish, meters.observe_latencies, meters.observe_step, watcher.see
        )
        worker = Worker(found, self._config, witness, self._say)
        worker.begin()
        gc.collect()
        gc.freeze()  # objects made so far stay: do not collect over them again
        return worker

    async def _live(self, worker: Worker) -> None:
        """Feed the worker until told to stop; then feed it the waiting events."""
        self.state = State.LIVE
        take = partial(self._take, worker)
        batches = self._feeding.batches()
        if self._config.run.round:
            batches = loops.in_rounds(batches, self._config.run.round.seconds)
        feeding = asyncio.create_task(loops.arun(batches, take))
        beating = asyncio.create_task(self._beat(worker))
        told = asyncio.create_task(self._told_to_stop.wait())
        moved = lambda: Progress(worker.steps, self._feeding.waiting)  # noqa: E731
        watched = asyncio.create_task(watch(self._notifier, moved))
        pulsing = asyncio.create_task(self._pulse.beat())
        self.failures.watch(watched, "watchdog")
        self.failures.watch(pulsing, "pulse")
        await asyncio.wait(
            [feeding, beating, told], return_when=asyncio.FIRST_COMPLETED
        )
        self.state = State.STOPPING
        if end := ending((feeding, beating), feeding.done(), self._feeding.status()):
            self._say(end)
        self._feeding.stop()
        drain = self._config.daemon.drain.seconds
        await asyncio.wait([feeding], timeout=drain)
        tasks = (feeding, beating, told, watched, pulsing)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in (feeding, beating):
            if not task.cancelled():
                task.result()

    async def _take(self, worker: Worker, batch: Block) -> None:
        take = partial(worker.take, batch)
        async with self._turn:
            if worker.expected(batch) > HOLD:
                await self._loop.run_in_executor(self._model, take)
            else:
                take()

    async def _beat(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._in_model(worker.beat)
            if not self._feeding.waiting:
                await self._in_model(worker.stepper.rest)
            counted = await self._in_model(worker.stepper.totals)
            self._refusals.look(*counted, self._feeding.counters)
            self._tell_connections()
            if not self._announced:
                self._announce()

    def _announce(self) -> None:
        """Report that the process is up, once it has data or `PATIENCE` has passed."""
        waited = time.monotonic() - self._birth.elapsed > PATIENCE
        if waited or any(one.state == LIVE for one in self._feeding.status()):
            self._announced = True
            self._notifier.ready(self.state)

    def _tell_connections(self) -> None:
        """Log what happened to connections, and add marks to the page."""
        watcher = self._gallery.watcher
        for label, one in self._telling.tell(self._feeding.status()):
            if watcher is not None and one.kind != "gap":
                watcher.marks.add(
                    one.time / NS_PER_MS, "connection", f"{label}: {one.kind}"
                )
        self._fold_some()

    def _publish(self, records: Records) -> None:
        """Pass records to the websocket, metrics and views; note their failures."""
        try:
            self._hub.publish(records)
            self._meters.observe_records(records)
            if self._gallery.watcher is not None:
                self._gallery.watcher.hear(records)
        except Exception as failed:  # noqa: BLE001
            self.failures.note("publishing", failed)

    def _fold_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._fold_some)

    def _fold_some(self) -> None:
        """Fold a piece, and schedule the next one after the loop's other work."""
        watcher = self._gallery.watcher
        if watcher is not None and watcher.fold_some():
            self._loop.call_soon(self._fold_some)

    async def _told(self) -> object:
        """Give the status for the page."""
        vitals = await self.vitals_soon()
        latencies, refused = self._meters.latencies(), {"refused": listed(vitals)}
        return told(vitals, self._settings(), latencies) | refused

    def _shut(self) -> Mapping[str, float]:
        """Give the streams in quarantine, with the seconds left."""
        if self._worker is None:
            return {}
        return self._worker.stepper.quarantine.shut(time.monotonic())

    def _settings(self) -> Daemon:
        return self._config.daemon

    async def _obey(self, worker: Worker, config: Config) -> None:
        """Apply a configuration in which only reloadable settings changed.

        Raises:
            SFMStreamError: if it cannot be applied; then no setting has changed.
        """
        feed = None
        if _subscriptions(config) != _subscriptions(self._config):
            feed = self._feeding.opened(config)
        await self._in_model(partial(worker.obey, config))
        if feed is not None:
            self._feeding.follow(feed)

    async def _in_model(self, call: Callable[[], T]) -> T:
        async with self._turn:
            return await self._loop.run_in_executor(self._model, call)


def _subscriptions(config: Config) -> list[tuple[Any, tuple[str, ...]]]:
    return [(one.feed, one.stream.symbols) for one in each_feed(config)]
