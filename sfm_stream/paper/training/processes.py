"""Trials trained side by side in processes, for whoever asks for them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from functools import partial
from typing import NamedTuple

import torch

from sfm_stream.evaluate import workers
from sfm_stream.paper.training import trials
from sfm_stream.paper.training.trials import Experiment, Order, Watch

Maker = Callable[[], Experiment]
"""Gives an experiment; made of what another process can be sent."""


class Job(NamedTuple):
    """One model and seed of an experiment.

    Attributes:
        make: gives the experiment.
        order: of the one model and seed.
    """

    make: Maker
    order: Order


def train_ahead(makers: Iterable[Maker], order: Order) -> None:
    """Train what is not there yet in `order.processes`, several trials at a time.

    `trials.carry_out` finds the results. A process trains on one thread, so they are
    the same as without it. One process leaves the work to whoever asks.

    Args:
        makers: of the experiments.
        order: which models and seeds, and where to.

    Raises:
        ConfigError: for a model that an experiment does not have.
        SinkError: if results cannot be read or written.
    """
    if order.processes > 1:
        work = [job for make in makers for job in jobs(make, order)]
        _share(work, order.processes, order.watch)


def jobs(make: Maker, order: Order) -> list[Job]:
    """Give a job per model and seed, in the order in which `trials` has them."""
    names = order.models or list(make().contenders)
    alone = order._replace(watch=Watch(), processes=1)
    return [
        Job(make, alone._replace(models=(name,), seeds=(seed,)))
        for seed in order.seeds
        for name in names
    ]


def _share(work: Sequence[Job], count: int, watch: Watch) -> None:
    """Train in processes that end with this one, and where it cannot go on."""
    alone = partial(torch.set_num_threads, 1)
    with workers.processes(count, tasks_of_each=None, prepare=alone) as pool:
        begun = [pool.submit(_train, job) for job in work]
        for done, one in enumerate(as_completed(begun), 1):
            for line in one.result():
                watch.say(line)
            watch.progress(f"{count} processes", done, len(work))


def _train(job: Job) -> list[str]:
    """Train one trial, and give what is to be said of it."""
    said: list[str] = []
    trials.carry_out(job.make(), job.order._replace(watch=Watch(said.append)))
    return said
