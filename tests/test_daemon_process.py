from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from types import MappingProxyType

import pytest
from msgspec.structs import replace

from sfm_stream.daemon import feeding, process
from sfm_stream.daemon.process import Given, Process
from sfm_stream.daemon.signals import live
from sfm_stream.daemon.status.model import unready
from sfm_stream.daemon.views import recall
from sfm_stream.errors import (
    AddressError,
    ConfigError,
    FeedError,
    JournalError,
    SinkError,
)
from sfm_stream.events import Block, Gap, Tick
from sfm_stream.feeds import Connection
from sfm_stream.running import precompile
from sfm_stream.storage import atomic, checkpoint, journal, run_folder
from tests.daemon_rig import full_disk, settings_of
from tests.live_rig import settle, until

# a slow machine is no reason to catch up, nor to leave what waits
DAEMON = {"catch_up_after": "1h", "drain": "60s", "listen": ""}


class Feed:
    """A feed that gives what it is handed, until it is stopped or fails."""

    def __init__(self, fields=("x",)):
        self.fields, self.counters = fields, Counter()
        self.queue, self.stopped, self.given = asyncio.Queue(), False, 0
        self.live = False

    @property
    def waiting(self):
        return self.queue.qsize()

    def source(self):
        return {"connector": "made up"}

    def status(self):
        state = "live" if self.live else "connecting"
        return [Connection("made up", state, 1.0, None, "", {})]

    async def batches(self, most):
        while (batch := await self.queue.get()) is not None:
            if isinstance(batch, Exception):
                raise batch
            assert len(batch) <= most
            self.given += len(batch)
            yield Block.of(batch, len(self.fields))

    def stop(self):
        self.stopped = True
        self.queue.put_nowait(None)


async def taken(process, steps):
    """Wait until the model has taken so many batches."""
    await until(lambda: process._worker and process._worker.steps == steps)


async def page(address, name):
    """Read a page, whatever its code."""

    def read():
        try:
            url = f"{address}/{name}"
            return urllib.request.urlopen(url, timeout=60).read().decode()  # noqa: S310
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    return await asyncio.to_thread(read)


def now_ticks(start, stop):
    now = time.time_ns()
    return [Tick("a", now + i, (float(i % 5),), now) for i in range(start, stop)]


class Rig:
    def __init__(self, folder, **tree):
        self.folder, self.said, self.feeds = folder, [], []
        daemon = {**DAEMON, **tree.pop("daemon", {})}
        self.config = self.next_config = settings_of(daemon=daemon, **tree)
        self.process = None

    def open_feed(self, config):
        del config
        self.feeds.append(Feed())
        return self.feeds[-1]

    def given(self):
        return Given(self.config, self.folder, self.open_feed, self.read)

    def read(self):
        if isinstance(self.next_config, Exception):
            raise self.next_config
        return self.next_config

    async def lived(self, life, environment=MappingProxyType({})):
        """Run a process beside a life that it is told about."""
        self.process = Process(self.given(), self.said.append, environment)

        async def begun():
            await until(lambda: self.feeds)
            await life(self.process, self.feeds)

        living = asyncio.create_task(begun())
        try:
            async with asyncio.timeout(60):
                await self.process.run()
                await living
        finally:
            living.cancel()

    def events(self):
        there = any((self.folder / "journal").glob("*.log"))
        return list(journal.read(self.folder / "journal")) if there else []

    def saved(self):
        held = checkpoint.newest_good(
            run_folder.load(self.folder).checkpoints, pytest.fail
        )
        return held.manifest["seq"]


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "run")


def test_told_to_stop_it_takes_what_waits_and_saves(rig):
    async def life(process, feeds):
        (feed,) = feeds
        feed.queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        assert process.state == "live"
        for start in range(5, 305, 30):
            feed.queue.put_nowait(now_ticks(start, start + 30))
        process.stop()

    asyncio.run(rig.lived(life))
    assert rig.process.state == "stopped"
    assert len(rig.events()) == rig.saved() == 305


def test_a_feed_that_falls_silent_after_a_late_batch_leaves_no_lag(rig):
    async def life(process, feeds):
        late = [replace(one, received=one.received - 10**11) for one in now_ticks(0, 5)]
        feeds[0].queue.put_nowait(late)
        await taken(process, 1)
        await until(lambda: process.vitals().lag_s == 0.0)
        process.stop()

    asyncio.run(rig.lived(life))


