"""The options of files of rows."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sfm_stream.settings import Section


def _doc(text: str) -> Meta:
    return Meta(description=text)


class TableOptions(Section, frozen=True):
    """Options of any file of rows."""

    derive: Annotated[
        dict[str, str],
        _doc("field name = expression over columns, e.g. `ln(1 + qty)`, in SQL"),
    ] = {}  # noqa: RUF012 msgspec copies it
    rows: Annotated[int, Meta(ge=0), _doc("most rows to read; 0: all")] = 0


class TextOptions(TableOptions, frozen=True):
    """Options of files of text."""

    header: Annotated[
        bool | None, _doc("whether the first line names the columns; unset: detected")
    ] = None
    separator: Annotated[str, _doc("what stands between cells")] = ","
