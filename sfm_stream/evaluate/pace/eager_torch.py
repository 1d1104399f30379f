"""The cell in eager torch, as fast as possible, for comparison with the kernels.

It computes the cell of `sfm_stream.cell.step`, for fixed frequencies and the read-out
`amplitude`, with as few operations as we could find: one product for the inputs of many
ticks, complex memory, one batched product for the heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from sfm_stream.cell import frequencies
from sfm_stream.cell.parameters import FORGET_CAP, Sizes, birth

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Eager:
    """A cell with a linear head, one forecast per tick, trained by truncated BPTT.

    Args:
        sizes: of the cell; neither adaptive nor with phase.
        window: ticks through which gradients flow back, and ticks between updates.
        lr: learning rate of Adam.
        clip: largest norm of the gradient.
        seed: of the weights at birth.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        window: int = 32,
        lr: float = 3e-3,
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.sizes, self._window, self._clip = sizes, window, clip
        born = birth(sizes, np.random.default_rng(seed))
        n, m = sizes.inputs, sizes.outputs
        self.w_x = _parameter(born.w_in[:n])
        self.w_z = _parameter(born.w_in[n : n + m].T)
        self.bias = _parameter(born.w_in[-1])
        self.w_heads, self.b_z = _parameter(born.w_heads), _parameter(born.b_z)
        self.v, self.c = _parameter(np.zeros(m)), _parameter(np.zeros(1))
        self.parameters = [
            self.w_x, self.w_z, self.bias, self.w_heads, self.b_z, self.v, self.c,
        ]  # fmt: skip
        omega = frequencies.frequencies("log", sizes.frequencies, sizes.longest_period)
        self._turn = torch.tensor(np.exp(-1j * omega)[:, None], dtype=torch.complex64)
        self.memory = torch.zeros(
            sizes.frequencies, sizes.states, dtype=torch.complex64
        )
        self.z = torch.zeros(m)
        self._adam = torch.optim.Adam(self.parameters, lr=lr, fused=True)

    def step(self, projected: Tensor) -> Tensor:
        """Advance the memory by one tick.

        Args:
            projected: x W_x + b [G].

        Returns:
            z [M].
        """
        d, k, m = self.sizes.states, self.sizes.frequencies, self.sizes.outputs
        pre = torch.addmv(projected, self.w_z, self.z)
        # One call for all gates takes less time than three, though that of i is unused.
        gates = torch.sigmoid(pre)
        drive = gates[d + k : 2 * d + k] * torch.tanh(pre[2 * d + k : 3 * d + k])
        forget = torch.outer(gates[d : d + k] * FORGET_CAP, gates[:d])
        self.memory = forget * (self.memory * self._turn) + drive
        heads = torch.bmm(self.memory.abs()[:, None], self.w_heads)[:, 0]
        o = torch.sigmoid(pre[3 * d + k :].view(k, m) + heads[:, :m])
        self.z = (o * torch.tanh(heads[:, m:] + self.b_z)).sum(0)
        return self.z

    @torch.inference_mode()
    def predict(self, x: Tensor) -> Tensor:
        """Forecast at every tick.

        Args:
            x: [T, N].

        Returns:
            [T].
        """
        return self._forward(x)

    def learn(self, x: Tensor, y: Tensor) -> float:
        """Forecast at every tick and update after every window.

        Args:
            x: [T, N].
            y: labels [T].

        Returns:
            The loss of the last window.
        """
        # `predict` made these tensors in inference mode, which autograd refuses.
        self.memory, self.z = self.memory.clone(), self.z.clone()
        loss = torch.zeros(())
        windows = (torch.split(part, self._window) for part in (x, y))
        for inputs, labels in zip(*windows, strict=True):
            loss = (self._forward(inputs) - labels).square().mean()
            self._adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, self._clip)
            self._adam.step()
            self.memory, self.z = self.memory.detach(), self.z.detach()
        return float(loss.detach())

    def _forward(self, x: Tensor) -> Tensor:
        projected = torch.addmm(self.bias, x, self.w_x)
        every = torch.stack([self.step(row) for row in projected.unbind(0)])
        return torch.addmv(self.c.expand(len(x)), every, self.v)


def _parameter(values: NDArray[np.float64]) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float32))