def test_a_feed_that_no_try_can_help_ends_it_after_a_checkpoint(rig):
    async def life(process, feeds):
        del process
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        feeds[0].queue.put_nowait(FeedError("made up", "gone for good"))

    with pytest.raises(FeedError, match="gone for good"):
        asyncio.run(rig.lived(life))
    assert rig.saved() == 5


def test_a_journal_that_cannot_be_written_halts_it(rig, monkeypatch):
    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        monkeypatch.setattr(atomic, "append", full_disk)
        feeds[0].queue.put_nowait(now_ticks(5, 9))

    with pytest.raises(JournalError, match="the disk is full"):
        asyncio.run(rig.lived(life))
    assert len(rig.events()) == rig.saved() == 5


def test_what_cannot_be_drained_in_time_is_left(tmp_path):
    rig = Rig(tmp_path / "run", daemon={"drain": "10ms"})

    async def life(process, feeds):
        (feed,) = feeds
        feed.queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        feed.stop = lambda: None  # a venue that never lets go
        process.stop()

    asyncio.run(rig.lived(life))
    assert rig.process.state == "stopped"


def test_a_reload_changes_feed_and_learning_and_keeps_the_model(rig):
    rig.next_config = settings_of(
        stream={"symbols": ["b"]},
        learn={"window": 8, "every": 8, "enabled": False},
        daemon=DAEMON,
    )

    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        feeds[0].queue.put_nowait(now_ticks(5, 8))
        await process.reload()
        await until(lambda: len(feeds) == 2 and feeds[0].stopped)
        feeds[1].queue.put_nowait(now_ticks(8, 10))
        await taken(process, 4)
        process.stop()

    asyncio.run(rig.lived(life))
    assert rig.said[0] == "reloaded"
    assert rig.said[1].startswith("decided: freeze all streams")
    ticks = [e for e in rig.events() if isinstance(e, Tick)]
    assert len(ticks) == 10
    gaps = [e.reason for e in rig.events() if isinstance(e, Gap)]
    assert gaps == [feeding.CHANGED]


def test_of_two_reloads_at_once_the_settings_read_last_are_gone_by(rig):
    old = rig.config
    new = settings_of(stream={"symbols": ["b"]}, daemon=DAEMON)

    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        rig.next_config = new
        async with process._turn:  # the model is at work
            first = asyncio.create_task(process.reload())
            await until(lambda: len(feeds) == 2)
            rig.next_config = old
            second = asyncio.create_task(process.reload())
            await settle()
        await asyncio.gather(first, second)
        await until(lambda: process._feeding.feed is feeds[-1])
        process.stop()

    asyncio.run(rig.lived(life))
    assert rig.process._config == old
    assert len(rig.feeds) == 3


def test_told_to_stop_right_after_a_reload_it_takes_up_no_other_feed(rig):
    rig.next_config = settings_of(stream={"symbols": ["b"]}, daemon=DAEMON)

    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        await process.reload()
        feeds[1].queue.put_nowait(now_ticks(5, 8))
        process.stop()

    asyncio.run(rig.lived(life))
    assert len(rig.feeds) == 2
    assert len(rig.events()) == 5


def test_a_batch_is_weighed_only_while_the_model_stands_still(rig):
    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        worker, standing = process._worker, []
        weigh, busy, done = worker.expected, threading.Event(), threading.Event()

        def expected(batch):
            standing.append(not busy.is_set())
            return weigh(batch)

        def work():
            busy.set()
            done.wait(9)
            busy.clear()

        worker.expected = expected
        working = asyncio.create_task(process._in_model(work))
        await until(busy.is_set)
        feeds[0].queue.put_nowait(now_ticks(5, 8))
        await until(lambda: feeds[0].given == 8)
        await settle()
        done.set()
        await working
        await taken(process, 2)
        process.stop()
        assert standing == [True]

    asyncio.run(rig.lived(life))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            settings_of(stream={"every": "1s"}, daemon=DAEMON),
            "not reloaded: reload: expected stream.every",
        ),
        (ConfigError("x", "unknown key"), "not reloaded: x: unknown key"),
        (
            settings_of(sink=[{"kind": "jsonk"}], daemon=DAEMON),
            "not reloaded: sink.kind: ",
        ),
    ],
)
def test_a_reload_that_cannot_be_is_refused_as_a_whole(rig, config, said):
    rig.next_config = config

    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        await process.reload()
        feeds[0].queue.put_nowait(now_ticks(5, 8))
        await taken(process, 2)
        process.stop()

    asyncio.run(rig.lived(life))
    assert rig.said[0].startswith(said)
    assert len(rig.feeds) == 1
    assert len(rig.events()) == 8


