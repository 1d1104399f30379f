"""A description of JSON frames compiled into a typed decoder.

Each path of the description becomes an attribute in a tree of struct types, made once,
so a frame is decoded without a search for its keys. A frame that does not fit the
types, e.g. with text in place of a number, is left to `paths`, which reads value by
value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
from msgspec import Raw

from connectors.venues.base import MISSING, Number
from connectors.venues.json.paths import (
    ANY,
    Codes,
    Path,
    Texts,
    path_of,
    time_of,
    wanted_texts,
)

if TYPE_CHECKING:
    from connectors.venues.json.frames import Frames
    from sfm_stream.settings import Feed

NUMBER, TRUTH = Number | None, Number | bool | None
WORD, WHOLE = str | int | None, int | None
ABSENT = Raw()
NOTHING_THERE = frozenset((b"", b"null"))
Get = Callable[[Any], Any]
Place: TypeAlias = tuple[bool, str]
"""Whether the value is in the frame (not the record), and its attribute's path."""
NOWHERE: Place = (False, "nowhere")
"""The place of an absent path: an attribute of every struct, always None."""
Lines: TypeAlias = list[tuple[Get, frozenset[Any] | None]]
Condition = Callable[[Any], bool]


class Uncompilable(Exception):
    """The description cannot be expressed as one tree of types."""


@dataclass(slots=True)
class _Node:
    """A node in the tree of a frame: its children, or the type of its value."""

    below: dict[str, _Node] = field(default_factory=dict)
    kind: Any = None

    def put(self, keys: tuple[str, ...], kind: object) -> str:
        """Add a value of a type at the keys; give its attribute's path."""
        node, names = self, []
        for key in keys:
            if node.kind is not None:
                raise Uncompilable
            node = node.below.setdefault(key, _Node())
            names.append(f"at_{key.encode().hex()}")
        if not keys or node.below or node.kind not in (None, kind):
            raise Uncompilable
        node.kind = kind
        return ".".join(names)

    def made(self) -> object:
        """Make the type of this node."""
        if self.kind is not None:
            return self.kind
        positions = [key for key in self.below if key.isdecimal()]
        if not positions:
            return _struct(self._fields(self.below))
        if len(positions) < len(self.below):
            raise Uncompilable
        most = max(map(int, positions))
        keys = [str(i) for i in range(most + 1)]
        return _struct(self._fields(keys), array_like=True)

    def _fields(self, keys: Iterable[str]) -> list[tuple[str, Any, Any]]:
        return [
            (
                f"at_{key.encode().hex()}",
                self.below[key].made() if key in self.below else Any,
                msgspec.field(name=key, default=self._default(key)),
            )
            for key in keys
        ]

    def _default(self, key: str) -> object:
        return ABSENT if key in self.below and self.below[key].kind is Raw else None


def _struct(fields: list[tuple[str, Any, Any]], *, array_like: bool = False) -> object:
    """Make the type of an object or array that may be missing."""
    beside = {NOWHERE[1]: None}
    made = msgspec.defstruct(
        "At", fields, namespace=beside, gc=False, array_like=array_like
    )
    return made | None


class _Tree:
    """The trees of a frame and of its records; the frame may be the only record.

    Args:
        records: path of the records in the frame.
    """

    def __init__(self, records: Path) -> None:
        self.records, self.frame = records, _Node()
        self._record = _Node() if records.keys else self.frame

    def put(self, text: str, kind: object) -> Place:
        """Add a value of a type at a path; give its place."""
        path = path_of(text)
        of_frame = path.of_frame and self._record is not self.frame
        node = self.frame if of_frame else self._record
        return of_frame, node.put(path.keys, kind)

    def joined(self) -> str:
        """Put the record type into the frame's tree; give its attribute's path.

        The path is empty if the frame itself is the record.
        """
        if self._record is self.frame:
            return ""
        made: Any = self._record.made()
        return self.frame.put(self.records.keys, list[made] | made)


When: TypeAlias = str | int | None
Row: TypeAlias = tuple[tuple[float, ...], When, str | int | None, int | None]
"""The content of a record: values; time, symbol and id, each None if absent."""


@dataclass(frozen=True, slots=True)
class Typed:
    """The functions that read frames of one description.

    They raise `AttributeError` where an object on the way to a value is absent.

    Attributes:
        decode: decodes a frame; raises msgspec's errors if it does not fit the types.
        holds: says whether a frame holds ticks and is not an answer.
        past: says whether its ticks are from before the subscription.
        rows: gives the records of a frame; None if one must be read value by value.
    """

    decode: Callable[[bytes], Any]
    holds: Condition
    past: Condition | None
    rows: Callable[[Any], list[Row] | None]


Reader: TypeAlias = Callable[[Any, Any], Row | None]


def compiled(feed: Feed, told: Frames, truths: frozenset[int]) -> Typed | None:
    """Compile a description; None if types cannot express it.

    Args:
        feed: has the paths of columns, time and symbol.
        told: describes the frames.
        truths: positions of the columns that hold true and false.
    """
    try:
        return _compiled(feed, told, truths)
    except Uncompilable:
        return None


def _compiled(feed: Feed, told: Frames, truths: frozenset[int]) -> Typed:
    tree = _Tree(path_of(told.records))
    columns = [
        tree.put(text, _kind(told.codes.get(name), i in truths))
        for i, (name, text) in enumerate(feed.columns.items())
    ]
    others = [
        tree.put(text, kind) if text else NOWHERE
        for text, kind in (
            (time_of(feed.time), WORD),
            (feed.symbol, WORD),
            (told.id, WHOLE),
        )
    ]
    match, past = (_condition(tree, texts) for texts in (told.match, told.history))
    answers = [
        _condition(tree, texts)
        for texts in (told.acknowledged, told.refused, told.alive, told.departing)
        if texts and not _excluded(told.match, texts)
    ]
    coded = [
        (i, _keyed(told.codes[name]))
        for i, name in enumerate(feed.columns)
        if name in told.codes
    ]
    rows = _rows(tree.joined(), _row(columns, others, coded, bool(truths)))
    decoder = msgspec.json.Decoder(tree.frame.made(), strict=False)
    before = _holds(past, []) if told.history else None
    return Typed(decoder.decode, _holds(match, answers), before, rows)


