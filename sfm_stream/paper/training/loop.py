"""The one training loop of the paper's experiments.

A task is data and functions: sequences, what a batch costs, what it scores. The loop
knows nothing else of it, so labels per sequence, labels per tick and likelihoods per
frame are trained by the same lines.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sfm_stream.paper.data.sequences import Batch, Sequences, batches

Progress = Callable[[int, int], None]
"""Takes how many batches are done, and of how many at most."""


class Objective(NamedTuple):
    """What is learned, and how well; lower is better of `loss` and of what is watched.

    Attributes:
        loss: of a model on a batch, a value per item [n]: a sequence, or a tick that
            is there. Its mean is descended.
        scores: likewise, by name; the mean over all items is reported.
        watched: the score whose mean on the validation split says when to stop.
    """

    loss: Callable[[nn.Module, Batch], Tensor]
    scores: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    watched: str


class Contender(NamedTuple):
    """A model that can be trained.

    Attributes:
        build: gives it at birth, from a seed.
        objective: what it learns.
        lr: its own learning rate; None is the schedule's.
    """

    build: Callable[[int], nn.Module]
    objective: Objective
    lr: float | None = None


class Splits(NamedTuple):
    """A data set: what is learned from, what says when to stop, what is reported."""

    train: Sequences
    valid: Sequences
    test: Sequences


class Schedule(NamedTuple):
    """How long and how fast is learned.

    Attributes:
        epochs: at most.
        batch: sequences of an update.
        lr: of Adam, at the start.
        patience: epochs without a better validation score before the learning rate is
            halved; training goes on from the best weights.
        halvings: how often; the next time training stops.
        clip: largest norm of the gradient.
        last: the share of `lr` that would be left after all epochs, along half a
            cosine; 1 leaves it as it is.
    """

    epochs: int
    batch: int
    lr: float
    patience: int
    halvings: int = 0
    clip: float = 1.0
    last: float = 1.0


class Epoch(NamedTuple):
    """One pass over the training split: its mean loss, and the watched score after."""

    loss: float
    valid: float


class Trained(NamedTuple):
    """A model at its best epoch, and how it came there.

    Attributes:
        model: with the weights of the best epoch, in evaluation mode.
        best: the epoch whose weights these are, from 1; 0 is birth.
        history: of all epochs.
        skipped: updates left out because a gradient was not finite.
    """

    model: nn.Module
    best: int
    history: Sequence[Epoch]
    skipped: int


def train(
    contender: Contender,
    splits: Splits,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = lambda _, __: None,
) -> Trained:
    """Train a model until its validation score no longer falls.

    Args:
        contender: the model and what it learns.
        splits: the test split is not read.
        schedule: how long and how fast.
        seed: of the weights at birth, the order of the sequences, and any chance in
            the model; torch's global generator is left as it was.
        device: where it is trained.
        progress: told after every batch.
    """
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = contender.build(seed).to(device)
        descent = _Descent(model, contender.objective, schedule)
        total = schedule.epochs * math.ceil(len(splits.train.x) / schedule.batch)
        done = 0
        while not descent.over:
            losses = []
            for batch in batches(splits.train, schedule.batch, rng):
                losses.append(descent.update(batch.to(device)))
                done += 1
                progress(done, total)
            scored = evaluate(
                model, contender.objective, splits.valid, schedule.batch, device
            )
            watched = scored[contender.objective.watched]
            descent.judge(Epoch(float(np.mean(losses)), watched))
        return descent.finish()


def evaluate(
    model: nn.Module,
    objective: Objective,
    sequences: Sequences,
    batch: int,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Give the mean of every score over the items of a split.

    Args:
        model: left in evaluation mode.
        objective: names and computes the scores.
        sequences: the split.
        batch: sequences at a time.
        device: where the model is.
    """
    model.eval()
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for part in batches(sequences, batch):
            for name, values in objective.scores(model, part.to(device)).items():
                found.setdefault(name, []).append(values.double())
    return {name: float(torch.cat(parts).mean()) for name, parts in found.items()}


class _Descent:
    """Adam on one model, the best weights so far, and when it is enough."""

    def __init__(
        self, model: nn.Module, objective: Objective, schedule: Schedule
    ) -> None:
        self._model, self._objective, self._schedule = model, objective, schedule
        self._adam = torch.optim.Adam(model.parameters(), schedule.lr)
        self._history: list[Epoch] = []
        self._kept: dict[str, Any] = copy.deepcopy(model.state_dict())
        self._best, self._lowest = 0, math.inf
        self._waited = self._halved = self._skipped = 0

    @property
    def over(self) -> bool:
        """Whether every epoch is used up, or every halving in vain."""
        spent = len(self._history) >= self._schedule.epochs
        return spent or self._halved > self._schedule.halvings

    @property
    def _rate(self) -> float:
        """The learning rate of this epoch."""
        lr, last = self._schedule.lr, self._schedule.last
        turned = math.pi * len(self._history) / self._schedule.epochs
        share = last + (1.0 - last) * (1.0 + math.cos(turned)) / 2.0
        return lr * share / 2.0**self._halved

    def update(self, batch: Batch) -> float:
        """Take a step on a batch, unless its gradient is not finite; give the loss."""
        self._model.train()
        loss = self._objective.loss(self._model, batch).mean()
        for group in self._adam.param_groups:
            group["lr"] = self._rate
        self._adam.zero_grad()
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), self._schedule.clip)
        if bool(torch.isfinite(norm)):
            self._adam.step()
        else:
            self._skipped += 1
        return loss.item()

    def judge(self, epoch: Epoch) -> None:
        """Keep the weights of the best epoch; slow down when none comes."""
        self._history.append(epoch)
        if epoch.valid < self._lowest:
            self._lowest, self._best = epoch.valid, len(self._history)
            self._kept, self._waited = copy.deepcopy(self._model.state_dict()), 0
            return
        self._waited += 1
        if self._waited > self._schedule.patience:
            self._model.load_state_dict(self._kept)
            self._halved, self._waited = self._halved + 1, 0

    def finish(self) -> Trained:
        """Give the model with its best weights."""
        self._model.load_state_dict(self._kept)
        self._model.eval()
        return Trained(self._model, self._best, self._history, self._skipped)
