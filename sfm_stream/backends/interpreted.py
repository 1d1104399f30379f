"""Compiled modules taken as their source, so that some functions can be replaced."""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Functions that call the cell's stages. What else is compiled there stays so.
INTERPRETED = ("advance", "update", "step_together")


def is_inlined(value: Any) -> bool:
    """Say whether compiled code takes a function in instead of calling it."""
    return getattr(value, "targetoptions", {}).get("inline") == "always"


def source(value: Any) -> Any:
    """Give what is inlined as its source: compiled, it gives numbers, not views."""
    return value.py_func if is_inlined(value) else value


def interpret(
    module: ModuleType, stages: dict[str, SimpleNamespace]
) -> SimpleNamespace:
    """Rebuild a module of the tick from its source over other stages."""
    space = vars(opened(module)) | stages
    for name, value in vars(module).items():
        mine = getattr(value, "__module__", "") == module.__name__
        if mine and (name in INTERPRETED or is_inlined(value)):
            space[name] = FunctionType(value.py_func.__code__, space)
    return SimpleNamespace(**space)


def opened(module: ModuleType, **instead: Callable[..., Any]) -> SimpleNamespace:
    """Give the names of a module, what is inlined as its source, some replaced."""
    names = {name: source(value) for name, value in vars(module).items()}
    return SimpleNamespace(**(names | instead))
