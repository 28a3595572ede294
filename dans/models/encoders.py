"""What an encoder is: the messages of a graph in, one embedding per entity out."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.models.dropout import check_share, drop
from dans.models.initialization import Initial, draw


class Encoder(nn.Module, ABC):
    """Gives every entity an embedding."""

    #: d, the width of an entity embedding
    dim: int
    #: do the embeddings depend on the messages?
    uses_graph: ClassVar[bool] = True

    @abstractmethod
    def forward(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d)."""

    def rows(self, messages: MessageGraph, ids: Tensor, *, sparse: bool = False) -> Tensor:
        """The embeddings of some entities, (u, d).

        Args:
            messages: of the graph.
            ids: (u,) distinct entities.
            sparse: give gradients of no other rows, where the encoder can.
        """
        return F.embedding(ids, self(messages))


class Lookup(Encoder):
    """One free embedding per entity: the ablation that ignores the graph.

    Dropout draws one mask for each entity and step: all queries of a batch that start from the
    entity share it, and so does the entity as a candidate for their answers. LibKGE draws for each
    query afresh, and for candidates apart.

    Args:
        num_entities: n.
        dim: d.
        init: standard deviation of the embeddings at the start; their mean is 0. Other
            distributions read it otherwise: see ``dans.models.initialization.draw``.
        initial: the distribution they are drawn from.
        dropout: share of coordinates dropped, afresh at each step; see above.

    Raises:
        InputError: an option out of range.

    Example:
        >>> Lookup(num_entities=5, dim=3)(MessageGraph.of(torch.tensor([[0, 0, 1]]), 5, 1)).shape
        torch.Size([5, 3])
    """

    uses_graph: ClassVar[bool] = False

    def __init__(
        self,
        num_entities: int,
        dim: int,
        *,
        init: float = 1.0,
        initial: Initial = "normal",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise InputError(f"dim: expected at least 1, got {dim}")
        self.dim = dim
        self.init = init
        self.initial: Initial = initial
        self.dropout = check_share("dropout", dropout)
        self.entities = nn.Embedding(num_entities, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the embeddings anew."""
        draw(self.entities.weight, self.initial, self.init)

    def forward(self, messages: MessageGraph) -> Tensor:
        """The embeddings as they are, (n, d)."""
        return self._dropped(self.entities.weight)

    def rows(self, messages: MessageGraph, ids: Tensor, *, sparse: bool = False) -> Tensor:
        """Some of the embeddings, (u, d); see ``Encoder``."""
        embeddings = F.embedding(ids, self.entities.weight, sparse=sparse)
        return self._dropped(embeddings)

    def _dropped(self, embeddings: Tensor) -> Tensor:
        return drop(embeddings, self.dropout) if self.training else embeddings
