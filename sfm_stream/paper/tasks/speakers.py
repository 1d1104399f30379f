"""The phoneme task with every speaker left out once, to separate the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sfm_stream.paper.data import speech
from sfm_stream.paper.output import figures, tables
from sfm_stream.paper.tasks import phonemes
from sfm_stream.paper.training import trials
from sfm_stream.paper.training.processes import train_ahead
from sfm_stream.paper.training.trials import Experiment, Order, Result
from sfm_stream.report.markdown import table

NAME = "speakers"
SCORE = "accuracy"
REFERENCE = "sfm"
"""The model that the others are compared with."""
SURE = 0.95


def carry_out(folder: Path, size: phonemes.Size, order: Order) -> dict[str, Any]:
    """Train and test the models on every fold of the speakers.

    Args:
        folder: of the corpus.
        size: amount of data and schedule.
        order: models, seeds and results folder.

    Returns:
        `models`: by name, `parameters`; `accuracy`, from `tables.spread` over the folds
        (each the mean of its seeds); and `ahead`, the lead of SFM over the model, from
        `difference`, null for SFM itself and without SFM. `text`, the table in
        Markdown. They are written to `speakers.json` and `speakers.md`, with a picture.

    Raises:
        ConfigError: for an unknown model.
        FeedError: if the corpus cannot be used, or has too few speakers.
        SinkError: if results cannot be read or written.
    """
    folds = range(speech.count_folds(folder))
    makers = [partial(experiment, folder, size, fold) for fold in folds]
    train_ahead(makers, order)
    results = [trials.carry_out(make(), order) for make in makers]
    scored = {name: _by_fold(results, name) for name in _names(results)}
    found = {
        name: {
            "parameters": _of(results[0], name)[0]["parameters"],
            SCORE: tables.spread(values),
            "ahead": _ahead(scored, name),
        }
        for name, values in scored.items()
    }
    text = _table(found, len(results), len(order.seeds))
    figure, axes = figures.sheet(1, 1, (7.0, 4.0))
    shown = {name: {"scores": model} for name, model in found.items()}
    figures.side_by_side(axes[0, 0], shown, SCORE, point="a fold")
    figures.save(figure, NAME, order.out)
    tables.keep(NAME, {"models": found}, text, order.out)
    return {"models": found, "text": text}


def experiment(folder: Path, size: phonemes.Size, fold: int) -> Experiment:
    """Make the experiment of a fold.

    Args:
        folder: of the corpus.
        size: amount of data and schedule.
        fold: number of the fold, from 0.

    Raises:
        FeedError: if the corpus cannot be used, or has too few speakers.
    """
    heard = speech.load_fold(folder, fold, size.sentences)
    return phonemes.on(f"{NAME}-{fold + 1}", heard, size.schedule)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Give the mean difference of two models over the same folds, with its interval.

    Args:
        ours: scores of the first model by fold.
        theirs: scores of the second model by fold.

    Returns:
        `mean`; `low` and `high` of the 95 % interval of Student's t, null for one fold.
        Folds share most of their training data, so the interval is somewhat too narrow.
    """
    from scipy.stats import t

    gaps = np.subtract(ours, theirs)
    mean = float(gaps.mean())
    if len(gaps) == 1:
        return {"mean": mean, "low": None, "high": None}
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    reach = float(error * t.ppf((1.0 + SURE) / 2.0, len(gaps) - 1))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def _names(results: Sequence[Sequence[Result]]) -> list[str]:
    return list(dict.fromkeys(result["model"] for result in results[0]))


def _of(results: Sequence[Result], name: str) -> list[Result]:
    return [result for result in results if result["model"] == name]


def _by_fold(results: Sequence[Sequence[Result]], name: str) -> list[float]:
    return [
        float(np.mean([result["test"][SCORE] for result in _of(fold, name)]))
        for fold in results
    ]


def _ahead(scored: Mapping[str, list[float]], name: str) -> dict[str, Any] | None:
    if name == REFERENCE or REFERENCE not in scored:
        return None
    return difference(scored[REFERENCE], scored[name])


def _table(found: Mapping[str, Any], folds: int, seeds: int) -> str:
    rows = [
        [
            name,
            f"{model['parameters']:,}",
            tables.shown(model[SCORE]),
            *_compared(model["ahead"]),
        ]
        for name, model in found.items()
    ]
    head = ["model", "parameters", "accuracy", "SFM is ahead by", "95 % interval",
            "told apart"]  # fmt: skip
    return f"{folds} folds, seeds: {seeds}\n\n{table(head, rows)}"


def _compared(ahead: Mapping[str, Any] | None) -> list[str]:
    if ahead is None:
        return ["", "", ""]
    mean, low, high = ahead["mean"], ahead["low"], ahead["high"]
    if low is None:
        return [f"{mean:+.3f}", "", ""]
    apart = "yes" if low > 0.0 or high < 0.0 else "no"
    return [f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}", apart]
