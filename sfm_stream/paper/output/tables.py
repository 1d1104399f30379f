"""Summarises the results of all seeds: mean and spread of every score, as tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfm_stream.paper.training.trials import Result
from sfm_stream.report import markdown
from sfm_stream.storage import run_folder

NOT_RUN = "not run"
"""Replaces the figures of a model that was not run."""


def fold(results: Sequence[Result]) -> dict[str, Any]:
    """Summarise the scores of all seeds on the test split, by model.

    Args:
        results: the results of `trials.carry_out`.

    Returns:
        `{model: {"parameters", "seeds", "epochs", "seconds", "skipped", "scores"}}`,
        with the mean epoch of the best weights and the mean seconds. A score has
        `mean`, `sd` (sample standard deviation; null for one seed), `low`, `high` and
        `values` in the order of the seeds. A score is left out if the trial of an older
        version lacks it.
    """
    found = {}
    for name in dict.fromkeys(result["model"] for result in results):
        mine = [result for result in results if result["model"] == name]
        found[name] = {
            "parameters": mine[0]["parameters"],
            "seeds": [result["seed"] for result in mine],
            "epochs": float(np.mean([result["best"] for result in mine])),
            "seconds": float(np.mean([result["seconds"] for result in mine])),
            "skipped": sum(result["skipped"] for result in mine),
            "scores": {
                score: spread([result["test"][score] for result in mine])
                for score in mine[0]["test"]
                if all(score in result["test"] for result in mine)
            },
        }
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Give mean, sample standard deviation (null for one value), bounds, and values."""
    several = len(values) > 1
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if several else None,
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }


def shown(score: Mapping[str, Any], digits: int = 3) -> str:
    """Write a score as `mean ± sd`, or as its only value."""
    mean, sd = score["mean"], score["sd"]
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def origin() -> dict[str, str]:
    """Give the running `command`, and the `commit` of its code."""
    command = " ".join(["sfm-stream", *sys.argv[1:]])
    return {"command": command, "commit": markdown.commit()}


def keep(name: str, tree: Mapping[str, Any], text: str, out: Path) -> None:
    """Write `<name>.json` and `<name>.md` with the command and commit that made them.

    Args:
        name: of the experiment.
        tree: the results.
        text: the results as tables in Markdown.
        out: the results folder.

    Raises:
        SinkError: if the disk is full or refuses.
    """
    made = origin()
    run_folder.write(out / f"{name}.json", run_folder.to_json({**tree, **made}))
    by = f"```text\n{made['command']}\n```"
    note = f"Made at commit {made['commit']} by\n\n{by}\n"
    run_folder.write(out / f"{name}.md", f"{text}\n\n{note}".encode())