def test_while_the_kernels_compile_the_state_says_so(rig, monkeypatch):
    ready, seen = threading.Event(), []
    monkeypatch.setattr(precompile, "is_ready", lambda _: False)
    monkeypatch.setattr(precompile, "compile_apart", lambda _: ready.wait(9))

    async def life(process, feeds):
        del feeds
        await until(lambda: process.state != "starting")
        vitals = await process.vitals_soon()
        seen.extend((vitals.state, unready(vitals, rig.config.daemon)[0]))
        ready.set()
        process.stop()

    asyncio.run(rig.lived(life))
    assert seen == [
        "compiling",
        "state: expected live or catching up, "
        "was compiling (the kernels, about a minute, once)",
    ]


def test_a_reload_before_it_is_live_is_refused(rig):
    async def life(process, feeds):
        del feeds
        await process.reload()
        process.stop()

    asyncio.run(rig.lived(life))
    assert rig.said == [
        "not reloaded: it is still recovering",
        "stopped at event 0, saved",
    ]


def test_other_fields_are_refused(rig):
    rig.next_config = settings_of(stream={"symbols": ["b"]}, daemon=DAEMON)
    first = rig.open_feed

    def other(config):
        feed = first(config)
        feed.fields = ("x",) if len(rig.feeds) == 1 else ("y",)
        return feed

    rig.open_feed = other

    async def life(process, feeds):
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        await process.reload()
        process.stop()

    asyncio.run(rig.lived(life))
    assert "a run keeps the fields it has" in rig.said[0]


def test_its_pages_say_how_it_is_from_the_first_moment_on(tmp_path):
    rig = Rig(tmp_path / "run", daemon={"listen": "127.0.0.1:0"})
    seen = {}

    async def life(process, feeds):
        await until(lambda: process.address)
        seen["first"] = await page(process.address, "status")
        feeds[0].queue.put_nowait(now_ticks(0, 5))
        await taken(process, 1)
        seen["then"] = await page(process.address, "status")
        seen["metrics"] = await page(process.address, "metrics")
        seen["ready"] = await page(process.address, "readyz")
        process.stop()

    asyncio.run(rig.lived(life))
    assert json.loads(seen["first"])["seq"] == 0
    then = json.loads(seen["then"])
    assert (then["state"], then["seq"], then["ticks"]) == ("live", 5, 5)
    assert then["streams"]["a"]["ticks"] == 5
    assert then["journal"] == {"position": 5, "journalled": True, "problem": ""}
    assert then["latency_us"]["count"] == 5
    assert [sink["name"] for sink in then["sinks"]] == ["records", "websocket"]
    assert 'sfm_stream_ticks_total{stream="a"} 5.0' in seen["metrics"]
    assert "sfm_stream_latency_seconds_count 5.0" in seen["metrics"]
    assert "expected a live connection" in seen["ready"]


def test_what_fails_beside_the_model_is_an_alarm_and_ticks_go_on(tmp_path, monkeypatch):
    rig = Rig(tmp_path / "run", daemon={"listen": "127.0.0.1:0"})
    seen = {}

    async def no_watchdog(*_):
        raise OSError("no service manager")

    def torn(_):
        raise KeyError("mean")

    monkeypatch.setattr(process, "watch", no_watchdog)

    async def life(lived, feeds):
        await until(lambda: lived.state == "live")
        lived._gallery.watcher._note_events = torn
        lived._hub.publish = lambda _: {}["nothing"]
        for steps in (1, 2):
            feeds[0].queue.put_nowait(now_ticks(steps, steps + 1))
            await taken(lived, steps)
            await until(lambda: lived.failures.counts["views"] >= 1)
        seen["status"] = await page(lived.address, "status")
        seen["metrics"] = await page(lived.address, "metrics")
        lived.stop()

    asyncio.run(rig.lived(life))
    status = json.loads(seen["status"])
    alarms = {alarm.partition(": ")[0] for alarm in status["alarms"]}
    assert alarms == {"watchdog", "publishing", "views"}
    assert status["failures"]["watchdog"] == 1
    assert status["failures"]["publishing"] >= 2
    assert 'sfm_stream_failures_total{part="watchdog"} 1.0' in seen["metrics"]
    assert status["seq"] == len(rig.events()) == 2
    assert rig.process.state == "stopped"


