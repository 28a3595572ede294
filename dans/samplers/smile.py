"""SMiLE-style: uniform negatives, and a contrastive loss between entities of one type."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dans.data.known_triples import KnownTriples
from dans.errors import LEAST_DIVISOR, InputError, above_zero, counted, not_negative
from dans.models.batch import Positives, Proposal
from dans.models.embedding_tables import constants
from dans.samplers.base import Phase
from dans.samplers.corruption import Filter, Side, any_of
from dans.samplers.entity_types import Concepts, pseudo_types, stretches
from dans.samplers.nearest import position_in
from dans.samplers.uniform import Uniform

#: Scores of anchors and drawn candidates computed at a time; a larger part leaves a CPU's cache.
PART = 2**20


class SMiLE(Uniform):
    """Uniform negatives, and a contrastive term with schema-based negatives.

        L = weight · (λ L_inter + (1 − λ) L_intra),
        L_· = mean over anchors of −log Σ_{y ∈ P} e^{s(a, y)} / Σ_{y ∈ P ∪ N} e^{s(a, y)},
        s(a, y) = cos(p(a), p(y)) / τ,  p an MLP d → d → d with an ELU, one for each of the two.

    The type of an entity is a cluster of its pseudo-types. The schema is the set of typed triples
    (type of h, r, type of t) that many training triples share, and the schema set of an entity is
    those it takes part in, as head or as tail. Anchors are the entities of the batch; P are the
    other ends of an anchor's triples whose typed triple is in the schema. *Inter-schema* negatives
    have the type of one of P, but another schema set; *intra-schema* negatives have the same type
    and schema set. The anchor and P are not among them. Of more than ``negatives``, that many are
    taken at equal distances from a random start in the list ordered by type and schema set, so that
    all have the same probability. An anchor without negatives adds nothing.

    The contrast is a term of the model's loss, through projections held constant; the projections
    minimise the same contrast of detached embeddings in a phase of their own, ``projections``.

    Source: Peng et al. 2022, arXiv:2210.04870, with the settings of its training program; results
    are SMiLE-style. Departures, cost and state: ``docs/pages/samplers.md``.

    Args:
        balance: λ. The published program trains with .8; its class has .5.
        negatives: of each kind, for each anchor, at most.
        candidates: entities drawn anew for each batch, among which all its anchors have their
            negatives, all that are drawn; ``negatives`` has no effect then. 0: each anchor has a
            draw of its own, which on large graphs takes nearly all of a step.
        clusters: types, at most; entities without triples have one more.
        frequent: the share of distinct training triples that a typed triple needs to be in the
            schema; the paper gives no number.
    """

    adaptive: ClassVar[bool] = True
    #: (n,) the type of each entity
    types: Tensor
    #: (n,) the group of each entity: those of one type and schema set, numbered by type
    groups: Tensor
    #: (n,) entities, group by group
    members: Tensor
    #: (g,) entities of each group
    sizes: Tensor
    #: (g,) the type of each group
    kinds: Tensor
    #: (s,) the schema: the numbers of its typed triples, rising
    schema: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        dim: int,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        weight: float = 1.0,
        balance: float = 0.8,
        temperature: float = 0.8,
        negatives: int = 512,
        candidates: int = 0,
        clusters: int = 10,
        frequent: float = 0.01,
        side: Side = "coin",
        exclude_true: bool = True,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(
            k, side=side, exclude_true=exclude_true, filter=filter, known=known, rounds=rounds
        )
        counted("negatives", negatives)
        counted("candidates", candidates, least=0)
        counted("clusters", clusters)
        not_negative("weight", weight)
        above_zero("temperature", temperature, LEAST_DIVISOR)
        for name, share in (("balance", balance), ("frequent", frequent)):
            if not 0 <= share <= 1:
                raise InputError(f"{name}: must be between 0 and 1, got {share}")
        self.weight, self.balance, self.temperature = weight, balance, temperature
        self.negatives, self.num_relations = negatives, num_relations
        self.candidates = candidates
        self.projections = nn.ModuleDict(
            {
                kind: nn.Sequential(nn.Linear(dim, dim), nn.ELU(), nn.Linear(dim, dim))
                for kind in ("inter", "intra")
            }
        )
        types = clustered(pseudo_types(triples, num_entities, num_relations), clusters)
        self.num_types = int(types.max()) + 1
        constants(self, types=types)
        triples = torch.unique(triples, dim=0)
        typed_triples, which, count = self.typed(triples).unique(
            return_inverse=True, return_counts=True
        )
        often = count >= frequent * len(triples)
        if not bool(often.any()):
            raise InputError(
                f"frequent: no typed triple has {frequent} of all triples; the most frequent has "
                f"{float(count.max()) / len(triples):.3f}"
            )
        # What an entity does in the schema: it is the head, or the tail, of typed triples.
        kept, numbers = triples[often[which]], which[often[which]]
        roles = torch.stack((2 * numbers, 2 * numbers + 1), dim=1)
        pairs = torch.stack((kept[:, [0, 2]], roles), dim=-1).flatten(0, 1)
        sets = Concepts(pairs, num_entities, 2 * len(often)).sets
        keys, groups = torch.unique(types * num_entities + sets, return_inverse=True)
        members, sizes = groups.argsort(stable=True), torch.bincount(groups)
        constants(self, groups=groups, members=members, sizes=sizes, kinds=keys // num_entities)
        constants(self, schema=typed_triples[often])

    def typed(self, triples: Tensor) -> Tensor:
        """A number for the typed triple of each triple: (b,) from (b, 3)."""
        heads, relations, tails = triples.unbind(-1)
        number = self.types[heads] * self.num_relations + relations
        return number * self.num_types + self.types[tails]

    @property
    def needs_all_entities(self) -> str:
        """Only if each anchor has a draw of its own."""
        if self.candidates:
            return ""
        return "the contrast of SMiLE looks at all entities; candidates = 1000 looks at that many"

    def propose(self, positives: Positives) -> Proposal:
        """Its draws, and the candidates of its contrast."""
        if self.needs_all_entities:
            raise InputError(self.needs_all_entities)
        n, device = positives.num_entities, positives.triples.device
        return replace(self.drawn(positives), shared=any_of(n, self.candidates, device))

    def phases(self) -> tuple[Phase, ...]:
        """``projections``."""
        return (Phase("projections", tuple(self.projections.parameters()), self.loss),)

    def loss(self, positives: Positives) -> Tensor:
        """The contrast that the projections minimise: ()."""
        return self.balanced(self.contrasts(positives))

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """``contrast``, without a gradient of the projections."""
        contrasts = self.contrasts(positives, constant=True)
        return {"contrast": self.weight * self.balanced(contrasts)}

    @torch.no_grad()
    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Both contrasts; the random state is not moved."""
        device = positives.entities.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            contrasts = self.contrasts(positives)
        return {f"contrast_{name}": float(value) for name, value in contrasts.items()}

    def project(self, entities: Tensor, *, constant: bool) -> dict[str, Tensor]:
        """p of entities for ``inter`` and ``intra``, (·, d) each; ``constant`` without gradient."""
        found = {}
        for name, net in self.projections.items():
            weights: dict[str, Tensor] = dict(net.named_parameters())
            if constant:
                weights = {key: weight.detach() for key, weight in weights.items()}
            found[name] = functional_call(net, weights, (entities,))
        return found

    def balanced(self, contrasts: Mapping[str, Tensor]) -> Tensor:
        """λ L_inter + (1 − λ) L_intra."""
        return self.balance * contrasts["inter"] + (1 - self.balance) * contrasts["intra"]

    def contrasts(self, positives: Positives, *, constant: bool = False) -> dict[str, Tensor]:
        """L_inter and L_intra; ``constant``: without a gradient of the projections."""
        pairs = self.pairs(positives.triples)
        anchors, rows = torch.unique(pairs[:, 0], return_inverse=True)
        if self.candidates:
            return self.contrasts_of_drawn(positives, anchors, pairs, rows, constant)
        projected = self.project(positives.entities, constant=constant)
        found = {}
        for name, embeddings in projected.items():
            z = F.normalize(embeddings, dim=-1)
            near = (z[pairs[:, 0]] * z[pairs[:, 1]]).sum(-1) / self.temperature
            near = log_sums(near, rows, len(anchors))
            start = torch.rand(len(anchors), device=z.device).double()
            # A sum over nothing, so that there is a gradient without anchors, too.
            total, count = z[:0].sum(), 0
            width = max(len(self.sizes), self.negatives * z.shape[1])
            parts = list(stretches(len(anchors), width))
            # Of several parts, intermediate results are computed again for the gradient.
            far = self.far
            if len(parts) > 1:
                far = partial(checkpoint, far, use_reentrant=False, preserve_rng_state=False)
            for part in parts:
                first, stop, _ = part.indices(len(anchors))
                mine = (rows >= first) & (rows < stop)
                ids, valid = self.own_negatives(
                    name, anchors[part], pairs[mine], rows[mine] - first, start[part]
                )
                some = valid.any(1)
                negatives = far(z, anchors[part][some], ids[some], valid[some])
                total = total + F.softplus(negatives - near[part][some]).sum()
                count += int(some.sum())
            found[name] = total / max(count, 1)
        return found

    def contrasts_of_drawn(
        self, positives: Positives, anchors: Tensor, pairs: Tensor, rows: Tensor, constant: bool
    ) -> dict[str, Tensor]:
        """The contrasts where all anchors have their negatives among the same drawn entities.

        Only anchors and drawn entities are projected: an anchor's positives are anchors too.

        Args:
            positives: have the embeddings of entities.
            anchors: (a,) rising.
            pairs: (p, 2) of an anchor and one of its P, rising.
            rows: (p,) the index of each pair's anchor.
            constant: as of ``contrasts``.
        """
        proposal = positives.proposal
        drawn = None if proposal is None else proposal.shared
        if drawn is None:
            drawn = any_of(positives.num_entities, self.candidates, rows.device)
        needed, place = torch.unique(torch.cat((anchors, drawn)), return_inverse=True)
        positive = torch.searchsorted(anchors, pairs[:, 1].contiguous())
        negatives = self.negatives_among(drawn, anchors, pairs, rows)
        projected = self.project(positives.embed(needed), constant=constant)
        found = {}
        for name, embeddings in projected.items():
            z, valid = F.normalize(embeddings, dim=-1), negatives[name]
            a, y = F.embedding(place, z).split((len(anchors), len(drawn)))
            near = (a[rows] * a[positive]).sum(-1) / self.temperature
            near = log_sums(near, rows, len(anchors))
            size = max(1, PART // len(drawn))
            parts = zip((a / self.temperature).split(size), valid.split(size, dim=1), strict=True)
            far = torch.cat([LogSum.apply(part, y, some) for part, some in parts])  # type: ignore[no-untyped-call]
            some = valid.any(0)
            found[name] = (F.softplus(far - near) * some).sum() / some.sum().clamp(min=1)
        return found

    def negatives_among(
        self, drawn: Tensor, anchors: Tensor, pairs: Tensor, rows: Tensor
    ) -> dict[str, Tensor]:
        """Which of (c,) drawn entities are negatives of (a,) anchors: (c, a) bool by kind.

        ``anchors``, ``pairs`` and ``rows`` are those of ``contrasts_of_drawn``.
        """
        a = len(anchors)
        found = torch.unique(self.groups[pairs[:, 1]] * a + rows)
        groups, row = found // max(1, a), found % max(1, a)
        of_group = torch.zeros(len(self.sizes), a, dtype=torch.bool, device=rows.device)
        of_group[groups, row] = True
        # How many groups of each type an anchor's P are in, as far as it matters.
        of_type = torch.zeros(self.num_types, a, dtype=torch.int32, device=rows.device)
        of_type.index_put_((self.kinds[groups], row), of_type.new_ones(()), accumulate=True)
        of_type = of_type.clamp(max=2).to(torch.int8)
        intra = of_group[self.groups[drawn]]
        inter = of_type[self.types[drawn]] > intra.view(torch.int8)
        own, positive = position_in(drawn, anchors), position_in(drawn, pairs[:, 1])
        for valid in (inter, intra):
            valid[own[own >= 0], (own >= 0).nonzero().squeeze(1)] = False
            valid[positive[positive >= 0], rows[positive >= 0]] = False
        return {"inter": inter, "intra": intra}

    def far(self, z: Tensor, anchors: Tensor, ids: Tensor, valid: Tensor) -> Tensor:
        """log Σ_{y ∈ N} e^{s(a, y)}, N being the valid ids: (a,) from (a,), (a, c), (a, c)."""
        cosines: Tensor = torch.einsum("ad,acd->ac", z[anchors], F.embedding(ids, z))
        scores = cosines / self.temperature
        return scores.masked_fill(~valid, -torch.inf).logsumexp(-1)

    def pairs(self, triples: Tensor) -> Tensor:
        """The distinct pairs of an anchor and one of its P, by anchor: (p, 2) from (b, 3)."""
        frequent = triples[torch.isin(self.typed(triples), self.schema)]
        both = torch.cat((frequent[:, [0, 2]], frequent[:, [2, 0]]))
        n = len(self.members)
        keys = (both[:, 0] * n + both[:, 1])[both[:, 0] != both[:, 1]].unique()
        return torch.stack((keys // n, keys % n), dim=1)

    def own_negatives(
        self, kind: str, anchors: Tensor, pairs: Tensor, rows: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Negatives of (a,) rising anchors: (a, c) ids, and which are valid; c ≤ ``negatives``.

        Args:
            kind: ``inter`` or ``intra``.
            pairs: (p, 2) of these anchors, rising.
            rows: (p,) the index of each pair's anchor.
            start: (a,) in [0, 1), where to start in the list of negatives.
        """
        # (a, g) the groups that negatives come from.
        groups = torch.zeros(len(anchors), len(self.sizes), dtype=torch.bool, device=rows.device)
        groups.index_put_((rows, self.groups[pairs[:, 1]]), groups.new_ones(()))
        if kind == "inter":
            some = groups.float()
            count = some.new_zeros(len(anchors), self.num_types).index_add(1, self.kinds, some)
            groups = count[:, self.kinds] > some
        ends = (groups * self.sizes).cumsum(1)
        total = ends[:, -1:]
        count = total.clamp(max=self.negatives)
        slot = torch.arange(int(count.max()) if len(count) else 0, device=anchors.device)
        # Steps are at least 1, so no member occurs twice.
        step = total / count.clamp(min=1).double()
        index = ((slot + start.unsqueeze(1)) * step).long().minimum(total - 1).clamp(min=0)
        group = torch.searchsorted(ends, index, right=True).clamp(max=len(self.sizes) - 1)
        offset = self.sizes.cumsum(0)[group] - ends.gather(1, group)
        n = len(self.members)
        ids = self.members[(index + offset).clamp(min=0, max=n - 1)]
        positive = torch.isin(anchors.unsqueeze(1) * n + ids, pairs[:, 0] * n + pairs[:, 1])
        return ids, (slot < count) & ~positive & (ids != anchors.unsqueeze(1))


class LogSum(torch.autograd.Function):
    """log Σ_{y ∈ N} e^{⟨a, y⟩}: (a,) from (a, d), (c, d), and (c, a) bool, whether y is in N.

    Very small, but finite, where none is. In place and computed once more for the gradient, for
    the exponentials of many candidates do not fit in a CPU's cache.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, y: Tensor, valid: Tensor) -> Tensor:
        """The sums."""
        scores = y @ a.T
        least = torch.finfo(scores.dtype).min
        top = scores.masked_fill(~valid, least).amax(0)
        sums = LogSum.exponentials(scores, top, valid).sum(0)
        sums = torch.where(sums > 0, sums.log() + top, least)
        ctx.save_for_backward(a, y, valid, sums)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradients of a and y."""
        a, y, valid, sums = ctx.saved_tensors
        shares = LogSum.exponentials(y @ a.T, sums, valid).mul_(gradient)
        return shares.T @ y, shares @ a, None

    @staticmethod
    def exponentials(scores: Tensor, top: Tensor, valid: Tensor) -> Tensor:
        """e^{score − top}, none above 1, and 0 where not valid; in place.

        The exponential of −∞ instead would take ten times as long.
        """
        return scores.sub_(top).clamp_(max=0).exp_().mul_(valid)


def log_sums(scores: Tensor, rows: Tensor, a: int) -> Tensor:
    """log Σ e^score within each of a rows: (a,) from (p,) scores and their rows, none empty."""
    top = scores.new_zeros(a).scatter_reduce(0, rows, scores, "amax", include_self=False).detach()
    sums = scores.new_zeros(a).index_add(0, rows, (scores - top[rows]).exp())
    return sums.log() + top


def clustered(concepts: Concepts, clusters: int, rounds: int = 20) -> Tensor:
    """One type for each entity, by deterministic spherical k-means over its set of concepts.

    Each distinct set is a unit vector weighted by its number of entities. The first centre is the
    most frequent set; each next one has the largest (1 − cos to the nearest centre) · weight.

    Source: Dhillon & Modha 2001; the initialisation is a deterministic k-means++ (Arthur &
    Vassilvitskii 2007).

    Returns:
        (n,) types, at most ``clusters``; entities without concepts share a further one, the last.
    """
    s, c = len(concepts.examples), concepts.num_concepts
    rows, columns = concepts.of(concepts.examples)
    lengths = torch.bincount(rows, minlength=s)
    weights = torch.bincount(concepts.sets, minlength=s).double() * (lengths > 0)
    values = lengths[rows].double().rsqrt()
    units = torch.sparse_coo_tensor(
        torch.stack((rows, columns)), values, (s, c), is_coalesced=True, check_invariants=False
    )

    def dense(sets: Tensor) -> Tensor:
        unit: Tensor = F.normalize(concepts.rows(concepts.examples[sets]).double(), dim=1)
        return unit

    def closest(centres: Tensor) -> tuple[Tensor, Tensor]:
        best = torch.sparse.mm(units, centres.T).max(dim=1)
        return best.values, best.indices

    chosen = weights.argmax().view(1)
    while len(chosen) < clusters:
        missed = (1 - closest(dense(chosen))[0]).clamp(min=0) * weights
        if float(missed.max()) < 1e-9:
            break
        chosen = torch.cat((chosen, missed.argmax().view(1)))
    centres = dense(chosen)
    for _ in range(rounds):
        nearest = closest(centres)[1]
        sums = torch.zeros(len(chosen) * c, dtype=torch.float64, device=rows.device)
        sums = sums.index_add(0, nearest[rows] * c + columns, values * weights[rows])
        moved = F.normalize(sums.view(-1, c), dim=1)
        # A centre without sets stays where it is.
        moved = torch.where(moved.any(1, keepdim=True), moved, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    types = torch.where(lengths > 0, closest(centres)[1], len(chosen))
    numbered: Tensor = types[concepts.sets].unique(return_inverse=True)[1]
    return numbered
