from __future__ import annotations

import asyncio
import itertools

import pytest

from sfm_stream.errors import FeedError
from sfm_stream.events import Tick
from sfm_stream.running.loops import show_live


class Counting:
    """A feed that never ends, and says whether it was closed."""

    def __init__(self, fails_after=None):
        self.closed, self._fails_after = False, fails_after

    async def events(self):
        try:
            for number in itertools.count():
                if number == self._fails_after:
                    raise FeedError("wss://a", "gone")
                yield Tick("s", number, (0.0,))
                await asyncio.sleep(0)
        finally:
            self.closed = True


def test_so_many_events_are_shown_and_the_feed_is_closed():
    feed, shown = Counting(), []
    assert asyncio.run(show_live(feed, shown.append, count=3)) == 3
    assert [event.time for event in shown] == [0, 1, 2]
    assert feed.closed


def test_it_ends_after_the_seconds_asked_for():
    feed, shown = Counting(), []
    count = asyncio.run(show_live(feed, shown.append, seconds=0.01))
    assert count == len(shown) > 0
    assert feed.closed


def test_what_ends_the_feed_is_not_hidden():
    feed = Counting(fails_after=2)
    with pytest.raises(FeedError, match="gone"):
        asyncio.run(show_live(feed, lambda _: None, seconds=60))
    assert feed.closed
