"""Our samplers as the ``negative_sampler`` of DGL's data loaders for link prediction."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from dans.adapters.learner import Learner
from dans.data._dgl import dgl
from dans.errors import InputError, one_of
from dans.models.batch import Positives
from dans.samplers import NegativeSampler

#: An edge type as DGL spells it out: source node type, name, destination node type.
EType = tuple[str, str, str]
#: Sources and destinations: heads and tails.
Ends = tuple[Tensor, Tensor]
#: Treatment of negatives that a filter marks invalid.
Invalid = Literal["replace", "drop"]


class NegativeEdges:
    """Negative edges for ``dgl.dataloading.as_edge_prediction_sampler``.

    ``(g, eids)`` to ``(src, dst)``, or ``(g, {etype: eids})`` to ``{etype: (src, dst)}``. The k
    negatives of an edge follow one another, in the order of ``eids``, with ids of the graph's own
    type. An edge u → v of relation r is the triple (u, r, v); a negative keeps r and one end.

    Node ids are the entity ids the sampler was built for. In a heterograph, the position of an edge
    type is its relation's id, as in ``KnowledgeGraph.heterograph``, unless ``relations`` says
    otherwise; with one edge type the relation is edge data, or 0 without any. Graphs of several
    node types are refused, as negatives could be of the wrong one. A sampler that looks at the
    model needs ``num_workers=0``.

    Args:
        sampler: any whose negatives have ids.
        relation: name of the edge data with relation ids; None: ``dgl.ETYPE`` where the graph has
            it, as after ``dgl.to_homogeneous``.
        relations: relation ids by edge type name, where they are not the positions: with edge types
            for inverses, say. Refused beside edge data.
        invalid: treatment of negatives that the sampler's filter marks invalid, as DGL has no mask.
            ``replace`` puts a random valid negative of the same edge in their place; an edge
            without any keeps its own. ``drop`` removes them, as DGL's ``GlobalUniform`` does.
        embeddings: (b, 3) triples to their current ``Positives``, for a sampler that looks at the
            model.
        phases: options of the phases of a sampler that learns, as in a recipe.

    Example:
        >>> from dans.samplers import Uniform
        >>> g = dgl.graph(([0, 1, 2], [1, 2, 3]))
        >>> src, dst = NegativeEdges(Uniform(k=2, side="tail"))(g, torch.tensor([0, 2]))
        >>> src
        tensor([0, 0, 2, 2])
    """

    def __init__(
        self,
        sampler: NegativeSampler,
        *,
        relation: str | None = None,
        relations: Mapping[str, int] | None = None,
        invalid: Invalid = "replace",
        embeddings: Callable[[Tensor], Positives] | None = None,
        phases: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        one_of("invalid", invalid, ("replace", "drop"))
        self.learner = Learner(sampler, phases)
        if self.learner.adaptive and embeddings is None:
            raise InputError(
                "embeddings: the sampler looks at the model; give a function from (b, 3) triples "
                "to their Positives, such as lambda triples: model.positives(triples, entities)"
            )
        if embeddings is not None and not self.learner.adaptive:
            raise InputError("embeddings: no effect, as the sampler does not look at the model")
        if relation is not None and relations is not None:
            raise InputError("relations: no effect beside relation, which says where the ids are")
        self.relation, self.relations = relation, relations
        self.invalid, self.embeddings = invalid, embeddings

    def __call__(
        self, g: dgl.DGLGraph, eids: Tensor | Mapping[str | EType, Tensor]
    ) -> Ends | dict[EType, Ends]:
        """Negative edges for edge ids."""
        if len(g.ntypes) != 1:
            raise InputError(f"graph: expected one node type, got {', '.join(g.ntypes)}")
        if isinstance(eids, Mapping):
            given = {g.to_canonical_etype(etype): ids for etype, ids in eids.items()}
            return self.draw(
                g, {etype: self.triples(g, etype, ids) for etype, ids in given.items()}
            )
        if len(g.canonical_etypes) != 1:
            raise InputError("eids: expected edge ids by edge type, as the graph has several")
        etype = g.canonical_etypes[0]
        return self.draw(g, {etype: self.triples(g, etype, eids)})[etype]

    def triples(self, g: dgl.DGLGraph, etype: EType, eids: Tensor) -> Tensor:
        """The (b, 3) triples of some edges of one type."""
        heads, tails = (end.long() for end in g.find_edges(eids, etype=etype))
        name = self.relation or dgl.ETYPE
        if len(g.canonical_etypes) == 1 and name in g.edges[etype].data:
            if self.relations is not None:
                raise InputError(
                    f"relations: no effect, as the one edge type has edge data {name!r}, "
                    "which hold the relations' ids"
                )
            relations = g.edges[etype].data[name][eids.long()].long()
        elif self.relation is not None:
            raise InputError(f"relation: the graph has no edge data {name!r} of its one edge type")
        elif self.relations is None:
            relations = torch.full_like(heads, g.get_etype_id(etype))
        elif etype[1] in self.relations:
            relations = torch.full_like(heads, self.relations[etype[1]])
        else:
            raise InputError(f"relations: no id for edge type {etype[1]!r}")
        return torch.stack((heads, relations, tails), dim=1)

    def draw(self, g: dgl.DGLGraph, edges: Mapping[EType, Tensor]) -> dict[EType, Ends]:
        """Negative edges for the triples of several edge types, in a single draw."""
        if not any(map(len, edges.values())):
            none = torch.empty(0, dtype=g.idtype, device=g.device)
            return {etype: (none, none) for etype in edges}
        triples = torch.cat(list(edges.values()))
        if self.embeddings is None:
            positives = Positives.of_ids(triples, g.num_nodes())
        else:
            positives = self.embeddings(triples)
        negatives = self.learner.draw(positives)
        corrupted = negatives.triples(triples)
        keep = torch.ones_like(negatives.corrupt_head)
        if negatives.valid is not None:
            if self.invalid == "drop":
                keep = negatives.valid
            else:
                corrupted = replace_invalid(corrupted, negatives.valid)
        sizes = [len(rows) for rows in edges.values()]
        parts = zip(corrupted.split(sizes), keep.split(sizes), strict=True)
        ends = [part[kept][:, ::2].to(g.idtype).unbind(1) for part, kept in parts]
        return {etype: (src, dst) for etype, (src, dst) in zip(edges, ends, strict=True)}


def replace_invalid(corrupted: Tensor, valid: Tensor) -> Tensor:
    """Replace each invalid of (b, k, 3) negatives by a random valid one of the same triple.

    The negatives of a triple without a valid one are left as they are.

    Example:
        >>> negatives = torch.tensor([[[0, 0, 1], [0, 0, 2]]])
        >>> replace_invalid(negatives, torch.tensor([[False, True]]))
        tensor([[[0, 0, 2],
                 [0, 0, 2]]])
    """
    rows, slots = (~valid & valid.any(1, keepdim=True)).nonzero(as_tuple=True)
    if not len(rows):
        return corrupted
    others = torch.multinomial(valid[rows].float(), 1).squeeze(1)
    return corrupted.index_put((rows, slots), corrupted[rows, others])
