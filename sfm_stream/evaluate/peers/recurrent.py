"""LSTM and GRU in torch, carried from tick to tick and trained as our cell is.

Truncated back-propagation: every `learn.every` ticks the stored ticks run again from
their first state with the present weights, and Adam takes a step on the labels that
settled since the last step. The window is the `learn.window` ticks up to the newest of
these labels' origins, or longer if an older label settled late.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sfm_stream.evaluate.peers.scaling import Task
    from sfm_stream.events import Floats, Ints

GATES = {"LSTM": 4, "GRU": 3}


def width(gates: int, inputs: int, horizons: int, weights: int) -> int:
    """Find the width for which the number of weights is nearest to `weights`.

    Args:
        gates: number of gates of the layer, each with two biases.
        inputs: of the layer.
        horizons: number of outputs of the head.
        weights: number of weights of layer and head together.
    """

    def count(units: int) -> int:
        layer = gates * units * (inputs + units + 2)
        return layer + horizons * (units + 1)

    return min(range(1, weights), key=lambda units: abs(count(units) - weights))


class Recurrent:
    """A recurrent layer with a linear head per horizon; it begins at no change.

    Args:
        kind: `LSTM` or `GRU`.
        task: the target, the horizons and the number of weights.
        inputs: number of regressors of a tick.
    """

    def __init__(self, kind: str, task: Task, inputs: int) -> None:
        import torch

        torch.set_num_threads(1)  # as our kernels use
        horizons, learn = len(task.ahead), task.config.learn
        units = width(GATES[kind], inputs, horizons, task.weights)
        with torch.random.fork_rng():
            torch.manual_seed(task.config.run.seed)
            self._layer: Any = getattr(torch.nn, kind)(inputs, units)
            self._head = torch.nn.Linear(units, horizons)
        torch.nn.init.zeros_(self._head.weight)
        torch.nn.init.zeros_(self._head.bias)
        self._learned = [*self._layer.parameters(), *self._head.parameters()]
        self._adam = torch.optim.Adam(self._learned, learn.lr)
        self._learn = learn
        self._state: Any = None
        # the inputs and the state before them, of each tick that a label may still need
        kept = task.wait + learn.window + learn.every + 1
        self._tape: deque[tuple[Any, Any]] = deque(maxlen=kept)
        self._labels: list[tuple[Ints, Ints, Floats]] = []
        self._newest = self._since = 0

    def predict(self, origin: int, x: Floats) -> Floats:
        """Step the memory; give the scaled change at every horizon."""
        import torch

        if self._since >= self._learn.every:
            self._update()
        self._newest, self._since = origin, self._since + 1
        now = torch.tensor(x[None], dtype=torch.float32)
        self._tape.append((now, self._state))
        with torch.no_grad():
            z, self._state = self._layer(now, self._state)
            said: Floats = self._head(z[0]).numpy().astype(np.float64)
        return said

    def learn(self, horizon: Ints, origin: Ints, x: Floats, y: Floats) -> None:
        """Keep the labels for the next update."""
        del x
        self._labels.append((horizon, origin, y))

    def _update(self) -> None:
        import torch

        self._since = 0
        if not self._labels:
            return
        horizon, origin, y = (
            np.concatenate(c) for c in zip(*self._labels, strict=True)
        )
        self._labels = []
        oldest = self._newest - len(self._tape) + 1
        start = min(origin.min(), origin.max() - self._learn.window + 1)
        start = max(int(start), oldest)
        ticks = range(start - oldest, int(origin.max()) - oldest + 1)
        x = torch.cat([self._tape[i][0] for i in ticks])
        z, _ = self._layer(x, self._tape[ticks.start][1])
        said = self._head(z)[
            torch.from_numpy(origin - start), torch.from_numpy(horizon)
        ]
        loss = (said - torch.from_numpy(y).float()).square().mean()
        self._adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learned, self._learn.clip)
        self._adam.step()
