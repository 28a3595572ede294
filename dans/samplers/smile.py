"""SMiLE-style: uniform negatives, and a contrast between entities of one type beside them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, above_zero, not_negative
from dans.models.batch import Positives
from dans.samplers.base import Phase
from dans.samplers.corruption import Filter, Side, positive
from dans.samplers.entity_types import Concepts, pseudo_types, stretches
from dans.samplers.uniform import Uniform


class SMiLE(Uniform):
    """Uniform negatives, beside a contrast that tells entities from others of their type.

        L = weight · (λ L_inter + (1 − λ) L_intra),
        L_· = mean over anchors of −log Σ_{y ∈ P} e^{s(a, y)} / Σ_{y ∈ P ∪ N} e^{s(a, y)},
        s(a, y) = cos(p(a), p(y)) / τ,  p an MLP d → d → d with an ELU, one for each of the two.

    Every entity has a type, a cluster of its pseudo-types. The schema is the set of typed triples
    (type of h, r, type of t) that many training triples share, and an entity's schema set, those of
    them it takes part in. Anchors are the entities of the batch; P are the other ends of an
    anchor's triples whose typed triple is in the schema. *Inter-schema* negatives have the type of
    one of P and another schema set than it; *intra-schema* ones, the same type and schema set. The
    anchor and its P are not among them. Where there are more than ``negatives``, that many are
    taken at equal distances from a random start in the list ordered by type and schema set: each
    with the same probability, and spread over the schema sets. An anchor without negatives adds
    nothing.

    Source: Peng et al. 2022, arXiv:2210.04870, with the settings of its training program. SMiLE
    pre-trains a transformer over context graphs, and contrasts these; what is here contrasts the
    encoder's embeddings during training, with clusters for types, so report it as SMiLE-style.

    The negatives do not look at the model; the contrast does, and the trainer must give it
    embeddings. It reaches the model as a term of its loss, through projections held fixed, and
    these learn the same contrast from detached embeddings in a phase of their own, ``projections``.

    Cost: O(n·d² + a·negatives·d) for the term and again for the phase, with a ≤ 2b anchors. Beside
    n·d numbers for each projection, ``ELEMENTS`` are held at once: where the negatives' embeddings
    are more, they are gathered part by part, and once more on the way back. State: 8 d² bytes of
    weights for each projection; 24 bytes for each entity, 8 for each typed triple.

    Args:
        k: negatives per triple.
        dim: d.
        triples: (f, 3) the training triples.
        num_entities: n.
        num_relations: m.
        weight: of the contrast in the model's loss.
        balance: λ. The program trains with .8; its class has .5.
        temperature: τ.
        negatives: of each kind, for each anchor, at most.
        clusters: types, at most; an entity without triples has one more.
        frequent: the share of distinct training triples that makes a typed triple part of the
            schema. The paper says "frequent" and no number; with .01 nine anchors in ten have
            negatives of both kinds on UMLS, WN18RR and FB15k-237, and with every triple one in ten
            on UMLS.
        side: see ``Uniform``; so are the rest.
        exclude_true: see ``Uniform``.
        filter: see ``Uniform``.
        known: see ``Uniform``.
        rounds: see ``Uniform``.

    Raises:
        InputError: a number out of range, a schema without triples; and as ``Uniform`` does.

    Example:
        >>> triples = torch.tensor([[0, 0, 2], [1, 0, 3], [0, 0, 3]])
        >>> smile = SMiLE(dim=2, triples=triples, num_entities=4, num_relations=1)
        >>> e = torch.eye(4, 2)
        >>> h, t = e[triples[:, 0]], e[triples[:, 2]]
        >>> positives = Positives(triples, h, h, t, h, t, e, lambda x, y: (x * y).sum(-1))
        >>> list(smile.terms(positives))
        ['contrast']
    """

    adaptive: ClassVar[bool] = True
    #: (n,) the type of each entity
    types: Tensor
    #: (n,) a number for each pair of type and schema set, rising with the type
    groups: Tensor
    #: (n,) entities by their groups
    members: Tensor
    #: (g,) how many each group has
    sizes: Tensor
    #: (g,) its type
    kinds: Tensor
    #: (s,) the schema: typed triples as numbers, rising
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
        positive("negatives", negatives)
        positive("clusters", clusters)
        not_negative("weight", weight)
        above_zero("temperature", temperature)
        for name, share in (("balance", balance), ("frequent", frequent)):
            if not 0 <= share <= 1:
                raise InputError(f"{name}: must be between 0 and 1, got {share}")
        self.weight, self.balance, self.temperature = weight, balance, temperature
        self.negatives, self.num_relations = negatives, num_relations
        self.projections = nn.ModuleDict({name: projection(dim) for name in ("inter", "intra")})
        types = clustered(pseudo_types(triples, num_entities, num_relations), clusters)
        self.num_types = int(types.max()) + 1
        self.register_buffer("types", types, persistent=False)
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
        sets = schema_sets(triples, which, often, num_entities)
        keys, groups = torch.unique(types * num_entities + sets, return_inverse=True)
        for name, value in (
            ("schema", typed_triples[often]),
            ("groups", groups),
            ("members", groups.argsort(stable=True)),
            ("sizes", torch.bincount(groups)),
            ("kinds", keys // num_entities),
        ):
            self.register_buffer(name, value, persistent=False)

    def typed(self, triples: Tensor) -> Tensor:
        """The typed triples of triples, a number for each: (b,) from (b, 3)."""
        heads, relations, tails = triples.unbind(-1)
        number = self.types[heads] * self.num_relations + relations
        return number * self.num_types + self.types[tails]

    def phases(self) -> tuple[Phase, ...]:
        """The projections'."""
        return (Phase("projections", tuple(self.projections.parameters()), self.loss),)

    def loss(self, positives: Positives) -> Tensor:
        """What the projections minimise: the contrast of entities as they are."""
        found = {name: net(positives.entities) for name, net in self.projections.items()}
        return self.balanced(self.contrasts(positives, found))

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """``contrast``, which moves the model alone."""
        held = {
            name: functional_call(
                net,
                {key: value.detach() for key, value in net.named_parameters()},
                (positives.entities,),
            )
            for name, net in self.projections.items()
        }
        return {"contrast": self.weight * self.balanced(self.contrasts(positives, held))}

    def balanced(self, contrasts: Mapping[str, Tensor]) -> Tensor:
        """λ L_inter + (1 − λ) L_intra."""
        return self.balance * contrasts["inter"] + (1 - self.balance) * contrasts["intra"]

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Both contrasts; the random state is not moved."""
        device = positives.entities.device
        devices = [] if device.type == "cpu" else [device]
        with torch.no_grad(), torch.random.fork_rng(devices):
            found = {name: net(positives.entities) for name, net in self.projections.items()}
            contrasts = self.contrasts(positives, found)
        return {f"contrast_{name}": float(value) for name, value in contrasts.items()}

    def contrasts(self, positives: Positives, projected: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """L_inter and L_intra.

        Args:
            positives: the batch.
            projected: ``inter`` and ``intra``, (n, d) each, all entities' projections.
        """
        pairs = self.pairs(positives.triples)
        anchors, rows = torch.unique(pairs[:, 0], return_inverse=True)
        found = {}
        for name, embeddings in projected.items():
            z = F.normalize(embeddings, dim=-1)
            near = (z[pairs[:, 0]] * z[pairs[:, 1]]).sum(-1) / self.temperature
            near = log_sums(near, rows, len(anchors))
            start = torch.rand(len(anchors), device=z.device).double()
            # A sum over nothing, attached to the embeddings.
            total, count = z[:0].sum(), 0
            width = max(len(self.sizes), self.negatives * z.shape[1])
            pieces = list(stretches(len(anchors), width))
            # Of several pieces, none keeps its negatives' embeddings for the way back.
            far = self.far if len(pieces) < 2 else partial(recomputed, self.far)
            for part in pieces:
                first, stop, _ = part.indices(len(anchors))
                mine = (rows >= first) & (rows < stop)
                ids, counts = self.candidates(
                    name, anchors[part], pairs[mine], rows[mine] - first, start[part]
                )
                alive = counts.any(1)
                negatives = far(z, anchors[part][alive], ids[alive], counts[alive])
                total = total + F.softplus(negatives - near[part][alive]).sum()
                count += int(alive.sum())
            found[name] = total / max(count, 1)
        return found

    def far(self, z: Tensor, anchors: Tensor, ids: Tensor, counts: Tensor) -> Tensor:
        """log Σ_{y ∈ N} e^{s(a, y)}: (a,), with the negatives in ``ids`` that ``counts`` marks."""
        cosines: Tensor = torch.einsum("ad,acd->ac", z[anchors], F.embedding(ids, z))
        scores = cosines / self.temperature
        return scores.masked_fill(~counts, -torch.inf).logsumexp(-1)

    def pairs(self, triples: Tensor) -> Tensor:
        """Anchors and what they are drawn to, each pair once, by anchors: (p, 2) from (b, 3)."""
        frequent = triples[torch.isin(self.typed(triples), self.schema)]
        both = torch.cat((frequent[:, [0, 2]], frequent[:, [2, 0]]))
        pairs: Tensor = both[both[:, 0] != both[:, 1]].unique(dim=0)
        return pairs

    def candidates(
        self, kind: str, anchors: Tensor, pairs: Tensor, rows: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Negatives of anchors.

        Args:
            kind: ``inter`` or ``intra``.
            anchors: (a,) rising.
            pairs: (p, 2) their pairs, rising.
            rows: (p,) which anchor's.
            start: (a,) where to start, from 0 to 1.

        Returns:
            (a, c) entities, and (a, c) bool, which of them count; c ≤ ``negatives``.
        """
        allowed = self.near_groups(rows, self.groups[pairs[:, 1]], len(anchors))
        if kind == "inter":
            allowed = self.same_type_other_groups(allowed)
        ends = (allowed * self.sizes).cumsum(1)
        total = ends[:, -1:]
        count = total.clamp(max=self.negatives)
        slot = torch.arange(int(count.max()) if len(count) else 0, device=anchors.device)
        # Steps of at least one place, so no member is met twice.
        step = total / count.clamp(min=1).double()
        places = ((slot + start.unsqueeze(1)) * step).long().minimum(total - 1).clamp(min=0)
        group = torch.searchsorted(ends, places, right=True).clamp(max=len(self.sizes) - 1)
        back = self.sizes.cumsum(0)[group] - ends.gather(1, group)
        ids = self.members[(places + back).clamp(min=0, max=len(self.members) - 1)]
        n = len(self.members)
        theirs = torch.isin(anchors.unsqueeze(1) * n + ids, pairs[:, 0] * n + pairs[:, 1])
        return ids, (slot < count) & ~theirs & (ids != anchors.unsqueeze(1))

    def near_groups(self, rows: Tensor, groups: Tensor, a: int) -> Tensor:
        """Which groups an anchor has a positive in: (a, g) bool."""
        found = torch.zeros(a, len(self.sizes), dtype=torch.bool, device=rows.device)
        return found.index_put((rows, groups), found.new_ones(()))

    def same_type_other_groups(self, groups: Tensor) -> Tensor:
        """Groups of the type of one that is marked, and another than it: (a, g) bool."""
        count = torch.zeros(len(groups), self.num_types, device=groups.device)
        count = count.index_add(1, self.kinds, groups.float())
        return count[:, self.kinds] > groups.float()


