"""Our samplers as a negative sampler of PyKEEN's training loops and pipeline.

Needs PyKEEN (the extra ``pykeen``).
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.adapters.learner import Learner
from dans.data.graph import Vocabulary, Walks
from dans.data.known_triples import KnownTriples
from dans.errors import InputError, install_command
from dans.models.batch import Negatives, Positives, ScoreQuery
from dans.models.decoders.multilinear import conjugate, multiply
from dans.registry import build, choose
from dans.samplers import SAMPLERS
from dans.samplers import NegativeSampler as Sampler

try:
    with warnings.catch_warnings():
        # PyTorch Geometric, which PyKEEN imports where it is installed, uses what torch deprecates.
        warnings.filterwarnings("ignore", r"`torch\.jit\..*` is deprecated", DeprecationWarning)
        from pykeen.models import ERModel, Model
        from pykeen.nn.modules import ComplExInteraction, DistMultInteraction, RotatEInteraction
        from pykeen.sampling import NegativeSampler, negative_sampler_resolver
except ModuleNotFoundError as error:
    missing = (error.name or "pykeen").partition(".")[0]
    raise InputError(
        f"{missing}: not installed; PyKEEN comes with: {install_command('pykeen')}"
    ) from None

#: How many pathways a sampler has, where its k counts the negatives of each.
PATHWAYS = {"dans": 2}


class DansNegativeSampler(NegativeSampler):
    """A sampler of ours whose negatives have ids, for PyKEEN's sLCWA training loop.

    ``pipeline(negative_sampler=DansNegativeSampler, …)``, or by the name ``"dans"`` once this
    module is imported. The training triples it is built from are those that the sampler counts,
    walks along and filters by; filters are exact.

    A sampler that looks at the model gets detached embeddings of PyKEEN's at each batch, and its
    phases are updated before it draws. Supported are PyKEEN's DistMult, ComplEx and RotatE
    interactions with one representation each of entities and relations.

    Args:
        mapped_triples: (f, 3) the training triples.
        num_entities: n; None: the largest id plus one.
        num_relations: m; None: the largest id plus one.
        num_negs_per_pos: k; None: the sampler's default.
        filtered: the same as the option ``filter = "mask"``.
        sampler: a name in ``dans.samplers.SAMPLERS``.
        options: of its constructor, as in a recipe. Entity and relation names are the ids as
            strings: "0", "1", ….
        model: the PyKEEN model, an instance that is given to ``pipeline(model=…)`` too; only for
            samplers that look at the model.
        phases: options of the phases of a sampler that learns, as in a recipe.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> sampler = DansNegativeSampler(
        ...     mapped_triples=triples, num_negs_per_pos=4, sampler="uniform", filtered=True
        ... )
        >>> negatives, mask = sampler.sample(triples)
        >>> negatives.shape, mask.shape
        (torch.Size([2, 4, 3]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        *,
        mapped_triples: Tensor,
        num_entities: int | None = None,
        num_relations: int | None = None,
        num_negs_per_pos: int | None = None,
        filtered: bool = False,
        sampler: str = "uniform",
        options: Mapping[str, Any] | None = None,
        model: Model | None = None,
        phases: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(
            mapped_triples=mapped_triples,
            num_entities=num_entities,
            num_relations=num_relations,
            num_negs_per_pos=num_negs_per_pos,
        )
        adaptive = choose(SAMPLERS, sampler, where="sampler").adaptive
        if adaptive and model is None:
            raise InputError(
                f"model: {sampler} looks at the model; give an instance here and to the pipeline"
            )
        if model is not None and not adaptive:
            raise InputError(f"model: no effect, as {sampler} does not look at it")
        self.embeddings = None if model is None else Embeddings(model)
        self.inner = self.make(sampler, mapped_triples, num_negs_per_pos, filtered, options or {})
        self.num_negs_per_pos = self.inner.k
        self.learner = Learner(self.inner, phases)

    def make(
        self, name: str, triples: Tensor, k: int | None, filtered: bool, options: Mapping[str, Any]
    ) -> Sampler:
        """Build our sampler from PyKEEN's triples and sizes."""
        given = dict(options)
        if filtered and given.setdefault("filter", "mask") == "none":
            raise InputError("options.filter: none, but filtered is true; leave one of them out")
        if k is not None:
            if "k" in given:
                raise InputError("options.k: num_negs_per_pos says it; leave one of them out")
            pathways = PATHWAYS.get(name, 1)
            if k % pathways:
                raise InputError(
                    f"num_negs_per_pos: expected a multiple of {pathways}, the number of pathways "
                    f"of {name}; got {k}"
                )
            given["k"] = k // pathways
        return build(
            SAMPLERS,
            name,
            where="options",
            given=given,
            **({} if self.embeddings is None else {"dim": self.embeddings.dim}),
            num_entities=self.num_entities,
            num_relations=self.num_relations,
            triples=triples,
            known=KnownTriples(triples, self.num_entities, self.num_relations),
            walks=Walks(triples, self.num_entities),
            entity_names=Vocabulary(tuple(map(str, range(self.num_entities)))),
            relation_names=Vocabulary(tuple(map(str, range(self.num_relations)))),
        )

    def draw(self, triples: Tensor) -> Negatives:
        """Negatives for (b, 3) triples, on the model's device."""
        if self.embeddings is None:
            positives = Positives.of_ids(triples, self.num_entities)
        else:
            positives = self.embeddings(triples.to(self.embeddings.model.device))
        # PyKEEN moves its model when training starts, but not its samplers.
        self.inner.to(positives.triples.device)
        return self.learner.draw(positives)

    def sample(self, positive_batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Negatives, (b, k, 3), and the mask of the valid ones, (b, k) bool or None."""
        negatives = self.draw(positive_batch)
        valid = None if negatives.valid is None else negatives.valid.to(positive_batch.device)
        return self.triples(negatives, positive_batch), valid

    def corrupt_batch(self, positive_batch: Tensor) -> Tensor:
        """Unfiltered negatives: (*, 3) to (*, k, 3)."""
        flat = positive_batch.reshape(-1, 3)
        triples = self.triples(self.draw(flat), flat)
        return triples.view(*positive_batch.shape[:-1], self.num_negs_per_pos, 3)

    def triples(self, negatives: Negatives, positives: Tensor) -> Tensor:
        """The corrupted triples, (b, k, 3), on the device of ``positives``."""
        return negatives.triples(positives.to(negatives.corrupt_head.device)).to(positives.device)


class Embeddings:
    """The current embeddings of a PyKEEN model, detached, in our layout.

    PyKEEN stores complex numbers as pairs, ours are [real | imaginary].
    """

    def __init__(self, model: Model) -> None:
        if not isinstance(model, ERModel) or type(model.interaction) not in QUERIES:
            known = ", ".join(kind.__name__.removesuffix("Interaction") for kind in QUERIES)
            what = getattr(model, "interaction", model)
            raise InputError(
                f"model: expected one of PyKEEN's {known}, got {type(what).__name__}; "
                "for others choose a sampler that does not look at the model"
            )
        tables = model.entity_representations, model.relation_representations
        if any(len(table) != 1 or len(table[0].shape) != 1 for table in tables):
            raise InputError("model: expected one embedding for each entity and for each relation")
        self.model = model
        self.queries, self.score_query = QUERIES[type(model.interaction)]
        #: the width of an entity's embedding as we pack it
        self.dim = len(packed(torch.empty(tables[0][0].shape, dtype=self.entities().dtype)))

    @torch.no_grad()
    def entities(self) -> Tensor:
        """PyKEEN's own embeddings of all entities, real or complex.

        Without gradients, as PyKEEN's regularisers otherwise add up every look-up.
        """
        entities: Tensor = self.model.entity_representations[0](None)
        return entities.detach()

    @torch.no_grad()
    def __call__(self, triples: Tensor) -> Positives:
        """(b, 3) triples to ``Positives``."""
        heads, relations, tails = triples.unbind(-1)
        entities = packed(self.entities())
        relation = self.model.relation_representations[0](relations)
        h, t = F.embedding(heads, entities), F.embedding(tails, entities)
        tail_query, head_query = self.queries(h, packed(relation), t)
        rotates = type(self.model.interaction) is RotatEInteraction
        return Positives(
            triples,
            h=h,
            # Our RotatE stores relations as phases.
            r=relation.angle() if rotates else packed(relation),
            t=t,
            tail_query=tail_query,
            head_query=head_query,
            entities=entities,
            score_query=self.score_query,
            dot=not rotates,
        )


def packed(x: Tensor) -> Tensor:
    """Complex embeddings as [real | imaginary]; real ones as they are."""
    return torch.cat((x.real, x.imag), dim=-1) if x.is_complex() else x


def real_queries(h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """DistMult's tail and head query embeddings."""
    return h * r, t * r


def complex_queries(h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Tail and head query embeddings of ComplEx, and of RotatE, whose relations have modulus 1."""
    return multiply(h, r), multiply(conjugate(r), t)


def product(query: Tensor, entity: Tensor) -> Tensor:
    """The score of DistMult and ComplEx: an inner product."""
    return (query * entity).sum(-1)


def negative_distance(query: Tensor, entity: Tensor) -> Tensor:
    """The score of PyKEEN's RotatE: minus the Euclidean norm; the paper sums the moduli."""
    distance: Tensor = torch.linalg.vector_norm(query - entity, dim=-1)
    return -distance


Queries = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

#: The query embeddings and the score of each interaction.
QUERIES: dict[type, tuple[Queries, ScoreQuery]] = {
    DistMultInteraction: (real_queries, product),
    ComplExInteraction: (complex_queries, product),
    RotatEInteraction: (complex_queries, negative_distance),
}

negative_sampler_resolver.register(DansNegativeSampler, raise_on_conflict=False)
