"""The settings that a live process may change while it runs."""

from __future__ import annotations

from typing import Any

from sfm_stream.config import Config, digest, each_feed, leaves, of_model, to_tree
from sfm_stream.errors import ConfigError
from sfm_stream.settings import PIPE
from sfm_stream.storage.run_folder import differing

FED = ("feed", "stream.symbols")
HOT = (*FED, "learn.enabled", "sink", "daemon")
"""Keys and tables that may change."""
COLD = ("daemon.listen",)
"""Keys within these tables that may not change."""
ANEW = "change it back, or start the process anew"
OTHER = "a run keeps its model: change it back, or start a new run with --from"


def expect_hot(before: Config, after: Config) -> None:
    """Refuse a configuration in which other settings changed.

    Raises:
        ConfigError: naming every key that may not change, with both values.
    """
    fed = (*each_feed(before), *each_feed(after))
    # another feed cannot open what is piped in
    piped = any(one.feed.path == PIPE for one in fed)
    fixed = FED if piped else ()
    cold = [
        one
        for one in differences(before, after)
        if not is_hot(one[0]) or _within(one[0], fixed)
    ]
    if cold:
        is_model = digest(of_model(before)) != digest(of_model(after))
        hint = OTHER if is_model else ANEW
        raise ConfigError("reload", f"expected {differing(cold)}", hint)


def differences(before: Config, after: Config) -> list[tuple[str, Any, Any]]:
    """Give key and both values of each difference; None where a key is absent."""
    old, new = dict(leaves(to_tree(before))), dict(leaves(to_tree(after)))
    names = dict.fromkeys([*old, *new])
    return [(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]


def is_hot(key: str) -> bool:
    """Say whether a key may change."""
    return not _within(key, COLD) and _within(key, HOT)


def _within(key: str, places: tuple[str, ...]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)
