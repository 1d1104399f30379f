"""The training loop of all the paper's experiments.

A task is data and functions: sequences, the loss of a batch, the scores of a batch. The
loop needs only these, so the same loop trains on labels per sequence, labels per tick
and likelihoods per frame.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sfm_stream.paper.data.sequences import Batch, Sequences, batches

Progress = Callable[[int, int], None]
"""Takes the number of batches done, and the largest possible number."""


Measure = Callable[[nn.Module, Batch], Tensor]
"""Takes a model and a batch; gives a value per item [n]."""

Scores = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
"""Takes a model and a batch; gives by name a value per item [n]."""


class Objective(NamedTuple):
    """The loss and the scores; for `loss` and `watched`, lower is better.

    Attributes:
        loss: a value per sequence, or per unpadded tick. Training minimises its mean.
        scores: the mean of each over all items is reported.
        watched: its mean on the validation split decides when to stop.
    """

    loss: Measure
    scores: Scores
    watched: Measure


class Contender(NamedTuple):
    """A model that can be trained.

    Attributes:
        build: builds the untrained model from a seed.
        objective: its loss and scores.
        lr: its own learning rate; None means the schedule's.
    """

    build: Callable[[int], nn.Module]
    objective: Objective
    lr: float | None = None


class Splits(NamedTuple):
    """A data set: the splits for training, for validation and for the test."""

    train: Sequences
    valid: Sequences
    test: Sequences


class Schedule(NamedTuple):
    """The length and the learning rate of a training.

    Attributes:
        epochs: the largest number of epochs.
        batch: sequences of an update.
        lr: learning rate of Adam at the start.
        patience: epochs without a better validation score that are allowed; after one
            more the learning rate is halved, and training goes on from the best
            weights.
        halvings: the largest number of halvings; the next time training stops.
        clip: largest norm of the gradient.
        last: the learning rate falls along half a cosine to this share of `lr` after
            all epochs; 1 keeps it constant.
        average: the weights that are judged and kept are a running mean over updates,
            of which an update keeps this share; 0 takes the last weights alone.
        decay: times the learning rate, the share of its weights that the model loses
            at an update (the decoupled weight decay of AdamW).
    """

    epochs: int
    batch: int
    lr: float
    patience: int
    halvings: int = 0
    clip: float = 1.0
    last: float = 1.0
    average: float = 0.0
    decay: float = 0.0


class Epoch(NamedTuple):
    """One pass over the training split: mean loss, and the watched score after it."""

    loss: float
    valid: float


class Trained(NamedTuple):
    """A model at its best epoch, and the history of its training.

    Attributes:
        model: with the weights of the best epoch, in evaluation mode.
        best: number of the best epoch, from 1; 0 means the initial weights.
        history: of all epochs.
        skipped: number of updates left out because a gradient was not finite.
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
        contender: the model and its objective.
        splits: the data; the test split is not read.
        schedule: of the training.
        seed: of the initial weights, the order of the sequences, and any randomness in
            the model; the state of torch's global generator is restored.
        device: for the training.
        progress: called after every batch.
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
                descent.judged,
                lambda *given: {"watched": contender.objective.watched(*given)},
                splits.valid,
                schedule.batch,
                device,
            )
            descent.judge(Epoch(float(np.mean(losses)), scored["watched"]))
        return descent.finish()


def evaluate(
    model: nn.Module,
    scores: Scores,
    sequences: Sequences,
    batch: int,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Give the mean of every score over the items of a split.

    Args:
        model: afterwards in evaluation mode.
        scores: by name, a value per item.
        sequences: the split.
        batch: sequences at a time.
        device: of the model.
    """
    model.eval()
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for part in batches(sequences, batch):
            for name, values in scores(model, part.to(device)).items():
                found.setdefault(name, []).append(values.double())
    return {name: float(torch.cat(parts).mean()) for name, parts in found.items()}


class _Descent:
    """Trains one model with Adam; keeps the best weights, and decides when to stop.

    References:
        Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019. Polyak &
        Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, schedule: Schedule
    ) -> None:
        self._model, self._objective, self._schedule = model, objective, schedule
        self._adam = torch.optim.AdamW(
            model.parameters(), schedule.lr, weight_decay=schedule.decay
        )
        mean = get_ema_multi_avg_fn(schedule.average)  # type: ignore[no-untyped-call] # torch's own
        self._mean = AveragedModel(model, multi_avg_fn=mean)
        self._history: list[Epoch] = []
        self._kept = self._weights()
        self._best, self._lowest = 0, math.inf
        self._waited = self._halved = self._skipped = 0

    @property
    def over(self) -> bool:
        """Whether all epochs or all halvings are used up."""
        spent = len(self._history) >= self._schedule.epochs
        return spent or self._halved > self._schedule.halvings

    @property
    def judged(self) -> nn.Module:
        """The model with the mean of the weights."""
        judged: nn.Module = self._mean.module
        return judged

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
            self._mean.update_parameters(self._model)
        else:
            self._skipped += 1
        return loss.item()

    def judge(self, epoch: Epoch) -> None:
        """Keep the weights of the best epoch; halve the rate if none was better."""
        self._history.append(epoch)
        if epoch.valid < self._lowest:
            self._lowest, self._best = epoch.valid, len(self._history)
            self._kept, self._waited = self._weights(), 0
            return
        self._waited += 1
        if self._waited > self._schedule.patience:
            self._model.load_state_dict(self._kept)
            self.judged.load_state_dict(self._kept)
            self._halved, self._waited = self._halved + 1, 0

    def finish(self) -> Trained:
        """Give the model with its best weights."""
        self._model.load_state_dict(self._kept)
        self._model.eval()
        return Trained(self._model, self._best, self._history, self._skipped)

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy(self.judged.state_dict())
