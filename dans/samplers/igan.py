"""IGAN: a network that gives every entity a probability of being drawn as a negative."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import counted, number, one_of
from dans.memory import room_for
from dans.models.batch import Positives
from dans.samplers.corruption import AnySide, Mask, end
from dans.samplers.entity_types import stretches
from dans.samplers.reinforce import ELEMENTS, Choice, Reinforced

#: From a slice of the queries to flat pairs, a row of the slice and an entity it may not draw.
Excluded: TypeAlias = Callable[[slice], tuple[Tensor, Tensor]]


class IGAN(Reinforced):
    """Negatives from a softmax over all entities, by a network that learns from rewards.

        p(e′ | e_u, r) = softmax(W₂ relu(W₁ [e_u; e_r] + b₁) + b₂)

    over all entities but the true one, given the uncorrupted entity u. The generator G has its own
    embeddings, and two for each relation: r for head queries, r⁻¹ for tail queries. In phase
    ``igan`` it draws one negative for one side of each triple, with reward

        ρ = tanh(γ + f(e′) − f(e)),

    positive where a hinge loss with margin γ is, and minimises −mean ρ log p(e′). Embeddings start
    from N(0, 1/width), layers as in torch, so that p is nearly uniform.

    Source: Wang, Li & Pan 2018, "Incorporating GAN for Negative Sampling in Knowledge
    Representation Learning", AAAI; no program was published. Departures, cost and state:
    ``docs/pages/samplers.md``.

    Args:
        width: of G's embeddings and of its hidden layer.
        margin: γ; 1 on FB15k and 2 on WN18 in the paper.
        baseline: ``none`` as in the paper; ``batch`` standardises the rewards of each batch, which
            helps where all rewards are −1, as does a larger ``margin``.
        pretrain: updates of G, before those from rewards, by a softmax loss of the true entity
            against all others.
        l2: the weight of L2 on G.
        candidates: the entities that the softmax is over: that many, drawn anew whenever a batch
            gets its negatives and for each update from rewards, the same for all of its queries.
            0: all, as in the paper, which on large graphs takes most of a step. Pre-training is
            over all.
        filter: ``mask`` excludes known triples from the softmax. Where nothing else is left, they
            are marked invalid, and G learns nothing from them. ``resample`` could find no more.
    """

    def __init__(
        self,
        k: int = 20,
        *,
        num_entities: int,
        num_relations: int,
        triples: Tensor,
        width: int = 100,
        margin: float = 1.0,
        side: AnySide = "bernoulli",
        baseline: Literal["none", "batch"] = "none",
        pretrain: int = 0,
        repeats: int = 1,
        l2: float = 0.01,
        candidates: int = 0,
        filter: Mask = "mask",
        known: KnownTriples | None = None,
    ) -> None:
        one_of("baseline", baseline, ("none", "batch"))
        one_of("filter", filter, ("none", "mask"))
        counted("width", width)
        number("margin", margin)
        if candidates:
            # So that one of them is left beside the true entity.
            counted("candidates", candidates, least=2)
        super().__init__(
            k,
            num_entities=num_entities,
            num_relations=num_relations,
            triples=triples,
            side=side,
            baseline=baseline,
            pretrain=pretrain,
            repeats=repeats,
            l2=l2,
            filter=filter,
            known=known,
        )
        room_for("width", (2 * num_entities + 2 * num_relations + 2 * width) * width)
        self.margin = margin
        self.candidates = candidates if candidates < num_entities else 0
        self.entities = nn.Parameter(torch.randn(num_entities, width) / width**0.5)
        self.relations = nn.Parameter(torch.randn(2 * num_relations, width) / width**0.5)
        self.hidden = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, num_entities)

    @property
    def cost(self) -> int:
        """Probabilities of a query's entities."""
        return self.candidates or self.num_entities

    @property
    def needs_all_entities(self) -> str:
        """Its network has an output for each."""
        return "the network of IGAN has an output for every entity"

    def choose(
        self, triples: Tensor, corrupt_head: Tensor, k: int, candidates: Tensor | None = None
    ) -> Choice:
        """Draws from p."""
        return self.softmax(triples, corrupt_head, None, k)

    def imitate(self, triples: Tensor, corrupt_head: Tensor) -> Choice:
        """The true entity, in a softmax over itself and all that may be drawn."""
        true = end(triples, corrupt_head).unsqueeze(1)
        return self.softmax(triples, corrupt_head, true, 1)

    @property
    def not_counted(self) -> str:
        """Candidates are others for each batch."""
        if self.candidates:
            return "candidates: how often an entity is one is not known; 0 is needed"
        return super().not_counted

    @torch.no_grad()
    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """p of the network for (b, k) ids, without the true entity."""
        found = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
        for side in (False, True):
            heads = torch.full((len(positives),), side, device=ids.device)
            given = torch.cat((ids, end(positives.triples, heads).unsqueeze(1)), dim=1)
            choice = self.softmax(positives.triples, heads, given, given.shape[1])
            p, true = choice.log_p.double().exp().split([ids.shape[1], 1], dim=1)
            found = torch.where(corrupt_head == side, p / (1 - true).clamp(min=1e-9), found)
        return found

    def softmax(self, triples: Tensor, side: Tensor, given: Tensor | None, k: int) -> Choice:
        """Entities drawn, the true one excluded, or given; and their log-probabilities."""
        centre, true = end(triples, ~side), end(triples, side)
        weight: Tensor = self.output.weight
        bias: Tensor = self.output.bias
        drawn = None
        if self.candidates and given is None:
            drawn = torch.randperm(self.num_entities, device=true.device)[: self.candidates]
            weight, bias = weight.index_select(0, drawn), bias.index_select(0, drawn)

        def excluded(part: slice) -> tuple[Tensor, Tensor]:
            rows, ids = self.known_answers(triples[part], side[part])
            if given is not None:
                return rows, ids
            every = torch.arange(len(true[part]), device=true.device)
            if drawn is not None:
                return positions(drawn, self.num_entities, (every, true[part]), (rows, ids))
            return torch.cat((every, rows)), torch.cat((true[part], ids))

        inverse = (~side).long() * self.num_relations
        entity = F.embedding(centre, self.entities)
        r = F.embedding(triples[:, 1] + inverse, self.relations)
        hidden = F.relu(self.hidden(torch.cat((entity, r), dim=-1)))
        ids, log_p = Softmax.apply(hidden, weight, bias, excluded, given, k)  # type: ignore[no-untyped-call]
        if drawn is not None:
            ids = drawn[ids]
        return Choice(ids, log_p, (entity, r, self.hidden.weight, weight))

    def known_answers(self, triples: Tensor, corrupt_head: Tensor) -> tuple[Tensor, Tensor]:
        """Known answers of queries besides the true one, where others are left: flat pairs."""
        if self.filter == "none" or self.known is None:
            return triples.new_empty(0), triples.new_empty(0)
        heads, relations, tails = triples.unbind(-1)
        true = end(triples, corrupt_head)
        rows = torch.arange(len(triples), device=triples.device)
        of_head, of_tail = rows[corrupt_head], rows[~corrupt_head]
        h_rows, h = self.known.heads(relations[of_head], tails[of_head])
        t_rows, t = self.known.tails(heads[of_tail], relations[of_tail])
        rows, answers = torch.cat((of_head[h_rows], of_tail[t_rows])), torch.cat((h, t))
        other = answers != true[rows]
        rows, answers = rows[other], answers[other]
        left = torch.bincount(rows, minlength=len(triples)) < self.num_entities - 1
        return rows[left[rows]], answers[left[rows]]

    def reward(self, positives: Positives, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """ρ = tanh(γ + f(e′) − f(e)): (b,)."""
        negative = self.score(positives, ids, corrupt_head)
        with torch.no_grad():
            true = positives.scores(corrupt_head.unsqueeze(1)).squeeze(1)
        return torch.tanh(self.margin + negative - true)


def positions(
    drawn: Tensor, n: int, true: tuple[Tensor, Tensor], known: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """What queries may not draw, by its position among the entities drawn: flat pairs.

    Known answers are admitted to a query that has nothing else left.

    Args:
        drawn: (c,) different entities, of n.
        true: each query and its true entity, (q,) each.
        known: flat pairs of a query and another known answer.
    """
    place = torch.full((n,), -1, device=drawn.device)
    place[drawn] = torch.arange(len(drawn), device=drawn.device)
    (every, of_true), (rows, of_known) = ((rows, place[ids]) for rows, ids in (true, known))
    rows, of_known = rows[of_known >= 0], of_known[of_known >= 0]
    taken = torch.bincount(rows, minlength=len(every)) + (of_true >= 0)
    left, own = (taken < len(drawn))[rows], of_true >= 0
    return torch.cat((every[own], rows[left])), torch.cat((of_true[own], of_known[left]))


class Softmax(torch.autograd.Function):
    """Draws, and log-probabilities, of a softmax over all entities in bounded memory.

    Of the q × n probabilities only some rows exist at a time; backward computes them once more, for
    ∂ log p(e) / ∂ logits = onehot(e) − p.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        excluded: Excluded,
        given: Tensor | None,
        k: int,
    ) -> tuple[Tensor, Tensor]:
        """(q, k) ids, drawn or given, and their log-probabilities; those excluded have none.

        ``hidden`` is (q, w), ``weight`` (n, w), ``bias`` (n,).
        """
        q = len(hidden)
        # Allocated before the parts: small tensors among their large ones would scatter the heap.
        ids = torch.empty(q, k, dtype=torch.int64, device=hidden.device)
        log_p, total = hidden.new_empty(q, k), hidden.new_empty(q, 1)
        for part in stretches(q, len(weight), ELEMENTS):
            logits = masked_logits(hidden[part], weight, bias, excluded(part))
            total[part] = logits.logsumexp(1, keepdim=True)
            logits.sub_(total[part])
            if given is None:
                # For a single draw torch takes another path, as slow as a matrix product.
                ids[part] = torch.multinomial(logits.exp(), max(2, k), replacement=True)[:, :k]
            else:
                ids[part] = given[part]
            log_p[part] = logits.gather(1, ids[part])
        ctx.save_for_backward(hidden, weight, bias, ids, total)
        ctx.excluded = excluded
        ctx.mark_non_differentiable(ids)
        return ids, log_p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of hidden, weight and bias from that of log_p, (q, k)."""
        hidden, weight, bias, ids, total = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for part in stretches(len(hidden), len(weight), ELEMENTS):
            logits = masked_logits(hidden[part], weight, bias, ctx.excluded(part))
            slope = logits.sub_(total[part]).exp_().mul_(-gradient[part].sum(1, keepdim=True))
            slope.scatter_add_(1, ids[part], gradient[part])
            of_hidden[part] = slope @ weight
            of_weight.addmm_(slope.T, hidden[part])
            of_bias += slope.sum(0)
        return of_hidden, of_weight, of_bias, None, None, None


def masked_logits(
    hidden: Tensor, weight: Tensor, bias: Tensor, excluded: tuple[Tensor, Tensor]
) -> Tensor:
    """Logits of all entities, −∞ for excluded ones."""
    return F.linear(hidden, weight, bias).index_put_(excluded, hidden.new_tensor(-torch.inf))
