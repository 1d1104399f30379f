"""RNN-NADE and RNN-RBM as contenders: they predict the next frame as one chord."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint

from sfm_stream.cell.joint.nade import NADE
from sfm_stream.cell.joint.rbm import RBM
from sfm_stream.cell.joint.sequences import FrameModel, rnn
from sfm_stream.errors import ConfigError
from sfm_stream.paper.data.sequences import Batch
from sfm_stream.paper.training.dropouts import Dropouts
from sfm_stream.paper.training.loop import Contender, Objective

HIDDEN = 150
# Units of the RNN for which the parameters match those of the slides' other models.
NADE_UNITS, RBM_UNITS = 209, 226

GIBBS_STEPS = 15
# Chains and temperatures of the annealing that estimates an RBM's likelihood.
CHAINS, LEVELS = 2, 50

GLANCE = 4
"""One frame in so many is estimated to decide when to stop; all would take longer than
the training."""

FRAMES = 512
"""Frames per call: NADE holds HIDDEN values per sounding key and frame, and the
chains of an RBM are faster while they fit into the cache of a core."""

Measure = Callable[[Any, Tensor, Tensor], Tensor]
"""Takes the output model, frames [n, V] and contexts [n, M]; gives values [n]."""


def contenders(keys: int, dropouts: Dropouts) -> dict[str, Contender]:
    """Make both contenders, with scores of whole frames: `nll`, and by `piece`.

    The score of RNN-NADE is exact. The score of RNN-RBM is an estimate, which is too
    good (see `RBM.estimated_log_likelihood`).

    Args:
        keys: V.
        dropouts: shares that both models drop in training.
    """
    nade = partial(rnn, NADE, keys, recurrent=NADE_UNITS, hidden=HIDDEN)
    rbm = partial(rnn, RBM, keys, recurrent=RBM_UNITS, hidden=HIDDEN)
    return {
        "rnn-rbm": _contender(rbm, _contrast, _estimated, _glanced, dropouts),
        "rnn-nade": _contender(nade, _exact, _exact, _exact, dropouts),
    }


def _contender(
    build: Callable[..., nn.Module],
    loss: Measure,
    nll: Measure,
    watched: Measure,
    dropouts: Dropouts,
) -> Contender:
    def descended(model: nn.Module, batch: Batch) -> Tensor:
        return _measured(loss, model, batch, dropouts)

    def scored(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        frames = _measured(nll, model, batch, dropouts)
        return {"nll": frames, "piece": batch.means(frames)}

    def judged(model: nn.Module, batch: Batch) -> Tensor:
        return _measured(watched, model, batch, dropouts)

    objective = Objective(descended, scored, judged)
    return Contender(lambda seed: build(seed=seed), objective)


def _measured(
    measure: Measure, model: nn.Module, batch: Batch, dropouts: Dropouts
) -> Tensor:
    if not isinstance(model, FrameModel):
        problem = f"expected a layer and its output, was {type(model).__name__}"
        raise ConfigError("model", problem)
    z, _ = model.layer(dropouts.read(model, batch).x)
    z = dropout(z, dropouts.said, model.training)
    return measure(model.output, batch.y[batch.mask], z[batch.mask])


def _exact(nade: NADE, v: Tensor, z: Tensor) -> Tensor:
    # NADE takes as long for each frame of a call as for the one with most keys.
    order = v.sum(-1).argsort()
    likelihood = partial(checkpoint, nade.log_likelihood, use_reentrant=False)
    return -_in_parts(likelihood, v[order], z[order])[order.argsort()]


def _contrast(rbm: RBM, v: Tensor, z: Tensor) -> Tensor:
    chance = _chance(int(torch.randint(2**62, ())), v)
    return _in_parts(partial(rbm.contrast, steps=GIBBS_STEPS, chance=chance), v, z)


def _estimated(rbm: RBM, v: Tensor, z: Tensor) -> Tensor:
    likelihood = partial(
        rbm.estimated_log_likelihood,
        chains=CHAINS,
        levels=LEVELS,
        chance=_chance(0, v),
    )
    return -_in_parts(likelihood, v, z)


def _glanced(rbm: RBM, v: Tensor, z: Tensor) -> Tensor:
    return _estimated(rbm, v[::GLANCE], z[::GLANCE])


def _in_parts(measure: Callable[..., Any], v: Tensor, z: Tensor) -> Tensor:
    parts = zip(torch.split(v, FRAMES), torch.split(z, FRAMES), strict=True)
    return torch.cat([measure(*part) for part in parts])


def _chance(seed: int, like: Tensor) -> torch.Generator:
    return torch.Generator(like.device).manual_seed(seed)
