"""What tests of live feeds share: a clock that stands still, an exchange, a feed."""

from __future__ import annotations

import asyncio
import gzip
import heapq
import itertools
import json
from collections import Counter
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import ClassVar

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from connectors.capture.faults import parse
from connectors.capture.format import received
from connectors.capture.replies import KNOWN
from connectors.capture.simulator import Simulator
from connectors.live.feed import Live
from connectors.live.queue import GATHER
from connectors.live.timing import Clock
from connectors.options import read
from connectors.venues.options import VenueOptions
from connectors.venues.protocol import (
    Alive,
    Departing,
    History,
    Limits,
    Refused,
    Subscribed,
)
from sfm_stream.config import from_tree
from sfm_stream.events import Tick
from tests.feed_tables import feed_table

T0 = 1_723_161_256_000
"""Milliseconds at which the made-up trades begin."""
NS = T0 * 10**6


class StillClock(Clock):
    """Time that passes only when told to."""

    def __init__(self):
        self.time = 0.0
        self._waiting = []
        self._number = itertools.count()

    def now(self):
        return NS + round(self.time * 1e9)

    def elapsed(self):
        return self.time

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(
            self._waiting, (self.time + max(0, seconds), next(self._number), woken)
        )
        await woken

    def next(self):
        """Give the seconds until the first of those who sleep wants to wake."""
        self._waiting = [w for w in self._waiting if not w[2].done()]
        heapq.heapify(self._waiting)
        return self._waiting[0][0] - self.time if self._waiting else None

    async def advance(self, seconds):
        """Let time pass, waking everyone on the way."""
        end = self.time + seconds
        while (after := self.next()) is not None and self.time + after <= end:
            self.time = max(self.time, self._waiting[0][0])
            heapq.heappop(self._waiting)[2].set_result(None)
            await settle()
        self.time = end


async def settle(turns=20):
    """Let everyone do what can be done without waiting."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition):
    """Wait for what real sockets will bring about, in the time they take."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def trade(number, symbol="btcusdt"):
    """Make up a frame of a trade."""
    return (
        b'{"stream":"%s@trade","data":{"e":"trade","E":%d,"T":%d,"s":"%s","t":%d,'
        b'"p":"%d.5","q":"1","m":true}}'
    ) % (
        symbol.encode(), T0 + number, T0 + number, symbol.upper().encode(), number,
        number,
    )  # fmt: skip


def trades(count, start=1, *, every=1_000_000, symbols=("btcusdt",)):
    """Make up a capture: pairs of ns and frame."""
    return [
        (NS + i * every, trade(i, symbol))
        for i in range(start, start + count)
        for symbol in symbols
    ]


def ids(events):
    """Give the numbers of the made-up trades among events."""
    return [int(e.values[0]) for e in events if hasattr(e, "values")]


@asynccontextmanager
async def exchange(frames, *faults, venue="binance", play=True, **given):
    """An exchange that plays frames; gives it and its address."""
    simulator = Simulator(
        frames, KNOWN[venue], faults=[parse(f) for f in faults], **given
    )
    async with simulator.listening(0) as url:
        playing = asyncio.create_task(simulator.play()) if play else None
        try:
            yield simulator, url
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.wait([playing])


def made_up(count=600, seed=7):
    """Make up a minute of trades, for who has no capture at hand."""
    random, price = Random(seed), 60_000.0
    time, lines = NS, []
    for number in range(1, count + 1):
        time += round(random.expovariate(10.0) * 1e9)
        price += random.gauss(0, 2)
        qty, maker = random.expovariate(20.0), random.random() < 0.5
        lines.append(received(
            b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"T":%d,'
            b'"s":"BTCUSDT","t":%d,"p":"%.2f","q":"%.5f","m":%s}}'
            % (time // 10**6, time // 10**6, number, price, qty,
               b"true" if maker else b"false"),
            time,
        ))  # fmt: skip
    return gzip.compress(b"".join(lines), 9, mtime=0)


