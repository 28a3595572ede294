"""IGAN: a network that gives every entity a probability of being drawn as a negative."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import finite, one_of
from dans.models.batch import Positives
from dans.samplers.filters import Mask, positive
from dans.samplers.reinforce import ELEMENTS, Choice, Reinforced, Sides, ends
from dans.samplers.scoring import Scorer

#: Flat pairs: rows of a part, and an entity for each.
Pairs: TypeAlias = tuple[Tensor, Tensor]
#: From a part of the rows, whom they may not draw.
Closed: TypeAlias = Callable[[slice], Pairs]


class IGAN(Reinforced):
    """Draws negatives from all entities, with probabilities a network learns from the model.

        p(e′ | kept, r) = softmax(W₂ relu(W₁ [e_kept; e_r] + b₁) + b₂)  over all entities but the
                                                                        true one

    G has embeddings of its own, two for each relation: one for the queries of heads, one, r⁻¹, for
    those of tails. In phase ``igan`` it draws one negative for one side of each triple and earns

        ρ = tanh(γ + f(e′) − f(e)),

    positive where a hinge loss with margin γ would be; it minimises −mean ρ log p(e′).

    Source: Wang, Li & Pan 2018, "Incorporating GAN for Negative Sampling in Knowledge
    Representation Learning", AAAI. No program was published. Departures:

    - The paper has one negative per triple; k = 20 is comparable with other samplers here.
    - Generator and model take turns of several batches in the paper; here ``repeats`` moves of the
      generator come before each step of the model.
    - The true entity, which would earn tanh γ for a copy of the triple, is left out of the softmax.
    - L2 on G is in the mean squares of a batch's rows and of both layers' weights; its weight is
      our choice.
    - ρ suits scores on the scale of γ, as the paper's distances are. Where a triple's logit is far
      above its negatives', all rewards are −1: then ``baseline="batch"`` (standardised) and a
      larger ``margin`` help.

    Tables start from N(0, 1/width), rows of about length 1; layers as torch's do, so p is nearly
    uniform.

    Cost: per batch of b triples, 2b·n·width products to draw, and b·n·width four times in the phase
    (drawn, again for the gradient, and its two products). Of b × n probabilities only parts of
    ``ELEMENTS`` floats (16 MiB) are held at once, or one row of n; three such tensors are alive
    together, 48 MiB, whatever b. The gradient is of all triples of the batch; ``batch`` of the
    phase takes fewer, 1024 in the paper. State: about 8·width·(n + m) bytes, thrice with Adam; 98
    MB on WN18RR.

    Args:
        k: negatives per triple; 1 in the paper.
        num_entities: n.
        num_relations: m.
        triples: (f, 3) the training triples.
        width: d of G's embeddings and of its hidden layer.
        margin: γ; 1 on FB15k and 2 on WN18 in the paper.
        side: of a negative: by the relation's cardinalities, a fair coin, or always the same.
        baseline: ``none``, the paper's; ``batch`` standardises the rewards of each batch.
        pretrain: updates of G in which it learns to tell the true entity from all others, by a
            softmax loss, before it learns from rewards.
        repeats: updates of G per step of the model.
        l2: the weight of L2 on G.
        filter: ``mask`` leaves known triples out before the softmax, too, unless nothing else is
            left: then they are marked invalid, and G learns nothing from them. There is nothing
            else to draw, so ``resample`` is refused.
        known: the triples to filter by.

    Raises:
        InputError: an unknown choice, a number out of range, or a filter without known triples.

    Example:
        >>> entities = torch.eye(4)
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> h, t = entities[[0, 2]], entities[[1, 3]]
        >>> positives = Positives(triples, h, h, t, h, t, entities, lambda x, y: (x * y).sum(-1))
        >>> given = {"num_entities": 4, "num_relations": 1, "triples": triples, "filter": "none"}
        >>> sampler = IGAN(3, **given, side="tail")
        >>> negatives = sampler(positives)
        >>> negatives.embeddings.shape
        torch.Size([2, 3, 4])
        >>> bool((negatives.ids == triples[:, 2:]).any())
        False
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
        side: Sides = "bernoulli",
        baseline: Literal["none", "batch"] = "none",
        pretrain: int = 0,
        repeats: int = 1,
        l2: float = 0.01,
        filter: Mask = "mask",
        known: KnownTriples | None = None,
    ) -> None:
        one_of("baseline", baseline, ("none", "batch"))
        one_of("filter", filter, ("none", "mask"))
        positive("width", width)
        finite("margin", margin)
        super().__init__(
            k,
            num_entities=num_entities,
            triples=triples,
            num_relations=num_relations,
            side=side,
            repeats=repeats,
            pretrain=pretrain,
            baseline=baseline,
            l2=l2,
            filter=filter,
            known=known,
        )
        self.margin = margin
        self.entities = nn.Parameter(torch.randn(num_entities, width) / width**0.5)
        self.relations = nn.Parameter(torch.randn(2 * num_relations, width) / width**0.5)
        self.hidden = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, num_entities)

    @property
    def cost(self) -> int:
        """Probabilities of a query's entities."""
        return self.num_entities

    def choose(self, triples: Tensor, replaces_head: Tensor, k: int) -> Choice:
        """See ``Reinforced``."""
        hidden, touched = self.read(triples, replaces_head)

        def closed(part: slice) -> Pairs:
            return self.closed(triples[part], replaces_head[part])

        return Choice(*self.softmax(hidden, closed, None, k), touched)

    def imitate(self, triples: Tensor, replaces_head: Tensor) -> Choice:
        """See ``Reinforced``; the softmax is over the true entity and all it may draw."""
        hidden, touched = self.read(triples, replaces_head)
        true = ends(triples, replaces_head)[1].unsqueeze(1)

        def closed(part: slice) -> Pairs:
            rows, ids = self.closed(triples[part], replaces_head[part])
            others = slice(len(triples[part]), None)
            return rows[others], ids[others]

        return Choice(*self.softmax(hidden, closed, true, 1), touched)

    def softmax(
        self, hidden: Tensor, closed: Closed, given: Tensor | None, k: int
    ) -> tuple[Tensor, Tensor]:
        """Ids and logarithms of their probabilities, (q, k) each; see ``Softmax``."""
        weight, bias = self.output.weight, self.output.bias
        ids, log_p = Softmax.apply(hidden, weight, bias, closed, given, k)  # type: ignore[no-untyped-call]
        return ids, log_p

    def read(self, triples: Tensor, replaces_head: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Hidden layers of queries, (q, width); and what weight decay is on."""
        inverse = (~replaces_head).long() * self.num_relations
        kept = F.embedding(ends(triples, replaces_head)[0], self.entities)
        r = F.embedding(triples[:, 1] + inverse, self.relations)
        hidden = F.relu(self.hidden(torch.cat((kept, r), dim=-1)))
        return hidden, (kept, r, self.hidden.weight, self.output.weight)

    def closed(self, triples: Tensor, replaces_head: Tensor) -> Pairs:
        """Whom queries may not draw: flat pairs of a row and an entity.

        These are the q true entities first, and then, with a filter, other known answers; but not
        the latter where nothing else is left.
        """
        true = ends(triples, replaces_head)[1]
        rows = torch.arange(len(triples), device=triples.device)
        if self.filter == "none" or self.known is None:
            return rows, true
        heads, relations, tails = triples.unbind(-1)
        of_head, of_tail = rows[replaces_head], rows[~replaces_head]
        h_rows, h = self.known.heads(relations[of_head], tails[of_head])
        t_rows, t = self.known.tails(heads[of_tail], relations[of_tail])
        asked, answers = torch.cat((of_head[h_rows], of_tail[t_rows])), torch.cat((h, t))
        other = answers != true[asked]
        asked, answers = asked[other], answers[other]
        left = torch.bincount(asked, minlength=len(triples)) < self.num_entities - 1
        return torch.cat((rows, asked[left[asked]])), torch.cat((true, answers[left[asked]]))

    def reward(self, positives: Positives, ids: Tensor, replaces_head: Tensor) -> Tensor:
        """ρ = tanh(γ + f(e′) − f(e)): (b,)."""
        rows = torch.arange(len(positives), device=ids.device)
        negative = Scorer(positives)(rows, ids, replaces_head)
        with torch.no_grad():
            true = positives.scores(replaces_head.unsqueeze(1)).squeeze(1)
        return torch.tanh(self.margin + negative - true)


class Softmax(torch.autograd.Function):
    """Entities drawn from a softmax over all of them, or given ones, in bounded memory.

    Of q × n probabilities only a part of the rows is there at a time. The gradient needs them once
    more, and they are computed once more:  ∂ log p(e) / ∂ logits = onehot(e) − p.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        closed: Closed,
        given: Tensor | None,
        k: int,
    ) -> tuple[Tensor, Tensor]:
        """Ids and logarithms of their probabilities.

        Args:
            ctx: what the gradient needs.
            hidden: (q, w).
            weight: (n, w).
            bias: (n,).
            closed: from a part of the rows, whom they may not draw.
            given: (q, k) ids; None draws them.
            k: ids of each row.

        Returns:
            (q, k) ids and (q, k) floats.
        """
        q = len(hidden)
        # Whole tensors first: small pieces among the large would scatter the heap.
        ids = torch.empty(q, k, dtype=torch.int64, device=hidden.device)
        log_p, total = hidden.new_empty(q, k), hidden.new_empty(q, 1)
        for part in parts(q, len(weight)):
            logits = open_logits(hidden[part], weight, bias, closed(part))
            total[part] = logits.logsumexp(1, keepdim=True)
            logits.sub_(total[part])
            ids[part] = draw(logits, k) if given is None else given[part]
            log_p[part] = logits.gather(1, ids[part])
        ctx.save_for_backward(hidden, weight, bias, ids, total)
        ctx.closed = closed
        ctx.mark_non_differentiable(ids)
        return ids, log_p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """From (q, k), the gradients of hidden, weight and bias."""
        hidden, weight, bias, ids, total = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for part in parts(len(hidden), len(weight)):
            logits = open_logits(hidden[part], weight, bias, ctx.closed(part))
            slope = logits.sub_(total[part]).exp_().mul_(-gradient[part].sum(1, keepdim=True))
            slope.scatter_add_(1, ids[part], gradient[part])
            of_hidden[part] = slope @ weight
            of_weight.addmm_(slope.T, hidden[part])
            of_bias += slope.sum(0)
        return of_hidden, of_weight, of_bias, None, None, None


def parts(q: int, n: int) -> list[slice]:
    """Rows of (q, n), in parts of at most ``ELEMENTS`` numbers, or of one row."""
    size = max(1, ELEMENTS // n)
    return [slice(start, min(start + size, q)) for start in range(0, q, size)]


def open_logits(hidden: Tensor, weight: Tensor, bias: Tensor, closed: Pairs) -> Tensor:
    """Logits of all entities, −∞ for those closed."""
    return F.linear(hidden, weight, bias).index_put_(closed, hidden.new_tensor(-torch.inf))


def draw(log_p: Tensor, k: int) -> Tensor:
    """k ids for each row, with replacement, by their probabilities."""
    # For a single draw torch makes n random numbers, which takes the time of a product.
    return torch.multinomial(log_p.exp(), max(2, k), replacement=True)[:, :k]
