"""Input embeddings from features of entities, beside a learned table or in its place."""

from copy import deepcopy
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.config.schema import Combine
from dans.errors import InputError, counted, one_of
from dans.memory import room_for
from dans.models.embedding_tables import EntityTable, Hide, Initial, constants, draw


@dataclass(frozen=True, eq=False)
class FeatureInput:
    """Features of the entities of a graph, and how they become input embeddings.

    Args:
        values: (n, f) floats, such as those of `dans.data.entity_features.EntityFeatures`.
        present: (n,) bool, which entities have any.
        combine: with the learned rows; see `FeaturedTable`.
        hidden: width of a hidden layer of the projection; 0: it is linear.
    """

    values: Tensor
    present: Tensor
    combine: Combine = "gate"
    hidden: int = 0


class FeaturedTable(nn.Module):
    """The input embedding of an entity from its features x, and its learned row e.

        p = x W + b,  or with a hidden layer  p = ReLU(x W_1 + b_1) W + b

    - ``add``: e + p
    - ``concat``: [e; x] mapped to d numbers, e V + p, with V the identity at the start
    - ``gate``: z ⊙ p + (1 − z) ⊙ e, with z = σ([e; p] U + c), between 0 and 1 for each number
    - ``only``: p; entities without any feature share one learned row

    ``concat`` and ``gate`` are those of LiteralE (Kristiadi et al. 2019, arXiv:1802.00934), whose
    features are numbers, with the projection in place of their hyperbolic tangent. W is drawn such
    that the numbers of p have the standard deviation of those of a learned row at the start.

    Example:
        >>> given = FeatureInput(torch.eye(3), torch.tensor([True, True, False]), "only")
        >>> table = FeaturedTable(4, given)
        >>> table.draw("normal", 1.0)
        >>> table.whole().shape
        torch.Size([3, 4])
        >>> table.extended(torch.eye(3)[:1]).whole().shape
        torch.Size([4, 4])
    """

    #: (n, f)
    values: Tensor
    #: (n,) bool
    present: Tensor

    def __init__(self, dim: int, features: FeatureInput) -> None:
        super().__init__()
        one_of("features.combine", features.combine, get_args(Combine))
        counted("features.hidden", features.hidden, least=0)
        n, f = features.values.shape
        width = features.hidden or f
        room_for("features.hidden", features.hidden * f + (width + 2 * dim) * dim)
        self.num_entities, self.combine = n, features.combine
        # The run keeps the features; they are not in its checkpoints.
        constants(self, values=features.values.float(), present=features.present)
        alone = self.combine == "only"
        self.table = None if alone else EntityTable(n, dim)
        lacking = alone and not bool(features.present.all())
        self.missing = nn.Parameter(torch.empty(1, dim)) if lacking else None
        hidden = features.hidden
        self.first = nn.Parameter(torch.empty(f, hidden)) if hidden else None
        self.first_bias = nn.Parameter(torch.empty(hidden)) if hidden else None
        self.projection = nn.Parameter(torch.empty(width, dim))
        self.bias = nn.Parameter(torch.empty(dim))
        rows = {"concat": dim, "gate": 2 * dim}.get(self.combine)
        self.mixing = nn.Parameter(torch.empty(rows, dim)) if rows else None
        self.gate_bias = nn.Parameter(torch.empty(dim)) if self.combine == "gate" else None

    @torch.no_grad()
    def draw(self, initial: Initial, init: float) -> None:
        """Fill table and weights with random numbers, those of the table as of `EntityTable`."""
        n = self.num_entities
        if self.table is not None:
            self.table.draw(initial, init)
        if self.missing is not None:
            draw(self.missing, initial, init, num_rows=n)
        for bias in (self.first_bias, self.bias, self.gate_bias):
            if bias is not None:
                bias.zero_()
        x = self.values[self.present]
        if self.first is not None:
            # Half of the sum of squares passes ReLU (He et al. 2015, arXiv:1502.01852).
            nn.init.normal_(self.first, std=2**0.5 / _length(x))
            x = F.relu(x @ self.first)
        draw(self.projection, initial, init, num_rows=n)
        self.projection.div_(_length(x))
        if self.combine == "concat" and self.mixing is not None:
            nn.init.eye_(self.mixing)
        elif self.mixing is not None:
            nn.init.xavier_uniform_(self.mixing)

    def rows(self, ids: Tensor, *, sparse: bool = False, hide: Hide | None = None) -> Tensor:
        """The embeddings of distinct entities, (u, d); sparse gradients into the table.

        ``hide`` puts other rows in place of some of the learned ones; features stay.
        """
        learned = None if self.table is None else self.table.rows(ids, sparse=sparse, hide=hide)
        ids = ids.to(self.values.device)
        return self._combined(learned, self.values[ids], self.present[ids])

    def whole(self, hide: Hide | None = None) -> Tensor:
        """The embeddings of all entities, (n, d); ``hide`` as in `rows`."""
        learned = None if self.table is None else self.table.whole(hide)
        return self._combined(learned, self.values, self.present)

    @torch.no_grad()
    def extended(
        self, values: Tensor, present: Tensor | None = None, learned: Tensor | None = None
    ) -> "FeaturedTable":
        """A copy with the rows of further entities behind its own, which shares no weight with it.

        In place of learned rows these have zeros, the mean from which the rows were drawn: e = 0 in
        the formulas. So ``add`` and ``concat`` give p, and ``gate`` gives z ⊙ p with
        z = σ([0; p] U + c). Or they have one row that was learned for such entities. ``only`` gives
        p, or for those without any feature the row that they share; where no entity of training was
        without, p of features that are all 0.

        Args:
            values: (u, f) in the columns of the training entities, as of
                `dans.data.entity_features.EntityFeatures.of_others`.
            present: (u,) bool, which have any feature; None: all.
            learned: (d,), the learned row of each; None: zeros.
        """
        x, present = self._others(values, present)
        other = deepcopy(self)
        other.values = torch.cat((self.values, x))
        other.present = torch.cat((self.present, present))
        other.num_entities += len(x)
        if other.table is not None:
            own = other.table.weight.data
            row = own.new_zeros(own.shape[1]) if learned is None else learned
            other.table.weight.data = torch.cat((own, row.expand(len(x), -1)))
            other.table.num_entities = other.num_entities
        return other

    def _others(self, values: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features of other entities, checked and where the table is."""
        if values.ndim != 2 or values.shape[1] != self.values.shape[1]:
            found = f"{tuple(values.shape)}"
            raise InputError(f"features: expected (u, {self.values.shape[1]}) numbers, got {found}")
        x = values.to(self.values)
        if present is None:
            present = torch.ones(len(x), dtype=torch.bool)
        return x, present.to(x.device)

    def _combined(self, learned: Tensor | None, x: Tensor, present: Tensor) -> Tensor:
        if self.first is not None and self.first_bias is not None:
            x = F.relu(torch.addmm(self.first_bias, x, self.first))
        p = torch.addmm(self.bias, x, self.projection)
        if learned is None:
            return p if self.missing is None else torch.where(present[:, None], p, self.missing)
        if self.combine == "concat" and self.mixing is not None:
            return torch.addmm(p, learned, self.mixing)
        if self.mixing is not None and self.gate_bias is not None:
            both = torch.cat((learned, p), dim=1)
            return torch.lerp(learned, p, torch.addmm(self.gate_bias, both, self.mixing).sigmoid())
        return learned + p


def entity_table(
    num_entities: int, dim: int, features: FeatureInput | None
) -> EntityTable | FeaturedTable:
    """What gives an encoder its input embeddings: a table, or features with or without one."""
    return EntityTable(num_entities, dim) if features is None else FeaturedTable(dim, features)


def _length(x: Tensor) -> float:
    """The root mean square length of rows; 1 where all are 0."""
    return float(x.square().sum(1).mean().sqrt()) if bool(x.any()) else 1.0
