"""The settings that decide a model and its records; a resumed run needs equal ones."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec.structs import replace

from sfm_stream.config.catalogue import leaves
from sfm_stream.config.reading import to_tree
from sfm_stream.settings import Config

LATER = (
    ("stream", "max_streams"),
    ("stream", "columns"),
    ("stream", "names"),
    ("features", "seasons"),
    ("learn", "replay"),
    ("forecast", "soon"),
    ("forecast", "wide_clip"),
    ("model", "shared"),
    ("features", "widest"),
    ("features", "most"),
    ("features", "helpers"),
    ("features", "screened"),
)
"""Table and key of settings newer than the first runs, whose digests must last."""
TOGETHER = "together"
"""The schedule of runs older than the key `learn.schedule`."""
STRIPED = "striped"
"""The schedule whose state does not fit the other schedules."""
FIRST_EXPERTS = ("last", "rls", "rls-fast", "sfm", "sfm-rls")


def digest(config: Config) -> str:
    """Give the SHA-256 of the settings that decide the records."""
    keep = msgspec.json.encode(_deciding(config), order="sorted")
    return hashlib.sha256(keep).hexdigest()


def changes(before: Config, after: Config) -> list[tuple[str, Any, Any]]:
    """Give key and both values of settings that change the records; None if absent."""
    old, new = (dict(leaves(_deciding(one))) for one in (before, after))
    names = dict.fromkeys([*old, *new])
    return [(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]


def _deciding(config: Config) -> dict[str, Any]:
    tree = to_tree(config)
    keep = {k: tree[k] for k in ("stream", "target", "features", "model", "learn",
                                 "forecast")}  # fmt: skip
    keep["seed"] = config.run.seed
    for table, key in LATER:  # at its default it changes no record
        if keep[table][key] in (None, getattr(getattr(Config(), table), key)):
            del keep[table][key]
    if config.learn.schedule != STRIPED:
        del keep["learn"]["schedule"]  # a state fits both other schedules
    if len(config.forecast.levels) == 1:  # the first runs had only `level`
        (keep["forecast"]["level"],) = keep["forecast"].pop("levels")
    return keep


def of_first_runs(config: Config) -> Config:
    """Replace present defaults with the defaults of the first runs."""
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
    """Give the settings that decide the model; reset the others to their defaults.

    The names of the streams and whether the model learns may change between runs, and
    within a live run. It does not matter either whether the streams are columns of one
    file or files of their own.
    """
    return replace(
        config,
        stream=replace(config.stream, symbols=(), columns="fields", names="feed"),
        learn=replace(config.learn, enabled=True),
    )
