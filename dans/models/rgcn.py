"""RGCN: layers and encoder; ``message_passing`` computes the sum over messages."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import Block, IncomingMessages, Neighborhood
from dans.errors import InputError, counted
from dans.memory import Budget, room_for
from dans.models.embedding_tables import EntityTable, Hide, check_share, drop
from dans.models.encoders import Encoder
from dans.models.features import FeatureInput, entity_table
from dans.models.message_passing import propagate

#: The most layers of an encoder.
MOST_LAYERS = 1000

#: The most messages that are computed at a time where all are.
PIECE = 500_000


class RGCNLayer(nn.Module):
    """One layer of relational graph convolution.

        out_i = Σ_r Σ_{j ∈ N_i^r} w_{ij}^r x_j W_r + x_i W_0 + b

    with w the normalisers of the message graph, and W_r = Σ_b a_{rb} V_b or block-diagonal
    (Schlichtkrull et al. 2018, arXiv:1703.06103, Eqs. 2 to 4).

    Args:
        bases: number of V_b; 0: a full matrix per edge type.
        blocks: number of diagonal blocks, in place of bases.
    """

    def __init__(
        self, num_etypes: int, dim_in: int, dim_out: int, *, bases: int = 0, blocks: int = 1
    ) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.empty(num_etypes, bases)) if bases else None
        #: (B, 1, d_in, d_out) with bases, else (2m, c, d_in / c, d_out / c) with c blocks
        self.matrices = nn.Parameter(
            torch.empty(bases or num_etypes, blocks, dim_in // blocks, dim_out // blocks)
        )
        self.self_loop = nn.Parameter(torch.empty(dim_in, dim_out))
        self.bias = nn.Parameter(torch.empty(dim_out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All uniform in ±1/√(bases · d_in), as in JinheonBaek/RGCN; no bases count as one."""
        bases = 1 if self.coefficients is None else self.coefficients.shape[1]
        bound = 1 / math.sqrt(bases * self.matrices.shape[1] * self.matrices.shape[2])
        for weights in (self.coefficients, self.matrices, self.self_loop, self.bias):
            if weights is not None:
                nn.init.uniform_(weights, -bound, bound)

    def forward(self, x: Tensor, messages: MessageGraph | Block) -> Tensor:
        """Embeddings (n, d_out) from (n, d_in); of the targets of a block, from its sources."""
        aggregated = propagate(x, messages, self.matrices, self.coefficients)
        own = x[: messages.num_targets] if isinstance(messages, Block) else x
        return torch.addmm(self.bias, own, self.self_loop).add_(aggregated)

    def in_pieces(self, x: Tensor, messages: IncomingMessages, budget: Budget) -> Tensor:
        """`forward` without gradient, some messages at a time, by a budget for these."""
        out = torch.addmm(self.bias, x, self.self_loop)

        def aggregate(part: slice) -> tuple[int, Tensor]:
            first, block = messages.piece(part)
            return first, propagate(x, block.to(x.device), self.matrices, self.coefficients)

        # Of each message a row before and after its product, and some ten numbers of its plan.
        each = x.element_size() * (x.shape[1] + 2 * out.shape[1]) + 200
        for first, some in budget.chunks(len(messages), each, aggregate, most=PIECE):
            out[first : first + len(some)] += some
        return out


