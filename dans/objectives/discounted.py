"""Negatives discounted by a discriminator that says which may be true."""

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, counted, not_negative, number, one_of
from dans.models.batch import Negatives, Positives
from dans.models.decoders import ComplEx, Decoder, DistMult
from dans.models.embedding_tables import check_share, draw, drop
from dans.models.model import eval_mode
from dans.objectives.base import NegativeSampling
from dans.objectives.losses import Loss, SampledSoftmax
from dans.samplers.base import NegativeSampler, Phase
from dans.samplers.scoring import Scorer

#: Which negatives are discounted.
Discount = Literal["unknown", "all"]

#: Decoders of a discriminator.
Bilinear = Literal["complex", "distmult"]


class Discriminator(nn.Module):
    """Scores D(q, e) of an entity as the answer to a query, from embeddings of its own.

    A table of entities and a decoder with relations for both directions, trained beside the model
    by softmax over negatives that a batch shares, or over all entities where they are no more. It
    never sees the model, so that its mistakes are its own.

    Args:
        decoder: the name of the decoder that scores.
        dim: width of its embeddings.
        pool: shared negatives of a batch.
        init: standard deviation of the initial embeddings.
        decay: weight of mean e² + mean r², over all entities, after dropout, and the relations of
            the batch; those of their inverses do not decay.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        decoder: Bilinear,
        dim: int,
        pool: int,
        init: float,
        dropout: float,
        decay: float,
    ) -> None:
        super().__init__()
        one_of("discriminator", decoder, get_args(Bilinear))
        counted("width", dim)
        counted("pool", pool)
        not_negative("decay", decay)
        not_negative("init", init)
        self.dropout = check_share("dropout", dropout)
        self.entities = nn.Embedding(num_entities, dim)
        draw(self.entities.weight, "normal", init)
        kind = {"complex": ComplEx, "distmult": DistMult}[decoder]
        self.decoder: Decoder = kind(
            num_relations, dim, reciprocal=True, initial="normal", init=init
        )
        self.pool, self.decay, self.softmax = pool, decay, SampledSoftmax()

    def embed(self, triples: Tensor) -> Positives:
        """A batch of triples, (b, 3) ids, with the embeddings of the discriminator."""
        table = drop(self.entities.weight, self.dropout, self.training)
        return Positives.from_embeddings(triples, self.decoder.prepare(table), self.decoder)

    def loss(self, positives: Positives) -> Tensor:
        """Softmax over shared negatives, estimated for all, and the weight decay: a scalar."""
        own = self.embed(positives.triples)
        n = len(own.entities)
        shared = torch.randperm(n, device=own.triples.device)[: self.pool]
        entities = F.embedding(shared, own.entities)
        heads, _, tails = own.triples.unbind(-1)
        total = self.decay * (own.entities.square().mean() + own.r.square().mean())
        sides = ((own.tail_query, own.t, tails), (own.head_query, own.h, heads))
        for query, answer, true in sides:
            total = total + self.softmax(
                own.score_query(query, answer).unsqueeze(1),
                self.decoder.score_all(query, entities),
                shared != true.unsqueeze(1),
                own.entities.new_tensor(n / len(shared)),
            )
        return total

    @torch.no_grad()
    def gaps(self, triples: Tensor, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """D(q, e_i) − D(q, e⁺) of (b, k) ids in the place of a triple's head or tail: (b, k)."""
        with eval_mode(self):
            own = self.embed(triples)
        rows = torch.arange(len(triples), device=ids.device).unsqueeze(1)
        scores = Scorer(own, expected=ids.numel())(rows, ids, corrupt_head)
        return scores - own.scores(corrupt_head)


class Discounted(NegativeSampling):
    """Negative sampling with less weight for negatives that may be true.

        w_i = max(floor, σ(−β (D(q, e_i) − D(q, e⁺) + m)))

    D is a discriminator of its own, conditioned on the query. A negative that it scores m below the
    true answer has weight ½, one far below has weight 1, one above almost none. The weight
    multiplies the negative's term in the loss, and under `SampledSoftmax` its importance weight.
    Among the entities nearest to being an answer are those that answer it in triples left out of
    training: as negatives, they teach the model what is false.

    The discriminator is trained in a phase, ``query_discriminator``, before each step of the model.

    Source: ours; the discriminator of Liu et al. 2024, arXiv:2410.07592, is not conditioned on the
    query and trains generators instead. Trials: ``docs/pages/search.md``.

    Args:
        sampler: any whose negatives are entities.
        discount: ``unknown`` leaves known triples among the negatives, if the sampler does not
            filter them, as they are; ``all`` discounts them too.
        sharpness: β.
        margin: m.
        floor: the least weight.
        discriminator: its decoder.
        width: d of its embeddings.
        pool: shared negatives that it is trained against in a step.
        init: standard deviation of its initial embeddings.
        dropout: of its entity embeddings.
        decay: weight of its mean e² + mean r², as in `Discriminator`.
        repeats: its updates per step.
    """

    def __init__(
        self,
        sampler: NegativeSampler,
        loss: Loss,
        *,
        num_entities: int,
        num_relations: int,
        known: KnownTriples | None = None,
        discount: Discount = "unknown",
        l2: float = 0.0,
        sharpness: float = 2.0,
        margin: float = 1.0,
        floor: float = 1e-3,
        discriminator: Bilinear = "complex",
        width: int = 100,
        pool: int = 1024,
        init: float = 0.3,
        dropout: float = 0.5,
        decay: float = 0.05,
        repeats: int = 1,
    ) -> None:
        super().__init__(sampler, loss, l2=l2)
        not_negative("sharpness", sharpness)
        number("margin", margin)
        self.sharpness, self.margin, self.repeats = sharpness, margin, repeats
        self.floor = check_share("floor", floor)
        if not floor:
            raise InputError("floor: expected above 0, so that every loss has a gradient; got 0")
        one_of("discount", discount, get_args(Discount))
        if discount == "unknown" and known is None:
            raise InputError("discount: unknown needs the known triples; without them all works")
        if discriminator == "complex" and width % 2:
            raise InputError(f"width: complex needs an even number, got {width}")
        self.known = known if discount == "unknown" else None
        self.discriminator = Discriminator(
            num_entities,
            num_relations,
            decoder=discriminator,
            dim=width,
            pool=pool,
            init=init,
            dropout=dropout,
            decay=decay,
        )

    @property
    def needs_whole_batch(self) -> str:
        """Its discriminator draws and learns from the whole batch."""
        return "the discriminator of discounted learns from the whole batch"

    def draw(self, positives: Positives) -> Negatives:
        """The sampler's negatives, with the discriminator's weights."""
        negatives = super().draw(positives)
        if negatives.ids is None:
            raise InputError(
                "objective: discounted needs negatives that are entities; of dans, decode = nearest"
            )
        gaps = self.discriminator.gaps(positives.triples, negatives.ids, negatives.corrupt_head)
        weights = torch.sigmoid(-self.sharpness * (gaps + self.margin)).clamp(min=self.floor)
        if self.known is not None:
            triples, head = positives.triples, negatives.corrupt_head
            known = self.known.is_known_corrupted(triples, negatives.ids, head)
            weights = weights.masked_fill(known, 1.0)
        weights = weights.to(negatives.embeddings.dtype)
        given = negatives.weights
        return replace(negatives, weights=weights if given is None else weights * given)

    def phases(self) -> tuple[Phase, ...]:
        """The discriminator's, then the sampler's."""
        parameters = tuple(self.discriminator.parameters())
        own = Phase("query_discriminator", parameters, self.discriminator.loss, self.repeats)
        return (own, *super().phases())
