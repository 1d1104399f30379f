"""Settings read from TOML; unknown keys and invalid values are refused."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from sfm_stream import units
from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.settings import EXPERTS, Config, Daemon, Feed, Target

__all__ = [
    "Config", "Target", "digest", "each_feed", "from_tree", "keys", "leaves", "load",
    "of_model", "parse", "read_table", "to_tree", "written",
]  # fmt: skip

MORE_FEEDS = "more_feeds"
LATER = (
    ("stream", "max_streams"),
    ("stream", "columns"),
    ("features", "seasons"),
    ("learn", "replay"),
    ("forecast", "soon"),
    ("forecast", "wide_clip"),
    ("model", "shared"),
    ("features", "widest"),
)
"""Table and key of settings younger than the first runs, whose digests must last."""
FIRST_EXPERTS = ("last", "rls", "rls-fast", "sfm", "sfm-rls")
LEAST_LEASE_S = 1.0
"""A process shows itself four times in a second."""
# How near an unknown key must be to one of [feed] to be a slip of the keyboard.
A_SLIP = 0.8
FORMER = "json"
"""The table in [feed] that held the options of the connector of this name."""

T = TypeVar("T", bound=msgspec.Struct)


def parse(text: str, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration from TOML text.

    Args:
        text: the file's content.
        overrides: `section.key=value`, the value in TOML.

    Raises:
        ConfigError: naming the key, the value and the fix.
    """
    return from_tree(_tree(text, overrides))


def _tree(text: str, overrides: Sequence[str]) -> dict[str, Any]:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError("config", f"not valid TOML: {e}") from e
    except RecursionError as e:
        raise ConfigError("config", "expected few levels of tables, was nested") from e
    for override in overrides:
        _override(tree, override)
    return tree


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: if it cannot be read or is invalid.
    """
    return parse(_text(path), overrides)


def written(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Give the tables of a file as they were written, with what overrides them.

    Raises:
        ConfigError: if it cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `load` has warned
        return dict(_as_now(_tree(_text(path), overrides)))


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
    placed = _as_now(tree)
    _refuse_unknown(placed, Config, "")
    config = _converted(_with_one_feed(placed), Config, "")
    _check(config)
    return config


def read_table(tree: Mapping[str, Any], table: type[T], at: str) -> T:
    """Read a table whose keys are declared outside this package.

    Args:
        tree: the table as it was written.
        table: its keys, types and defaults, as a frozen msgspec struct.
        at: where it stands, to blame.

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
        at = path.rstrip("`")
        explained = _explain(_lower(problem), at, tree, table)
        raise ConfigError(f"{place}{at}" or "config", explained) from e


def to_tree(config: Config) -> dict[str, Any]:
    """Give the configuration as nested tables of plain values."""
    tree: dict[str, Any] = msgspec.to_builtins(config, enc_hook=units.write)
    if more := tree.pop(MORE_FEEDS):
        tree["feed"] = [tree["feed"], *more]
    return tree