class RGCN(Encoder):
    """Relational graph convolution over a table of input embeddings.

        X^{l+1} = dropout(ReLU(layer_l(X^l)))

    (Eq. 1 of Liu et al. 2024, arXiv:2410.07592; Schlichtkrull et al. 2018). The last layer has no
    dropout and, as in the published program, no ReLU. With ``skip`` the output is X^0 + X^L.

    Of an entity that training never saw there is no row of X^0: all of them have one row in common,
    and their messages tell them apart. It is the mean of the table; with ``unseen`` it is learned.
    With features it stands for the learned row alone, and is 0, or with ``unseen`` learned; the new
    entity's own features stand beside it.

    Args:
        dim: d, of the input embeddings and of every layer.
        bases: number of bases (4 if neither this nor ``blocks`` is given); 0: a full matrix per
            edge type.
        blocks: number of diagonal blocks, in place of bases; divides ``dim``.
        dropout: share of coordinates dropped between layers.
        init: standard deviation of the initial input table.
        skip: add the input embeddings to the output. The last layer then starts at zero, so that
            training starts from the model with a lookup in place of the RGCN.
        unseen: share of the entities, drawn anew at each step, that have the row of unseen entities
            in place of their own, so that the layers learn to embed an entity by its messages
            alone, or by these and its features; 0: none, and no parameter more.
        initial_from: a file of embeddings, word2vec text or ``.npy`` with ``names.json`` beside it
            (see ``dans.data.embedding_files``), whose rows replace those of the initial input table
            for the entities it names when a run begins.
        features: of the entities, beside or in place of the input table.

    Example:
        >>> encoder = RGCN(num_entities=3, num_relations=2, dim=8)
        >>> encoder(MessageGraph.of(torch.tensor([[0, 1, 2], [2, 0, 0]]), 3, 2)).shape
        torch.Size([3, 8])
        >>> encoder(MessageGraph.of(torch.tensor([[0, 1, 2], [3, 0, 0]]), 4, 2)).shape
        torch.Size([4, 8])
    """

    embeds_new = True

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dim: int,
        *,
        layers: int = 2,
        bases: int | None = None,
        blocks: int | None = None,
        dropout: float = 0.2,
        init: float = 1.0,
        skip: bool = False,
        unseen: float = 0.0,
        initial_from: str = "",
        features: FeatureInput | None = None,
    ) -> None:
        super().__init__()
        counted("dim", dim)
        counted("layers", layers, most=MOST_LAYERS)
        if bases is not None and blocks is not None:
            raise InputError("blocks: cannot be combined with bases; give one of them")
        counted("bases", bases or 0, least=0)
        if blocks is not None and (blocks < 1 or dim % blocks):
            raise InputError(f"blocks: expected a divisor of dim = {dim}, got {blocks}")
        if bases is None:
            bases = 4 if blocks is None else 0
        weights = (bases or 2 * num_relations) * dim * (dim // (blocks or 1)) + dim * dim
        room_for("dim", num_entities * dim + layers * (weights + 2 * num_relations * bases))
        self.dim = dim
        self.dropout = check_share("dropout", dropout)
        self.init = init
        self.initial_from = initial_from
        self.skip = skip
        self.unseen = check_share("unseen", unseen)
        if unseen and features is not None and features.combine == "only":
            learned = "features.combine = only, where entities have no learned row"
            raise InputError(f"unseen: has no effect with {learned}; leave it out")
        #: (d,) the input row of every entity that training never saw
        self.unseen_row = nn.Parameter(torch.empty(dim)) if unseen else None
        self.entities = entity_table(num_entities, dim, features)
        self.layers = nn.ModuleList(
            RGCNLayer(2 * num_relations, dim, dim, bases=bases, blocks=blocks or 1)
            for _ in range(layers)
        )
        self.num_layers = layers
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the input table and the layers anew."""
        self.entities.draw("normal", self.init)
        if self.unseen_row is not None:
            nn.init.zeros_(self.unseen_row)
        for layer in self.layers:
            if isinstance(layer, RGCNLayer):
                layer.reset_parameters()
        last = self.layers[-1]
        if self.skip and isinstance(last, RGCNLayer):
            # Not the coefficients: a product of zeros has no gradient.
            for weights in (last.matrices, last.self_loop, last.bias):
                nn.init.zeros_(weights)

    def forward(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d)."""
        x = start = self._inputs(messages.num_entities, self._hidden)
        last = len(self.layers) - 1
        for depth, layer in enumerate(self.layers):
            x = layer(x, messages)
            if depth < last:
                x = drop(F.relu(x, inplace=True), self.dropout, self.training)
        return x + start if self.skip else x

    def sampled(self, around: Neighborhood, *, sparse: bool = False) -> Tensor:
        """The embeddings of the entities around which was sampled, (u, d)."""
        if len(around.blocks) != len(self.layers):
            given = f"{len(self.layers)} layers and {len(around.blocks)} blocks"
            raise ValueError(f"expected a block for each layer, got {given}")
        start = x = self.entities.rows(around.entity_ids, sparse=sparse, hide=self._hidden)
        for layer, block in zip(self.layers[:-1], around.blocks, strict=False):
            x = drop(F.relu(layer(x, block), inplace=True), self.dropout, self.training)
        x = cast(Tensor, self.layers[-1](x, around.blocks[-1]))
        return x + start[: around.num_targets] if self.skip else x

    @torch.no_grad()
    def in_pieces(self, messages: IncomingMessages, *, budget: Budget | None = None) -> Tensor:
        """What `forward` returns, (n, d), layer by layer and some messages at a time.

        Without gradient and dropout.

        Args:
            messages: all of the graph.
            budget: for the messages computed at a time; None: a quarter of the free memory.
        """
        budget = Budget() if budget is None else budget
        x = start = self._inputs(messages.num_entities)
        for depth, layer in enumerate(self.layers):
            if isinstance(layer, RGCNLayer):
                x = layer.in_pieces(x, messages, budget)
            if depth < len(self.layers) - 1:
                x = F.relu(x, inplace=True)
        return x + start if self.skip else x

    def _inputs(self, num_entities: int, hide: Hide | None = None) -> Tensor:
        """The input rows of so many entities: those beyond the table share one."""
        table = self.entities.whole(hide)
        new = num_entities - len(table)
        if not new:
            return table
        learned = self.unseen_row if isinstance(self.entities, EntityTable) else None
        shared = table.mean(0) if learned is None else learned
        return torch.cat((table, shared.expand(new, -1)))

    def _hidden(self, rows: Tensor) -> Tensor:
        """Learned rows, (u, d), in training with those of a share of the entities hidden."""
        if self.unseen_row is None or not self.training:
            return rows
        hidden = torch.rand(len(rows), 1, device=rows.device) < self.unseen
        return torch.where(hidden, self.unseen_row, rows)

    def learned_for_new(self) -> Tensor | None:
        """The row of unseen entities, if it was learned."""
        return self.unseen_row

    def layer_parameters(self) -> list[nn.Parameter]:
        """All parameters but the input rows."""
        return list(self.layers.parameters())
