"""Ranks the points of a sweep by skill: a table for people, Parquet for programs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sfm_stream import config
from sfm_stream.errors import SinkError, listed
from sfm_stream.evaluate import kept
from sfm_stream.evaluate.sweep import carry_out, grid
from sfm_stream.running import bootstrap, metrics
from sfm_stream.storage import run_folder

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.evaluate.sweep.grid import Grid
    from sfm_stream.events import Floats

Interval = tuple[float, float] | None
FIGURES = (*metrics.COMPARED, "skill")
RESULTS, POINTS = "results.parquet", "points"
ELSEWHERE = "name another folder with --out, or remove this file"
TOLD = ("skill", "90 % interval", "behind the best", "seconds")


class Place(NamedTuple):
    """A point with its skill and intervals.

    Attributes:
        values: of the settings that vary.
        skill: mean over targets and horizons; None if no forecast was scored.
        interval: 90 % interval of the skill.
        behind: 90 % interval of the best point's skill minus this skill, from the same
            draws of stretches; None if the two are scored on other ticks, targets or
            horizons.
        seconds: of computing.
    """

    values: tuple[str, ...]
    skill: float | None
    interval: Interval
    behind: Interval
    seconds: float


def rank(
    points: Sequence[tuple[str, ...]], results: Sequence[Mapping[str, Any]]
) -> list[Place]:
    """Order points by skill, the best first.

    Args:
        points: their values.
        results: of the points, as `part.measure` gives them.
    """
    skills = [_skill(result) for result in results]
    drawn = [_draws(result["cells"]) for result in results]
    on = [_scored_on(result["cells"]) for result in results]
    order = sorted(range(len(points)), key=lambda i: _last_if_none(skills[i]))
    best = order[0]
    return [
        Place(
            points[i],
            skills[i],
            bootstrap.interval(drawn[i]),
            bootstrap.interval(drawn[best] - drawn[i]) if on[i] == on[best] else None,
            results[i]["seconds"],
        )
        for i in order
    ]


def told(place: Place) -> list[str]:
    """Give a row of the table: the point's values, then a text for each of `TOLD`."""
    skill = "-" if place.skill is None else f"{place.skill:.4f}"
    behind = "best" if place.behind == (0.0, 0.0) else _ends(place.behind)
    if place.interval is not None and place.behind is None:
        behind = "other ticks"
    ends = _ends(place.interval), behind
    return [*place.values, skill, *ends, f"{place.seconds:.3g}"]


