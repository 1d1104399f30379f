"""The content of the report of a suite, as plain data.

A skill is the mean over a set's files, targets and horizons. The intervals of a skill,
and of its distance to the best skill, come from draws of stretches. All models get the
same draws, so the effect of stretches that are hard for all models cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.report.markdown import commit
from sfm_stream.report.run_report import curves
from sfm_stream.running import bootstrap

if TYPE_CHECKING:
    from sfm_stream.events import Floats

TOLD = ("value", "worst", "values", "sign", "winkler", "crps")
SET = ("name", "title", "measure", "best", "source")
PERCENT = 100.0


def gather(
    name: str,
    sets: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    found: Mapping[str, Mapping[str, Any]],
    command: str,
) -> dict[str, Any]:
    """Gather the content of the report.

    Args:
        name: of the suite's folder.
        sets: the keys of `SET` for each set.
        names: of the models.
        found: results per set and model, from `suite.carry_out`; sets left out are
            absent.
        command: the command that made the results.

    Returns:
        Plain data: `name`, `models`, `made` and `sets`.
    """
    return {
        "name": name,
        "models": list(names),
        "made": {"commit": commit(), "command": command},
        "sets": [
            {**{key: one[key] for key in SET}, **_set(found[one["name"]], names)}
            for one in sets
            if one["name"] in found
        ],
    }


def _set(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Give the figures and curves of all models on one set."""
    sums = {name: _sums(found[name]["runs"]) for name in names}
    drawn = {name: _drawn(*pair) for name, pair in sums.items()}
    skills = {name: _skill(*pair) for name, pair in sums.items()}
    known = {name: skill for name, skill in skills.items() if skill is not None}
    best = max(known, key=known.__getitem__, default=None)
    models = {}
    for name in names:
        behind = None if best is None else bootstrap.interval(drawn[best] - drawn[name])
        models[name] = {
            **{key: found[name][key] for key in TOLD},
            "skill": skills[name],
            "interval": bootstrap.interval(drawn[name]),
            "behind": behind,
            **_pace(found[name]["runs"].values()),
        }
    so_far = {name: _so_far(*pair) for name, pair in sums.items()}
    return {
        "models": models,
        "so far": {"share": _shares(so_far), "models": so_far},
    }


def _sums(runs: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Give the squared errors of a model and of the last value [files, stretches]."""
    told = [run["stretches"] for run in runs.values()]
    ours = np.array([one["ours"] for one in told], np.float64)
    theirs = np.array([one["theirs"] for one in told], np.float64)
    moved = theirs.sum(axis=-1) > 0  # skill is undefined for a file without moves
    return ours[moved], theirs[moved]


def _drawn(ours: Floats, theirs: Floats) -> Floats:
    """Give the skill of each draw, the mean over files."""
    if not len(ours):
        return np.full(bootstrap.DRAWS, np.nan)
    mean: Floats = bootstrap.skills(ours, theirs).mean(axis=0)
    return mean


def _skill(ours: Floats, theirs: Floats) -> float | None:
    if not len(ours):
        return None
    return float(np.mean(1 - ours.sum(axis=-1) / theirs.sum(axis=-1)))


def _so_far(ours: Floats, theirs: Floats) -> list[float | None]:
    """Give the skill since the start after each stretch, the mean over files."""
    each = [
        curves.ratio_skill(np.cumsum(mine), np.cumsum(naive))
        for mine, naive in zip(ours, theirs, strict=True)
    ]
    if not each:
        return []
    means = np.mean(each, axis=0)
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in means.tolist()]


def _shares(so_far: Mapping[str, Sequence[float | None]]) -> list[float]:
    """Give the ends of the stretches, in percent of the set."""
    count = max(map(len, so_far.values()), default=0)
    shares: list[float] = np.linspace(0, PERCENT, count + 1)[1:].tolist()
    return shares


def _pace(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Give the lowest pace and the highest memory of all files."""
    return {
        "ticks_per_s": min(run["ticks_per_s"] for run in runs),
        "peak_rss_mib": max(run["peak_rss_mib"] for run in runs),
    }
