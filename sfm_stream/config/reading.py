"""Reads settings from TOML or from tables, and turns them back into tables."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec.structs import replace

from sfm_stream.config.catalogue import MORE_FEEDS, table_of
from sfm_stream.config.checks import check
from sfm_stream.config.explaining import explained
from sfm_stream.config.former import as_now
from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.settings import Config, units

T = TypeVar("T", bound=msgspec.Struct)


def parse(text: str, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration from TOML text.

    Args:
        text: content of the file.
        overrides: texts `section.key=value`, the value in TOML.

    Raises:
        ConfigError: naming the key, the value and the fix.
    """
    return from_tree(_tree(text, overrides, "config"))


def _tree(text: str, overrides: Sequence[str], where: str) -> dict[str, Any]:
    try:
        tree = tomllib.loads(text)
    except ValueError as e:  # bad TOML, or a number with thousands of digits
        raise ConfigError(where, f"not valid TOML: {e}") from e
    except RecursionError as e:
        raise ConfigError(where, "expected few levels of tables, was nested") from e
    for override in overrides:
        _override(tree, override)
    return tree


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: if it cannot be read or is invalid.
    """
    return from_tree(_tree(_text(path), overrides, str(path)))


def written(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Give the tables of a file as they were written, with the overrides applied.

    Raises:
        ConfigError: if it cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `load` has warned
        return dict(as_now(_tree(_text(path), overrides, str(path))))


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(str(path), f"cannot be read: {e}") from e


def from_tree(tree: Mapping[str, Any]) -> Config:
    """Build the configuration from nested tables.

    Raises:
        ConfigError: naming the key, the value and the fix.

    Examples:
        >>> settings = from_tree({"model": {"states": 4}})
        >>> settings.model.states, settings.learn.window
        (4, 32)
        >>> from_tree({"model": {"stats": 4}})
        Traceback (most recent call last):
        sfm_stream.errors.ConfigError: model.stats: unknown key; did you mean 'states'?
    """
    if not isinstance(tree, Mapping):
        raise ConfigError("settings", f"expected tables by name, was {tree!r}")
    placed = as_now(tree)
    _refuse_unknown(placed, Config, "")
    config = _converted(_with_one_feed(placed), Config, "")
    check(config)
    return config


def read_table(tree: Mapping[str, Any], table: type[T], at: str) -> T:
    """Read a table whose keys are declared outside this package.

    Args:
        tree: the table as it was written.
        table: its keys, types and defaults, as a frozen msgspec struct.
        at: key of the table, for errors.

    Raises:
        ConfigError: naming the key, the value and the fix.
    """
    _refuse_unknown(tree, table, f"{at}.")
    return _converted(tree, table, f"{at}.")


def _converted(tree: Mapping[str, Any], table: type[T], place: str) -> T:
    try:
        return msgspec.convert(tree, table, dec_hook=units.read)
    except msgspec.ValidationError as e:
        problem, _, path = str(e).partition(" - at `$.")
        found = explained(problem, path.rstrip("`"), tree, table)
        at = f"{place}{found.at}" or "config"
        raise ConfigError(at, found.problem, found.hint) from e


def to_tree(config: Config) -> dict[str, Any]:
    """Give the configuration as nested tables of plain values."""
    tree: dict[str, Any] = msgspec.to_builtins(config, enc_hook=units.write)
    if more := tree.pop(MORE_FEEDS):
        tree["feed"] = [tree["feed"], *more]
    return tree


def each_feed(config: Config) -> tuple[Config, ...]:
    """Give one configuration per feed, with the symbols it subscribes to."""
    return tuple(
        replace(
            config,
            feed=feed,
            more_feeds=(),
            stream=replace(
                config.stream, symbols=feed.symbols or config.stream.symbols
            ),
        )
        for feed in (config.feed, *config.more_feeds)
    )


def _with_one_feed(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Split a list of feeds into the first, under `feed`, and the others."""
    feeds = tree.get("feed")
    if not isinstance(feeds, list | tuple):
        return tree
    if not feeds:
        raise ConfigError("feed", "expected at least one table [[feed]], was []")
    return {**tree, "feed": feeds[0], MORE_FEEDS: feeds[1:]}


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    *sections, key = path.strip().split(".")
    if not (equals and key and sections and all(sections)):
        raise ConfigError("--set", f"expected section.key=value, was {override!r}")
    try:
        value.encode()
    except UnicodeEncodeError as e:
        raise ConfigError("--set", f"expected UTF-8, was {override!r}") from e
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    table: Any = tree
    for depth, section in enumerate(sections, 1):
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise _no_table(".".join(sections[:depth]), table)
    table[key] = parsed


def _no_table(name: str, value: object) -> ConfigError:
    """Give the error for an override of a key in a value that is no table."""
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        problem = f"expected one table [{name}], was a list of them"
        return ConfigError("--set", problem, "set it in the file")
    return ConfigError("--set", f"expected a table [{name}], was {value!r}")


def _refuse_unknown(
    tree: Mapping[str, Any], table: type[msgspec.Struct], at: str
) -> None:
    for key, value in tree.items():
        names = [name for name in table.__struct_fields__ if name != MORE_FEEDS]
        if key not in names:
            raise ConfigError(f"{at}{key}", "unknown key", did_you_mean(key, names))
        if inner := table_of(get_type_hints(table)[key]):
            for where, one in _tables(f"{at}{key}", value):
                if not isinstance(one, Mapping):
                    problem = f"expected a table [{where}], was {one!r}"
                    raise ConfigError(where, problem)
                _refuse_unknown(one, inner, f"{where}.")


def _tables(at: str, value: object) -> list[tuple[str, object]]:
    """Give the key and value of a table, or of each table in a list."""
    if not isinstance(value, list | tuple):
        return [(at, value)]
    return [(f"{at}[{i}]", one) for i, one in enumerate(value)]
