from __future__ import annotations

from connectors.live.connection.liveness import Liveness


def ages(quiet=10.0, topics=("a", "b")):
    liveness = Liveness(topics, quiet)
    liveness.opened(0.0)
    return liveness


def test_silence_is_stale_first_and_dead_later():
    liveness = ages()
    liveness.data("a", 1.0)
    assert not liveness.stale(11.0)
    assert liveness.stale(11.5)
    assert not liveness.dead(20.0)
    assert liveness.dead(21.5)


def test_a_topic_is_stale_while_the_connection_speaks():
    liveness = ages()
    for second in range(1, 40):
        liveness.data("a", float(second))
    assert not liveness.stale(39.5)
    assert not liveness.stale(39.5, "a")
    assert liveness.dead(39.5, "b")
    assert liveness.heard("b") is None
    assert liveness.heard("a") == liveness.heard() == 39.0


def test_a_quiet_market_is_given_the_time_it_usually_takes():
    liveness = ages()
    liveness.data("a", 100.0)  # it spoke by itself, on the same connection
    assert not liveness.stale(240.0, "a")
    assert liveness.stale(251.0, "a")
    assert liveness.dead(401.0, "a")


def test_a_busy_market_forgets_a_long_silence():
    liveness = ages()
    liveness.data("a", 100.0)
    for i in range(1000):
        liveness.data("a", 100.0 + i / 10)
    assert liveness.stale(211.0, "a")


def test_a_silence_that_only_another_connection_ended_is_not_usual():
    liveness = ages()
    liveness.opened(100.0)
    liveness.data("a", 101.0)
    assert liveness.stale(112.0, "a")


def test_patience_doubles_while_other_connections_do_not_help():
    liveness = ages()
    waits = []
    for _ in range(9):
        now = 0.0
        while not liveness.dead(now):
            now += 5.0
        waits.append(now)
        liveness.gave_up()
    assert waits[:4] == [25.0, 45.0, 85.0, 165.0]
    assert waits[-1] == waits[-2] == 1285.0
    liveness.data("a", 1.0)
    assert liveness.dead(22.0)


def test_streams_nobody_asked_for_count_for_the_connection_alone():
    liveness = ages()
    liveness.data("c", 5.0)
    assert liveness.heard() == 5.0
    assert liveness.heard("a") is None


def test_a_long_silence_stays_usual_for_a_while_after_a_short_one():
    liveness = ages()
    liveness.data("a", 100.0)
    liveness.data("a", 101.0)  # 99 s are usual now: the longest, a little forgotten
    assert not liveness.stale(101.0 + 148.4, "a")
    assert liveness.stale(101.0 + 148.6, "a")


def test_the_time_between_data_is_expected_even_if_another_connection_ended_it():
    liveness = ages()
    assert liveness.expected() == 10.0
    liveness.data("a", 1.0)
    for opened, data in ((21.0, 301.0), (321.0, 601.0)):  # candles of five minutes
        liveness.opened(opened)
        liveness.data("a", data)
    assert liveness.expected() == 450.0
    for second in range(602, 1202):
        liveness.data("a", float(second))
    assert liveness.expected() == 10.0
