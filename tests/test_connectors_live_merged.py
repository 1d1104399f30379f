"""Several feeds through sockets, as one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from connectors import open_live
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import GAP, Gap, Tick
from tests.feed_tables import feed_table
from tests.live_rig import exchange, ids, trade, trades, until

SECOND = ("ethusdt",)


def feed(url="ws://127.0.0.1:1", **given):
    own = {"connector": "binance", "channel": "trade", "url": url}
    return feed_table(**own | given)


def opened(*feeds, **stream):
    return open_live(from_tree({"feed": list(feeds), "stream": stream}))


async def two_exchanges(stack, one, other):
    _, first = await stack.enter_async_context(exchange(one))
    _, second = await stack.enter_async_context(exchange(other))
    return first, second


def test_events_of_two_feeds_come_in_the_order_of_each():
    async def run():
        async with AsyncExitStack() as stack:
            one, other = await two_exchanges(
                stack, trades(300), trades(300, 1000, symbols=SECOND)
            )
            feeds = opened(
                feed(one, symbols=["btcusdt"]),
                feed(other, symbols=["ethusdt"], prefix="other:"),
            )
            got, gaps = [], 0
            async with aclosing(feeds.batches(16)) as batches:
                while gaps < 2:
                    batch = await anext(batches)
                    assert 0 < len(batch) <= 16
                    got += batch.events()
                    gaps += sum(batch.kind == GAP)
            return got, feeds

    got, feeds = asyncio.run(run())
    ticks = [e for e in got if isinstance(e, Tick)]
    assert ids([e for e in ticks if e.stream == "btcusdt"]) == [*range(1, 301)]
    assert ids([e for e in ticks if e.stream == "other:ethusdt"]) == [
        *range(1000, 1300)
    ]
    assert len(ticks) == 600
    # one feed's end says nothing of the other's streams
    assert {e.stream for e in got if isinstance(e, Gap)} == {"btcusdt", "other:ethusdt"}
    assert len(feeds.status()) == 2
    assert [s["topics"] for s in feeds.source()["feeds"]] == [["btcusdt"], ["ethusdt"]]
    assert feeds.waiting == 0
    assert feeds.total() is None
    assert feeds.counters["ended"] == 2


def test_told_to_stop_it_gives_what_waits_and_ends():
    async def run():
        async with AsyncExitStack() as stack:
            one, other = await two_exchanges(
                stack, trades(500), trades(500, 1000, symbols=SECOND)
            )
            feeds = opened(
                feed(one, symbols=["btcusdt"]), feed(other, symbols=["ethusdt"])
            )
            got = []
            async with aclosing(feeds.batches(1)) as batches:
                got += (await anext(batches)).events()
                await until(lambda: feeds.waiting > 500)
                feeds.stop()
                waiting = feeds.waiting
                async for batch in batches:
                    got += batch.events()
            return got, waiting

    got, waiting = asyncio.run(run())
    assert len(got) >= 1 + waiting


def test_one_by_one_events_are_those_of_the_batches():
    async def run():
        async with AsyncExitStack() as stack:
            one, other = await two_exchanges(
                stack, trades(5), trades(5, 10, symbols=SECOND)
            )
            feeds = opened(
                feed(one, symbols=["btcusdt"]), feed(other, symbols=["ethusdt"])
            )
            async with aclosing(feeds.events()) as events:
                return [await anext(events) for _ in range(10)]

    assert {e.stream for e in asyncio.run(run())} == {"btcusdt", "ethusdt"}


def test_feeds_that_can_no_longer_be_end_with_an_error():
    async def run():
        async with AsyncExitStack() as stack:
            _, one = await stack.enter_async_context(
                exchange([], "http:404%100", play=False)
            )
            feeds = opened(
                feed(one, symbols=["btcusdt"]),
                feed(one, symbols=["btcusdt"], prefix="again:"),
            )
            async with asyncio.timeout(20), aclosing(feeds.events()) as events:
                await anext(events)

    with pytest.raises(FeedError):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("others", "stream", "message"),
    [
        (
            {"symbols": ["btcusdt"]},
            {},
            "feed[1]: expected streams of its own, was 'btcusdt' of feed[0] too; "
            "give it a feed.prefix",
        ),
        (
            {"symbols": ["ethusdt"], "channel": "bookTicker"},
            {},
            "feed[1]: expected the fields ['price', 'qty', 'side'], was ['bid', ",
        ),
        (
            {"connector": "csv"},
            {},
            "feed.connector: expected a venue, was 'csv'",
        ),
    ],
)
def test_feeds_that_do_not_go_together_are_refused(others, stream, message):
    with pytest.raises(ConfigError) as caught:
        opened(feed(symbols=["btcusdt"]), feed(**others), **stream)
    assert str(caught.value).startswith(message)


def test_fields_are_renamed_so_that_two_channels_go_together():
    feeds = opened(
        feed(symbols=["btcusdt"]),
        feed(
            symbols=["btcusdt"], channel="bookTicker", prefix="book:",
            columns={"price": "bid", "qty": "bid_qty"},
        ),
        fields=["price", "qty"],
    )  # fmt: skip
    assert feeds.fields == ("price", "qty")


def test_a_renamed_field_and_a_prefix_arrive():
    async def run():
        async with exchange([(0, trade(1))]) as (_, url):
            given = feed(url, columns={"paid": "price"}, prefix="x:")
            tree = {"feed": given, "stream": {"symbols": ["btcusdt"]}}
            tree["stream"]["fields"] = ["paid"]
            live = open_live(from_tree(tree))
            async with aclosing(live.events()) as events:
                return live.fields, live.topics, await anext(events)

    fields, topics, event = asyncio.run(run())
    assert (fields, topics) == (("paid",), ("x:btcusdt",))
    assert (event.stream, event.values) == ("x:btcusdt", (1.5,))
