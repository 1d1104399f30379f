from __future__ import annotations

import random
import sys
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.venues.protocol import (
    NOTICES,
    VENUES,
    Alive,
    Departing,
    History,
    Refused,
    Subscribed,
    open_venue,
)
from sfm_stream import outsiders
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError
from sfm_stream.events import Gap, Tick
from tests.venue_frames import ANSWERS, NOW, TICKS, dumps, frames, news, settings_of

VALUES = {
    "price": (100.25, 0.006, 1.0),
    "bid": (100.25, 3.78826, 200.5, 1.54698),
    "open": (100.25, 3.0, 1.0, 2.0, 1000.0),
    "celsius": (21.5, 1.0),
}
# What a mutated frame may turn a value into.
ODD = (b"null", b'""', b"-1", b"0", b"true", b"[]", b"{}", b'"x"', b"1e999", b'"nan"',
       b'"0.-10000"', b"9" * 400, b"9" * 5_000, b'"\xff"', b'"\\ud800"')  # fmt: skip
BATCH = 100


class Outsider:
    def __init__(self, config):
        self.config = config

    url = opened = subscribe = receive = None


def opened(name, channel=""):
    return open_venue(settings_of(name, channel, [ANSWERS[name]["symbol"]]), name)


def answer(name, kind):
    found = ANSWERS[name].get(kind)
    if found is None:
        pytest.skip(f"{name} has no such frame")
    return found if isinstance(found, bytes) else dumps(found)


def heard(protocol, texts):
    """Give what frames amount to, but for what only says that nothing has changed."""
    return news(said for text in texts for said in protocol.receive(text, NOW))


@pytest.mark.parametrize("name", VENUES)
def test_every_own_venue_opens_with_limits_and_an_address(name):
    protocol = opened(name)
    assert protocol.url().startswith("wss://")
    assert protocol.limits.topics >= 1
    assert set(TICKS) >= {(name, c) for c in protocol.channels if "_" not in c[:5]} - {
        (name, c) for c in getattr(protocol, "candles", {})
    } - {("okx", "trades-all"), ("binance-usdm", "aggTrade")}  # fmt: skip


@pytest.mark.parametrize(("name", "channel"), TICKS)
def test_fields_have_the_same_names_and_meanings_everywhere(name, channel):
    protocol = opened(name, channel)
    said = [x for x in heard(protocol, frames(name, channel, 4)) if isinstance(x, Tick)]
    first = next(iter(said))
    expected = VALUES[protocol.fields[0]]
    assert first.values[1:] == expected[1:]
    assert first.values[0] - expected[0] in (0.0, 1.0)  # the first may be history
    assert first.received == NOW
    assert {tick.stream for tick in said} == {ANSWERS[name]["symbol"]}


@pytest.mark.parametrize(("name", "channel"), TICKS)
def test_ticks_come_one_per_frame_and_in_order(name, channel):
    said = heard(opened(name, channel), frames(name, channel, 50))
    ticks = [x.tick if isinstance(x, History) else x for x in said]
    assert all(isinstance(x, Tick) for x in ticks)
    assert len(ticks) in (50, 49)  # the last candle may not be finished
    assert [t.time for t in ticks] == sorted(t.time for t in ticks)


@pytest.mark.parametrize(("name", "channel"), TICKS)
def test_every_topic_is_asked_for_and_nothing_else(name, channel):
    protocol = opened(name, channel)
    asked = b"".join(protocol.subscribe(protocol.topics)).decode()
    assert ANSWERS[name]["symbol"] in asked
    assert protocol.topics == (ANSWERS[name]["symbol"],)
    assert not any(word in asked for word in ("login", "auth", "key", "signature"))
    many = protocol.subscribe([f"T{i}" for i in range(250)])
    assert all(f"T{i}".encode() in b"".join(many) for i in range(250))


@pytest.mark.parametrize("name", VENUES)
def test_original_arguments_are_asked_for_again_on_a_new_connection(name):
    protocol = opened(name, ANSWERS[name].get("channel", ""))
    first = protocol.subscribe(protocol.topics)
    protocol.opened()
    assert protocol.subscribe(protocol.topics) == first


@pytest.mark.parametrize("name", VENUES)
def test_an_answer_names_the_topic_it_takes(name):
    protocol = opened(name, ANSWERS[name].get("channel", ""))
    protocol.opened()
    protocol.subscribe(protocol.topics)
    said = protocol.receive(answer(name, "subscribed"), NOW)
    assert said == [Subscribed(ANSWERS[name]["symbol"])]
    assert protocol.counters == {"acknowledgements": 1}


