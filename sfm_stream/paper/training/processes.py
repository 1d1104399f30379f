"""Trains trials in several processes; `trials.carry_out` then finds the results."""

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
"""Makes an experiment; a function that can be sent to another process."""


class Job(NamedTuple):
    """One model and seed of an experiment.

    Attributes:
        make: makes the experiment.
        order: for one model and one seed.
    """

    make: Maker
    order: Order


def train_ahead(makers: Iterable[Maker], order: Order) -> None:
    """Train the trials without a result in `order.processes` processes.

    `trials.carry_out` finds the results afterwards. A process trains on one thread, so
    the results are the same as without processes. With one process this does nothing:
    `trials.carry_out` trains.

    Args:
        makers: of the experiments.
        order: models, seeds and results folder.

    Raises:
        ConfigError: for a model that an experiment does not have.
        SinkError: if results cannot be read or written.
    """
    if order.processes > 1:
        work = [job for make in makers for job in jobs(make, order)]
        _share(work, order.processes, order.watch)


def jobs(make: Maker, order: Order) -> list[Job]:
    """List a job per model and seed, in the order of `trials.carry_out`."""
    names = order.models or list(make().contenders)
    alone = order._replace(watch=Watch(), processes=1)
    return [
        Job(make, alone._replace(models=(name,), seeds=(seed,)))
        for seed in order.seeds
        for name in names
    ]


def _share(work: Sequence[Job], count: int, watch: Watch) -> None:
    """Run jobs in processes that end with this process, also if it fails."""
    alone = partial(torch.set_num_threads, 1)
    with workers.processes(count, tasks_of_each=None, prepare=alone) as pool:
        begun = [pool.submit(_train, job) for job in work]
        for done, one in enumerate(as_completed(begun), 1):
            for line in one.result():
                watch.say(line)
            watch.progress(f"{count} processes", done, len(work))


def _train(job: Job) -> list[str]:
    """Train one trial; give the lines for the user."""
    said: list[str] = []
    trials.carry_out(job.make(), job.order._replace(watch=Watch(said.append)))
    return said
