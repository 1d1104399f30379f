"""The experts: what each sees, and how much it is trusted at birth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Part = Literal["cell", "inputs", "lags", "errors", "one", "season"]
PARTS: tuple[str, ...] = get_args(Part)
"""What experts of least squares see, side by side in this order."""


class Expert(NamedTuple):
    """One of those that forecast at each tick.

    Attributes:
        trust: share of the trust at the start. Least squares learn first; where they
            find nothing to learn, the last value soon takes their share.
        sees: first and last part of the regressors, one of `PARTS`; () of one that is
            not an expert of least squares.
        forgets: key of `[forecast]` that holds its forgetting factor.
        clips: key of `[forecast]` at which what it sees and learns is clipped.
        careful: whether it begins with the ridge of `[forecast]`; else with 1 for all,
            and follows the first labels at once. The ridge bounds both from then on.
    """

    trust: float
    sees: tuple[()] | tuple[Part, Part] = ()
    forgets: Literal["forgetting", "fast", "soon"] = "forgetting"
    clips: Literal["input_clip", "wide_clip"] = "input_clip"
    careful: bool = True


EXPERTS: Mapping[str, Expert] = {
    "last": Expert(7.0),
    "rls": Expert(6.0, ("inputs", "season")),
    "rls-fast": Expert(1.0, ("lags", "one"), "fast"),
    "sfm": Expert(3.0),
    "sfm-rls": Expert(2.0, ("cell", "season")),
    "sfm-rls-wide": Expert(2.0, ("cell", "season"), "soon", "wide_clip", careful=False),
}
"""All experts; one more line is one more expert of least squares."""
