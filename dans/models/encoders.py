"""Encoders: an embedding for every entity, from the message graph or from a table."""

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import ClassVar, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import IncomingMessages, Neighborhood
from dans.errors import InputError, counted
from dans.memory import Budget, room_for
from dans.models.embedding_tables import EntityTable, Initial, check_share, drop
from dans.models.features import FeaturedTable, FeatureInput, entity_table

#: The encoder that is extended.
Extended = TypeVar("Extended", bound="Encoder")


class Encoder(nn.Module, ABC):
    """Maps a message graph to an embedding for every entity."""

    #: d, the width of an entity embedding
    dim: int
    #: do the embeddings depend on the messages?
    uses_graph: ClassVar[bool] = True
    #: can it embed entities that training never saw, from their messages or features? By messages
    #: alone, `forward` takes graphs of more entities, the new ones last; with features `extended`
    #: has their rows
    embeds_new: bool = False
    #: what gives the input embeddings
    entities: EntityTable | FeaturedTable
    #: the number of layers of messages, for neighbor sampling; 0: it cannot be computed by that
    num_layers: int = 0
    #: the file with initial rows of its table; the one who builds a run reads it
    initial_from: str = ""

    @abstractmethod
    def forward(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d)."""

    def layer_parameters(self) -> list[nn.Parameter]:
        """The parameters of its layers, whose learning rate ``train.layer_lr`` changes."""
        return []

    def extended(self: Extended, values: Tensor, present: Tensor) -> Extended:
        """A copy with further entities, which have features; see `FeaturedTable.extended`.

        Args:
            values: (u, f), in the columns of the training entities.
            present: (u,) bool, which have any feature.
        """
        if not isinstance(self.entities, FeaturedTable):
            raise InputError(
                f"features: the {type(self).__name__} was built without; leave them out"
            )
        other = deepcopy(self)
        other.entities = self.entities.extended(values, present, self.learned_for_new())
        return other

    def learned_for_new(self) -> Tensor | None:
        """The row that entities unknown in training have in place of a learned one; None: zeros."""
        return None

    def rows(self, messages: MessageGraph, ids: Tensor, *, sparse: bool = False) -> Tensor:
        """The embeddings of some distinct entities, (u, d); sparse gradients where it can."""
        return F.embedding(ids, self(messages))

    def sampled(self, around: Neighborhood, *, sparse: bool = False) -> Tensor:
        """The embeddings of the entities around which was sampled, (u, d)."""
        raise InputError(f"graph.fanout: {type(self).__name__} does not embed sampled neighbors")

    def in_pieces(self, messages: IncomingMessages, *, budget: Budget | None = None) -> Tensor:
        """The embeddings of all entities, (n, d), some messages at a time."""
        raise InputError(f"graph.fanout: {type(self).__name__} does not embed sampled neighbors")


class Lookup(Encoder):
    """A table of free embeddings that ignores the graph.

    Dropout draws one mask per entity and step, for all its queries and as a candidate answer.

    Args:
        init: standard deviation of the initial embeddings; of other distributions, see
            ``dans.models.embedding_tables.draw``.
        dropout: share of coordinates dropped at each step.
        initial_from: a file of embeddings, word2vec text or ``.npy`` with ``names.json`` beside it
            (see ``dans.data.embedding_files``), whose rows replace the initial embeddings of the
            entities it names when a run begins.
        features: of the entities, beside or in place of the table.
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
        initial_from: str = "",
        features: FeatureInput | None = None,
    ) -> None:
        super().__init__()
        counted("dim", dim)
        room_for("dim", num_entities * dim)
        self.dim = dim
        self.init = init
        self.initial: Initial = initial
        self.initial_from = initial_from
        self.dropout = check_share("dropout", dropout)
        self.entities = entity_table(num_entities, dim, features)
        self.embeds_new = features is not None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the embeddings anew."""
        self.entities.draw(self.initial, self.init)

    def forward(self, messages: MessageGraph) -> Tensor:
        """The whole table, (n, d), with dropout in training."""
        return drop(self.entities.whole(), self.dropout, self.training)

    def rows(self, messages: MessageGraph, ids: Tensor, *, sparse: bool = False) -> Tensor:
        """Rows of the table, (u, d), with dropout in training."""
        rows = self.entities.rows(ids, sparse=sparse)
        return drop(rows, self.dropout, self.training)
