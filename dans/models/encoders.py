"""What an encoder is: the messages of a graph in, one vector per entity out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dans.data.messages import MessageGraph
from dans.errors import InputError


class Encoder(nn.Module, ABC):
    """Gives every entity a vector."""

    #: d, the width of an entity vector
    dim: int

    @abstractmethod
    def forward(self, messages: MessageGraph) -> Tensor:
        """The vectors of all entities, (n, d)."""


class Lookup(Encoder):
    """One free vector per entity: the ablation that ignores the graph.

    Args:
        num_entities: n.
        dim: d.
        init: standard deviation of the vectors at the start; their mean is 0.

    Example:
        >>> Lookup(num_entities=5, dim=3)(MessageGraph.of(torch.tensor([[0, 0, 1]]), 5, 1)).shape
        torch.Size([5, 3])
    """

    def __init__(self, num_entities: int, dim: int, *, init: float = 1.0) -> None:
        super().__init__()
        if dim < 1:
            raise InputError(f"dim: expected at least 1, got {dim}")
        self.dim = dim
        self.init = init
        self.entities = nn.Embedding(num_entities, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        nn.init.normal_(self.entities.weight, std=self.init)

    def forward(self, messages: MessageGraph) -> Tensor:
        """The vectors as they are, (n, d)."""
        return self.entities.weight
