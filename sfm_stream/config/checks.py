"""Refuses values that are valid alone but not together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import json

from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.settings import EXPERTS, Config, Daemon

LEAST_LEASE_S = 1.0
"""Seconds; a process renews its lease four times per second."""


def check(config: Config) -> None:
    """Refuse values that are valid alone but not together."""
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
    _check_schedule(config)
    warmup = config.run.warmup
    if not warmup >= 0 or (isinstance(warmup, float) and warmup >= 1):
        raise ConfigError(
            "run.warmup", f"expected a count or a share below 1, was {warmup}"
        )
    _check_experts(config.forecast.experts)
    expect_once("forecast.experts", config.forecast.experts)
    expect_once("stream.fields", config.stream.fields)
    _check_levels(config.forecast.levels)
    _check_daemon(config.daemon)


def expect_once(at: str, names: Sequence[str]) -> None:
    """Refuse a name that is given twice.

    Args:
        at: the key of the names.
        names: in their order.

    Raises:
        ConfigError: naming the key and the place of the second one.
    """
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            problem = f"expected each name once, was {name!r} twice"
            raise ConfigError(f"{at}[{i}]", problem, "leave one out")
        seen.add(name)


def _check_schedule(config: Config) -> None:
    if config.learn.schedule != "striped":
        return
    for where, value, wanted in (
        ("model.shared", config.model.shared, False),
        ("run.backend", config.run.backend, "numba"),
        ("run.device", config.run.device, "cpu"),
    ):
        if value not in (wanted, "auto"):
            expected, was = (json.encode(v).decode() for v in (wanted, value))
            problem = f'expected {expected} with learn.schedule = "striped", was {was}'
            raise ConfigError(where, problem, 'set learn.schedule = "staggered"')


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
            problem = f"expected an expert, was {name!r}"
            hint = did_you_mean(name, EXPERTS)
            raise ConfigError(f"forecast.experts[{i}]", problem, hint)
