from __future__ import annotations

import pytest

from connectors.files import layout
from connectors.files.options import TextOptions
from sfm_stream.errors import ConfigError, FeedError

ROWS = "".join(f"2024-01-{d:02d},{d}.5,{d}\n" for d in range(1, 29))


def seen(tmp_path, text, **options):
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return layout.see(str(path), TextOptions(**options))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("header", ["t,a,b\n", ""])
def test_the_separator_is_what_splits_all_lines_alike(tmp_path, separator, header):
    found = seen(tmp_path, (header + ROWS).replace(",", separator))
    assert found.separator == separator
    assert len(found.names) == 3
    assert found.above == len(header.splitlines())


def test_a_semicolon_wins_over_the_comma_of_decimals(tmp_path):
    for header in ("t;a;b\n", ""):
        found = seen(tmp_path, header + "2024-01-01 00:00;1,5;2,5\n" * 20)
        assert (found.separator, len(found.names)) == (";", 3)


def test_a_mark_inside_a_column_of_text_separates_nothing(tmp_path):
    found = seen(tmp_path, "t,a,tag\n" + "1,2,x;y\n" * 20)
    assert found.separator == ","


@pytest.mark.parametrize("separator", ["", ";;", '"', "é", "\n"])
def test_what_cannot_separate_is_refused(separator):
    with pytest.raises(ConfigError, match=r"feed\.options\.separator: expected one"):
        layout.expect_separator(separator)


@pytest.mark.parametrize(
    ("above", "count"),
    [
        ("Station: Hall\n", 1),
        ("Station,Hall\nOwner,we\n\n", 3),
        ("lat,lon,height\n52.5,13.4,38\n\n", 3),
        ("# made by hand\n# in 2024\n", 2),
        ("\n\n", 2),
    ],
)
def test_lines_above_the_header_are_passed_over_aloud(tmp_path, above, count):
    found = seen(tmp_path, f"{above}t,a,b\n{ROWS}")
    assert found.names == ("t", "a", "b")
    assert found.above == count + 1
    if above.strip():
        assert f"passed over {count} lines above the header" in found.notes[0]
        assert "feed.options.skip" in found.notes[0]


def test_lines_above_are_as_many_as_is_said(tmp_path):
    found = seen(tmp_path, f"a,b,c\nd,e,f\nt,a,b\n{ROWS}", skip=2)
    assert (found.names, found.above, found.notes) == (("t", "a", "b"), 3, ())


def test_a_commented_header_names_the_columns(tmp_path):
    found = seen(tmp_path, f"# t,a,b\n{ROWS}")
    assert (found.names, found.above, found.comment) == (("t", "a", "b"), 1, "#")


def test_further_lines_of_a_header_are_passed_over_aloud_and_may_name(tmp_path):
    text = f"Price,Close,High\nTicker,X,X\nDate,,\n{ROWS}"
    found = seen(tmp_path, text)
    assert (found.names, found.above) == (("Price", "Close", "High"), 3)
    assert "passed over 2 more lines of the header" in found.notes[0]
    assert layout.renamed(found, ["Date", "Close"]).names == ("Date", "Close", "High")
    assert seen(tmp_path, text, header=3).above == 3
    assert seen(tmp_path, text, header=True).above == 1


@pytest.mark.parametrize(
    ("first", "named"),
    [
        ("t,a,b", True), ("time,2020,2021", True), ("2024-01-01,AAPL,1", False),
        ("2024.01.01,00:00,1", False), ("NA,1,2", False), ("Jan 1,1,2", False),
        ("timestamp,1. open,2. high", True), ("01/02/2024,x,1", False),
    ],
)  # fmt: skip
def test_a_header_is_words_over_numbers(tmp_path, first, named):
    rest = "2024-01-02,AAPL,2\n" if "AAPL" in first or ",x," in first else ROWS
    found = seen(tmp_path, f"{first}\n{rest * 3}")
    assert bool(found.header) is named