@pytest.mark.parametrize("name", VENUES)
def test_a_refusal_names_the_topic_and_shows_the_frame(name):
    protocol = opened(name, ANSWERS[name].get("channel", ""))
    (said,) = protocol.receive(answer(name, "refused"), NOW)
    text = answer(name, "refused").decode()
    assert said == Refused(ANSWERS[name]["symbol"], text)
    assert protocol.counters == {"errors": 1}


@pytest.mark.parametrize(
    ("kind", "notice"), [("alive", Alive), ("departing", Departing)]
)
@pytest.mark.parametrize("name", VENUES)
def test_heartbeats_and_farewells_are_notices_and_no_data(name, kind, notice):
    protocol = opened(name, ANSWERS[name].get("channel", ""))
    (said,) = protocol.receive(answer(name, kind), NOW)
    assert isinstance(said, notice)
    assert sum(protocol.counters.values()) == 1


@pytest.mark.parametrize("name", ["bitstamp", "bybit", "kraken", "okx"])
def test_a_venue_that_must_be_pinged_says_how(name):
    every, frame = opened(name).limits.ping
    assert 0 < every < 30
    assert b"ping" in frame or b"heartbeat" in frame


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("frame", [b'{"type":"novelty"}', b'{"event":"novelty"}', b"{}",
                                   b'{"channel":"novelty","data":[]}'])  # fmt: skip
def test_an_unknown_message_is_counted_and_ignored(name, frame):
    protocol = opened(name)
    assert protocol.receive(frame, NOW) == []
    assert protocol.counters == {"unknown": 1}


NUMBERED = [
    (name, channel)
    for name, channel in TICKS
    if channel not in ("tickers", "ticker", "candles", "ohlc-1", "publicTrade")
    and (name, channel) != ("bybit", "orderbook.1")
] + [("coinbase", "ticker"), ("coinbase-advanced", "ticker")]


@pytest.mark.parametrize(("name", "channel"), [*NUMBERED, ("bybit", "publicTrade")])
def test_a_repeated_frame_is_dropped_and_counted(name, channel):
    protocol = opened(name, channel)
    texts = frames(name, channel, 3)
    once = heard(protocol, texts)
    assert heard(protocol, texts) == []
    assert len(once) == 3
    assert protocol.counters["duplicates"] == 3


@pytest.mark.parametrize(("name", "channel"), NUMBERED)
def test_an_earlier_frame_is_dropped_and_the_next_one_taken(name, channel):
    protocol = opened(name, channel)
    texts = frames(name, channel, 5)
    said = heard(protocol, [*texts[:3], texts[1], *texts[3:]])
    assert len(said) == 5
    assert protocol.counters == {"duplicates": 1}


CONTIGUOUS = [
    ("binance", "trade"), ("binance", "aggTrade"), ("coinbase", "matches"),
    ("kraken", "trade"), ("okx", "trades"), ("json", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "channel"), CONTIGUOUS)
def test_ids_left_out_are_a_gap_before_the_tick(name, channel):
    protocol = opened(name, channel)
    texts = frames(name, channel, 9)
    said = heard(protocol, texts[:3] + texts[6:])
    (gap,) = [x for x in said if isinstance(x, Gap)]
    assert (gap.stream, gap.missed) == (ANSWERS[name]["symbol"], 3)
    assert isinstance(said[said.index(gap) + 1], Tick)
    assert len(said) == 7


@pytest.mark.parametrize(("name", "channel"), CONTIGUOUS)
def test_ids_go_on_from_one_connection_to_the_next(name, channel):
    protocol = opened(name, channel)
    texts = frames(name, channel, 6)
    heard(protocol, texts[:3])
    protocol.opened()
    said = heard(protocol, texts[2:3] + texts[4:])
    assert [type(x) for x in said if isinstance(x, Gap)] == [Gap]
    assert protocol.counters["duplicates"] == 1


@pytest.mark.parametrize(("name", "channel"), TICKS)
@pytest.mark.parametrize("odd", [b"", b"\xff\xfe", b"[" * 100_000, b'{"data":' * 9_999,
                                 b"9" * 5_000, b'{"data":' + b"9" * 5_000 + b"}",
                                 b'"x"', b"null", b"1", b'{"data":null}'])  # fmt: skip
def test_hostile_bytes_are_counted(name, channel, odd):
    protocol = opened(name, channel)
    assert protocol.receive(odd, NOW) == []
    assert sum(protocol.counters.values()) == 1


