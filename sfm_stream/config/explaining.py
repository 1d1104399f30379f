"""Explains an invalid value in plain words: its key, the expected and the given value.

msgspec finds the value, but names types as JSON does, and often omits the value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from sfm_stream.config.catalogue import hints_of, table_of

STEP = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[\]]+)")
TYPE = re.compile(r"`([^`]+)`")
ANY = "..."
"""What msgspec writes in a path in place of a key that the user chose."""
WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "array": "a list",
    "bool": "true or false", "object": "a table", "null": "nothing",
}  # fmt: skip
KINDS = {"list": "array", "tuple": "array", "dict": "object", "NoneType": "null"}


class Fault(NamedTuple):
    """An invalid value.

    Attributes:
        at: key of the value.
        problem: the expected and the given value.
        hint: how to mend it, or empty.
    """

    at: str
    problem: str
    hint: str = ""


class _Spot(NamedTuple):
    """A value, its key, and its expected type."""

    at: str
    value: Any
    hint: Any


def explained(
    problem: str, at: str, tree: Mapping[str, Any], table: type[msgspec.Struct]
) -> Fault:
    """Translate an error of msgspec into plain words.

    Args:
        problem: msgspec's message.
        at: msgspec's path to the value.
        tree: the tree that was converted.
        table: the expected type of the tree.
    """
    spot = _Spot("", tree, table)
    for index, key in STEP.findall(at):
        spot = _inner(spot, index or key)
    said = problem.replace(", got", ", was")
    said = said[:1].lower() + said[1:]
    if get_origin(spot.hint) is Literal:
        allowed = ", ".join(map(repr, get_args(spot.hint)))
        return Fault(spot.at, f"expected one of {allowed}, was {spot.value!r}")
    expected, _, was = said.partition(", was ")
    if not expected.startswith("expected `"):
        return Fault(spot.at, said if was else f"{said}, was {spot.value!r}")
    kind = KINDS.get(type(spot.value).__name__, type(spot.value).__name__)
    shown = repr(spot.value) if was in ("", f"`{kind}`") else _worded(was)
    return Fault(spot.at, f"{_worded(expected)}, was {shown}", _way_out(spot))


def _inner(spot: _Spot, step: str) -> _Spot:
    """Follow one step of the path into a value."""
    inner = get_args(spot.hint)
    if step == ANY:
        step = next(k for k, v in spot.value.items() if not _fits(v, inner[1]))
        return _Spot(f"{spot.at}.{step}", spot.value[step], _bare(inner[1]))
    if isinstance(spot.value, Mapping):
        at = f"{spot.at}.{step}".lstrip(".")
        return _Spot(at, spot.value.get(step), _bare(hints_of(spot.hint).get(step)))
    return _Spot(f"{spot.at}[{step}]", spot.value[int(step)], _bare(inner[0]))


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401 any type
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _bare(hint: Any) -> Any:  # noqa: ANN401 any type
    """Give a type without its annotations."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _worded(text: str) -> str:
    """Replace the names of types with plain words."""
    return TYPE.sub(
        lambda found: " or ".join(WORDS.get(n, n) for n in found[1].split(" | ")), text
    )


def _way_out(spot: _Spot) -> str:
    """Give the syntax of a list of tables, if one table stands in its place."""
    if isinstance(spot.value, Mapping) and table_of(spot.hint):
        return f"write it as [[{spot.at}]] in the file"
    return ""