def _kind(codes: Codes | None, truth: bool) -> object:
    """Give the type of a column."""
    if codes is None:
        return TRUTH if truth else NUMBER
    return Raw if _are_truths(codes) else WORD


def _are_truths(codes: Codes) -> bool:
    """Say whether codes stand for true or false, which types would read as 1 and 0."""
    return not {"true", "false"}.isdisjoint(codes)


def _keyed(codes: Codes) -> dict[Any, float | None]:
    """Map the decoded form of each text to its code, and None to None."""
    if _are_truths(codes):
        raws = {raw: code for text, code in codes.items() for raw in _raws(text)}
        return {None: None, **raws}
    keyed: dict[Any, float | None] = {None: None, **codes}
    for text, code in codes.items():
        if text.lstrip("-").isdecimal() and str(int(text)) == text:
            keyed[int(text)] = code
    return keyed


def _raws(text: str) -> tuple[bytes, ...]:
    """Give the two JSON forms of a text: without quotes and with them."""
    return text.encode(), msgspec.json.encode(text)


def _condition(tree: _Tree, match: Texts) -> Lines:
    """Compile a condition into the accepted texts of each place; None accepts any."""
    lines: Lines = []
    records = tree.records
    for path, texts in wanted_texts(match):
        if ANY in texts and path.keys == records.keys[: len(path.keys)]:
            continue  # a frame without records is not read by types anyway
        if records.keys and path.keys[: len(records.keys)] == records.keys:
            raise Uncompilable
        if all(text.isalpha() and text not in ("true", "false") for text in texts):
            there: frozenset[Any] | None = texts
            kind: object = str | None
        else:
            raws = frozenset(raw for text in texts for raw in _raws(text))
            there, kind = None if ANY in texts else raws, Raw
        lines.append((attrgetter(tree.frame.put(path.keys, kind)), there))
    return lines


def _excluded(match: Texts, answer: Texts) -> bool:
    """Say whether a frame that matches cannot be an answer."""
    wanted = dict(wanted_texts(match))
    return any(
        path in wanted and not texts & wanted[path] and ANY not in texts | wanted[path]
        for path, texts in wanted_texts(answer)
    )


def _holds(lines: Lines, others: list[Lines]) -> Condition:
    """Make a test: all lines hold, and no other group of lines holds as a whole."""
    wanted, unwanted = _all(lines), [_all(other) for other in others]
    if not unwanted:
        return wanted
    return lambda frame: wanted(frame) and not any(told(frame) for told in unwanted)


def _all(lines: Lines) -> Condition:
    """Make a test: all lines hold."""

    def holds(frame: object) -> bool:
        for get, texts in lines:
            try:
                found = get(frame)
            except AttributeError:  # an object on the way is absent
                return False
            if type(found) is Raw:
                found = bytes(found)
            there = found not in NOTHING_THERE if texts is None else found in texts
            if not there:
                return False
        return True

    return holds


def _rows(at: str, row: Reader) -> Callable[[Any], list[Row] | None]:
    """Make a function that reads the records at a place, or the frame as a record."""
    get = attrgetter(at) if at else None

    def rows(frame: object) -> list[Row] | None:
        found = frame if get is None else get(frame)
        if type(found) is not list:
            one = None if found is None else row(found, frame)
            return None if one is None else [one]
        seen = [row(record, frame) for record in found]
        return None if None in seen else cast("list[Row]", seen)

    return rows


def _row(
    columns: list[Place],
    others: list[Place],
    coded: list[tuple[int, Any]],
    truths: bool,
) -> Reader:
    """Make a function that reads a record in as few steps as possible.

    Args:
        columns: places of the columns.
        others: places of time, symbol and id.
        coded: positions of the columns of texts, and the numbers of their texts.
        truths: whether some columns hold true or false.
    """
    get, get_others = _together(columns), _together(others)

    def row(record: object, frame: object) -> Row | None:
        found = get(record, frame)
        values = _decoded(found, coded) if coded else found
        if values is None:
            return None
        if None in values:
            if values.count(None) == len(values):
                return None
            values = tuple([MISSING if value is None else value for value in values])
        if truths:
            values = tuple(map(float, values))
        time, symbol, number = get_others(record, frame)
        return values, time, symbol, number

    return row


def _decoded(
    found: tuple[Any, ...], coded: list[tuple[int, Any]]
) -> tuple[Any, ...] | None:
    """Turn the texts of coded columns into numbers; None if a text has no code."""
    values = [*found]
    try:
        for i, codes in coded:
            text = values[i]
            values[i] = codes[_written(text) if type(text) is Raw else text]
    except KeyError:
        return None
    return tuple(values)


def _together(places: list[Place]) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Make a function that gets the values at places, in one call where possible."""
    gets = [(of_frame, attrgetter(path)) for of_frame, path in places]
    if len(gets) == 1 or any(of_frame for of_frame, _ in places):
        return lambda record, frame: tuple(
            [get(frame if of_frame else record) for of_frame, get in gets]
        )
    once = attrgetter(*(path for _, path in places))
    return lambda record, _frame: once(record)


def _written(raw: Raw) -> bytes | None:
    """Give the bytes of a raw value; None if it is absent or null."""
    text = bytes(raw)
    return None if text in NOTHING_THERE else text
