"""Negative sampling with one pool of negatives for all triples of a batch."""

from dataclasses import replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, one_of
from dans.models.batch import Negatives, Positives
from dans.models.decoders import Decoder
from dans.objectives.base import Objective
from dans.objectives.losses import Logistic, Loss
from dans.samplers.corruption import Mask, requires_known
from dans.samplers.uniform import by_weight, running_total

#: What negatives are drawn from, and whether their terms are weighed.
Noise = Literal["uniform", "frequency", "published", "weighted"]


class SampledNegatives(Objective):
    """Triples against entities drawn once for a whole batch, on either side.

        Σ_sides loss(f(x, y); f(x, e_1), …, f(x, e_p)),  mean over triples

    x = (r, t) and y = h where heads are replaced, x = (h, r) and y = t where tails are. A triple
    counts once on each side, by the query that its negatives answer there. Draws are with
    replacement, and may hit the right answer.

    Each triple meets negatives of the same distribution as if it had its own, so that the expected
    loss is the same; only the draws of different triples hang together. Scores are one matrix
    product a side.

    With #y triples of |D| that have y on a side, and n entities, the noise is

    - ``uniform``: every entity alike;
    - ``frequency``: #y/|D|, drawn so;
    - ``weighted``: drawn uniformly, with a term that weighs n·#y/|D|: ``frequency`` on average;
    - ``published``: drawn uniformly, with a term that weighs #y/|D|, and the whole loss halved, as
      the public program does. The optimum gives the same probabilities, but negatives count n
      times less. It is of one loss alone, `Logistic` with balance ``sum``.

    Source: Kamigaito & Hayashi 2021, arXiv:2106.07250, Eq. 6 and "NS w/ Freq"; one pool for a
    batch: LibKGE (Broscheit et al. 2020). Theirs is the NS of this objective with a `Logistic` loss
    of balance ``sum``, NS mean with ``triples``, SANS with `SelfAdversarial` and ``triples``.

    Cost per batch: O(b·p·d). A mask goes through all known answers of the batch's queries; on
    FB15k-237 at d = 128 that is as much again.

    Args:
        loss: compares the scores of triples, (b, 1), with those of a side's pool, (b, p).
        triples: (f, 3) the training triples, counted for the noise; a repeated one counts again.
        num_entities: n.
        heads: how many entities stand in for heads; 0 leaves the side out, and its triples with it.
        tails: the same for tails.
        noise: see above.
        smoothing: added to every count behind the noise. At 0, as in the source, an entity that
            never fills a side is never a negative there (or one of weight 0).
        filter: ``mask`` leaves out a negative that makes a known triple; ``none`` leaves it in.
        known: the triples to filter by.

    Raises:
        InputError: an option out of range or without a use, no side at all, a filter without known
            triples, a side on which fewer than two entities can be drawn, or published noise under
            another loss than the published one.
    """

    has_negatives: ClassVar[bool] = True
    #: (2, n) the running totals of how often entities are heads and tails, float64
    cumulative: Tensor | None
    #: (2, n) what a negative's term weighs, as a head and as a tail
    weights: Tensor | None

    def __init__(
        self,
        loss: Loss,
        *,
        triples: Tensor,
        num_entities: int,
        heads: int = 100,
        tails: int = 100,
        noise: Noise = "uniform",
        smoothing: float = 0.0,
        filter: Mask = "none",
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("heads", heads), ("tails", tails)):
            if size < 0:
                raise InputError(f"{name}: expected at least 0, got {size}")
        if not heads + tails:
            raise InputError("heads: expected at least 1 where tails is 0, got 0")
        one_of("noise", noise, get_args(Noise))
        if noise == "published" and not (type(loss) is Logistic and loss.balance == "sum"):
            raise InputError(
                'noise: published is of the loss logistic with balance = "sum"; others take '
                "weighted or frequency"
            )
        if smoothing and noise == "uniform":
            raise InputError("smoothing: has no place in uniform noise; leave it out")
        one_of("filter", filter, get_args(Mask))
        requires_known(filter, known)
        self.loss = loss
        self.num_entities = num_entities
        self.heads, self.tails = heads, tails
        self.noise: Noise = noise
        self.known = known if filter == "mask" else None
        ends = None if noise == "uniform" else unigrams(triples, num_entities, smoothing)
        weights = None
        if ends is not None and noise != "frequency":
            weights = torch.diff(ends, prepend=ends.new_zeros(2, 1)) / ends[:, -1:]
            weights = (weights * (num_entities if noise == "weighted" else 1)).float()
        self.register_buffer("cumulative", ends, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        #: the triples and the pool of the batch to come, by entity
        self.batch: tuple[Tensor, Tensor] | None = None

    def entities_needed(self, triples: Tensor) -> Tensor:
        """The pools of a batch, (heads + tails,) ids with those for heads first."""
        pool = self.draw(triples.device)
        self.batch = triples, pool
        return pool

    def draw(self, device: torch.device) -> Tensor:
        """Draw both pools, (heads + tails,) ids with those for heads first."""
        sizes = (self.heads, self.tails)
        if self.noise != "frequency" or self.cumulative is None:
            return torch.randint(self.num_entities, (sum(sizes),), device=device)
        uniform = torch.rand(sum(sizes), dtype=self.cumulative.dtype, device=device).split(sizes)
        return torch.cat([by_weight(e, u) for e, u in zip(self.cumulative, uniform, strict=True)])

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``; of triples and pool as ``wants`` knew them, or drawn here from all entities."""
        triples, ids, rows = self.found(positives)
        embeddings = F.embedding(rows, positives.entities)
        valid = None if self.known is None else not_known(self.known, triples, *self.split(ids))
        weights = self.weighed(ids)
        if self.recorder is not None:
            b, head = len(triples), torch.arange(len(ids), device=ids.device) < self.heads
            pool = embeddings.expand(b, *embeddings.shape)
            negatives = Negatives(pool, head.expand(b, -1), ids.expand(b, -1), valid)
            self.recorder(replace(positives, triples=triples), negatives)
        total = embeddings.new_zeros(())
        asked = ((positives.head_query, positives.h), (positives.tail_query, positives.t))
        sides = ((0, self.heads), (self.heads, len(ids)))
        for (queries, answers), (start, stop) in zip(asked, sides, strict=True):
            if start < stop:
                # Laid out by triples, as losses add them up: across that takes four times as long.
                scores = decoder.score_all(queries, embeddings[start:stop]).contiguous()
                total = total + self.loss(
                    positives.score_query(queries, answers).unsqueeze(1),
                    scores,
                    None if valid is None else valid[:, start:stop].contiguous(),
                    None if weights is None else weights[start:stop].expand(len(triples), -1),
                )
        return {"loss": total / 2 if self.noise == "published" else total}

    def found(self, positives: Positives) -> tuple[Tensor, Tensor, Tensor]:
        """Triples and pool by id, (b, 3) and (p,), and the pool's rows among the entities, (p,)."""
        if positives.shared_negatives is None:
            if len(positives.entities) != self.num_entities:
                raise InputError(
                    f"num_entities: draws are of {self.num_entities} entities, "
                    f"not {len(positives.entities)}"
                )
            pool = self.draw(positives.triples.device)
            return positives.triples, pool, pool
        if self.batch is None or [len(part) for part in self.batch] != [
            len(positives.triples),
            len(positives.shared_negatives),
        ]:
            raise ValueError("pool: these are not the triples that wants was asked about")
        return *self.batch, positives.shared_negatives

    def split(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The pools for heads and for tails."""
        heads, tails = ids.split((self.heads, self.tails))
        return heads, tails

    def weighed(self, ids: Tensor) -> Tensor | None:
        """What the terms of a pool's entities weigh, (p,)."""
        if self.weights is None:
            return None
        heads, tails = self.split(ids)
        return torch.cat((self.weights[0, heads], self.weights[1, tails]))


def unigrams(triples: Tensor, n: int, smoothing: float) -> Tensor:
    """The running totals of how often entities are heads, and of how often tails: (2, n)."""
    return torch.stack([running_total(triples[:, i], n, smoothing=smoothing) for i in (0, 2)])


def not_known(known: KnownTriples, triples: Tensor, heads: Tensor, tails: Tensor) -> Tensor:
    """Which pairs of a triple and an entity of its batch's pools make no known triple.

    It goes through the known answers of each query, of which there are fewer than pairs.

    Args:
        known: the triples that are.
        triples: (b, 3) ids.
        heads: (p,) ids that stand in for heads; an entity may be there twice.
        tails: (q,) ids that stand in for tails.

    Returns:
        (b, p + q) bool.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [0, 0, 2]])
        >>> known = KnownTriples(triples, num_entities=3, num_relations=1)
        >>> not_known(known, triples, torch.tensor([1]), torch.tensor([0, 2, 2]))
        tensor([[ True,  True, False, False],
                [ True,  True, False, False]])
    """
    h, r, t = triples.unbind(-1)
    sides = []
    for pool, (rows, answers) in ((heads, known.heads(r, t)), (tails, known.tails(h, r))):
        # One of an entity's places in the pool; behind the last, where it has none.
        place = pool.new_full((known.num_entities,), len(pool))
        place[pool] = torch.arange(len(pool), device=pool.device)
        true = torch.zeros(len(triples) * (len(pool) + 1), dtype=torch.bool, device=pool.device)
        true[rows * (len(pool) + 1) + place[answers]] = True
        sides.append(~true.view(len(triples), -1)[:, place[pool]])
    return torch.cat(sides, dim=1)
