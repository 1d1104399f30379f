"""Files as people have them: small copies of each kind, made here, read to the end.

What holds for all of them: every row is taken, or counted with a reason that is shown.
"""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from connectors import open_feed
from connectors.files import encodings
from connectors.tally import Tally
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME
from sfm_stream.events.blocks import concatenate
from sfm_stream.feeds import Counting, Explained
from sfm_stream.settings import Feed

SECOND = 10**9
BEGIN = datetime(2024, 1, 20, tzinfo=UTC)
COUNT = 120
MOMENTS = [BEGIN + timedelta(hours=i) for i in range(COUNT)]
PRICES = [round(100 + np.sin(i / 5), 2) for i in range(COUNT)]
NS = [int(m.timestamp()) * SECOND for m in MOMENTS]


def opened(folder, text, name="a.csv", fields=(), **keys):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return feed_of(path, fields, **keys)


def feed_of(path, fields=(), connector="csv", **keys):
    shared = Feed.__struct_fields__
    options = {key: keys.pop(key) for key in list(keys) if key not in shared}
    feed = {"connector": connector, "path": str(path), "options": options, **keys}
    return open_feed(from_tree({"feed": feed, "stream": {"fields": list(fields)}}))


def table(form, separator=",", header="when{}kwh", price="{:.2f}"):
    rows = [
        f"{m.strftime(form)}{separator}{price.format(p)}"
        for m, p in zip(MOMENTS, PRICES, strict=True)
    ]
    return "\n".join([header.format(separator), *rows]) + "\n"


def whole(feed, size=50):
    return concatenate(list(feed.blocks(size)))


def expect_all(feed, times=NS, values=PRICES):
    block = whole(feed)
    assert block.time.tolist() == list(times)
    np.testing.assert_allclose(block.values[:, 0], values)
    return block


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y%m%dT%H%M%SZ", "%Y.%m.%d %H:%M",
        "%Y%m%d %H%M%S000", "%d-%b-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S UTC",
    ],
)  # fmt: skip
@pytest.mark.parametrize("named", [True, False])
def test_times_of_any_form_are_read_named_or_not(tmp_path, form, named):
    feed = opened(tmp_path, table(form), time="when" if named else "")
    expect_all(feed)
    assert feed.fields == ("kwh",)
    assert named or any("times are those of 'when'" in note for note in feed.notes)


def test_dates_without_times_are_read(tmp_path):
    rows = "".join(
        f"2024{m:02d}{d:02d},{m + d}\n" for m in range(1, 7) for d in (1, 15)
    )
    block = whole(opened(tmp_path, f"when,kwh\n{rows}", time="when"))
    assert block.time[0] == 1704067200 * SECOND


def test_an_ambiguous_date_is_refused_until_its_form_is_named(tmp_path):
    text = "when,kwh\n" + "".join(f"0{d}/01/2024 00:00,{d}\n" for d in range(2, 7))
    with pytest.raises(FeedError, match=r"02 January 2024 .* or 01 February 2024"):
        opened(tmp_path, text, time="when")
    feed = opened(tmp_path, text, time="when", time_format="%d/%m/%Y %H:%M")
    assert np.diff(whole(feed).time).tolist() == [86_400 * SECOND] * 4


def test_the_zone_of_local_times_is_named(tmp_path):
    times = ["02:00:00", "02:30:00"] * 2 + ["03:00:00"]
    text = "ds,y\n" + "".join(f"2024-10-27 {t},1\n" for t in times)
    assert (np.diff(whole(opened(tmp_path, text)).time) < 0).sum() == 1
    feed = opened(tmp_path, text, zone="Europe/Berlin")
    assert (np.diff(whole(feed).time) == 1800 * SECOND).all()


