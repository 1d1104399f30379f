from __future__ import annotations

from connectors.live.connection.outage import LONG, STANDS, Outage


def test_it_is_long_after_a_minute_and_told_once_until_it_is_up():
    outage, told = Outage(), []
    outage.begin(5.0)
    for now in (5.0 + LONG - 1, 5.0 + LONG, 6.0 + LONG):
        outage.begin(now)  # another try ended: it is down since the first
        told.append((outage.seconds(now), outage.is_news(now)))
    assert told == [(0.0, False), (LONG, True), (LONG + 1, False)]
    outage.end()
    assert (outage.seconds(1e9), outage.is_news(1e9)) == (0.0, False)
    outage.begin(200.0)
    assert outage.is_news(200.0 + LONG)


def test_an_open_connection_is_up_once_it_stands():
    outage = Outage()
    outage.begin(0.0)
    outage.stands(LONG + STANDS, opened=LONG)
    assert outage.seconds(LONG + STANDS) > 0
    outage.stands(LONG + STANDS + 1, opened=LONG)
    assert outage.seconds(LONG + STANDS + 1) == 0
