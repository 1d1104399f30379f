"""The experts: the regressors and the initial trust of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Part = Literal["cell", "inputs", "lags", "errors", "one", "season"]
PARTS: tuple[str, ...] = get_args(Part)
"""Parts of the regressors of least-squares experts, in the order of the columns."""


class Expert(NamedTuple):
    """An expert, which forecasts at each tick.

    Attributes:
        trust: initial weight, relative to the other experts. Least-squares experts
            learn first; where there is nothing to learn, the last value soon takes
            their share.
        sees: first and last part of its regressors, of `PARTS`; () if it is not a
            least-squares expert.
        forgets: key of `[forecast]` that holds its forgetting factor.
        clips: key of `[forecast]` that holds the clip of its inputs and labels.
        careful: whether it begins with the ridge of `[forecast]`; else it begins with a
            ridge of 1 and follows the first labels at once. Afterwards the ridge of
            `[forecast]` bounds both.
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
"""All experts; a further line adds a least-squares expert."""
