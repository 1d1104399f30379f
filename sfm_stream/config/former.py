"""Moves keys of former versions to their present places, with a warning."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from typing import Any

from sfm_stream.errors import ConfigError
from sfm_stream.settings import Feed

# similarity above which an unknown key counts as a misspelt key of [feed]
A_SLIP = 0.8
ONCE_SHARED = {
    "venue": "binance", "url": "", "channel": "", "dataset": "WaterFlow",
    "signal": "tones", "ticks": 20_000, "noise": 0.1, "seed": 0,
}  # fmt: skip
"""Keys that all feeds once had, with their defaults. Old runs wrote these defaults into
their settings; they are dropped."""
FORMER = "json"
"""The table in [feed] that held the options of the connector of this name."""


def as_now(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Move keys of former versions to their present places, with a warning."""
    return _with_forecast(_with_options(tree))


def _with_forecast(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Turn `level` into a list; drop `loose`, the former ridge of `sfm-rls`."""
    forecast = tree.get("forecast")
    if not isinstance(forecast, Mapping) or not forecast.keys() & {"level", "loose"}:
        return tree
    if {"level", "levels"} <= forecast.keys():
        problem = "expected forecast.levels alone, was forecast.level too"
        raise ConfigError("forecast.level", problem, "leave it out")
    now = {key: value for key, value in forecast.items() if key != "loose"}
    told = "forecast.loose is no longer used: forecast.ridge is that of sfm-rls too"
    if "level" in now:
        level = now.pop("level")
        now["levels"] = [level]
        told = f"forecast.level is a list now: write forecast.levels = [{level}]"
    warnings.warn(told, FutureWarning, stacklevel=2)
    return {**tree, "forecast": now}


def _with_options(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Move a connector's keys from [feed] to [feed.options], with a warning."""
    feeds = tree.get("feed")
    if isinstance(feeds, Mapping):
        return {**tree, "feed": _placed(feeds, "feed")}
    if isinstance(feeds, list | tuple):
        each = [_placed(one, f"feed[{i}]") for i, one in enumerate(feeds)]
        return {**tree, "feed": each}
    return tree


def _placed(feed: object, at: str) -> object:
    """Move keys that not all feeds have into the table `options`."""
    if isinstance(feed, Mapping):
        feed = {k: v for k, v in feed.items() if ONCE_SHARED.get(k) != v}
        feed = _without_former(feed, at) if FORMER in feed else feed
    options = feed.get("options", {}) if isinstance(feed, Mapping) else None
    if not (isinstance(feed, Mapping) and isinstance(options, Mapping)):
        return feed
    shared = Feed.__struct_fields__
    near = difflib.get_close_matches
    loose = [k for k in feed if k not in shared and not near(k, shared, 1, A_SLIP)]
    for key in loose:
        if key in options:
            problem = f"expected it in [{at}.options] alone, was in [{at}] too"
            raise ConfigError(f"{at}.{key}", problem, "leave it out of one")
        told = f"{at}.{key} belongs to the connector: write {at}.options.{key}"
        warnings.warn(told, FutureWarning, stacklevel=2)
    moved = {**options, **{key: feed[key] for key in loose}}
    kept = {key: value for key, value in feed.items() if key not in loose}
    return {**kept, "options": moved} if moved else kept


def _without_former(feed: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Move the former table `json` into the table `options`."""
    former = feed[FORMER]
    if not isinstance(former, Mapping):
        problem = f"expected a table [{at}.{FORMER}], was {former!r}"
        raise ConfigError(f"{at}.{FORMER}", problem)
    told = f"[{at}.{FORMER}] belongs to the connector: write [{at}.options]"
    warnings.warn(told, FutureWarning, stacklevel=2)
    kept = {key: value for key, value in feed.items() if key != FORMER}
    return {**kept, "options": {**former, **kept.get("options", {})}}
