"""The check for the hand-written gradients: torch may not differentiate them."""

from __future__ import annotations

import torch

from sfm_stream.errors import InvalidState


def expect_one_gradient() -> None:
    """Refuse a second derivative: only the first is written out.

    Raises:
        InvalidState: if torch would differentiate the gradient.
    """
    if torch.is_grad_enabled():
        problem = "gradient: expected create_graph=False, was True"
        raise InvalidState(f"{problem}; fold the cell's ticks")
