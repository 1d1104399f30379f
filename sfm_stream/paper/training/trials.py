"""Every model and seed: trained once, kept as a file, not trained again."""

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
    """One task with all that is tried on it.

    Attributes:
        name: of the task; names its folder.
        data: what the splits are, in plain values; a result counts for these alone.
        splits: the data.
        schedule: how each model is trained.
        contenders: the models by name.
    """

    name: str
    data: Mapping[str, Any]
    splits: Splits
    schedule: Schedule
    contenders: Mapping[str, Contender]

    def schedule_of(self, name: str) -> Schedule:
        """Give how a model is trained: at its own learning rate, if it has one."""
        lr = self.contenders[name].lr
        return self.schedule if lr is None else self.schedule._replace(lr=lr)


def _nobody(*_: object) -> None:
    """Tell nobody; it has a name, so that another process can be sent it."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how training gets on.

    Attributes:
        say: takes a line for the user.
        progress: takes what is trained, batches done, and batches at most.
    """

    say: Callable[[str], None] = _nobody
    progress: Callable[[str, int, int], None] = _nobody


class Order(NamedTuple):
    """What an experiment is told by whoever wants it.

    Attributes:
        out: the results folder.
        models: names of those to try; all where none is named.
        seeds: of the weights and the order of the sequences.
        device: where to train.
        watch: told how it gets on.
        processes: how many trials are trained at a time.
    """

    out: Path
    models: Sequence[str] = ()
    seeds: Sequence[int] = (0, 1, 2)
    device: str = "cpu"
    watch: Watch = Watch()
    processes: int = 1


def carry_out(experiment: Experiment, order: Order) -> list[Result]:
    """Train every model from every seed, but for what is there already.

    Seeds are the outer loop: after the first, every model has a result.

    Args:
        experiment: the task and its models.
        order: which of them. A result is `<out>/trials/<task>/<model>-<seed>.json`,
            its weights lie beside it; one with other data, another schedule, device or
            torch is made anew.

    Returns:
        By seed and model: `task`, `model`, `seed`, `parameters`, `best`, `history`,
        `skipped`, `seconds`, `valid` and `test` with a mean of each score.

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
    """Give a model with the weights of its result.

    Raises:
        SinkError: if they cannot be read.
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
    """Give the result that is there, if it has these settings; else make and keep it.

    Args:
        path: of the result.
        settings: plain values that a result is known by.
        make: gives the rest of it.

    Raises:
        SinkError: if it cannot be read or written.
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
    """Train a model, keep its weights, and give its figures."""
    from safetensors.torch import save

    title = f"{experiment.name}: {name}, seed {seed}"
    begun = time.monotonic()
    contender = experiment.contenders[name]
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
    return {**result, "seconds": seconds}


def _figures(
    contender: Contender, experiment: Experiment, found: Trained, device: str
) -> Result:
    scores = {
        split: evaluate(
            found.model, contender.objective, sequences,
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
    """Say where the result of a model and a seed is kept."""
    return out / TRIALS / task / f"{name.replace(' ', '-')}-{seed}.json"


def _known(path: Path) -> Result | None:
    """Give the result that is there, if one is."""
    if not path.exists():
        return None
    try:
        result: Result = msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError) as e:
        raise SinkError(str(path), f"cannot be read: {e}", "delete it") from e
    return result
