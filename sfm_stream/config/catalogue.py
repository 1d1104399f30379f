"""Lists all keys of the settings, with their types, defaults and descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from sfm_stream.settings import Config, units

MORE_FEEDS = "more_feeds"


def keys(
    table: type[msgspec.Struct] = Config, at: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield the name, default and description of every key of a table.

    Args:
        table: a struct with fields annotated with `msgspec.Meta(description=...)`.
        at: prefix of the names.
    """
    hints = hints_of(table)
    defaults = {f.name: f.default for f in msgspec.structs.fields(table)}
    for key in table.__struct_fields__:
        if inner := table_of(hints[key]):
            yield from keys(inner, f"{at}{key}.")
            continue
        if key == MORE_FEEDS:
            continue  # its keys are those of `feed`
        described = [m.description for m in getattr(hints[key], "__metadata__", ())]
        text = " ".join(d for d in described if d)
        default = defaults[key]
        required = default is msgspec.NODEFAULT
        plain = None if required else default
        value = msgspec.json.encode(plain, enc_hook=units.write).decode()
        yield f"{at}{key}", value, text


def hints_of(table: type[msgspec.Struct]) -> dict[str, Any]:
    """Give the types of a table's keys, with their annotations."""
    return get_type_hints(table, include_extras=True)


def table_of(hint: object) -> type[msgspec.Struct] | None:
    """Give the type of the table, or list of tables, under a key; else None."""
    inner = (get_args(hint) or (hint,))[0] if get_origin(hint) is tuple else hint
    return (
        inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None
    )


def leaves(tree: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of nested tables; a list counts as one value."""
    for name, value in tree.items():
        key = f"{at}.{name}".lstrip(".")
        if isinstance(value, Mapping):
            yield from leaves(value, key)
        else:
            yield key, value