def remarks(
    points: Sequence[tuple[str, ...]], results: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Name the groups of comparable points, and the reasons for absent figures.

    Args:
        points: their values.
        results: of the points, as `part.measure` gives them.
    """
    together: dict[str, list[str]] = {}
    for point, result in zip(points, results, strict=True):
        account = result["account"]
        idle = [] if account["taken"] else ["; ".join(["no tick", *account["causes"]])]
        for line in [*idle, *result["remarks"]]:
            together.setdefault(line, []).append(" ".join(point))
    return [
        *_apart(points, results),
        *(
            line if len(those) == len(points) else f"{listed(those)}: {line}"
            for line, those in together.items()
        ),
    ]


def _apart(
    points: Sequence[tuple[str, ...]], results: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Name the groups of points if skills are comparable only within groups."""
    groups: dict[str, list[str]] = {}
    for point, result in zip(points, results, strict=True):
        if _skill(result) is not None:
            on = repr(_scored_on(result["cells"]))
            groups.setdefault(on, []).append(" ".join(point))
    if len(groups) > 1:
        named = " | ".join(listed(group) for group in groups.values())
        yield (
            "skills compare only among what is scored on the same ticks, targets and "
            f"horizons: {named}"
        )


def _scored_on(cells: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Give a value that is equal for points that were scored on the same truths.

    The errors of the last value do not depend on the model.
    """
    return [(c["target"], c["horizon"], c["scored"], c["theirs"]) for c in cells]


def _ends(interval: Interval) -> str:
    return "-" if interval is None else f"{interval[0]:.4f}, {interval[1]:.4f}"


def identities(tried: Sequence[Config]) -> list[str]:
    """Give the identity of each point: a digest of all its settings."""
    return [kept.key(config.to_tree(one)) for one in tried]


def expect_own(folder: Path, own: Sequence[str]) -> None:
    """Refuse a folder of other files, or of points that are not in this sweep.

    Args:
        folder: of the sweep.
        own: identities of this sweep's points, from `identities`.

    Raises:
        SinkError: saying what to do; also if the file is damaged or no Parquet.
    """
    run_folder.expect_free(folder, (RESULTS, carry_out.POINTS))
    path = folder / RESULTS
    if not path.exists():
        return
    if not set(_points_in(path)) <= set(own):
        raise SinkError(str(path), "holds the results of another sweep", ELSEWHERE)


def _points_in(path: Path) -> list[str]:
    """Read the identities of the points in a `results.parquet`."""
    import polars as pl

    try:
        return pl.read_parquet_metadata(path).get(POINTS, "another sweep").split()
    except (pl.exceptions.PolarsError, OSError) as e:
        problem = "expected the results of a sweep, was a damaged or another file"
        raise SinkError(str(path), problem, ELSEWHERE) from e


def keep(
    folder: Path,
    chosen: Grid,
    points: Sequence[tuple[str, ...]],
    results: Sequence[Mapping[str, Any]],
    own: Sequence[str],
) -> Path:
    """Write `results.parquet`: a row per point, target and horizon.

    Args:
        folder: of the sweep.
        chosen: the settings that vary; each gets a column.
        points: their values.
        results: of the points, as `part.measure` gives them.
        own: identities of the points; `expect_own` reads them back.

    Raises:
        SinkError: if the disk is full or refuses.
    """
    import polars as pl

    rows = [
        {**_named(chosen, point), **_row(cell), "seconds": result["seconds"]}
        for point, result in zip(points, results, strict=True)
        for cell in result["cells"]
    ]
    content, path = io.BytesIO(), folder / RESULTS
    table = pl.DataFrame(rows, infer_schema_length=None)
    table.write_parquet(content, metadata={POINTS: " ".join(own)})
    run_folder.write(path, content.getvalue())
    return path


def _skill(result: Mapping[str, Any]) -> float | None:
    known = [cell["skill"] for cell in result["cells"] if cell["skill"] is not None]
    return sum(known) / len(known) if known else None


def _last_if_none(skill: float | None) -> float:
    return np.inf if skill is None else -skill


def _draws(cells: Sequence[Mapping[str, Any]]) -> Floats:
    """Give the skill of each draw, the mean over targets and horizons."""
    sums = [
        [cell["ours"], cell["theirs"]] for cell in cells if cell["skill"] is not None
    ]
    if not sums:
        return np.full(bootstrap.DRAWS, np.nan)
    both = np.array(sums, np.float64)
    mean: Floats = bootstrap.skills(both[:, 0], both[:, 1]).mean(axis=0)
    return mean


def _named(chosen: Grid, point: Sequence[str]) -> dict[str, object]:
    """Give a point's values by key, as numbers if all values of the key are numbers."""
    named: dict[str, object] = {}
    for (key, values), value in zip(chosen.varied.items(), point, strict=True):
        kinds = {type(grid.plain(one)) for one in values}
        if kinds <= {int, float}:
            named[key] = (float if float in kinds else int)(value)
        else:
            named[key] = value
    return named


def _row(cell: Mapping[str, Any]) -> dict[str, object]:
    low, high = bootstrap.interval(_draws([cell])) or (None, None)
    said = ("target", "horizon", "scored", *FIGURES)
    return {**{name: cell[name] for name in said}, "skill_low": low, "skill_high": high}
