from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import zipfile
from inspect import signature
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import open_feed
from connectors.files import text as files
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import NO_TIME
from sfm_stream.events.blocks import concatenate
from sfm_stream.feeds import OVERLAP
from sfm_stream.settings import Feed

DATA = Path(__file__).parents[2] / "shared" / "data"
START = 1_420_070_400 * 10**9
TEXT = b"t,a,b\n" + b"".join(
    b"%d,%d.5,%d\n" % (1_420_070_400 + i, i, -i) for i in range(500)
)


def placed(keys):
    """Put the keys of the connector into its options."""
    shared = Feed.__struct_fields__
    options = {key: keys.pop(key) for key in list(keys) if key not in shared}
    return {**keys, "options": options}


def opened(path, fields=(), symbols="", **feed):
    paths = [str(p) for p in path] if isinstance(path, list) else str(path)
    tree = {
        "feed": {
            "connector": "csv",
            "path": paths,
            "time": "t",
            "symbol": symbols,
            **placed(feed),
        },
        "stream": {"fields": list(fields)},
    }
    return open_feed(from_tree(tree))


def whole(feed, size=100, after=0):
    return concatenate(list(feed.blocks(size, after)))


def read_until_error(feed, size=100):
    parts = []
    with pytest.raises(FeedError) as e:
        parts.extend(feed.blocks(size))  # keeps what came before the error
    return parts, e.value


def written(folder, text, name="a.csv"):
    path = folder / name
    path.write_bytes(text)
    return path


def compressed(folder, text, kind):
    path = folder / f"a.csv.{kind}"
    match kind:
        case "gz":
            path.write_bytes(gzip.compress(text))
        case "gz2":
            half = len(text) // 2
            path.write_bytes(gzip.compress(text[:half]) + gzip.compress(text[half:]))
        case "bz2":
            path.write_bytes(bz2.compress(text))
        case "xz":
            path.write_bytes(lzma.compress(text))
        case "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a.csv", text)
        case "zst":
            if "compression" not in signature(pl.DataFrame.write_csv).parameters:
                pytest.skip("this polars reads such files, but writes none")
            lines = pl.DataFrame({"line": text.decode().splitlines()})
            lines.write_csv(
                path, include_header=False, quote_style="never", compression="zstd"
            )
    return path


@pytest.mark.parametrize("kind", ["gz", "gz2", "bz2", "xz", "zip", "zst"])
def test_every_compression_equals_plain(tmp_path, kind):
    plain = whole(opened(written(tmp_path, TEXT)))
    other = whole(opened(compressed(tmp_path, TEXT, kind)))
    np.testing.assert_array_equal(plain.values, other.values)
    np.testing.assert_array_equal(plain.time, other.time)
    assert plain.values[:, 0].tolist() == [i + 0.5 for i in range(500)]
    assert plain.values[:, 1].tolist() == [-i for i in range(500)]
    assert plain.time.tolist() == [START + i * 10**9 for i in range(500)]


@pytest.mark.parametrize("piece", [64, 1000, 1 << 22])
@pytest.mark.parametrize("after", [0, 1, 99, 499, 500, 700])
def test_resuming_equals_the_tail_whatever_the_pieces(
    tmp_path, monkeypatch, piece, after
):
    monkeypatch.setattr(files, "PIECE", piece)
    feed = opened(written(tmp_path, TEXT))
    everything = whole(feed)
    parts = list(feed.blocks(64, after))
    assert sum(map(len, parts)) == max(0, 500 - after)
    if parts:
        assert max(map(len, parts)) <= 64
        np.testing.assert_array_equal(
            concatenate(parts).values, everything.values[after:]
        )
        np.testing.assert_array_equal(concatenate(parts).time, everything.time[after:])


def test_first_block_comes_before_the_file_is_read_through(tmp_path):
    body = b"1420070400,1,2\n" * 2_000_000
    path = written(tmp_path, gzip.compress(b"t,a,b\n" + body, 1)[:-9], "a.csv.gz")
    blocks = opened(path).blocks(1000)
    assert len(next(blocks)) == 1000
    with pytest.raises(FeedError, match="gzip ends too early"):
        for _ in blocks:
            pass


