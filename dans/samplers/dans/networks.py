"""The networks of DANS: FiLM, the generator that it adapts, and the discriminator."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: What becomes of a generator's last layer.
Output = Literal["residual", "scaled_tanh"]
#: Factor and shift of every hidden layer, (..., d) each.
Modulation = Sequence[tuple[Tensor, Tensor]]

#: The slope of every leaky ReLU, as in the published program.
SLOPE = 0.2


def orthogonal(module: nn.Module) -> None:
    """Start every linear layer of a module with an orthogonal weight and no bias."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.orthogonal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class FiLM(nn.Module):
    """Feature-wise linear modulation: a factor α and a shift β of each hidden layer.

    α = 1 + F_α(c), β = F_β(c), two small nets per layer, d → ``width`` → d without biases. Their
    last layers start at zero, so that training starts from the generator without FiLM.

    Source: DANS Eq. 7–8; Perez et al. 2018, arXiv:1709.07871.
    """

    def __init__(self, dim: int, *, layers: int = 2, width: int = 100) -> None:
        super().__init__()

        def net() -> nn.Sequential:
            last = nn.Linear(width, dim, bias=False)
            nn.init.zeros_(last.weight)
            return nn.Sequential(nn.Linear(dim, width, bias=False), nn.LeakyReLU(SLOPE), last)

        self.factors = nn.ModuleList(net() for _ in range(layers))
        self.shifts = nn.ModuleList(net() for _ in range(layers))

    def forward(self, condition: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Factor and shift of every hidden layer, (..., d) each, from (..., d)."""
        return [
            (1 + factor(condition), shift(condition))
            for factor, shift in zip(self.factors, self.shifts, strict=True)
        ]


def film_penalty(modulation: Modulation) -> Tensor:
    """Σ_m ‖α^m − 1‖² + ‖β^m‖², a mean over conditions (DANS Eq. 13)."""
    terms = [(a - 1).square().sum(-1).mean() + b.square().sum(-1).mean() for a, b in modulation]
    return torch.stack(terms).sum()


class Generator(nn.Module):
    """Maps prior draws to generated negatives: an MLP of width d that FiLM adapts.

    A hidden layer is linear, layer normalisation, leaky ReLU, then α ⊗ x + β.

    Source: DANS Eq. 4–6, which leave output and normalisation open.

    Args:
        dim: d.
        layers: M, hidden ones.
        output: ``scaled_tanh``, c·tanh(x/c) with c the running 99.9th percentile of |e|;
            ``residual``, the prior draw itself plus a last layer that starts near zero, with
            orthogonal weights in all layers.
    """

    #: () c of ``scaled_tanh``
    reach: Tensor

    def __init__(self, dim: int, *, layers: int = 2, output: Output) -> None:
        super().__init__()
        self.output: Output = output
        self.hidden = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.last = nn.Linear(dim, dim)
        if output == "residual":
            orthogonal(self)
            with torch.no_grad():
                self.last.weight.mul_(0.01)
        self.register_buffer("reach", torch.ones(()))

    def forward(self, prior: Tensor, modulation: Modulation | None = None) -> Tensor:
        """Generated negatives from prior draws, (b, k, d) each; None is without FiLM."""
        x = prior
        for m, (linear, norm) in enumerate(zip(self.hidden, self.norms, strict=True)):
            x = F.leaky_relu(norm(linear(x)), SLOPE, inplace=True)
            if modulation is not None:
                factor, shift = modulation[m]
                x = (x * factor).add_(shift)
        generated: Tensor = self.last(x)
        if self.output == "residual":
            return prior + generated
        return self.reach * (generated / self.reach).tanh()

    @torch.no_grad()
    def observe(self, entities: Tensor) -> None:
        """Let ``scaled_tanh`` follow the entities' range; nothing for the other output."""
        if self.output == "scaled_tanh" and self.training:
            sizes = entities.abs().flatten()
            percentile = sizes.kthvalue(max(1, round(0.999 * len(sizes)))).values
            self.reach.lerp_(percentile.clamp(min=1e-6), 0.1)


class Discriminator(nn.Module):
    """Discriminator with two heads: real or generated, and by which pathway.

    A shared trunk d → 50 → 32 and a head for each of the two, the second with ``auxiliary`` alone.
    It sees no condition. Source: DANS Eq. 9–10.
    """

    def __init__(self, dim: int, *, auxiliary: bool = True) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(dim, 50), nn.LeakyReLU(SLOPE), nn.Linear(50, 32))
        self.adversarial = self.head()
        self.auxiliary = self.head() if auxiliary else None

    def head(self) -> nn.Sequential:
        """A head, (..., 32) to (..., 1)."""
        return nn.Sequential(nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of being an entity's embedding: (...) from (..., d)."""
        logits: Tensor = self.adversarial(self.trunk(x)).squeeze(-1)
        return logits

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of being an entity's, and of being the entity pathway's; (...) each.

        The second are zero where the discriminator has no head for them.
        """
        trunk = self.trunk(x)
        real = self.adversarial(trunk).squeeze(-1)
        if self.auxiliary is None:
            return real, torch.zeros_like(real)
        return real, self.auxiliary(trunk).squeeze(-1)

    def gradient_penalty(self, real: Tensor) -> Tensor:
        """½ E‖∇D‖² at entities' embeddings, (rows, d): R1 of Mescheder et al. 2018 (1801.04406)."""
        real = real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self(real).sum(), real, create_graph=True)
        return gradient.square().sum(-1).mean() / 2
