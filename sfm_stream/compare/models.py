"""Who can be compared: our engine as it is, with another cell, and without one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.config import Config


def _sfm(config: Config) -> Config:
    return replace(config, model=replace(config.model, cell="sfm"))


def _a_sfm(config: Config) -> Config:
    return replace(config, model=replace(config.model, cell="a-sfm"))


def _no_cell(config: Config) -> Config:
    experts = tuple(e for e in config.forecast.experts if "sfm" not in e)
    return replace(config, forecast=replace(config.forecast, experts=experts))


ENGINES: Mapping[str, Callable[[Config], Config]] = {
    "sfm": _sfm,
    "a-sfm": _a_sfm,
    "no-cell": _no_cell,
}
"""Our engine: by name, the settings it is compared with."""


def check(models: Sequence[str]) -> None:
    """Refuse names of models that are none.

    Raises:
        ConfigError: naming the nearest that is one.
    """
    for name in models:
        if name not in ENGINES:
            near = difflib.get_close_matches(name, ENGINES, 1)
            known = f"known: {', '.join(ENGINES)}"
            hint = f"did you mean {near[0]!r}?" if near else known
            raise ConfigError("--models", f"unknown model {name!r}", hint)
