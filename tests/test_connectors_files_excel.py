from __future__ import annotations

import zipfile

import numpy as np
import polars as pl
import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.events.blocks import concatenate

DAY = 86_400 * 10**9
NEW_YEAR = 1_704_067_200 * 10**9  # 2024, day 45292 of Excel
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def cell(value):
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def sheet(rows):
    lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    return f'{HEAD}<worksheet xmlns="{MAIN}"><sheetData>{lines}</sheetData></worksheet>'


def workbook(path, **sheets):
    """Write the least that is a workbook."""
    names = list(enumerate(sheets, 1))
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="application/'
        'vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        for i, _ in names
    )
    listed = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="r{i}"/>' for i, n in names)
    links = "".join(
        f'<Relationship Id="r{i}" Type="{LINKS}/worksheet" Target="worksheets/'
        f'sheet{i}.xml"/>'
        for i, _ in names
    )
    parts = {
        "[Content_Types].xml": f'{HEAD}<Types xmlns="{PACKAGE}/content-types"><Default '
        'Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxml'
        'formats-officedocument.spreadsheetml.sheet.main+xml"/>' + types + "</Types>",
        "_rels/.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{LINKS}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{LINKS}"><sheets>'
        f"{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}/'
        f'relationships">{links}</Relationships>',
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        for i, rows in enumerate(sheets.values(), 1):
            archive.writestr(f"xl/worksheets/sheet{i}.xml", sheet(rows))


ROWS = [("date", "price"), *((45_292 + i, 100.5 + i) for i in range(20))]


def opened(path, **feed):
    given = {"connector": "excel", "path": str(path), **feed}
    return open_feed(from_tree({"feed": given}))


def test_the_first_sheet_is_read_or_the_one_that_is_named(tmp_path):
    pytest.importorskip("fastexcel", reason="needs the extra `excel`")
    path = tmp_path / "a.xlsx"
    other = [("date", "qty"), *((45_292 + i, i) for i in range(5))]
    workbook(path, first=ROWS, second=other)
    feed = opened(path, time="date", time_unit="excel")
    block = concatenate(list(feed.blocks(7)))
    assert feed.fields == ("price",)
    assert np.diff(block.time).tolist() == [DAY] * 19
    assert block.time[0] == NEW_YEAR
    options = {"sheet": "second"}
    feed = opened(path, time="date", time_unit="excel", options=options)
    assert concatenate(list(feed.blocks(7))).values[:, 0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(FeedError, match="cannot be read as a workbook"):
        opened(path, options={"sheet": "third"})


def test_a_column_that_the_first_workbook_lacks_is_counted(tmp_path):
    pytest.importorskip("fastexcel", reason="needs the extra `excel`")
    workbook(tmp_path / "1.xlsx", first=ROWS)
    later = [("date", "price", "qty"), *((45_392 + i, 1.5, 3) for i in range(20))]
    workbook(tmp_path / "2.xlsx", first=later)
    feed = opened(tmp_path / "*.xlsx", time="date", time_unit="excel")
    assert sum(map(len, feed.blocks(7))) == 2 * 20
    told = {"a column that the first workbook lacks": f"{tmp_path}/2.xlsx: 'qty'"}
    assert feed.tally.examples == told


def test_without_an_engine_the_way_out_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.xlsx"
    workbook(path, first=ROWS)

    def missing(*_, **__):
        raise ModuleNotFoundError("fastexcel")

    monkeypatch.setattr(pl, "read_excel", missing)
    with pytest.raises(FeedError, match=r"sfm-stream\[excel\].*or save it as CSV"):
        opened(path)


def test_a_workbook_is_no_csv_and_a_csv_no_workbook(tmp_path):
    path, text = tmp_path / "a.xlsx", tmp_path / "a.csv"
    workbook(path, first=ROWS)
    text.write_text("t,a\n1,2\n")
    with pytest.raises(FeedError, match=r"feed\.connector = 'excel' reads it"):
        opened(path, connector="csv")
    with pytest.raises(FeedError, match=r"feed\.connector = 'csv' reads text"):
        opened(text)
