"""What a decoder is: a question as a vector, and how well an entity's vector answers it."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Decoder(nn.Module, ABC):
    """Scores triples of vectors; larger is truer. Owns the relation vectors and no entity vector.

    A subclass says how (h, r, ?) and (?, r, t) become query vectors and how a query is matched with
    entities; everything else follows:

        score(h, r, t) = match(query_tails(h, r), t) = match(query_heads(r, t), h)

    With ``reciprocal``, the relation table has a second row per relation and (?, r, t) is asked as
    (t, r⁻, ?) (Lacroix et al. 2018, arXiv:1806.07297); a triple then has two scores.

    Args:
        num_relations: m, inverses not counted.
        dim: d, the width of an entity vector.
        relation_dim: the width of a relation vector.
        reciprocal: learn a vector for the inverse of each relation too.
    """

    #: does f(h, r, t) = f(t, r, h) hold for every input? The suite checks, both ways.
    symmetric: ClassVar[bool]
    #: is ``match`` a dot product?
    dot: ClassVar[bool] = True

    def __init__(
        self, num_relations: int, dim: int, relation_dim: int, *, reciprocal: bool = False
    ) -> None:
        super().__init__()
        self.num_relations = num_relations
        self.dim = dim
        self.reciprocal = reciprocal
        #: relation ids to relation vectors; with ``reciprocal``, the inverse of r is r + m
        self.relation = nn.Embedding(num_relations * (1 + reciprocal), relation_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier-uniform with gain √2, as the RGCN programs do (Schlichtkrull et al. 2018)."""
        nn.init.xavier_uniform_(self.relation.weight, gain=nn.init.calculate_gain("relu"))

    @abstractmethod
    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """The question (h, r, ?) as a vector: (..., d) from (..., d) and (..., d_r)."""

    @abstractmethod
    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """The question (?, r, t) as a vector: (..., d) from (..., d_r) and (..., d)."""

    def match(self, query: Tensor, entity: Tensor) -> Tensor:
        """How well entities answer queries: (...) from any two (..., d) that broadcast."""
        return (query * entity).sum(-1)

    def match_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """Every entity against every query: (b, n) from (b, d) and (n, d).

        The result is laid out entity by entity: that product runs up to twice as fast.
        """
        return (entities @ queries.T).T

    def score(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Scores of triples, broadcasting over (..., d)."""
        return self.match(self.query_tails(h, r), t)

    def score_tails(self, h: Tensor, r: Tensor, entities: Tensor) -> Tensor:
        """All entities as tails: (b, n)."""
        return self.match_all(self.query_tails(h, r), entities)

    def score_heads(self, entities: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """All entities as heads: (b, n)."""
        return self.match_all(self.query_heads(r, t), entities)

    def ask_tails(self, h: Tensor, relations: Tensor) -> Tensor:
        """Query vectors of (h, r, ?) by relation ids: (b, d) from (b, d) and (b,)."""
        return self.query_tails(h, self.relation(relations))

    def ask_heads(self, relations: Tensor, t: Tensor) -> Tensor:
        """Query vectors of (?, r, t) by relation ids: (b, d) from (b,) and (b, d)."""
        if self.reciprocal:
            return self.query_tails(t, self.relation(relations + self.num_relations))
        return self.query_heads(self.relation(relations), t)
