"""Negative sampling with negatives shared by all triples of a batch."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, counted, one_of
from dans.models.batch import Negatives, Positives, Proposal
from dans.models.decoders import Decoder
from dans.objectives.base import Objective
from dans.objectives.losses import Logistic, Loss
from dans.samplers.corruption import Mask, requires_known
from dans.samplers.uniform import by_weight, running_total

#: The distribution of negatives, and whether their terms are weighted.
Noise = Literal["uniform", "frequency", "published", "weighted"]


class SampledNegatives(Objective):
    """Negative sampling with entities drawn once per batch, for heads and for tails.

        Σ_sides loss(f(x, y); f(x, e_1), …, f(x, e_p)),  mean over triples

    x = (r, t) and y = h where heads are replaced, x = (h, r) and y = t where tails are. Draws are
    with replacement and may be the right answer. The expected loss is that of negatives drawn per
    triple, but scores are one matrix product a side.

    With #y of |D| training triples that have y on a side, and n entities, ``noise`` is

    - ``uniform``: every entity alike;
    - ``frequency``: proportional to #y;
    - ``weighted``: uniform, each term weighted by n·#y/|D|: in expectation ``frequency``;
    - ``published``: uniform, each term weighted by #y/|D|, and the loss halved, as the published
      program does. The optimum has the same probabilities, but negatives count n times less. Only
      with `Logistic` and balance ``sum``.

    `SampledSoftmax` weighs each negative by 1 / (p·q), q being its probability, uniform or by
    frequency, and leaves out draws of the right answer: a softmax over all entities at the cost of
    p of them.

    Source: Kamigaito & Hayashi 2021, arXiv:2106.07250, Eq. 6 and "NS w/ Freq"; shared negatives:
    LibKGE (Broscheit et al. 2020). Their NS is `Logistic` with balance ``sum``, NS mean the same
    with ``triples``, SANS `SelfAdversarial` with ``triples``.

    Cost per batch: O(b·p·d). A mask goes through all known answers of the batch's queries; on
    FB15k-237 at d = 128 it doubles the cost.

    Args:
        loss: of the scores of triples, (b, 1), and of a side's negatives, (b, p).
        triples: (f, 3) the training triples, counted for the noise.
        heads: number of negatives for heads, as ``tails`` for tails; 0 leaves out those queries.
        smoothing: added to every #y. At 0, as in the source, an entity that is never on a side is
            never a negative there (or has weight 0).
        filter: ``mask`` leaves out negatives that make known triples; ``none`` does not.
    """

    has_negatives: ClassVar[bool] = True
    #: (2, n) running totals of the counts of heads and of tails, float64
    cumulative: Tensor | None
    #: (2, n) weights of the terms of negative heads and tails
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
            counted(name, size, least=0)
        if not heads + tails:
            raise InputError("heads: expected at least 1 where tails is 0, got 0")
        one_of("noise", noise, get_args(Noise))
        if noise == "published" and not (type(loss) is Logistic and loss.balance == "sum"):
            raise InputError(
                'noise: published is of the loss logistic with balance = "sum"; others take '
                "weighted or frequency"
            )
        if loss.estimates_sum and noise == "weighted":
            raise InputError(
                f"noise: weighted has weights of its own, and so has {type(loss).__name__}; "
                "frequency is needed"
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
        counts = None
        if noise != "uniform":
            columns = triples[:, [0, 2]].T
            counts = torch.stack(
                [running_total(ids, num_entities, smoothing=smoothing) for ids in columns]
            )
        weights = None
        if counts is not None and (noise != "frequency" or loss.estimates_sum):
            weights = torch.diff(counts, prepend=counts.new_zeros(2, 1)) / counts[:, -1:]
            weights = (weights * (num_entities if noise == "weighted" else 1)).float()
        if loss.estimates_sum:
            drawn = torch.tensor([[heads], [tails]])
            share = torch.full((2, num_entities), 1 / num_entities) if weights is None else weights
            # What is never drawn has no weight to be asked for.
            weights = 1 / (drawn * share).clamp(min=torch.finfo(torch.float32).tiny)
        self.register_buffer("cumulative", counts, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    @property
    def needs_all_entities(self) -> str:
        """It needs those of its triples and the shared negatives."""
        return ""

    def propose(self, positives: Positives) -> Proposal:
        """The shared negatives of a batch, (heads + tails,) ids, those for heads first."""
        return Proposal(shared=self.draw(positives.triples.device))

    def draw(self, device: torch.device) -> Tensor:
        """Draw negatives, (heads + tails,) ids, those for heads first."""
        sizes = (self.heads, self.tails)
        if self.noise != "frequency" or self.cumulative is None:
            return torch.randint(self.num_entities, (sum(sizes),), device=device)
        uniform = torch.rand(sum(sizes), dtype=self.cumulative.dtype, device=device).split(sizes)
        return torch.cat([by_weight(e, u) for e, u in zip(self.cumulative, uniform, strict=True)])

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``, with the negatives proposed, or drawn here."""
        if positives.num_entities != self.num_entities:
            raise InputError(
                f"num_entities: draws are of {self.num_entities} entities, "
                f"not {positives.num_entities}"
            )
        triples, proposal = positives.triples, positives.proposal
        drawn = None if proposal is None else proposal.shared
        ids = self.draw(triples.device) if drawn is None else drawn
        embeddings = positives.embed(ids)
        valid = weights = None
        if self.known is not None:
            valid = not_known(self.known, triples, ids[: self.heads], ids[self.heads :])
        if self.loss.estimates_sum:
            true = torch.cat(
                (
                    triples[:, :1].expand(-1, self.heads),
                    triples[:, 2:].expand(-1, self.tails),
                ),
                dim=1,
            )
            others = ids != true
            valid = others if valid is None else valid & others
        self.note_valid(valid)
        if self.weights is not None:
            parts = self.weights[0, ids[: self.heads]], self.weights[1, ids[self.heads :]]
            weights = torch.cat(parts)
        if self.log_negatives is not None:
            b, head = len(triples), torch.arange(len(ids), device=ids.device) < self.heads
            shared = embeddings.expand(b, *embeddings.shape)
            negatives = Negatives(shared, head.expand(b, -1), ids.expand(b, -1), valid)
            self.log_negatives(positives, negatives)
        total = embeddings.new_zeros(())
        queries = ((positives.head_query, positives.h), (positives.tail_query, positives.t))
        sides = ((0, self.heads), (self.heads, len(ids)))
        for (query, answers), (start, stop) in zip(queries, sides, strict=True):
            if start < stop:
                # Contiguous by triple, as losses sum: across, that takes four times as long.
                scores = decoder.score_all(query, embeddings[start:stop]).contiguous()
                total = total + self.loss(
                    positives.score_query(query, answers).unsqueeze(1),
                    scores,
                    None if valid is None else valid[:, start:stop].contiguous(),
                    None if weights is None else weights[start:stop].expand(len(triples), -1),
                )
        return {"loss": total / 2 if self.noise == "published" else total}


def not_known(known: KnownTriples, triples: Tensor, heads: Tensor, tails: Tensor) -> Tensor:
    """Which shared negatives make no known triple with each triple of a batch.

    (b, p + q) bool from (b, 3) ids, (p,) negative heads and (q,) negative tails, not always
    distinct. It goes through the known answers of each query, which are fewer than pairs.
    """
    h, r, t = triples.unbind(-1)
    sides = []
    for ids, (rows, answers) in ((heads, known.heads(r, t)), (tails, known.tails(h, r))):
        # One column of each entity; an extra one for entities that are no negatives.
        column = ids.new_full((known.num_entities,), len(ids))
        column[ids] = torch.arange(len(ids), device=ids.device)
        true = torch.zeros(len(triples) * (len(ids) + 1), dtype=torch.bool, device=ids.device)
        true[rows * (len(ids) + 1) + column[answers]] = True
        sides.append(~true.view(len(triples), -1)[:, column[ids]])
    return torch.cat(sides, dim=1)