def test_after_a_restart_what_was_before_is_there_to_look_at(tmp_path):
    rig = Rig(tmp_path / "run", daemon={"listen": "127.0.0.1:0"})
    shown = []

    async def life(lived, feeds):
        await until(lambda: lived.state == "live")
        history = lived._gallery.watcher.history
        shown.append(history.since(0, -1)["origin"].tolist())
        feeds[-1].queue.put_nowait(now_ticks(0, 50))
        await taken(lived, 1)
        lived.stop()

    asyncio.run(rig.lived(life))
    asyncio.run(rig.lived(life))
    assert shown == [[], list(range(50))]
    assert rig.process.failures.counts == {}


def test_records_that_cannot_be_recalled_are_an_alarm_and_it_lives(
    tmp_path, monkeypatch
):
    rig = Rig(tmp_path / "run", daemon={"listen": "127.0.0.1:0"})

    def torn(*_):
        raise SinkError("records", "cannot be read")

    async def life(lived, feeds):
        await until(lambda: lived.state == "live")
        feeds[-1].queue.put_nowait(now_ticks(0, 50))
        await taken(lived, 1)
        lived.stop()

    asyncio.run(rig.lived(life))
    monkeypatch.setattr(recall, "recall", torn)
    asyncio.run(rig.lived(life))
    assert rig.process.failures.alarms() == [
        "views: SinkError: records: cannot be read (failures so far: 1)"
    ]
    assert rig.process.state == "stopped"


def test_a_lease_that_cannot_be_renewed_is_an_alarm(rig):
    told = []

    async def life(lived, _):
        await until(lambda: lived.state == "live")
        lived._own.problem = "lease: cannot be renewed: Input/output error"
        told.append(lived.vitals().alarms)
        lived.stop()

    asyncio.run(rig.lived(life))
    assert told == [("lease: cannot be renewed: Input/output error",)]


def test_the_loop_goes_on_while_someone_asks_and_the_model_is_at_work(rig):
    turns, told = [], []

    async def life(process, _):
        await until(lambda: process.state == "live")
        with process._worker.stepper.lock:  # as while a long batch is taken
            asking = asyncio.create_task(process.vitals_soon())
            for _ in range(50):
                await asyncio.sleep(0.001)
                turns.append(asking.done())
        told.append(await asking)
        process.stop()

    asyncio.run(rig.lived(life))
    assert turns == [False] * 50
    assert told[0].state == "live"


def test_a_batch_that_brings_a_stream_is_left_to_the_models_thread(rig):
    threads = []

    async def life(process, feeds):
        await until(lambda: process.state == "live")
        take = process._worker.take

        def noted(batch):
            threads.append(threading.current_thread().name.partition("_")[0])
            take(batch)

        process._worker.take = noted
        for steps in (1, 2):
            feeds[0].queue.put_nowait(now_ticks(steps, steps + 1))
            await taken(process, steps)
            process._worker._pace = 0.0
        process.stop()

    asyncio.run(rig.lived(life))
    assert threads == ["model", "MainThread"]


def test_a_port_in_use_is_told_before_anything_is_touched(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken_already:
        port = taken_already.getsockname()[1]
        rig = Rig(tmp_path / "run", daemon={"listen": f"127.0.0.1:{port}"})

        async def life(process, feeds):
            del process, feeds

        with pytest.raises(AddressError, match="expected a free port, was in use"):
            asyncio.run(rig.lived(life))
    assert not (tmp_path / "run").exists()


def test_the_service_manager_is_told(tmp_path):
    path = str(tmp_path / "notify")
    rig = Rig(tmp_path / "run")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)

        async def life(process, feeds):
            feeds[0].live = True
            await until(lambda: process._announced)
            await process.reload()
            process.stop()

        asyncio.run(rig.lived(life, {"NOTIFY_SOCKET": path}))
        told = []
        with suppress(BlockingIOError):
            while True:
                told.append(manager.recv(4096).decode().splitlines()[0])
    assert told == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(rig, number):
    async def run():
        living = asyncio.create_task(live(rig.given(), rig.said.append, {}))
        await until(lambda: rig.feeds)
        rig.feeds[0].queue.put_nowait(now_ticks(0, 5))
        await until(lambda: rig.folder.is_dir() and len(rig.events()) == 5)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: rig.said)
        os.kill(os.getpid(), number)
        await living

    asyncio.run(run())
    assert rig.said == [
        "reloaded",
        "stopping; a second signal stops at once",
        "stopped at event 5, saved",
    ]
    assert rig.saved() == 5
