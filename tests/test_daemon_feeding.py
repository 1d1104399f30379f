from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from sfm_stream.config import from_tree
from sfm_stream.daemon import feeding
from sfm_stream.daemon.feeding import Feeding
from sfm_stream.daemon.http.prometheus import Meters, page
from sfm_stream.errors import ConfigError, InvalidState
from sfm_stream.events import Block, Gap, Tick
from sfm_stream.feeds import Connection
from tests.vitals_rig import vitals


class Feed:
    def __init__(self, fields=("a",), garbage=0, label="ws://x"):
        self.fields, self.waiting, self.ended = fields, 3, asyncio.Event()
        self.counters = Counter(garbage=garbage)
        self.label = label

    def status(self):
        examples = {"garbage": f"first of {self.counters['garbage']}"}
        one = Connection(self.label, "live", 0.0, 0.0, "", {}, dict(self.counters),
                         examples=examples)  # fmt: skip
        return [one, replace(one, counters={"garbage": 1})]

    async def batches(self, most):
        yield Block.of([Tick("s", 0, (1.0,), 0)] * min(most, 2), 1)
        await self.ended.wait()

    def stop(self):
        self.ended.set()


def reading(*feeds):
    given = iter(feeds)
    return Feeding(lambda _: next(given), [].append)


async def all_of(feeds, after_first):
    found = []
    async for block in feeds.batches():
        found += block.events()
        if len(found) == 2:
            after_first()
    return found


def test_a_feed_that_follows_keeps_what_was_counted_before():
    async def run():
        feeds = reading(Feed(garbage=3), Feed(garbage=2))
        await feeds.begin(from_tree({}))
        counts = []

        def replaced():
            counts.append(feeds.counters["garbage"])
            feeds.follow(feeds.opened(from_tree({})))

        taking = asyncio.create_task(all_of(feeds, replaced))
        while feeds.feed.counters["garbage"] != 2:
            await asyncio.sleep(0)
        feeds.stop()
        events = await taking
        return events, counts, feeds.counters["garbage"], *feeds.status()

    events, counts, last, one, other = asyncio.run(run())
    assert other.counters["garbage"] == 2
    assert (counts, last, one.counters["garbage"]) == ([3], 5, 5)
    assert one.examples["garbage"] == "first of 3"
    assert [e.reason for e in events if isinstance(e, Gap)] == [feeding.CHANGED]


def test_connections_that_share_an_address_are_told_apart_to_the_last_figure():
    async def run():
        feeds = reading(Feed(garbage=3))
        await feeds.begin(from_tree({}))
        return feeds.status()

    connections = asyncio.run(run())
    assert [one.label for one in connections] == ["ws://x", "ws://x (2)"]
    text, _ = page(Meters().metrics(vitals(feeds=tuple(connections))))
    told = {
        sample.labels["connection"]: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == "sfm_stream_frames_total"
    }
    assert told == {"ws://x": 3, "ws://x (2)": 1}


def test_a_feed_of_other_fields_cannot_follow():
    async def run():
        feeds = reading(Feed(), Feed(fields=("b",)))
        await feeds.begin(from_tree({}))
        feeds.opened(from_tree({}))

    with pytest.raises(ConfigError, match="a run keeps the fields it has"):
        asyncio.run(run())


def test_nothing_follows_once_it_is_told_to_end():
    async def run():
        feeds = reading(Feed(), Feed())
        await feeds.begin(from_tree({}))

        def left():
            feeds.follow(feeds.opened(from_tree({})))
            feeds.settle()

        return await all_of(feeds, left)

    assert len(asyncio.run(run())) == 2


def test_a_feed_that_is_long_in_coming_is_told_and_leaves_the_loop_free(monkeypatch):
    monkeypatch.setattr(feeding, "SOON", 0.0)
    said, there = [], threading.Event()

    async def run():
        feed = Feed()
        feeds = Feeding(lambda _: there.wait(60) and feed, said.append)
        opening = asyncio.create_task(feeds.begin(from_tree({})))
        while not said:
            await asyncio.sleep(0)
        assert (feeds.status(), feeds.waiting, feeds.counters) == ([], 0, {})
        with pytest.raises(InvalidState, match="expected to be open"):
            _ = feeds.feed
        there.set()
        await opening
        assert feeds.feed is feed

    asyncio.run(run())
    assert said == ["waiting for the first line of what is piped in"]