def mangled(chance, frame):
    """Change a frame as a bad line or a bad program might."""
    at, size = chance.randrange(len(frame) + 1), chance.randrange(9)
    match chance.randrange(6):
        case 0:
            return frame[:at]
        case 1:
            return frame[:at] + chance.randbytes(size) + frame[at:]
        case 2:
            return frame[:at] + chance.randbytes(1) + frame[at + 1 :]
        case 3:
            return frame[:at] + frame[at + size :]
        case 4:
            return chance.randbytes(size * 9)
    colons = [i for i, byte in enumerate(frame) if byte == ord(":")] or [0]
    start = chance.choice(colons) + 1
    ends = [i for i, byte in enumerate(frame) if i > start and byte in b",}]"] or [0]
    return frame[:start] + chance.choice(ODD) + frame[chance.choice(ends[:3]) :]


def corpus(name, channel):
    found = [x if isinstance(x, bytes) else dumps(x) for key, x in ANSWERS[name].items()
             if key not in ("symbol", "channel")]  # fmt: skip
    return frames(name, channel, 9) * 2 + found


# 10,000 frames of each channel at least, a hundred to an example.
@pytest.mark.parametrize(("name", "channel"), TICKS)
@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_random_mutated_and_truncated_frames_never_raise(name, channel, seed):
    chance = random.Random(seed)
    protocol = opened(name, channel)
    texts = corpus(name, channel)
    for _ in range(BATCH):
        before = sum(protocol.counters.values())
        said = protocol.receive(mangled(chance, chance.choice(texts)), NOW)
        counted = sum(protocol.counters.values()) - before
        assert said or counted, "a frame was neither read nor counted"
        # whatever is counted is shown by its first frame
        assert protocol.counters.examples.keys() == protocol.counters.keys()
        for x in said:
            tick = x.tick if isinstance(x, History) else x
            if isinstance(tick, Tick):
                assert tick.stream
                assert 0 < tick.time < 2**63
                assert len(tick.values) == len(protocol.fields)
                assert not any(abs(v) == float("inf") for v in tick.values)
            else:
                assert isinstance(tick, (Gap, *NOTICES))


def test_unknown_venue_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'binance'") as e:
        open_venue(Config(), "binanse")
    assert e.value.at == "feed.options.venue"


@pytest.mark.parametrize("name", VENUES)
def test_unknown_channel_is_refused_with_what_there_is(name):
    if name == "json":
        pytest.skip("the configuration says what its channel is")
    with pytest.raises(
        ConfigError, match=r"expected a channel of ticks, was 'nothing'"
    ):
        opened(name, "nothing")


def test_outsider_is_called_with_the_config(monkeypatch):
    monkeypatch.setitem(sys.modules, "outsiders", sys.modules[__name__])
    config = Config()
    assert open_venue(config, "outsiders:Outsider").config is config


def test_an_installed_outsider_is_known_by_its_entry_point(monkeypatch):
    monkeypatch.setitem(sys.modules, "outsiders", sys.modules[__name__])
    point = EntryPoint("my-venue", "outsiders:Outsider", "sfm_stream.venues")
    monkeypatch.setattr(
        outsiders, "entry_points",
        lambda group, name: [point] if (group, name) == (point.group, point.name) else [],
    )  # fmt: skip
    config = Config()
    assert open_venue(config, "my-venue").config is config
    with pytest.raises(ConfigError, match="expected a venue, was 'your-venue'"):
        open_venue(config, "your-venue")


@pytest.mark.parametrize("name", ["no_such_module_at_all:X", "connectors:Nothing"])
def test_outsider_that_cannot_be_imported_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_venue(Config(), name)


@pytest.mark.parametrize("name", ["os:system", "builtins:dict", "connectors:FEEDS"])
def test_what_is_no_class_of_a_venue_is_refused(name):
    problem = f"expected a class with url, opened, subscribe, receive, was '{name}'"
    with pytest.raises(ConfigError, match=problem) as caught:
        open_venue(Config(), name)
    assert caught.value.at == "feed.options.venue"


QUOTED = [
    (name, channel)
    for name, channel in TICKS
    if b'"100.25"' in frames(name, channel, 1)[0] and channel != "live_trades"
]


