"""The networks of DANS: the FiLM-adapted generator, and the discriminator with its two queries."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: How a hidden layer is adapted: α = 1 + a net, trained; a net alone, never trained; not at all.
Film = Literal["residual", "code", "none"]
#: What a hidden layer is normalised by.
Norm = Literal["layer", "batch", "batch_code", "none"]
#: What becomes of a generator's last layer.
Output = Literal["residual", "linear", "tanh", "scaled_tanh"]
#: How weights start: as torch's layers do, or orthogonal with no bias.
Init = Literal["orthogonal", "default"]
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
    """What a condition makes of each hidden layer: a factor α and a shift β.

    α = F_α(c), β = F_β(c), two small nets per layer, d → ``width`` → d without biases.

    Source: DANS Eq. 7–8; Perez et al. 2018, arXiv:1709.07871.

    Args:
        condition_dim: the width of a condition.
        dim: d, the width of a hidden layer.
        layers: M, hidden layers to adapt.
        width: of the nets' own hidden layer.
        residual: α = 1 + F_α(c), with last layers that start at zero, so that training starts from
            the generator without FiLM. Otherwise α = F_α(c), with a leaky ReLU after the last
            layer: the published program's form, whose factors start near .05 instead of 1.
    """

    def __init__(
        self, condition_dim: int, dim: int, *, layers: int = 2, width: int = 100, residual: bool
    ) -> None:
        super().__init__()
        self.residual = residual

        def net() -> nn.Sequential:
            last = nn.Linear(width, dim, bias=False)
            if residual:
                nn.init.zeros_(last.weight)
            first = nn.Linear(condition_dim, width, bias=False)
            ends = () if residual else (nn.LeakyReLU(SLOPE),)
            return nn.Sequential(first, nn.LeakyReLU(SLOPE), last, *ends)

        self.factors = nn.ModuleList(net() for _ in range(layers))
        self.shifts = nn.ModuleList(net() for _ in range(layers))

    def forward(self, condition: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Factor and shift of every hidden layer, (..., d) each, from (..., c)."""
        base = 1.0 if self.residual else 0.0
        return [
            (base + factor(condition), shift(condition))
            for factor, shift in zip(self.factors, self.shifts, strict=True)
        ]


def squared_penalty(modulation: Modulation) -> Tensor:
    """Σ_m ‖α^m − 1‖² + ‖β^m‖², a mean over conditions (DANS Eq. 13, A3)."""
    terms = [(a - 1).square().sum(-1).mean() + b.square().sum(-1).mean() for a, b in modulation]
    return torch.stack(terms).sum()


def norm_penalty(modulation: Modulation) -> Tensor:
    """The published form: Frobenius norms of whole matrices, not squared, averaged over nets."""
    terms = [norm for a, b in modulation for norm in ((a - 1).norm(), b.norm())]
    return torch.stack(terms).mean()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that falls back on its running statistics where a batch has one row."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, d) to the same."""
        if len(x) > 1:
            return super().forward(x)
        mean, variance = self.running_mean, self.running_var
        return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)


class SideNorm(nn.Module):
    """Batch normalisation as the published program has it, in evaluation too.

    Its ε of .8 was meant as a momentum, and hides small activations; it was never switched to
    evaluation, so a row depends on its batch-mates; and heads and tails were separate batches
    (DANS reference, C6).

    Args:
        dim: d.
    """

    EPSILON = 0.8

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, replaces_head: Tensor) -> Tensor:
        """(rows, d), normalised within each side, from (rows, d) and (rows,) bool."""
        side = replaces_head.long()
        members = F.one_hot(side, 2).to(x.dtype)
        members = members / members.sum(0).clamp(min=1)
        centred = x - (members.T @ x)[side]
        variance = (members.T @ centred.square())[side]
        return centred / (variance + self.EPSILON).sqrt() * self.weight + self.bias


NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "layer": nn.LayerNorm,
    "batch": BatchNorm,
    "batch_code": SideNorm,
    "none": nn.Identity,
}


