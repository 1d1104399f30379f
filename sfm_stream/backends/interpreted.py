"""Runs compiled modules from their Python source, to replace some functions."""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Functions that call the cell's stages. Other compiled functions stay compiled.
INTERPRETED = ("advance", "update", "step_together")


def is_inlined(value: Any) -> bool:
    """Say whether compiled code inlines a function."""
    return getattr(value, "targetoptions", {}).get("inline") == "always"


def source(value: Any) -> Any:
    """Give the source of an inlined function: compiled it would not give views."""
    return value.py_func if is_inlined(value) else value


def interpret(
    module: ModuleType, stages: dict[str, SimpleNamespace]
) -> SimpleNamespace:
    """Rebuild a module of the tick from its source, with other stages."""
    space = vars(opened(module)) | stages
    for name, value in vars(module).items():
        mine = getattr(value, "__module__", "") == module.__name__
        if mine and (name in INTERPRETED or is_inlined(value)):
            space[name] = FunctionType(value.py_func.__code__, space)
    return SimpleNamespace(**space)


def opened(module: ModuleType, **instead: Callable[..., Any]) -> SimpleNamespace:
    """Give the names of a module: inlined functions as source, some replaced."""
    names = {name: source(value) for name, value in vars(module).items()}
    return SimpleNamespace(**(names | instead))
