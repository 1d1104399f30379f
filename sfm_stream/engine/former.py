"""Former names of the engine's methods, kept for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


def renamed(old: str, new: str) -> Callable[..., Any]:
    """Give a method that warns of its new name and calls it.

    Args:
        old: the name that is called.
        new: the name of the method that does the work.
    """

    def call(self: object, *arguments: Any) -> Any:  # noqa: ANN401 as the method's own
        problem = f"Engine.{old} is now Engine.{new}; the old name goes next release"
        warnings.warn(problem, DeprecationWarning, stacklevel=2)
        return getattr(self, new)(*arguments)

    return call


class FormerNames:
    """Lets an engine be called by the names of the last release."""

    begin = renamed("begin", "observe_block")
    finish = renamed("finish", "learn_block")
    expect = renamed("expect", "peek_array")
    answer = renamed("answer", "observe_labelled")