def recomputed(function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    """A function's value, of which nothing is kept; it is computed anew on the way back."""
    # Nothing in it is drawn, so there is no random state to bring back.
    value: Tensor = checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
    return value


def projection(dim: int) -> nn.Sequential:
    """Two layers, an ELU between them."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ELU(), nn.Linear(dim, dim))


def log_sums(scores: Tensor, rows: Tensor, a: int) -> Tensor:
    """log Σ e^score within each row.

    Args:
        scores: (p,).
        rows: (p,) which row each belongs to; every row has at least one.
        a: rows.

    Returns:
        (a,).

    Example:
        >>> log_sums(torch.tensor([1., 0., 0.]), torch.tensor([0, 1, 1]), 2)
        tensor([1.0000, 0.6931])
    """
    top = scores.new_zeros(a).scatter_reduce(0, rows, scores, "amax", include_self=False).detach()
    sums = scores.new_zeros(a).index_add(0, rows, (scores - top[rows]).exp())
    return sums.log() + top


def schema_sets(triples: Tensor, which: Tensor, often: Tensor, num_entities: int) -> Tensor:
    """A number for what each entity does in the schema; alike entities have the same.

    Args:
        triples: (f, 3).
        which: (f,) the typed triple of each.
        often: (u,) which of them are in the schema.
        num_entities: n.

    Returns:
        (n,).
    """
    kept = often[which]
    ends = triples[kept][:, [0, 2]]
    does = torch.stack((2 * which[kept], 2 * which[kept] + 1), dim=1)
    pairs = torch.stack((ends, does), dim=-1).flatten(0, 1)
    return Concepts(pairs, num_entities, 2 * len(often)).sets


def clustered(concepts: Concepts, clusters: int, rounds: int = 20) -> Tensor:
    """One type for each entity: clusters of sets of concepts, the same on every run.

    Spherical k-means over the distinct sets, each as a unit embedding and weighted by how many
    entities have it. The first centre is the most frequent set; each next one the set worst covered
    so far, 1 − cos times its weight. No chance is involved, and the same set has the same type.

    Source: Dhillon & Modha 2001; the start is a deterministic k-means++ (Arthur &
    Vassilvitskii 2007).

    Args:
        concepts: of n entities.
        clusters: at most so many; fewer where there are fewer sets.
        rounds: of moving the centres, at most.

    Returns:
        (n,) types; entities without concepts share a type of their own, the last.

    Example:
        >>> triples = torch.tensor([[0, 0, 2], [1, 0, 3], [0, 0, 3]])
        >>> clustered(pseudo_types(triples, 5, 1), 10)
        tensor([0, 0, 1, 1, 2])
    """
    s, c = len(concepts.examples), concepts.num_concepts
    rows, columns = concepts.of(concepts.examples)
    lengths = torch.bincount(rows, minlength=s)
    weights = torch.bincount(concepts.sets, minlength=s).double() * (lengths > 0)
    values = lengths[rows].double().rsqrt()
    places = torch.stack((rows, columns))
    units = torch.sparse_coo_tensor(
        places, values, (s, c), is_coalesced=True, check_invariants=False
    )

    def closest(centres: Tensor) -> tuple[Tensor, Tensor]:
        best = torch.sparse.mm(units, centres.T).max(dim=1)
        return best.values, best.indices

    chosen = weights.argmax().view(1)
    while len(chosen) < clusters:
        missed = (1 - closest(dense(concepts, chosen))[0]).clamp(min=0) * weights
        if float(missed.max()) < 1e-9:
            break
        chosen = torch.cat((chosen, missed.argmax().view(1)))
    centres = dense(concepts, chosen)
    for _ in range(rounds):
        nearest = closest(centres)[1]
        sums = torch.zeros(len(chosen) * c, dtype=torch.float64, device=rows.device)
        sums = sums.index_add(0, nearest[rows] * c + columns, values * weights[rows])
        moved = F.normalize(sums.view(-1, c), dim=1)
        # A centre that lost its last set stays where it is.
        moved = torch.where(moved.any(1, keepdim=True), moved, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    types = torch.where(lengths > 0, closest(centres)[1], len(chosen))
    numbered: Tensor = types[concepts.sets].unique(return_inverse=True)[1]
    return numbered


def dense(concepts: Concepts, sets: Tensor) -> Tensor:
    """Some sets of concepts as unit embeddings: (q, c) float64."""
    units: Tensor = F.normalize(concepts.rows(concepts.examples[sets]).double(), dim=1)
    return units