@pytest.mark.parametrize(("pack", "level"), [(bz2.compress, 1), (lzma.compress, None)])
def test_what_breaks_off_within_bzip2_or_xz_gives_all_whole_rows_first(
    tmp_path, monkeypatch, pack, level
):
    monkeypatch.setattr(files, "PIECE", 1 << 18)
    noise = np.random.default_rng(0).integers(0, 10**9, 60_000)
    text = b"t,a\n" + b"".join(
        b"%d,%d\n" % (1_420_070_400 + i, v) for i, v in enumerate(noise)
    )
    data = pack(text, compresslevel=level) if level else pack(text)
    path = written(tmp_path, data[: len(data) * 2 // 3], "a.csv.x")
    parts, error = read_until_error(opened(path), 10_000)
    rows = concatenate(parts)
    assert 30_000 < len(rows) < 60_000
    assert rows.values[:, 0].tolist() == noise[: len(rows)].tolist()
    assert "is the file whole?" in str(error)


def test_truncated_gzip_gives_all_whole_rows_first(tmp_path):
    data = gzip.compress(TEXT)
    path = written(tmp_path, data[: len(data) * 2 // 3], "a.csv.gz")
    parts, error = read_until_error(opened(path), 10)
    rows = concatenate(parts)
    assert 100 < len(rows) < 500
    assert rows.values[:, 0].tolist() == [i + 0.5 for i in range(len(rows))]
    assert error.source == str(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", "zst"])
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(
    tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(files, "RAW_FREE", 100_000)
    row = b"1420070400,1,2\n"
    path = compressed(tmp_path, b"t,a,b\n" + row * 1_000, kind)  # within what is free
    assert len(whole(opened(path))) == 1_000
    path = compressed(tmp_path, b"t,a,b\n" + row * 100_000, kind)
    with pytest.raises(FeedError, match=r"at most 200 times its [\d,]+ bytes unpacked"):
        whole(opened(path))
    plain = written(tmp_path, b"t,a,b\n" + row * 100_000)
    assert len(whole(opened(plain))) == 100_000


@pytest.mark.parametrize("kind", ["zip", "zst"])
def test_other_truncated_archives_are_errors(tmp_path, kind):
    path = compressed(tmp_path, TEXT * 50, kind)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FeedError, match="cannot be read on"):
        whole(opened(path))


TORN = [b"1420070900,5", b"14200", b'1420070900,"5,', b"1420070900,5,"]


@pytest.mark.parametrize(
    ("kind", "torn"),
    # Lines of zstandard files do not tell whether the last one ended.
    [(k, t) for k in ("", "gz", "xz", "zip") for t in TORN]
    + [("zst", t) for t in TORN[:2]],
)
def test_truncated_last_line_is_an_error_after_all_rows(tmp_path, kind, torn):
    path = (
        compressed(tmp_path, TEXT + torn, kind)
        if kind
        else written(tmp_path, TEXT + torn)
    )
    parts, error = read_until_error(opened(path))
    assert len(concatenate(parts)) == 500
    assert (error.source, error.row) == (str(path), 501)


def test_words_below_the_rows_are_counted_and_not_cut_off(tmp_path):
    feed = opened(written(tmp_path, TEXT + b"Total,500\nmade by us\n"))
    block = whole(feed)
    assert len(block) == 502
    assert (block.time[-2:] == NO_TIME).all()
    assert "row 501: 'Total'" in feed.tally.examples["time could not be read"]


def test_files_joined_with_their_marks_are_read_through(tmp_path):
    feed = opened(written(tmp_path, b"\xef\xbb\xbf" + TEXT + b"\xef\xbb\xbf" + TEXT))
    assert len(whole(feed)) == 1000
    assert feed.tally.counts == {"the header again": 1}


def test_columns_that_are_aligned_by_spaces_are_read(tmp_path):
    rows = "".join(f"  {1420070400 + i}  {i / 2:6.1f}   {-i:5}  \n" for i in range(50))
    block = whole(opened(written(tmp_path, f"      t   a    b\n{rows}".encode())))
    assert block.values.tolist() == [[i / 2, -i] for i in range(50)]


def test_whole_last_line_needs_no_newline(tmp_path):
    assert len(whole(opened(written(tmp_path, TEXT + b"1420070900,5,6")))) == 501


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_empty_file_is_an_error(tmp_path, name):
    content = gzip.compress(b"") if name.endswith("gz") else b""
    with pytest.raises(FeedError, match="expected rows, was an empty file"):
        opened(written(tmp_path, content, name))


def test_a_header_alone_is_refused_unless_another_file_has_rows(tmp_path):
    path = written(tmp_path, b"t,a\n")
    with pytest.raises(FeedError, match="expected rows, was a header alone"):
        opened(path)
    other = written(tmp_path, b"t,a\n1420070400,2\n", "b.csv")
    assert whole(opened([path, other])).values.tolist() == [[2]]


def test_missing_column_names_what_is_there(tmp_path):
    path = written(tmp_path, b"t,price,qty\n1,2,3\n")
    with pytest.raises(FeedError, match="did you mean 'price'") as e:
        opened(path, ["prise"])
    assert (e.value.source, e.value.column) == (str(path), "prise")
    with pytest.raises(FeedError, match="there are: t, price, qty"):
        opened(path, ["xyzw"])


def test_column_that_stands_there_twice_is_refused_only_if_used(tmp_path):
    path = written(tmp_path, b"t,a,b,a\n1,2,3,4\n")
    assert whole(opened(path, ["b"])).values.tolist() == [[3]]
    with pytest.raises(FeedError, match="'a': expected once, was 2 times"):
        opened(path, ["a"])


@pytest.mark.parametrize("piece", [256, 1 << 22])
def test_text_in_a_field_is_missing_and_told_by_row(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(files, "PIECE", piece)
    lines = TEXT.splitlines(keepends=True)
    lines[321] = b"1420070720,oops,1\n"
    path = written(tmp_path, b"".join(lines))
    feed = opened(path, ["a"])
    assert np.flatnonzero(np.isnan(whole(feed).values[:, 0])).tolist() == [320]
    assert feed.tally.counts == {"a cell is no number": 1}
    told = feed.tally.examples["a cell is no number"]
    assert told == f"{path} row 321 column 'a': 'oops'"


def test_a_line_with_too_many_cells_is_no_row_and_counted(tmp_path):
    path = written(tmp_path, TEXT + b"1,2,3,4\n1420070900,2,3\n")
    feed = opened(path)
    assert len(whole(feed)) == 501
    assert feed.tally.examples == {
        "more cells than columns": f"{path} row 501: 4, not 3"
    }
    assert feed.place(500) == f"{path} row 502"


def test_kinds_of_numbers_become_floats(tmp_path):
    text = b't,i,f,y,s,n\n1,9007199254740992,0.1,True,"7", 8\n'
    text += b"2,-1,1e-3,false,,NaN\n3,+1,inf,true,1,-inf\n"
    feed = opened(written(tmp_path, text))
    assert feed.fields == ("i", "f", "y", "s", "n")
    expected = [
        [9007199254740992, 0.1, 1, 7, 8],
        [-1, 1e-3, 0, np.nan, np.nan],
        [1, np.inf, 1, 1, -np.inf],
    ]
    np.testing.assert_array_equal(whole(feed).values, expected)


def test_column_that_turns_from_truth_to_number_is_still_read(tmp_path):
    text = b"t,y\n" + b"1,true\n" * 1500 + b"1,0.5\n"
    assert whole(opened(written(tmp_path, text))).values[-1] == 0.5


def test_missing_cells_are_not_a_number_and_blank_lines_no_rows(tmp_path):
    text = b"\xef\xbb\xbf\r\nt,a,b\r\n\r\n1,,2\r\n\r\n\r\n2,3\r\n3,4,5\r\n\r\n"
    block = whole(opened(written(tmp_path, text)))
    np.testing.assert_array_equal(block.values, [[np.nan, 2], [3, np.nan], [4, 5]])


@pytest.mark.parametrize("piece", [16, 1 << 22])
def test_newline_between_quotes_ends_no_row(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(files, "PIECE", piece)
    text = b"t,note,a\n" + b'1,"x\ny, ""z""",2\n' * 20
    block = whole(opened(written(tmp_path, text)))
    assert block.values.tolist() == [[2]] * 20


def test_latin1_text_beside_the_fields_does_no_harm(tmp_path):
    path = written(tmp_path, "t,°C,a\n1,heiß,2\n".encode("latin-1"))
    assert whole(opened(path)).values.tolist() == [[2]]


def test_a_meter_that_could_be_times_stays_a_field(tmp_path):
    rows = [f"{1_300_000_000 + 60 * i},{i % 7}" for i in range(30)]
    path = written(tmp_path, "\n".join(["energy_wh,power", *rows]).encode())
    feed = opened(path, time="")
    assert feed.fields == ("energy_wh", "power")
    assert "'energy_wh' may be times: feed.time = 'energy_wh' reads them" in feed.notes


def test_headerless_file_is_seen_and_numbered_from_0(tmp_path):
    path = written(tmp_path, b"3735693016,61685.99,0.00017,1723161601437,True\n" * 3)
    feed = opened(path, time="column_3")
    assert feed.fields == ("column_0", "column_1", "column_2", "column_4")
    block = whole(feed)
    assert len(block) == 3
    assert block.time[0] == 1723161601437 * 10**6


@pytest.mark.parametrize("first", ["2015-01-01 00:00:00,1.5", ",2", "nan,3"])
def test_numbers_times_and_gaps_are_no_header(tmp_path, first):
    path = written(tmp_path, f"{first}\n2015-01-01 00:00:01,4\n".encode())
    assert len(whole(opened(path, time="column_0"))) == 2


def test_a_header_can_be_set(tmp_path):
    path = written(tmp_path, b"2010,2011\n1,2\n")
    assert whole(opened(path, time="", header=True)).values.tolist() == [[1, 2]]
    path = written(tmp_path, b"EURUSD,1.5\nEURUSD,1.6\n")
    feed = opened(path, ["column_1"], time="", header=False)
    assert whole(feed).values.tolist() == [[1.5], [1.6]]


def test_separator_and_renamed_columns(tmp_path):
    path = written(tmp_path, b"t;b px;x\n1;2;3\n")
    feed = opened(path, separator=";", columns={"bid": "b px"})
    assert feed.fields == ("bid", "x")
    assert opened(path, ["bid"], separator=";", columns={"bid": "b px"}).fields == (
        "bid",
    )
    with pytest.raises(
        ConfigError, match=r"feed\.options\.separator: expected one character"
    ):
        opened(path, separator=";;")


def test_files_are_read_in_natural_order(tmp_path):
    for i in (10, 2, 1):
        written(tmp_path, b"t,a\n1,%d\n" % i, f"g_{i}.csv")
    feed = opened(tmp_path / "g_*.csv")
    assert whole(feed).values[:, 0].tolist() == [1, 2, 10]
    names = [Path(f["path"]).name for f in feed.source()["files"]]
    assert names == ["g_1.csv", "g_2.csv", "g_10.csv"]
    assert whole(feed, after=1).values[:, 0].tolist() == [2, 10]


def test_columns_of_several_files_are_found_by_name(tmp_path):
    first = written(tmp_path, b"t,a,b\n1,2,3\n", "g_1.csv")
    second = written(tmp_path, b"b,t,a\n30,10,20\n", "g_2.csv")
    assert whole(opened([first, second])).values.tolist() == [[2, 3], [20, 30]]


@pytest.mark.parametrize("nothing", ["", "n/a", " - "])
def test_a_column_empty_at_first_is_left_out_and_its_later_numbers_are_counted(
    tmp_path, nothing
):
    rows = [
        f"{100 + i},{i},{nothing if i < 1_100 else i},{nothing}" for i in range(1_200)
    ]
    rows[1_150] = "1250,1150,word,"
    path = written(tmp_path, "\n".join(["t,a,x,y", *rows, ""]).encode())
    feed = opened(path)
    left_out = "left out: 'x' is empty in the first 1,000 rows; 'y' is empty in the first 1,000 rows"
    assert left_out in feed.notes
    assert len(whole(feed)) == 1_200
    ((reason, count),) = feed.tally.counts.items()
    assert "was empty at first; stream.fields takes it" in reason
    assert count == 99
    assert feed.tally.examples[reason] == f"{path} row 1101 column 'x': '1100'"
    named = opened(path, ["a", "x"])
    assert np.flatnonzero(~np.isnan(whole(named).values[:, 1])).tolist() == [
        *range(1_100, 1_150),
        *range(1_151, 1_200),
    ]
    assert named.tally.counts == {"a cell is no number": 1}


def test_columns_that_the_first_of_several_files_lacks_are_told(tmp_path):
    first = written(tmp_path, b"t,a\n1,2\n", "g_1.csv")
    second = written(tmp_path, b"t,a,more,\n10,20,30,\n", "g_2.csv")
    told = f"left out, as {first} lacks it: 'more' of {second}"
    assert told in opened([first, second]).notes
    assert told not in opened([first, second], ["a"]).notes


def test_a_column_that_a_later_file_lacks_is_an_error_before_the_first_row(tmp_path):
    first = written(tmp_path, b"t,a,more\n1,2,3\n", "g_1.csv")
    second = written(tmp_path, b"t,a\n10,20\n", "g_2.csv")
    with pytest.raises(
        FeedError, match=r"stream\.fields names the columns that all"
    ) as e:
        opened([first, second])
    assert (e.value.source, e.value.column) == (str(second), "more")
    assert whole(opened([first, second], ["a"])).values.tolist() == [[2], [20]]


def test_files_that_overlap_in_time_are_counted(tmp_path):
    one = written(tmp_path, b"t,a\n1700000000,1\n1700000009,2\n", "g_1.csv")
    two = written(tmp_path, b"t,a\n,1\n1700000010,1\n1700000011,2\n", "g_2.csv")
    three = written(tmp_path, b"t,a\n,1\n1700000002,1\n1700000003,2\n", "g_3.csv")
    feed = opened([one, two, three])
    for _ in range(2):
        whole(feed)
        ((reason, count),) = feed.tally.counts.items()
        assert count == 1
        assert reason == OVERLAP
        told = f"{three}: from 2023-11-14T22:13:22.000000000, where {two} ends at 2023"
        assert feed.tally.examples[reason].startswith(told)
        assert feed.tally.rows == 0


def test_files_of_streams_with_names_may_overlap(tmp_path):
    text = b"t,s,a\n1700000000,%b,1\n1700000009,%b,2\n"
    paths = [
        written(tmp_path, text % (s, s), f"g_{s.decode()}.csv") for s in (b"x", b"y")
    ]
    feed = opened(paths, symbols="s")
    whole(feed)
    assert not feed.tally.counts


def test_a_file_that_is_named_twice_is_read_once_and_told(tmp_path):
    path = written(tmp_path, b"t,a\n1,2\n")
    feed = opened([path, path, tmp_path / "*.csv"])
    assert len(whole(feed)) == 1
    assert f"named more than once and read once: '{path}'" in feed.notes


def test_a_column_of_dates_of_which_most_are_none_shows_the_first_of_these(tmp_path):
    rows = "".join(f"{i},2024-02-{29 if i < 20 else 30},{i}\n" for i in range(60))
    feed = opened(written(tmp_path, f"n,day,a\n{rows}".encode()), time="")
    told = "'day' looks like dates, but '2024-02-30' is not one"
    assert any(told in note for note in feed.notes)


def test_ticks_without_times_are_a_period_apart_across_files(tmp_path):
    paths = [written(tmp_path, b"a\n1\n2\n", f"g_{i}.csv") for i in range(2)]
    block = whole(opened(paths, time="", period="1m"), after=1)
    expected = 946_684_800 * 10**9 + np.arange(1, 4) * 60 * 10**9
    assert block.time.tolist() == expected.tolist()


def test_symbols_name_the_streams_in_order_of_appearance(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE", 32)
    text = b"t,s,a\n" + b"1,BB,1\n1,AA,2\n1,BB,3\n" * 20 + b"1,CC,4\n"
    feed = opened(written(tmp_path, text), symbols="s")
    block = whole(feed)
    assert block.streams == ("BB", "AA", "CC")
    assert block.stream[:4].tolist() == [0, 1, 0, 0]
    assert block.stream[-1] == 2
    assert [e.stream for e in block[59:61].events()] == ["BB", "CC"]


@pytest.mark.parametrize("order", ["oldest-first", "newest-first"])
@pytest.mark.parametrize("piece", [32, 1 << 22])
def test_a_row_that_names_no_stream_is_lost_alone_and_keeps_its_place(
    tmp_path, monkeypatch, order, piece
):
    monkeypatch.setattr(files, "PIECE", piece)
    rows = [f"{100 + i},x,{i}" for i in range(60)]
    rows[3] = rows[4] = rows[50] = rows[59] = "9,,9"
    rows[5], rows[7] = "105,x,1,2", "t,s,a"
    path = written(tmp_path, "\n".join(["t,s,a", *rows, ""]).encode())
    feed = opened(path, symbols="s", order=order)
    taken = [i for i in range(60) if i not in (3, 4, 5, 7, 50, 59)]
    if order == "newest-first":
        taken.reverse()
    assert whole(feed).values[:, 0].tolist() == taken
    assert [feed.place(i) for i in range(54)] == [f"{path} row {i + 1}" for i in taken]
    assert feed.tally.rows == 5
    assert feed.tally.counts["a row that names no stream"] == 4
    first = f"{path} row {4 if order == 'oldest-first' else 60}: column 's' is empty"
    assert feed.tally.examples["a row that names no stream"] == first
    assert feed.tally.examples["the header again"] == f"{path} row 8"


def test_rows_of_which_none_names_a_stream_are_all_lost(tmp_path):
    feed = opened(written(tmp_path, b"t,s,a\n1,,1\n2,,2\n"), symbols="s")
    assert list(feed.blocks(9)) == []
    assert feed.tally.rows == 2


def test_year_one_and_mixed_units_in_one_column(tmp_path):
    text = b"t,a\n1735689599999,1\n1735689600000001,2\n0001-01-01T00:00:00Z,3\n,4\n"
    block = whole(opened(written(tmp_path, text)))
    assert block.time.tolist() == [
        1735689599999 * 10**6,
        1735689600000001 * 10**3,
        NO_TIME,
        NO_TIME,
    ]
    assert block.values[:, 0].tolist() == [1, 2, 3, 4]


def test_source_is_path_size_and_hash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, b"t,a\n1,2\n")
    assert opened("a.csv").source() == {
        "connector": "csv",
        "files": [{
            "path": "a.csv", "size": 8,
            "sha256": hashlib.sha256(b"t,a\n1,2\n").hexdigest(),
        }],
    }  # fmt: skip
    assert opened("a.csv").total() is None


def test_paths_that_cannot_be_read_are_refused(tmp_path):
    written(tmp_path, b"t,a\n1,2\n", "ticks.csv")
    with pytest.raises(FeedError, match=r"no such file; did you mean '.*ticks\.csv'"):
        opened(tmp_path / "tick.csv")
    with pytest.raises(FeedError, match="expected a file, was a folder"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match=r"feed\.path"):
        opened("")


def test_a_pipe_is_no_file_and_the_way_to_read_one_is_told(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    hint = "was a pipe or a device; feed.path = '-' reads what is piped in"
    with pytest.raises(FeedError, match=hint):
        opened(tmp_path / "a.csv")


def test_what_was_piped_in_is_said_to_be_no_more():
    kept = Path(files.spooled(io.BytesIO(b"t,a\n1,2\n")))
    assert opened(kept, ["a"]).fields == ("a",)
    kept.unlink()
    with pytest.raises(FeedError, match=r"piped in, which is no more; `tee` keeps it"):
        opened(kept)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.none() | st.floats(), st.none() | st.integers(-(2**53), 2**53)),
        min_size=1,
        max_size=50,
    ),
    st.integers(1, 200),
    st.integers(1, 60),
    st.integers(0, 60),
)
def test_any_table_is_read_as_written(tmp_path_factory, rows, piece, size, after):
    folder = tmp_path_factory.mktemp("csv")
    text = "t,a,b\n" + "".join(
        f"{i},{'' if a is None else repr(a)},{'' if b is None else b}\n"
        for i, (a, b) in enumerate(rows)
    )
    path = written(folder, text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PIECE", piece)
        parts = list(opened(path, ["a", "b"]).blocks(size, after))
    expected = np.array(rows, dtype=np.float64)[after:]
    assert sum(map(len, parts)) == len(expected)
    if parts:
        np.testing.assert_array_equal(concatenate(parts).values, expected)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(
    ("name", "time", "rows", "fields"),
    [
        ("otsf/ETTh2.csv.gz", "date", 17_420, 7),
        ("otsf/WTH.csv.gz", "", 35_064, 12),
        ("otsf/exchange_rate.csv.gz", "", 7_588, 8),
        ("nab/realTraffic/speed_6005.csv.gz", "timestamp", 2_500, 1),
    ],
)
def test_real_series_are_read_whole(name, time, rows, fields):
    feed = opened(DATA / name, time=time)
    block = whole(feed, 10_000)
    assert block.values.shape == (rows, fields)
    assert np.isfinite(block.values).all()
    assert (np.diff(block.time) > 0).all()


ROWS = [b"%d,%d.5,%d\n" % (1_420_070_400 + i, i, -i) for i in range(120)]

OPEN = "a line that cannot be split, as at an open quote"


def quoted(lines, places):
    """Put quotation marks into lines, before none of their first characters."""
    found = list(lines)
    for line, place in places:
        at = place % len(found[line])
        found[line] = found[line][:at] + b'"' + found[line][at:]
    return found


def places(most=12):
    return st.lists(
        st.tuples(st.integers(0, len(ROWS) - 1), st.integers(0, 40)), max_size=most
    )


@settings(max_examples=60, deadline=None)
@given(places(), st.integers(8, 400), st.sampled_from(["", "gz"]), st.booleans())
def test_rows_taken_and_lost_are_all_lines_whatever_quotes_stand_open(
    tmp_path_factory, places, piece, kind, named
):
    folder = tmp_path_factory.mktemp("csv")
    rows = [b"hall," + row for row in ROWS] if named else ROWS
    head = b"place,t,a,b\n" if named else b"t,a,b\n"
    text = head + b"".join(quoted(rows, places))
    path = compressed(folder, text, kind) if kind else written(folder, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PIECE", piece)
        feed = opened(path, ["a", "b"])
        taken = sum(map(len, feed.blocks(64)))
    harmed = len({line for line, _ in places})
    assert taken + feed.tally.rows == len(ROWS)
    assert feed.tally.rows <= harmed


@pytest.mark.parametrize("piece", [16, 300, 1 << 22])
@pytest.mark.parametrize(
    "row",
    [b'1420070460.5,"7.5,1\n', b'"1420070460.5,7.5,1\n', b'1420070460.5,7.5,"1\n'],
)
def test_a_quote_that_nothing_closes_loses_its_line_alone_and_is_told(
    tmp_path, monkeypatch, piece, row
):
    monkeypatch.setattr(files, "PIECE", piece)
    path = written(tmp_path, b"t,a,b\n" + b"".join([*ROWS[:60], row, *ROWS[60:]]))
    feed = opened(path, ["a"])
    assert whole(feed).values[:, 0].tolist() == [i + 0.5 for i in range(120)]
    told = f"{path} row 61: {row[:-1].decode()!r}"
    assert feed.tally.examples == {OPEN: told}
    assert feed.place(60) == f"{path} row 62"


@pytest.mark.parametrize(("over", "taken"), [(16, 21), (17, 20)])
def test_a_cell_goes_over_sixteen_lines_at_most(tmp_path, over, taken):
    note = b"\n".join(b"line %d" % i for i in range(over))
    text = b"t,note,a\n" + b"1,fine,2\n" * 20 + b'1,"' + note + b'",2\n'
    feed = opened(written(tmp_path, text + b"1,fine,2\n" * 20), ["a"])
    values = whole(feed).values[:, 0]
    assert (values == 2).sum() == taken + 20
    assert feed.tally.counts[OPEN] == 21 - taken


def test_a_mark_of_inches_within_a_cell_opens_nothing(tmp_path):
    text = b"t,pipe,a\n" + b'1,5" wide,2\n1,5",3\n1,"5"" wide",4\n' * 9
    feed = opened(written(tmp_path, text), ["a"])
    assert whole(feed).values[:, 0].tolist() == [2, 3, 4] * 9
    assert feed.tally.counts == {}


def test_a_cell_over_lines_at_the_end_is_not_cut_off(tmp_path):
    feed = opened(written(tmp_path, b't,a,note\n1,2,x\n1,3,"more\nlines"'), ["a"])
    assert whole(feed).values[:, 0].tolist() == [2, 3]


def test_a_file_that_breaks_off_loses_no_whole_line_behind_an_open_quote(tmp_path):
    text = b"t,a,b\n" + b"".join([*ROWS[:60], b'1420070460.5,"7.5,1\n', *ROWS[60:]])
    path = written(tmp_path, gzip.compress(text)[:-8], "a.csv.gz")
    parts, error = read_until_error(opened(path, ["a"]))
    assert error.problem == "gzip ends too early"
    assert len(concatenate(parts)) >= 119


def test_a_cell_too_long_to_be_split_is_counted(tmp_path):
    long = b'1420070460.5,"7.5' + b"x" * 200_000 + b'",1\n'
    text = b"".join([b"t,a,b\n", *ROWS[:60], b'1,"2,3\n', long, *ROWS[60:]])
    feed = opened(written(tmp_path, text), ["a"])
    assert len(whole(feed)) == 120
    assert feed.tally.counts == {OPEN: 2}


@pytest.mark.parametrize("name", [b"", b"hall,"])
def test_a_quote_in_a_later_row_closes_none(tmp_path, name):
    head = b"place,t,a,b\n" if name else b"t,a,b\n"
    rows = [name + row for row in ROWS]
    rows[60] = name + b'1420070460,"60.5,-60\n'
    rows[63] = name + b'1420070463,63.5,-63"\n'
    feed = opened(written(tmp_path, head + b"".join(rows)), ["a"])
    assert whole(feed).values[:, 0].tolist() == [i + 0.5 for i in range(120) if i != 60]
    assert feed.tally.counts == {OPEN: 1}


def test_a_file_whose_name_is_no_text_is_refused(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    path.write_bytes(TEXT)
    with pytest.raises(FeedError, match=r"expected a path in UTF-8.*; rename it"):
        files.found(str(tmp_path / "*.csv"))


def test_a_path_that_cannot_be_looked_up_is_refused(tmp_path):
    with pytest.raises(FeedError, match="cannot be looked up: File name too long"):
        files.found(str(tmp_path / ("a" * 300)))


@pytest.mark.parametrize("what", ["stat", "open"])
def test_a_path_that_is_forbidden_is_refused(tmp_path, monkeypatch, what):
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, what, refuse)
    with pytest.raises(FeedError, match=r"a\.csv: cannot be .*: Permission denied"):
        files.expand(str(path))