def test_a_separator_behind_every_row_is_no_column(tmp_path):
    found = seen(tmp_path, "t,a,b\n" + "1,2,3,\n" * 9)
    assert found.names == ("t", "a", "b", "Unnamed: 3")


def test_names_of_rows_get_one_as_they_have_none(tmp_path):
    found = seen(tmp_path, 't,a\n"1",5,6\n"2",5,6\n"3",5,6\n')
    assert found.names == ("Unnamed: 0", "t", "a")


def test_names_are_those_that_are_said_where_no_line_names(tmp_path):
    assert seen(tmp_path, ROWS, names=("x", "y", "z")).names == ("x", "y", "z")
    text = f"t,a,b\n{ROWS}"
    names = {"names": ("x", "y", "z"), "header": False, "skip": 1}
    assert seen(tmp_path, text, **names).names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ROWS, "expected a name for each of 3 cells, was 2"),
        (f"t,a,b\n{ROWS}", "expected a file without a header, was one with it"),
    ],
)
def test_names_that_would_name_nothing_are_refused(tmp_path, text, problem):
    with pytest.raises(ConfigError, match=problem) as e:
        seen(tmp_path, text, names=("x", "y"))
    assert e.value.at == "feed.options.names"


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        ("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", ""),
        ("utf-16-be", ""), ("latin-1", ""), ("cp1252", "cp1252"), ("cp437", "cp437"),
    ],
)  # fmt: skip
def test_an_encoding_is_seen_or_said(tmp_path, raw, encoding):
    text = f"t,é °C,b\n{ROWS}".encode(raw)
    found = seen(tmp_path, text, encoding=encoding)
    assert found.names == ("t", "é °C", "b")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_do_anywhere(tmp_path, end):
    assert seen(tmp_path, f"t,a,b\n{ROWS}".replace("\n", end)).names[-1] == "b"


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(FeedError, match="expected rows, was an empty file"):
        seen(tmp_path, "\n \n")


@pytest.mark.parametrize(
    "above", ["Export of hall 3\n", "Report\nof: us\n\nunits\n---\n"]
)
def test_titles_above_the_header_are_passed_over(tmp_path, above):
    rows = "".join(f"2024-01-{d:02d},{d}.5\n" for d in range(1, 29))
    found = seen(tmp_path, f"{above}t,a\n{rows}")
    assert found.names == ("t", "a")
    assert found.above == above.count("\n") + 1


def test_columns_that_are_aligned_by_spaces_have_one_between_them(tmp_path):
    rows = "".join(f"  2024-01-{i:02}  {i:5}   \n" for i in range(1, 20))
    found = seen(tmp_path, f"   t       a\n{rows}")
    assert (found.separator, found.names) == (" ", ("t", "a"))


@pytest.mark.parametrize("text", ['{"t": 1}\n{"t": 2}\n', '[{"t": 1}]', "\n [ {}]"])
def test_json_is_no_table_and_the_error_names_what_reads_it(tmp_path, text):
    with pytest.raises(FeedError, match=r"was JSON; feed\.connector = 'jsonl'"):
        seen(tmp_path, text)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
@pytest.mark.parametrize("header", ["t;a,b\n", ""])
def test_a_line_that_says_the_separator_is_no_header(tmp_path, line, header):
    rows = "".join(f"2024-01-{i:02};{i},5\n" for i in range(1, 20))
    found = seen(tmp_path, f"{line}\n{header}{rows}")
    assert found.separator == ";"
    assert found.above == 1 + bool(header)
    assert found.names == (("t", "a,b") if header else ("column_0", "column_1"))


def test_a_header_may_go_over_lines(tmp_path):
    found = seen(tmp_path, 'time,"flow\n(l/s)",note\n1,2,x\n2,3,y\n')
    assert (found.names, found.above) == (("time", "flow\n(l/s)", "note"), 2)


def test_an_open_quote_in_the_first_lines_hides_none_of_them(tmp_path):
    found = seen(tmp_path, 't;v\n1;"2\n' + "2;3\n" * 20)
    assert (found.names, found.separator, found.above) == (("t", "v"), ";", 1)