def leaves(tree: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Give the keys of nested tables with their values; a list counts as one value."""
    for name, value in tree.items():
        key = f"{at}.{name}".lstrip(".")
        if isinstance(value, Mapping):
            yield from leaves(value, key)
        else:
            yield key, value


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


def digest(config: Config) -> str:
    """Give the SHA-256 of what decides the records: all but feed paths and run pace."""
    tree = to_tree(config)
    keep = {k: tree[k] for k in ("stream", "target", "features", "model", "learn",
                                 "forecast")}  # fmt: skip
    keep["seed"] = config.run.seed
    for table, key in LATER:  # at its default, it decides what was decided before
        if keep[table][key] in (None, getattr(getattr(Config(), table), key)):
            del keep[table][key]
    if len(config.forecast.levels) == 1:  # the only form of the first runs
        (keep["forecast"]["level"],) = keep["forecast"].pop("levels")
    return hashlib.sha256(msgspec.json.encode(keep, order="sorted")).hexdigest()


def of_first_runs(config: Config) -> Config:
    """Give the settings that say the same to the first runs, with their defaults."""
    usual, forecast, every = Config(), config.forecast, config.learn.every
    as_usual = forecast.experts == usual.forecast.experts
    return replace(
        config,
        learn=replace(config.learn, every=16 if every == usual.learn.every else every),
        forecast=replace(
            forecast,
            ridge=1.0 if forecast.ridge == usual.forecast.ridge else forecast.ridge,
            experts=FIRST_EXPERTS if as_usual else forecast.experts,
            levels=forecast.levels[-1:],
        ),
    )


def of_model(config: Config) -> Config:
    """Give the settings that decide the model, with the defaults of those that do not.

    Which streams it has and whether it learns may change from one run to the next, and
    within a live one; whether they stood side by side in a file is no matter.
    """
    return replace(
        config,
        stream=replace(config.stream, symbols=(), columns="fields"),
        learn=replace(config.learn, enabled=True),
    )


def keys(
    table: type[msgspec.Struct] = Config, at: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Give name, default and description of every key of a table.

    Args:
        table: whose fields are annotated with `msgspec.Meta(description=...)`.
        at: put before the names.
    """
    hints = get_type_hints(table, include_extras=True)
    defaults = {f.name: f.default for f in msgspec.structs.fields(table)}
    for key in table.__struct_fields__:
        if inner := _table(hints[key]):
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


def _table(hint: object) -> type[msgspec.Struct] | None:
    """Say which table a key holds, or a list of them, if it holds one of ours."""
    inner = (get_args(hint) or (hint,))[0] if get_origin(hint) is tuple else hint
    return (
        inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None
    )


def _with_one_feed(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put the first of several feeds where a single one stands."""
    feeds = tree.get("feed")
    if not isinstance(feeds, list | tuple):
        return tree
    if not feeds:
        raise ConfigError("feed", "expected at least one table [[feed]], was []")
    return {**tree, "feed": feeds[0], MORE_FEEDS: feeds[1:]}


def _as_now(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put keys of former versions where they belong now, aloud."""
    return _with_forecast(_with_options(tree))


def _with_forecast(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read one level as a list of one; leave out the ridge `sfm-rls` had to itself."""
    forecast = tree.get("forecast")
    if not isinstance(forecast, Mapping) or not forecast.keys() & {"level", "loose"}:
        return tree
    if {"level", "levels"} <= forecast.keys():
        raise ConfigError("forecast.level", "stands beside forecast.levels")
    now = {key: value for key, value in forecast.items() if key != "loose"}
    told = "forecast.loose is no longer used: forecast.ridge is that of sfm-rls too"
    if "level" in now:
        level = now.pop("level")
        now["levels"] = [level]
        told = f"forecast.level is a list now: write forecast.levels = [{level}]"
    warnings.warn(told, FutureWarning, stacklevel=2)
    return {**tree, "forecast": now}


def _with_options(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put keys of a connector that stand in [feed] where they belong, aloud."""
    feeds = tree.get("feed")
    if isinstance(feeds, Mapping):
        return {**tree, "feed": _placed(feeds, "feed")}
    if isinstance(feeds, list | tuple):
        each = [_placed(one, f"feed[{i}]") for i, one in enumerate(feeds)]
        return {**tree, "feed": each}
    return tree


def _placed(feed: object, at: str) -> object:
    """Move what no feed shares into the table `options`."""
    if isinstance(feed, Mapping) and FORMER in feed:
        feed = _without_former(feed, at)
    options = feed.get("options", {}) if isinstance(feed, Mapping) else None
    if not (isinstance(feed, Mapping) and isinstance(options, Mapping)):
        return feed
    shared = Feed.__struct_fields__
    near = difflib.get_close_matches
    loose = [k for k in feed if k not in shared and not near(k, shared, 1, A_SLIP)]
    for key in loose:
        if key in options:
            raise ConfigError(f"{at}.{key}", f"stands in [{at}.options] too")
        told = f"{at}.{key} belongs to the connector: write {at}.options.{key}"
        warnings.warn(told, FutureWarning, stacklevel=2)
    moved = {**options, **{key: feed[key] for key in loose}}
    kept = {key: value for key, value in feed.items() if key not in loose}
    return {**kept, "options": moved} if moved else kept


def _without_former(feed: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Move what once had a table of its own into the table `options`."""
    former = feed[FORMER]
    if not isinstance(former, Mapping):
        problem = f"expected a table [{at}.{FORMER}], was {former!r}"
        raise ConfigError(f"{at}.{FORMER}", problem)
    told = f"[{at}.{FORMER}] belongs to the connector: write [{at}.options]"
    warnings.warn(told, FutureWarning, stacklevel=2)
    kept = {key: value for key, value in feed.items() if key != FORMER}
    return {**kept, "options": {**former, **kept.get("options", {})}}


def _lower(text: str) -> str:
    text = text.replace(", got", ", was")
    return text[:1].lower() + text[1:]


def _explain(
    problem: str, at: str, tree: Mapping[str, Any], table: type[msgspec.Struct]
) -> str:
    """Name the value, and what it may be, where msgspec does not."""
    kind: Any = table
    was: Any = tree
    for key in at.split("."):
        if not (_table(kind) and key in was):
            return problem  # it lies deeper, and is named there
        was, kind = was[key], get_type_hints(kind)[key]
    if get_origin(kind) is Literal:
        return f"expected one of {', '.join(get_args(kind))}, was {was!r}"
    return problem if ", was" in problem else f"{problem}, was {was!r}"


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    *sections, key = path.strip().split(".")
    if not (equals and key and sections and all(sections)):
        raise ConfigError("--set", f"expected section.key=value, was {override!r}")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table: Any = tree
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            return  # it is refused with the rest of the tree
    table[key] = parsed


def _refuse_unknown(
    tree: Mapping[str, Any], table: type[msgspec.Struct], at: str
) -> None:
    for key, value in tree.items():
        names = [name for name in table.__struct_fields__ if name != MORE_FEEDS]
        if key not in names:
            raise ConfigError(f"{at}{key}", "unknown key", did_you_mean(key, names))
        if inner := _table(get_type_hints(table)[key]):
            for where, one in _tables(f"{at}{key}", value):
                if not isinstance(one, Mapping):
                    problem = f"expected a table [{where}], was {one!r}"
                    raise ConfigError(where, problem)
                _refuse_unknown(one, inner, f"{where}.")


def _tables(at: str, value: object) -> list[tuple[str, object]]:
    """Name a table, or each of a list of them."""
    if not isinstance(value, list | tuple):
        return [(at, value)]
    return [(f"{at}[{i}]", one) for i, one in enumerate(value)]


def _check(config: Config) -> None:
    """Refuse values that are possible alone but not together."""
    longest = max(h.ticks for h in config.target.horizons)
    if longest > config.learn.max_pending:
        raise ConfigError(
            "learn.max_pending",
            f"expected at least the longest horizon {longest}, "
            f"was {config.learn.max_pending}",
            "raise it or shorten target.horizons",
        )
    if config.learn.every > config.learn.window:
        raise ConfigError(
            "learn.every",
            f"expected at most learn.window = {config.learn.window}, "
            f"was {config.learn.every}",
            "ticks between windows would never be learned from",
        )
    warmup = config.run.warmup
    if not warmup >= 0 or (isinstance(warmup, float) and warmup >= 1):
        raise ConfigError(
            "run.warmup", f"expected a count or a share below 1, was {warmup}"
        )
    _check_experts(config.forecast.experts)
    _check_levels(config.forecast.levels)
    _check_daemon(config.daemon)


def _check_daemon(daemon: Daemon) -> None:
    if daemon.lease.seconds < LEAST_LEASE_S:
        problem = f"expected at least {LEAST_LEASE_S:g} s, was {daemon.lease.text!r}"
        raise ConfigError("daemon.lease", problem)
    try:
        groups = re.compile(daemon.group).groups if daemon.group else 1
    except re.error as e:
        raise ConfigError("daemon.group", f"no regular expression: {e}") from e
    if not groups:
        problem = f"expected a group in parentheses, was {daemon.group!r}"
        raise ConfigError(
            "daemon.group", problem, r"e.g. (\w+)- for what is before a -"
        )


def _check_levels(levels: Sequence[float]) -> None:
    if not levels:
        raise ConfigError("forecast.levels", "expected at least one, was []")
    if sorted(set(levels)) != list(levels):
        problem = f"expected rising levels, was {list(levels)}"
        raise ConfigError("forecast.levels", problem)


def _check_experts(experts: Sequence[str]) -> None:
    if not experts:
        raise ConfigError("forecast.experts", "expected at least one, was []")
    for i, name in enumerate(experts):
        if name not in EXPERTS:
            problem, hint = f"unknown expert {name!r}", did_you_mean(name, EXPERTS)
            raise ConfigError(f"forecast.experts[{i}]", problem, hint)
        if name in experts[:i]:
            raise ConfigError(f"forecast.experts[{i}]", f"{name!r} stands there twice")
