"""Writes plain values as TOML; the standard library only reads TOML."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from sfm_stream.errors import ConfigError

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
DELETE = "\x7f"  # the one control character that JSON leaves bare and TOML does not


def write(tree: Mapping[str, Any]) -> str:
    """Write tables of plain values as TOML; keys whose value is None are left out.

    A table within a table has a head of its own, such as `[feed.options]`.

    Args:
        tree: name to a table, or to a list of tables; a table is key to value.
    """
    tables = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            tables.append(_table(f"[{_key(name)}]", _key(name), value))
        else:
            tables += [_table(f"[[{_key(name)}]]", _key(name), one) for one in value]
    return "\n".join(tables)


def _table(head: str, path: str, values: Mapping[str, Any]) -> str:
    inner = {k: v for k, v in values.items() if isinstance(v, Mapping) and v}
    lines = [
        f"{_key(key)} = {_value(value)}"
        for key, value in values.items()
        if value is not None and key not in inner
    ]
    below = [f"{path}.{_key(key)}" for key in inner]
    tables = map(_table, [f"[{one}]" for one in below], below, inner.values())
    return "\n".join([head, *lines, "", *tables])


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value) if math.isfinite(value) else f"{value}"
        case int():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace(DELETE, "\\u007f")
        case Mapping():
            items = (f"{_key(k)} = {_value(v)}" for k, v in value.items())
            return f"{{{', '.join(items)}}}"
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case _:
            raise ConfigError("config", f"expected a plain value, was {value!r}")


def _key(text: str) -> str:
    return text if BARE_KEY.fullmatch(text) else _value(text)