class Generator(nn.Module):
    """Maps prior draws to generated negatives: an MLP of width d that FiLM adapts.

    A hidden layer is linear, normalisation, leaky ReLU, then α ⊗ x + β. ``norm="batch_code"`` has
    the published program's order: linear, leaky ReLU, α ⊗ x + β, normalisation, leaky ReLU.

    Source: DANS Eq. 4–6; A7 and C6 of its reference for ``output`` and ``norm``.

    Args:
        dim: d.
        layers: M, hidden ones.
        norm: what a hidden layer is normalised by.
        output: ``linear``; ``tanh``, which cannot reach entities beyond ±1; ``scaled_tanh``,
            c·tanh(x/c) with c the running 99.9th percentile of |e|; ``residual``, the prior draw
            itself plus a last layer that starts near zero.
        init: how weights start.
    """

    #: () c of ``scaled_tanh``
    reach: Tensor

    def __init__(
        self, dim: int, *, layers: int = 2, norm: Norm, output: Output, init: Init
    ) -> None:
        super().__init__()
        self.output = output
        self.hidden = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.norms = nn.ModuleList(NORMS[norm](dim) for _ in range(layers))
        self.last = nn.Linear(dim, dim)
        if init == "orthogonal":
            orthogonal(self)
        if output == "residual":
            with torch.no_grad():
                self.last.weight.mul_(0.01)
                self.last.bias.zero_()
        self.register_buffer("reach", torch.ones(()))

    def forward(
        self, prior: Tensor, replaces_head: Tensor, modulation: Modulation | None = None
    ) -> Tensor:
        """Generated negatives from prior draws.

        Args:
            prior: (b, k, d).
            replaces_head: (b, k) bool, which side each generated negative is for.
            modulation: factor and shift of each hidden layer, broadcasting to (b, k, d); None is
                the generator without FiLM.

        Returns:
            (b, k, d).
        """
        x, side = prior.flatten(0, 1), replaces_head.flatten()
        for i, (linear, norm) in enumerate(zip(self.hidden, self.norms, strict=True)):

            def adapt(x: Tensor, layer: int = i) -> Tensor:
                if modulation is None:
                    return x
                factor, shift = modulation[layer]
                return (x.view_as(prior) * factor + shift).flatten(0, 1)

            if isinstance(norm, SideNorm):
                x = norm(adapt(F.leaky_relu(linear(x), SLOPE)), side)
                x = F.leaky_relu(x, SLOPE)
            else:
                x = adapt(F.leaky_relu(norm(linear(x)), SLOPE))
        return self.finish(self.last(x).view_as(prior), prior)

    def finish(self, x: Tensor, prior: Tensor) -> Tensor:
        """What ``output`` makes of the last layer."""
        if self.output == "tanh":
            return x.tanh()
        if self.output == "scaled_tanh":
            return self.reach * (x / self.reach).tanh()
        return prior + x if self.output == "residual" else x

    @torch.no_grad()
    def observe(self, entities: Tensor) -> None:
        """Let ``scaled_tanh`` follow the entities' range; nothing for the other outputs."""
        if self.output == "scaled_tanh" and self.training:
            sizes = entities.abs().flatten()
            percentile = sizes.kthvalue(max(1, round(0.999 * len(sizes)))).values
            self.reach.lerp_(percentile.clamp(min=1e-6), 0.1)


class Discriminator(nn.Module):
    """Two queries about an embedding: is it an entity's, and if not, which pathway did it come?

    A shared trunk d → 50 → 32 and a linear head for each query. It sees no condition.

    Source: DANS Eq. 9–10.

    Args:
        dim: d.
        stacked: heads of three linear layers, 32 → 16 → 8 → 1 with nothing between them: one linear
            map in disguise, as the published program has it.
        auxiliary: has it the second query?
        init: how weights start.
    """

    def __init__(
        self, dim: int, *, stacked: bool = False, auxiliary: bool = True, init: Init = "default"
    ) -> None:
        super().__init__()

        def head() -> nn.Sequential:
            sizes = (32, 16, 8, 1) if stacked else (32, 1)
            return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))

        self.trunk = nn.Sequential(nn.Linear(dim, 50), nn.LeakyReLU(SLOPE), nn.Linear(50, 32))
        self.adversarial = head()
        self.auxiliary = head() if auxiliary else None
        if init == "orthogonal":
            orthogonal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of being an entity's embedding: (...) from (..., d)."""
        logits: Tensor = self.adversarial(self.trunk(x)).squeeze(-1)
        return logits

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of being an entity's, and of having come the entity pathway; (...) each.

        The second are zero where that query is not asked.
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
