"""Find classes by their names in settings: our own, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from sfm_stream.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Sort:
    """A kind of class that settings can name, such as a connector.

    Attributes:
        noun: the word for this kind in messages.
        offers: names of the attributes that such a class must have.
        says_more: the class or page that documents this kind.
        own: our classes by name, each as `package.module:Class`.
        others: further valid names, used only in hints.
        group: group of entry points for classes of installed packages, or empty.
    """

    noun: str
    offers: tuple[str, ...]
    says_more: str
    own: Mapping[str, str] = field(default_factory=dict)
    others: Iterable[str] = ()
    group: str = ""


def class_of(name: str, at: str, sort: Sort) -> Any:  # noqa: ANN401 any package's class
    """Find the class that a setting names.

    Args:
        name: name of one of our classes, name that an installed package declares, or
            `package.module:Class` of any package.
        at: the setting's key, for errors.
        sort: the kind of class.

    Raises:
        ConfigError: if there is no such class, or it is of another kind.
    """
    place = sort.own.get(name) or _installed(name, sort.group) or name
    module, colon, attribute = place.partition(":")
    if not (colon and module and attribute):
        own = f"a {sort.noun} of your own is named `package.module:Class`"
        hint = did_you_mean(name, [*sort.own, *sort.others]) or own
        raise ConfigError(at, f"expected a {sort.noun}, was {name!r}", hint)
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
    """Give the `package.module:Class` that an installed package declares, or empty."""
    points = entry_points(group=group, name=name) if group else ()
    return next((point.value for point in points), "")
