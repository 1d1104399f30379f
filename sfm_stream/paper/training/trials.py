"""Trains every model and seed once, and stores each result as a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import nn

from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.paper.training.compiled import compiled
from sfm_stream.paper.training.loop import (
    Contender,
    Schedule,
    Splits,
    Trained,
    evaluate,
    train,
)
from sfm_stream.storage import run_folder

TRIALS = "trials"
Result = dict[str, Any]


class Experiment(NamedTuple):
    """One task with its data and models.

    Attributes:
        name: of the task, and of its folder.
        data: plain values that identify the splits; a result is valid only for these.
        splits: the data.
        schedule: of the training.
        contenders: the models by name.
    """

    name: str
    data: Mapping[str, Any]
    splits: Splits
    schedule: Schedule
    contenders: Mapping[str, Contender]

    def schedule_of(self, name: str) -> Schedule:
        """Give the schedule of a model, with its own learning rate if it has one."""
        lr = self.contenders[name].lr
        return self.schedule if lr is None else self.schedule._replace(lr=lr)


def _nobody(*_: object) -> None:
    """Do nothing; a named function, so that it can be sent to another process."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The functions that receive the progress of training.

    Attributes:
        say: takes a line for the user.
        progress: takes a title, the batches done, and the largest number of batches.
    """

    say: Callable[[str], None] = _nobody
    progress: Callable[[str, int, int], None] = _nobody


class Order(NamedTuple):
    """The models, seeds and results folder for an experiment.

    Attributes:
        out: the results folder.
        models: names of the models to train; all if empty.
        seeds: of the weights and the order of the sequences.
        device: for the training.
        watch: receives the progress.
        processes: the number of trials trained at the same time.
        compiled: whether torch compiles the ticks of a training.
    """

    out: Path
    models: Sequence[str] = ()
    seeds: Sequence[int] = (0, 1, 2)
    device: str = "cpu"
    watch: Watch = Watch()
    processes: int = 1
    compiled: bool = False


def carry_out(experiment: Experiment, order: Order) -> list[Result]:
    """Train every model from every seed, unless its result is stored already.

    Seeds are the outer loop: after the first seed, every model has a result.

    Args:
        experiment: the task and its models.
        order: models and seeds. A result is `<out>/trials/<task>/<model>-<seed>.json`,
            with its weights beside it; a result with other data, schedule, device or
            version of torch is made again.

    Returns:
        By seed and model: `task`, `model`, `seed`, `parameters`, `best`, `history`,
        `skipped`, `seconds`, `compiled`; `valid` and `test`, each with the mean of each
        score.

    Raises:
        ConfigError: for a model that the experiment does not have.
        SinkError: if a result cannot be read or written.
    """
    for name in order.models:
        if name not in experiment.contenders:
            problem = f"expected some of {', '.join(experiment.contenders)}"
            raise ConfigError("--models", f"{problem}, was {name!r}")
    return [
        _tried(experiment, name, seed, order)
        for seed in order.seeds
        for name in order.models or experiment.contenders
    ]


def trained(experiment: Experiment, name: str, seed: int, out: Path) -> nn.Module:
    """Build a model with the weights of its result.

    Raises:
        SinkError: if the weights cannot be read.
    """
    from safetensors.torch import load_model

    model = experiment.contenders[name].build(seed)
    path = place(experiment.name, name, seed, out).with_suffix(".safetensors")
    try:
        load_model(model, path)
    except OSError as e:
        problem = f"cannot be read: {e.strerror or e}"
        raise SinkError(str(path), problem, "train it first") from e
    model.eval()
    return model


def once(path: Path, settings: Result, make: Callable[[], Result]) -> Result:
    """Read a stored result if it has these settings; else make and store it.

    Args:
        path: of the result.
        settings: plain values that identify a result; they are part of it.
        make: gives the rest of the result.

    Raises:
        SinkError: if the result cannot be read or written.
    """
    known = _known(path)
    wanted = run_folder.plain(settings)
    if known is not None and all(known.get(k) == v for k, v in wanted.items()):
        return known
    result = run_folder.plain({**wanted, **make()})
    run_folder.write(path, run_folder.to_json(result))
    return result


def _tried(experiment: Experiment, name: str, seed: int, order: Order) -> Result:
    path = place(experiment.name, name, seed, order.out)
    settings = {
        "task": experiment.name,
        "model": name,
        "seed": seed,
        "data": experiment.data,
        "schedule": experiment.schedule_of(name)._asdict(),
        "device": order.device,
        "torch": str(torch.__version__),
    }
    return once(path, settings, lambda: _train(experiment, name, seed, path, order))


def _train(
    experiment: Experiment, name: str, seed: int, path: Path, order: Order
) -> Result:
    """Train a model, store its weights, and give its figures."""
    from safetensors.torch import save

    title = f"{experiment.name}: {name}, seed {seed}"
    begun = time.monotonic()
    contender = experiment.contenders[name]
    if order.compiled:
        contender = compiled(contender)
    found = train(
        contender,
        experiment.splits,
        experiment.schedule_of(name),
        seed=seed,
        device=order.device,
        progress=lambda done, total: order.watch.progress(title, done, total),
    )
    result = _figures(contender, experiment, found, order.device)
    weights = {key: part.cpu() for key, part in found.model.state_dict().items()}
    run_folder.write(path.with_suffix(".safetensors"), save(weights))
    seconds = time.monotonic() - begun
    told = ", ".join(f"{score} {v:.4g}" for score, v in result["test"].items())
    order.watch.say(f"{title}: {told}, {seconds:.0f} s")
    return {**result, "seconds": seconds, "compiled": order.compiled}


def _figures(
    contender: Contender, experiment: Experiment, found: Trained, device: str
) -> Result:
    scores = {
        split: evaluate(
            found.model, contender.objective.scores, sequences,
            experiment.schedule.batch, device,
        )
        for split, sequences in experiment.splits._asdict().items()
        if split != "train"
    }  # fmt: skip
    return {
        "parameters": sum(p.numel() for p in found.model.parameters()),
        "best": found.best,
        "skipped": found.skipped,
        "history": [epoch._asdict() for epoch in found.history],
        **scores,
    }


def place(task: str, name: str, seed: int, out: Path) -> Path:
    """Give the path of the result of a model and a seed."""
    return out / TRIALS / task / f"{name.replace(' ', '-')}-{seed}.json"


def _known(path: Path) -> Result | None:
    """Read the result at a path; give None if there is no file."""
    if not path.exists():
        return None
    try:
        result: Result = msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError) as e:
        raise SinkError(str(path), f"cannot be read: {e}", "delete it") from e
    return result
