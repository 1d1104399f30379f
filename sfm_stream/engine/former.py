"""Former names of the engine's methods, kept for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


def renamed(old: str, new: str) -> Callable[..., Any]:
    """Make a method that warns of its new name and calls the renamed method.

    Args:
        old: the former name.
        new: the present name of the method.
    """

    def call(self: object, *arguments: Any) -> Any:  # noqa: ANN401 as the method's own
        problem = f"Engine.{old} is now Engine.{new}; the old name goes next release"
        warnings.warn(problem, DeprecationWarning, stacklevel=2)
        return getattr(self, new)(*arguments)

    return call


class FormerNames:
    """Adds the method names of the last release to an engine."""

    begin = renamed("begin", "observe_block")
    finish = renamed("finish", "learn_block")
    expect = renamed("expect", "peek_array")
    answer = renamed("answer", "observe_labelled")
