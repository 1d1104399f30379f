"""The slides' figure 5, and the windows and frequencies that the gates produce."""

from __future__ import annotations

from typing import Any

import numpy as np

from sfm_stream.paper.analyses import expansion, portraits
from sfm_stream.paper.analyses.expansion import Trace
from sfm_stream.paper.analyses.variants import cell_of
from sfm_stream.paper.output import tables
from sfm_stream.paper.training import trials
from sfm_stream.paper.training.trials import Experiment, Order
from sfm_stream.report.markdown import table

MODELS = ("sfm", "a-sfm")


def carry_out(experiment: Experiment, order: Order) -> dict[str, Any]:
    """Train SFM and A-SFM on a task, if not done before, and analyse their memories.

    Args:
        experiment: the task; the analysis uses the first sequence of its test split.
        order: the results folder, and the seed, the first of its seeds; its models are
            ignored.

    Returns:
        `task`, `seed`, `models` with the figures of each, `text`, the table. They are
        written to `spectra-<task>.json` and `.md`, with four pictures.

    Raises:
        SinkError: if results cannot be read or written.
    """
    seed = order.seeds[0]
    trials.carry_out(experiment, order._replace(models=MODELS, seeds=(seed,)))
    x = experiment.splits.test.x[0]
    seen = {
        name: expansion.trace(
            cell_of(trials.trained(experiment, name, seed, order.out)), x
        )
        for name in MODELS
    }
    name = f"spectra-{experiment.name}"
    portraits.amplitudes(seen, f"{name}-amplitudes", order.out)
    portraits.windows(seen, f"{name}-windows", order.out)
    portraits.transform(seen["sfm"], f"{name}-transform", order.out)
    portraits.frequencies(seen["a-sfm"], x.numpy(), f"{name}-frequencies", order.out)
    models = {model: figures(trace) for model, trace in seen.items()}
    found = {"task": experiment.name, "seed": seed, "models": models}
    text = _table(models)
    tables.keep(name, found, text, order.out)
    return {**found, "text": text}


def figures(seen: Trace) -> dict[str, Any]:
    """Give the figures behind the pictures.

    Returns:
        `expansion_error`, relative; `window`, ticks, the shortest, median and longest
        of all states and frequencies at the end; `omega`, radians per tick, for each
        frequency its value on the grid, its lowest and its highest value; `amplitude`,
        by tick, [K, D].
    """
    last = len(seen.forget) - 1
    lengths = expansion.lengths(seen, last)
    return {
        "expansion_error": expansion.error(seen),
        "window": [float(f(lengths)) for f in (np.min, np.median, np.max)],
        "omega": np.stack(
            [seen.rest, seen.omega.min(0), seen.omega.max(0)], -1
        ).tolist(),
        "amplitude": {
            t + 1: np.abs(seen.memory[t]).tolist()
            for t in portraits.quarters(len(seen.forget))
        },
    }


def _table(models: dict[str, Any]) -> str:
    rows = []
    for name, found in models.items():
        shortest, median, longest = found["window"]
        moved = max(high - low for _, low, high in found["omega"])
        rows.append([
            name, f"{found['expansion_error']:.1e}", f"{shortest:.1f}",
            f"{median:.1f}", f"{longest:.1f}", f"{moved:.3f}",
        ])  # fmt: skip
    head = ["model", "expansion error", "shortest window, ticks", "median",
            "longest", "frequencies move, rad/tick"]  # fmt: skip
    return table(head, rows)