@pytest.mark.parametrize("word", [b"nan", b"inf", b"-Infinity", b"unavailable", b""])
@pytest.mark.parametrize(("name", "channel"), QUOTED)
def test_a_price_that_is_no_number_is_garbage(name, channel, word):
    protocol = opened(name, channel)
    (text,) = frames(name, channel, 1)
    assert heard(protocol, [text.replace(b'"100.25"', b'"%b"' % word)]) == []
    assert sum(protocol.counters.values()) >= 1


# What each frame of these channels says is told apart by ids.
IDS = {"u": -1, "t": -1, "a": -1, "trade_id": -1, "sequence": -1, "id": -1, "seqId": -1,
       "tradeId": -1, "seq": -1}  # fmt: skip


@pytest.mark.parametrize(("name", "channel"), [
    ("binance", "bookTicker"), ("binance", "trade"), ("binance", "aggTrade"),
    ("coinbase", "matches"), ("coinbase", "ticker"), ("kraken", "trade"),
    ("coinbase-advanced", "market_trades"), ("okx", "trades"), ("okx", "bbo-tbt"),
    ("bitstamp", "live_trades"), ("json", ""),
])  # fmt: skip
def test_a_restart_at_lower_ids_is_a_gap_and_goes_on(name, channel):
    """As after maintenance, or when a device is started anew."""
    protocol, make = opened(name, channel), TICKS[name, channel]
    second = 10**9
    before = [(frame_at(make, i, i + 90_000), NOW + i * second) for i in range(5)]
    after = [(frame_at(make, i, i), NOW + i * second) for i in range(5, 15)]
    said = [x for text, at in before + after for x in protocol.receive(text, at)]
    reasons = [x.reason for x in said if isinstance(x, Gap)]
    assert len(reasons) == 1
    assert "began anew" in reasons[0]
    assert isinstance(said[-1], Tick)
    assert len(said) >= 5 + 1 + 8


def frame_at(make, second, number):
    """Give a frame of a channel as it is some seconds on, with a number of its own."""
    late, frame = make(1000 * second), make(number)
    for tree, ids in each_table(late, frame):
        for key in IDS.keys() & tree.keys():
            tree[key] = ids[key]
        if "sequence_num" in tree:  # of a connection, which goes on
            tree["sequence_num"] = second
    return dumps(late)


def each_table(one, other):
    """Walk two trees of the same form side by side."""
    if isinstance(one, dict):
        yield one, other
        for key in one:
            yield from each_table(one[key], other[key])
    elif isinstance(one, list):
        for mine, its in zip(one, other, strict=True):
            yield from each_table(mine, its)


def several(name, channel, count):
    """Make one frame that holds several records, where the venue sends such ones."""
    trees = [TICKS[name, channel](i) for i in range(count)]
    frame = trees[0]
    if name == "coinbase-advanced":
        (part,) = frame["events"]
        key = next(key for key in part if key != "type")
        part[key] = [tree["events"][0][key][0] for tree in trees]
        return frame, part[key]
    frame["data"] = [tree["data"][0] for tree in trees]
    return frame, frame["data"]


LISTS = [
    ("coinbase-advanced", "market_trades"), ("coinbase-advanced", "ticker"),
    ("kraken", "trade"), ("kraken", "ticker"), ("okx", "trades"), ("okx", "tickers"),
    ("okx", "bbo-tbt"), ("okx", "candle1m"), ("bybit", "publicTrade"), ("bybit", "kline.1"),
]  # fmt: skip
WRONG = st.sampled_from([None, "", "x", -1, 0, True, [], {}, "nan", 10**400, 2**62])


@pytest.mark.parametrize(("name", "channel"), LISTS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_record_is_taken_or_counted_with_its_reason(name, channel, data):
    protocol = opened(name, channel)
    count = data.draw(st.integers(2, 6))
    frame, records = several(name, channel, count)
    for i in data.draw(st.sets(st.integers(0, count - 1))):
        keys = (
            list(records[i]) if isinstance(records[i], dict) else range(len(records[i]))
        )
        records[i][data.draw(st.sampled_from(keys))] = data.draw(WRONG)
    said = protocol.receive(dumps(frame), NOW)
    taken = sum(isinstance(x, Tick | History) for x in said)
    counted = sum(protocol.counters[name] for name in NOT_TAKEN)
    assert taken + counted >= count
    assert taken <= count
    assert protocol.counters.keys() <= {*NOT_TAKEN, *TAKEN_OTHERWISE}


NOT_TAKEN = ("garbage", "unknown", "empty", "duplicates", "stray ids", "unfinished",
             "unchanged", "other channels", "ohlc")  # fmt: skip
TAKEN_OTHERWISE = ("absurd times", "earlier times", "restarts")