class Told:
    """A protocol that is told in each frame what to say of it.

    `{"tick": "a", "n": 1}`, `{"history": "a"}`, `{"ack": "a"}`, `{"refuse": "a"}`,
    `{"alive": 1}`, `{"leave": 1}`.
    """

    options = VenueOptions
    limits = Limits(messages=(100, 1.0))
    channels: ClassVar = {}
    fields = ("value",)

    def __init__(self, config):
        self.topics, self._url = (
            config.stream.symbols,
            read(config.feed, VenueOptions).url,
        )
        self.counters = Counter()
        self._last = {}

    def url(self):
        return self._url

    def opened(self):
        self.counters["opened"] += 1

    def subscribe(self, topics):
        return [json.dumps({"ask": list(topics)}).encode()]

    def receive(self, frame, received):
        (kind, topic), *more = json.loads(frame).items()
        if kind == "tick":
            number = more[0][1]
            if number <= self._last.get(topic, 0):
                return []
            self._last[topic] = number
            return [Tick(topic, received, (float(number),), received)]
        match kind:
            case "history":
                return [History(Tick(topic, received, (0.0,), received))]
            case "ack":
                return [Subscribed(topic)]
            case "refuse":
                return [Refused(topic, "no such topic")]
            case "leave":
                return [Departing("maintenance")]
        return [Alive()]


class Pinged(Told):
    """One that wants to be pinged, and leaves no room for anything else."""

    limits = Limits(ping=(5.0, b'{"ping": 1}'), messages=(2, 1.0))


class Narrow(Told):
    """One that takes two topics on a connection, and one connection in ten seconds."""

    limits = Limits(topics=2, connects=(1, 10.0))


class Mortal(Told):
    """One that cuts its connections after a hundred seconds."""

    limits = Limits(lifetime=100.0)


def tick(number, topic="a"):
    """Write a frame for `Told`."""
    return json.dumps({"tick": topic, "n": number})


@asynccontextmanager
async def server(handler, **given):
    """A venue whose every word is scripted; gives its address and its connections.

    `handler(socket, number)` is called for each connection, counted from 1.
    """
    connections = []

    async def serve_one(socket):
        connections.append(socket)
        with suppress(ConnectionClosed):
            await handler(socket, len(connections))

    async with serve(serve_one, "127.0.0.1", 0, close_timeout=1, **given) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}", connections


def settings(url, symbols=("btcusdt",), **feed):
    given = {"connector": "binance", "channel": "trade", "url": url}
    tree = feed_table(**given | feed)
    return from_tree({"feed": tree, "stream": {"symbols": list(symbols)}})


def told(url, *symbols, venue="Told", **given):
    """Open a feed of what a scripted venue says."""
    connector = f"tests.live_rig:{venue}"
    return live(url, symbols=symbols or ("a",), connector=connector, **given)


def live(
    url,
    *,
    records=(),
    clock=None,
    symbols=("btcusdt",),
    gather=GATHER,
    pause=0.0,
    **feed,
):
    """Open a feed of made-up trades, read at once: a still clock knows no pause."""
    config = settings(url, symbols, **feed)
    return Live(
        config, records, clock=clock, random=Random(1), gather=gather, pause=pause
    )


class Listener:
    """Collects what a feed says, in the background."""

    def __init__(self, feed):
        self.feed, self.events = feed, []
        self._task = None

    async def _listen(self):
        async for event in self.feed.events():
            self.events.append(event)

    async def __aenter__(self):
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.wait([self._task])

    async def failed(self):
        """Wait for the error that ends a feed."""
        await asyncio.wait([self._task])
        return self._task.exception()

    def state(self, number=0):
        return self.feed.status()[number].state


def heard(listener, count):
    """Make a condition: so many events have come."""
    return lambda: len(listener.events) >= count
