"""Refuses targets that are columns of the file but no fields of the feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.feeds import Explained
from sfm_stream.state import inputs

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed


def expect_targets(config: Config, feed: Feed) -> None:
    """Refuse a target that is a column of the file but no field, and say why.

    A derived value of the same name is not used in its place.

    Raises:
        ConfigError: naming the target and the fix.
    """
    if not isinstance(feed, Explained):
        return
    columns, left_out = feed.columns, feed.left_out
    for i, name in enumerate(config.target.values):
        at = f"target.values[{i}]"
        if name in feed.fields:
            continue
        if name in columns:
            why = left_out.get(name, "is not among stream.fields")
            hint = f"add {name!r} to stream.fields"
            raise ConfigError(at, f"column {name!r} is no field: it {why}", hint)
        if name not in inputs.DERIVED and (near := did_you_mean(name, feed.fields)):
            problem = f"expected a field or derived value, was {name!r}"
            raise ConfigError(at, problem, near)
