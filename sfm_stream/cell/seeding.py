"""Draws weights from a seed, without using torch's global generator."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

Seed = int | np.random.Generator | None
Module = TypeVar("Module", bound=nn.Module)


def generator(seed: Seed) -> np.random.Generator:
    """Give the generator of a seed; a generator is given back unchanged.

    Without a seed, torch's global generator draws one: the module then follows
    `torch.manual_seed`, as every torch module does.
    """
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    return np.random.default_rng(seed)


def uniform(
    width: int,
    rng: np.random.Generator,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
) -> Callable[..., Tensor]:
    """Give a function that draws weights of a shape, uniform on ±1/√width.

    References:
        `torch.nn.LSTM` has these bounds, with the width of the layer.
    """
    kind, bound = dtype or torch.get_default_dtype(), 1.0 / sqrt(width)

    def draw(*shape: int) -> Tensor:
        drawn = rng.uniform(-bound, bound, shape)
        return torch.tensor(drawn, dtype=kind, device=device)

    return draw


def drawn(
    kind: Callable[..., Module], *sizes: int, draw: Callable[..., Tensor]
) -> Module:
    """Build a module of torch with all parameters drawn by `draw`.

    The module is built on the meta device, which holds no values: elsewhere torch would
    draw initial values from its global generator.
    """
    like = draw(0)
    module = kind(*sizes, dtype=like.dtype, device="meta")
    module.to_empty(device=like.device)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(draw(*parameter.shape))
    return module
