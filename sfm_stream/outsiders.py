"""Classes by the names that settings give them: our own, and anyone's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from sfm_stream.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Sort:
    """What a name stands for.

    Attributes:
        noun: what people call it.
        offers: names that its class must have.
        says_more: where it is written down.
        own: places of ours, by name: `package.module:Class`.
        others: further names that are ours.
        group: entry points in which installed packages name theirs; or empty.
    """

    noun: str
    offers: tuple[str, ...]
    says_more: str
    own: Mapping[str, str] = field(default_factory=dict)
    others: Iterable[str] = ()
    group: str = ""


def class_of(name: str, at: str, sort: Sort) -> Any:  # noqa: ANN401 anyone's class
    """Find a class.

    Args:
        name: one of our own, one that an installed package declares, or
            `package.module:Class` of anyone's.
        at: key that named it.
        sort: what it is to be.

    Raises:
        ConfigError: if there is none, or it is something else.
    """
    place = sort.own.get(name) or _installed(name, sort.group) or name
    module, colon, attribute = place.partition(":")
    if not (colon and module and attribute):
        own = f"a {sort.noun} of your own is named `package.module:Class`"
        hint = did_you_mean(name, [*sort.own, *sort.others]) or own
        raise ConfigError(at, f"unknown {sort.noun} {name!r}", hint)
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, TypeError) as e:  # of a relative name
        if name in sort.own:
            raise
        raise ConfigError(at, f"{name!r} cannot be imported: {e}") from e
    if not (isinstance(found, type) and all(hasattr(found, o) for o in sort.offers)):
        problem = f"expected a class with {', '.join(sort.offers)}, was {name!r}"
        raise ConfigError(at, problem, f"{sort.says_more} says more")
    return found


def _installed(name: str, group: str) -> str:
    """Find where an installed package says a class is; empty if none does."""
    points = entry_points(group=group, name=name) if group else ()
    return next((point.value for point in points), "")
