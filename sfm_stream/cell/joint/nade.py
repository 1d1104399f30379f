"""NADE: the exact likelihood of a binary vector, element by element."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import at_least_one, of_width
from sfm_stream.cell.seeding import Seed, drawn, generator, uniform


class NADE(nn.Module):
    """A neural autoregressive distribution of V bits, its biases set by a context.

        b = z W_b + b_0,   a_1 = z W_c + c_0
        p(v_i = 1 | v_<i, z) = sig(b_i + V_i · sig(a_i)),   a_{i+1} = a_i + v_i W_i
        log p(v | z) = Σ_i log p(v_i | v_<i, z)

    Args:
        context_size: M, of z.
        visible_size: V.
        hidden_size: H.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for sizes below 1.

    References:
        Larochelle & Murray, The Neural Autoregressive Distribution Estimator, 2011;
        with a recurrent context: Boulanger-Lewandowski, Bengio & Vincent, ICML 2012.
    """

    def __init__(
        self,
        context_size: int,
        visible_size: int,
        hidden_size: int,
        *,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        at_least_one(
            context_size=context_size,
            visible_size=visible_size,
            hidden_size=hidden_size,
        )
        draw = uniform(hidden_size, generator(seed), dtype, device)
        self.visible_bias = drawn(nn.Linear, context_size, visible_size, draw=draw)
        self.hidden_bias = drawn(nn.Linear, context_size, hidden_size, draw=draw)
        self.w_in = nn.Parameter(draw(visible_size, hidden_size))
        self.w_out = nn.Parameter(draw(visible_size, hidden_size))

    def log_likelihood(self, v: Tensor, z: Tensor) -> Tensor:
        """Compute log p(v | z), in nats and exactly.

        Args:
            v: zeros and ones [..., V].
            z: [..., M].

        Returns:
            [...].

        Raises:
            ShapeError: if v or z does not fit.
        """
        of_width("v", v, self.w_in.shape[0])
        of_width("z", z, self.visible_bias.in_features)
        # a_i changes only after a bit that is 1, so it is computed once per such bit.
        before = v.cumsum(-1) - v
        most = int(v.sum(-1).max()) if v.numel() else 0
        ones = torch.arange(most + 1, device=v.device)[:, None]
        heard = v[..., None, :] * (before[..., None, :] < ones)
        seen = self.hidden_bias(z)[..., None, :] + heard @ self.w_in
        after = torch.sigmoid(seen) @ self.w_out.T
        found = after.gather(-2, before.long()[..., None, :]).squeeze(-2)
        logit = self.visible_bias(z) + found
        # log sig(logit) for a bit 1, log (1 - sig(logit)) for a bit 0
        return nn.functional.logsigmoid(logit * (2.0 * v - 1.0)).sum(-1)

    @torch.no_grad()
    def sample(self, z: Tensor, chance: torch.Generator) -> Tensor:
        """Draw v [..., V] given z [..., M].

        Raises:
            ShapeError: if z does not fit.
        """
        of_width("z", z, self.visible_bias.in_features)
        seen, bias = self.hidden_bias(z), self.visible_bias(z)
        drawn_bits = []
        for i, (w_in, w_out) in enumerate(zip(self.w_in, self.w_out, strict=True)):
            p = torch.sigmoid(bias[..., i] + torch.sigmoid(seen) @ w_out)
            bit = torch.bernoulli(p, generator=chance)
            seen = seen + bit[..., None] * w_in
            drawn_bits.append(bit)
        return torch.stack(drawn_bits, -1)