def test_a_name_of_a_zone_beside_the_time_is_read(tmp_path):
    expect_all(
        opened(tmp_path, table("%Y-%m-%d %H:%M:%S EDT")),
        [t + 4 * 3600 * SECOND for t in NS],
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("layout", ["", "mt5"])
def test_bars_with_date_and_time_of_day_are_read(tmp_path, encoding, layout):
    head = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
    rows = "".join(
        f"{m:%Y.%m.%d}\t{m:%H:%M:%S}\t{p}\t{p}\t{p}\t{p}\t9\n"
        for m, p in zip(MOMENTS, PRICES, strict=True)
    )
    feed = opened(tmp_path, (head + rows).encode(encoding), layout=layout)
    expect_all(feed)
    assert feed.fields[0] == ("open" if layout else "<OPEN>")


@pytest.mark.parametrize("word", ["\t", "tab", r"\t"])
def test_a_tab_is_written_as_people_write_it(tmp_path, word):
    text = table("%Y-%m-%d %H:%M", "\t")
    expect_all(opened(tmp_path, text, time="when", separator=word))


@pytest.mark.parametrize(("magic", "what"), [
    (b"PAR1\x15\x02", "Parquet"), (b"ARROW1\0\0", "Arrow"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"), (b"SQLite format 3\0", "SQLite"),
])  # fmt: skip
def test_a_file_that_is_no_text_is_refused_by_its_kind(tmp_path, magic, what):
    with pytest.raises(FeedError, match=f"expected text, was .*{what}"):
        opened(tmp_path, magic + bytes(range(256)) * 4)


def test_files_of_rows_explain_themselves_and_made_feeds_do_not(tmp_path):
    assert isinstance(opened(tmp_path, table("%Y-%m-%d %H:%M")), Explained)
    made = open_feed(from_tree({"feed": {"connector": "synthetic"}}))
    assert not isinstance(made, Explained | Counting)


def test_a_layout_names_the_columns_of_a_file_without_a_header(tmp_path):
    rows = "".join(
        f"{m:%Y.%m.%d},{m:%H:%M},{p},{p},{p},{p},9\n"
        for m, p in zip(MOMENTS, PRICES, strict=True)
    )
    feed = opened(tmp_path, rows, layout="mt4")
    expect_all(feed)
    assert feed.fields == ("open", "high", "low", "close", "volume")
    assert expect_all(opened(tmp_path, rows)) is not None


@pytest.mark.parametrize(
    ("layout", "row", "fields"),
    [
        ("binance-klines", "{ms},1,2,0.5,1.5,10,{ms}999,5,3,1,1,0\n", "open"),
        ("binance-aggtrades", "{i},1.5,2,10,11,{ms},True,True\n", "price"),
        ("binance-aggtrades", "{i},1.5,2,10,11,{ms},true\n", "price"),
        ("histdata", "{t:%Y%m%d %H%M%S000},1.5,1.6,0\n", "bid"),
        ("histdata", "{t:%Y%m%d %H%M%S};1.5;1.6;1.4;1.5;0\n", "open"),
    ],
)
def test_layouts_without_headers_are_known(tmp_path, layout, row, fields):
    text = "".join(
        row.format(ms=t // 10**6, i=i, t=m)
        for i, (t, m) in enumerate(zip(NS, MOMENTS, strict=True))
    )
    feed = opened(tmp_path, text, layout=layout)
    block = whole(feed)
    ahead = 5 * 3600 * SECOND if layout == "histdata" else 0
    assert block.time.tolist() == [t + ahead for t in NS]
    assert feed.fields[0] == fields


@pytest.mark.parametrize(
    ("layout", "head", "row"),
    [
        (
            "tardis-quotes",
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,"
            "bid_amount",
            "x,BTC,{us},{us},1,100.5,100.1,2",
        ),
        (
            "databento-mbp-1",
            "ts_recv,ts_event,rtype,price,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol",
            "{us}000,{us}000,1,100,100250000000,9223372036854775807,1,2,ESH4",
        ),
    ],
)
def test_layouts_of_quotes_name_bid_and_ask(tmp_path, layout, head, row):
    rows = "".join(row.format(us=t // 1000) + "\n" for t in NS)
    feed = opened(tmp_path, f"{head}\n{rows}", layout=layout)
    block = whole(feed)
    assert set(feed.fields) == {"bid", "ask", "bid_qty", "ask_qty"}
    assert block.time.tolist() == NS
    if layout == "databento-mbp-1":
        assert feed.tally.counts == {"a number that stands for a missing value": COUNT}
        assert set(block.values[:, feed.fields.index("bid")]) == {100.25}
        assert any("'bid_px_00' counts in 1e-09" in note for note in feed.notes)


@pytest.mark.parametrize("scale", [1e-9, 0.25, 100.0])
def test_whole_numbers_of_a_column_count_what_is_said(tmp_path, scale):
    text = "t,a,b\n" + "".join(f"{t // SECOND},{i},{i}.5\n" for i, t in enumerate(NS))
    feed = opened(tmp_path, text, scale={"a": scale, "b": scale, "c": scale})
    values = whole(feed).values
    assert values[:, 0].tolist() == pytest.approx([i * scale for i in range(COUNT)])
    assert values[:, 1].tolist() == [i + 0.5 for i in range(COUNT)]
    assert values[3, 0] == float(f"{3 * scale:g}")


def test_what_is_set_wins_over_a_layout(tmp_path):
    head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    rows = "".join(f"x,BTC,{t // 1000},{t // 1000 + 7},1,buy,2,3\n" for t in NS)
    feed = opened(tmp_path, head + rows, layout="tardis-trades", time="local_timestamp")
    assert whole(feed).time[0] == NS[0] + 7000


def test_numbers_with_a_comma_are_read(tmp_path):
    text = table("%Y-%m-%d %H:%M:%S", ";").replace(".", ",")
    expect_all(opened(tmp_path, text))
    quoted = table("%Y-%m-%d %H:%M:%S", price='"1,{:07.2f}"').replace(",0", ",")
    assert whole(opened(tmp_path, quoted)).values[0, 0] == 1000 + PRICES[0]


def test_a_number_of_two_readings_is_refused_until_its_sign_is_named(tmp_path):
    text = 't,v\n2024-01-01,"1,234"\n2024-01-02,"2,345"\n'
    with pytest.raises(FeedError, match=r"1234 .* or 1\.234|1\.234 .* or 1234"):
        opened(tmp_path, text)
    assert whole(opened(tmp_path, text, thousands=",")).values[0, 0] == 1234
    assert whole(opened(tmp_path, text, decimal=",")).values[0, 0] == 1.234


def test_words_for_missing_values_are_missing(tmp_path):
    words = ["NA", "N/A", "null", "-", "--", ".", "None", "#N/A", "?", ""]
    text = "t,v\n" + "".join(f"{1700000000 + i},{w or i}\n" for i, w in
                             enumerate([*words, *["1"] * 40]))  # fmt: skip
    feed = opened(tmp_path, text, fields=["v"])
    assert np.isnan(whole(feed).values[:, 0]).sum() == len(words) - 1
    assert not feed.tally.counts


def test_a_header_again_is_passed_over_and_counted(tmp_path):
    text = table("%Y-%m-%d %H:%M:%S")
    feed = opened(tmp_path, text + text)
    assert len(whole(feed)) == 2 * COUNT
    assert feed.tally.counts == {"the header again": 1}
    assert feed.tally.examples["the header again"].endswith(f"row {COUNT + 1}")
    assert feed.place(COUNT).endswith(f"row {COUNT + 2}")


def test_files_of_which_some_lack_the_header_are_one(tmp_path):
    head, *rows = table("%Y-%m-%d %H:%M:%S").splitlines(keepends=True)
    for first in (True, False):
        parts = rows[:60], rows[60:]
        for i, part in enumerate(parts):
            named = head if (i == 0) is first else ""
            (tmp_path / f"p{i}.csv").write_text(named + "".join(part))
        expect_all(feed_of(tmp_path / "p*.csv", time="when"))


def test_an_index_and_text_are_left_out_aloud(tmp_path):
    rows = "".join(f"{i},2024-01-01 00:{i:02d}:00,buy,{i / 2}\n" for i in range(50))
    feed = opened(tmp_path, f"Unnamed: 0,date,side,close\n{rows}")
    assert feed.fields == ("close",)
    (note,) = (n for n in feed.notes if n.startswith("left out"))
    assert "'Unnamed: 0' counts rows" in note
    assert "'side' holds text, first 'buy'" in note
    with pytest.raises(FeedError, match="column 'side': expected numbers, was 'buy'"):
        opened(tmp_path, f"i,date,side,close\n{rows}", fields=["side"])


def test_cells_of_text_are_missing_values_of_a_column_of_numbers(tmp_path):
    rows = "".join(
        f"{1700000000 + i},{'bad' if i % 9 == 5 else i}\n" for i in range(90)
    )
    feed = opened(tmp_path, f"t,v\n{rows}")
    assert np.isnan(whole(feed).values).sum() == 10
    assert feed.tally.counts == {"a cell is no number": 10}
    assert feed.tally.examples["a cell is no number"].endswith(
        "row 6 column 'v': 'bad'"
    )


def test_rows_newest_first_are_read_in_order_when_it_is_said(tmp_path):
    head, *rows = table("%Y-%m-%d %H:%M:%S").splitlines(keepends=True)
    feed = opened(tmp_path, head + "".join(reversed(rows)), order="newest-first")
    expect_all(feed)
    assert feed.place(0).endswith(f"row {COUNT}")


def test_a_zip_of_a_mac_is_its_one_file(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", table("%Y-%m-%d %H:%M:%S"))
        archive.writestr("__MACOSX/._a.csv", b"\0\5\26\7")
        archive.writestr(".DS_Store", b"\0")
    expect_all(opened(tmp_path, packed.getvalue(), "a.zip"))


def test_folders_that_hive_names_are_columns(tmp_path):
    for i, name in enumerate(("AAA", "BBB")):
        folder = tmp_path / f"symbol={name}" / "year=2024"
        folder.mkdir(parents=True)
        frame = pl.DataFrame({"t": NS, "price": [i + 1.0] * COUNT})
        frame.write_parquet(folder / "part-0.parquet")
    with pytest.raises(FeedError, match=r"was a folder; try .*/\*\*/\*\.parquet"):
        feed_of(tmp_path, connector="parquet")
    path = tmp_path / "**/*.parquet"
    feed = feed_of(path, ["price", "year"], "parquet", time="t", symbol="symbol")
    block = whole(feed)
    assert block.streams == ("AAA", "BBB")
    assert block.values[[0, -1]].tolist() == [[1, 2024], [2, 2024]]
    with pytest.raises(FeedError, match="did you mean 'symbol'"):
        feed_of(path, connector="parquet", symbol="symbl")


def test_a_tally_keeps_the_first_example():
    tally = Tally()
    tally.add("x", 2, "here")
    tally.add("x", 1, "there")
    assert (tally.counts, tally.examples) == ({"x": 3}, {"x": "here"})
    tally.clear()
    assert not tally.counts
    assert not tally.examples


FORMS = ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y%m%d %H%M%S",
         "%Y-%m-%dT%H:%M:%SZ", "%s")  # fmt: skip
JUNK = ("", "oops", "NA", "1,2,3,4,5", "#", "9223372036854775807", "inf", "12:34")


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    separator=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    form=st.sampled_from(FORMS),
    newest=st.booleans(),
    header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    junk=st.lists(st.tuples(st.integers(0, COUNT - 2), st.sampled_from(JUNK)), max_size=6),
)  # fmt: skip
def test_every_row_of_any_layout_is_taken_or_counted(
    tmp_path, separator, decimal, form, newest, header, encoding, end, junk
):
    assume(decimal == "." or separator != ",")
    cells = [f"{p:.2f}".replace(".", decimal) for p in PRICES]
    for row, cell in junk:
        cells[row] = cell.replace(",", separator)
    rows = [
        f"{m.strftime(form)}{separator}{cell}{separator}7"
        for m, cell in zip(MOMENTS, cells, strict=True)
    ]
    if newest:
        rows.reverse()
    head = [separator.join(("when", "größe", "n"))] if header else []
    text = (end.join([*head, *rows]) + end).encode(encoding)
    feed = opened(
        tmp_path, text, order="newest-first" if newest else "oldest-first",
        time="when" if header else "column_0",
    )  # fmt: skip
    block = whole(feed, 37)
    rows_lost = sum(
        feed.tally.counts[reason]
        for reason in ("the header again", "more cells than columns")
    )
    assert len(block) + rows_lost == COUNT
    good = set(range(COUNT)) - {row for row, _ in junk}
    by_time = dict(zip(block.time.tolist(), block.values[:, 0].tolist(), strict=True))
    assert NO_TIME not in by_time
    assert all(by_time[NS[i]] == pytest.approx(PRICES[i]) for i in good)
    for reason in feed.tally.counts:
        assert feed.tally.examples[reason]
    odd = [
        i
        for i in {r for r, _ in junk}
        if NS[i] in by_time and cells[i] in ("oops", "12:34", "#")
    ]
    assert feed.tally.counts["a cell is no number"] == len(odd)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Tokyo"]),
    change=st.sampled_from(["2024-03-30", "2024-10-26", "2024-11-02", "2024-03-09"]),
    step=st.sampled_from([60, 600, 3600]),
    form=st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p"]),
    separator=st.sampled_from([",", ";", "\t"]),
    size=st.integers(1, 400),
)
def test_local_times_come_back_whatever_the_clocks_do_and_the_layout(
    tmp_path, zone, change, step, form, separator, size
):
    begin = datetime.fromisoformat(f"{change}T00:00+00:00")
    utc = [begin + timedelta(seconds=i * step) for i in range(172_800 // step)]
    rows = "".join(
        f"{t.astimezone(ZoneInfo(zone)).strftime(form)}{separator}{i}\n"
        for i, t in enumerate(utc)
    )
    assume("/" not in form or int(change[8:]) > 12)
    text = f"when{separator}v\n{rows}"
    feed = opened(tmp_path, text, zone=zone, time="when")
    block = whole(feed, size)
    assert block.time.tolist() == [int(t.timestamp()) * SECOND for t in utc]
    assert not feed.tally.counts


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    odd=st.sets(st.sampled_from(["footer", "spike", "bom", "title", "again"])),
    separator=st.sampled_from([",", ";", "\t", " "]),
    at=st.integers(5, COUNT - 5),
    form=st.sampled_from(["%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%S", "%s"]),
    size=st.integers(1, 200),
)
def test_what_people_put_around_rows_is_taken_or_counted(
    tmp_path, odd, separator, at, form, size
):
    moments = list(MOMENTS)
    if "spike" in odd:
        moments[at] += timedelta(days=4_000)
    rows = [
        f"{m.strftime(form)}{separator}{p:.2f}"
        for m, p in zip(moments, PRICES, strict=True)
    ]
    head = f"when{separator}kwh"
    if "again" in odd:
        rows.insert(at + 2, head)
    if "bom" in odd:
        rows[at - 3] = "\ufeff" + rows[at - 3]
    above = ["Meter-7"] if "title" in odd else []
    below = ["Total"] if "footer" in odd else []
    text = "\n".join([*above, head, *rows, *below]) + "\n"
    feed = opened(tmp_path, text, time="when")
    block = whole(feed, size)
    taken = {
        t: v
        for t, v in zip(block.time.tolist(), block.values[:, 0].tolist(), strict=True)
        if t != NO_TIME
    }
    lost = {NS[at]} if "spike" in odd else set()
    assert taken == {t: p for t, p in zip(NS, PRICES, strict=True) if t not in lost}
    assert ("the header again" in feed.tally.counts) == ("again" in odd)
    untimed = int((block.time == NO_TIME).sum())
    assert untimed == len(lost) + len(below)
    assert bool(untimed) == ("time could not be read" in feed.tally.examples)
    assert feed.tally.counts["a time far ahead of its stream's pace"] == len(lost)


ZEROS = "zero bytes, as in a file that grew during a crash"


@pytest.mark.parametrize("place", ["behind", "in front", "between", "in the last line"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_zero_bytes_of_a_crash_are_counted_and_every_row_is_kept(tmp_path, place, kind):
    text = table("%Y-%m-%dT%H:%M:%SZ").encode()
    if kind == "jsonl":
        rows = [line.split(",") for line in text.decode().splitlines()[1:]]
        text = "".join(f'{{"when":"{t}","kwh":{p}}}\n' for t, p in rows).encode()
    middle, torn = text.index(b"\n", len(text) // 2) + 1, text[-21:-9]
    zeros = b"\0" * 6_000
    written = {
        "behind": text + zeros,
        "in front": zeros + text,
        "between": text[:middle] + zeros + text[middle:],
        "in the last line": text + torn + zeros,
    }[place]
    feed = opened(tmp_path, written, f"a.{kind}", connector=kind)
    block = whole(feed)
    assert block.time.tolist() == NS
    np.testing.assert_allclose(block.values[:, 0], PRICES)
    lost = {"csv": {"a line that was cut off": 1},
            "jsonl": {"a line is no record of JSON": 1}}[kind]  # fmt: skip
    assert feed.tally.counts == {
        ZEROS: 1,
        **(lost if place == "in the last line" else {}),
    }
    assert feed.tally.examples[ZEROS].endswith("6,000 bytes")
    assert feed.tally.rows == (place == "in the last line")


def test_a_file_of_zero_bytes_alone_is_an_empty_one(tmp_path):
    with pytest.raises(FeedError, match="expected rows, was an empty file"):
        opened(tmp_path, b"\0" * 9_000)


@pytest.mark.parametrize(
    ("date", "clock", "step"),
    [
        ("%Y%m%d", "%H%M%S", timedelta(minutes=7, seconds=3)),
        ("%Y-%m-%d", "%H%M%S%f", timedelta(minutes=7, milliseconds=1_200)),
        ("%d.%m.%Y", "%H%M", timedelta(minutes=7)),
    ],
)
@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_time_of_day_without_separators_stands_beside_its_date(
    tmp_path, date, clock, step, stripped, named
):
    moments = [BEGIN + i * step for i in range(500)]
    cells = [f"{m:{clock}}"[: 9 if "f" in clock else 6] for m in moments]
    cells = [one.lstrip("0") or "0" if stripped else one for one in cells]
    days = [f"{m:{date}}" for m in moments]
    rows = [f"{d},{c},{i / 7:.3f}"
            for i, (d, c) in enumerate(zip(days, cells, strict=True))]  # fmt: skip
    keys = {"time": ("<DATE>", "<TIME>")} if named else {}
    text = "\n".join(["<DATE>,<TIME>,<LAST>", *rows]) + "\n"
    feed = opened(tmp_path, text, **keys)
    assert feed.fields == ("<LAST>",)
    ns = [(m - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
          for m in moments]  # fmt: skip
    assert whole(feed).time.tolist() == ns


@pytest.mark.parametrize("named", [True, False])
def test_dates_in_a_language_that_is_not_known_say_which_are(tmp_path, named):
    text = "data;kurs\n" + "".join(f"{d} stycznia 2024;{d}.5\n" for d in range(1, 29))
    feed = opened(tmp_path, text, **({"time": "data"} if named else {}))
    (told,) = [note for note in feed.notes if "looks like dates" in note]
    assert told.startswith("'data' looks like dates, first '1 stycznia 2024'; months")
    assert told.endswith("German, French, Spanish, Italian, Portuguese and Dutch")


@pytest.mark.parametrize("last", ["who", "what"])
def test_a_row_that_is_too_wide_is_counted_also_where_its_end_is_unused(tmp_path, last):
    rows = table("%Y-%m-%dT%H:%M:%SZ").splitlines()
    lines = [rows[0] + f",{last}", *(f'{row},"a, b"' for row in rows[1:])]
    lines[60] = f"{rows[60].replace('.', ',')},note"
    feed = opened(tmp_path, "\n".join(lines) + "\n")
    assert len(whole(feed)) == COUNT - 1
    assert feed.tally.counts == {"more cells than columns": 1}
    assert feed.tally.examples["more cells than columns"].endswith("row 60: 4, not 3")


@pytest.mark.parametrize(
    "end", ["\r\r\n", "\u2028\n", "\x0c\n", " \x0b\n", "\x85\n", "\x1c\n"]
)
def test_characters_beside_the_end_of_a_line_take_no_row(tmp_path, end):
    text = table("%Y-%m-%dT%H:%M:%SZ").replace("\n", ",x" + end)
    block = whole(opened(tmp_path, text.encode()))
    assert block.time.tolist() == NS


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_ends_of_lines_that_are_doubled_may_lie_across_pieces(size):
    text = table("%Y-%m-%dT%H:%M:%SZ").replace("\n", "\r\r\n")
    pieces = (text.encode()[i : i + size] for i in range(0, len(text), size))
    read = b"".join(encodings._ended_once(pieces))
    assert read == text.replace("\r\r\n", "\n").encode()
