"""Negatives by Metropolis–Hastings."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import MCNS
from dans.samplers.mcns import closest, visited, within
from tests.suites.samplers import make, triples_as_embeddings

N = 50


def dot(query: Tensor, entity: Tensor) -> Tensor:
    """A dot product."""
    return (query * entity).sum(-1)


def frozen(scores: Tensor, triples: Tensor | None = None) -> Positives:
    """Triples, at first (0, 0, 1), whose negatives all have given scores, whatever they replace.

    The score is one coordinate of an entity; four others make neighbours of unequal ones.
    """
    triples = torch.tensor([[0, 0, 1]]) if triples is None else triples
    rest = torch.randn(len(scores), 4, generator=torch.Generator().manual_seed(0))
    entities = torch.cat((scores.unsqueeze(1), rest), dim=1)
    h, t = entities[triples[:, 0]], entities[triples[:, 2]]
    query = torch.zeros_like(h)
    query[:, 0] = 1
    return Positives(triples, h, query, t, query, query, entities, dot, dot=True)


def sampler_for(positives: Positives, k: int = 20, **given: Any) -> MCNS:
    """A sampler of a graph with these triples alone; tails, unfiltered, by default."""
    options = {"side": "tail", "filter": "none", "pool": 10}
    return MCNS(
        k,
        triples=positives.triples,
        num_entities=len(positives.entities),
        num_relations=1,
        **{**options, **given},
    )


def uneven() -> Positives:
    """One triple over 50 entities, a few of which score far above the rest: α·std f = 1.5."""
    torch.manual_seed(3)
    scores = torch.empty(N).exponential_()
    return frozen(scores * (2 / scores.std()))


def target(positives: Positives, alpha: float = 0.75, barred: tuple[int, ...] = (1,)) -> Tensor:
    """π, without some entities: at first the triple's own."""
    scores = alpha * positives.entities[:, 0]
    scores[list(barred)] = -torch.inf
    return scores.softmax(0)


def variation(ids: Tensor, wanted: Tensor) -> float:
    """Total variation between draws and a distribution."""
    counts = torch.bincount(ids.flatten(), minlength=len(wanted))
    return float((counts / counts.sum() - wanted).abs().sum() / 2)


def settled(positives: Positives, discarded: int = 50, counted: int = 50, **given: Any) -> Tensor:
    """The states of 2,000 chains, every 10 steps, once 500 are past."""
    sampler = sampler_for(positives, 2000, **given)
    for _ in range(discarded):
        sampler(positives)
    return torch.stack([drawn(sampler, positives) for _ in range(counted)])


def drawn(sampler: MCNS, positives: Positives) -> Tensor:
    """The ids a sampler draws."""
    return sampler(positives).ids


@pytest.mark.slow
def test_chains_come_to_the_distribution_with_the_density_of_the_mixture() -> None:
    positives = uneven()
    assert variation(settled(positives), target(positives)) < 0.02


@pytest.mark.slow
def test_neighbourhoods_may_have_unequal_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    positives = uneven()
    torch.manual_seed(0)
    pools = closest(positives.entities, 10)
    pools[torch.rand(pools.shape) < 0.6] = N
    pools[:9] = N
    pools = pools.sort(1).values
    monkeypatch.setattr("dans.samplers.mcns.closest", lambda *_: pools)
    assert variation(settled(positives), target(positives)) < 0.02


def test_ten_steps_from_random_starts_are_far_from_it_and_lasting_chains_are_not() -> None:
    positives = uneven()
    found = {}
    for chains in ("random", "query", "relation"):
        sampler = sampler_for(positives, 2000, chains=chains)
        first, *_, final = (drawn(sampler, positives) for _ in range(25))
        found[chains] = [variation(ids, target(positives)) for ids in (first, final)]
    assert min(found["random"]) > 0.3
    for chains in ("query", "relation"):
        assert found[chains][0] > 0.3
        # Of 2,000 draws from π itself, some .03 would be noise.
        assert found[chains][1] < 0.2


def test_alpha_sharpens_the_distribution() -> None:
    positives = frozen(torch.linspace(0, 3, 12))
    torch.manual_seed(0)
    for alpha in (0.25, 2.0):
        ids = settled(positives, alpha=alpha, discarded=10, counted=10)
        assert variation(ids, target(positives, alpha)) < 0.02
        assert variation(ids, target(positives)) > 0.1


def test_the_true_entity_is_never_drawn() -> None:
    scores = torch.zeros(8)
    scores[1] = 9
    for chains in ("query", "relation", "random"):
        positives = frozen(scores)
        sampler = sampler_for(positives, 500, chains=chains)
        for _ in range(5):
            assert not drawn(sampler, positives).eq(1).any()


def test_the_true_entity_is_not_drawn_from_a_chain_another_triple_left_there() -> None:
    scores = torch.zeros(8)
    scores[[1, 2]] = 20
    positives = frozen(scores, torch.tensor([[0, 0, 1], [0, 0, 2]]))
    sampler = sampler_for(positives, 50)
    for _ in range(3):
        ids = drawn(sampler, positives)
        assert not ids[0].eq(1).any()
        assert not ids[1].eq(2).any()
        assert ids[0].eq(2).any()


def test_chains_keep_off_known_triples() -> None:
    scores = torch.linspace(0, 8, 30)
    barred = tuple(range(15, 30))
    known = KnownTriples(torch.tensor([[0, 0, e] for e in (1, *barred)]), 30, 1)
    positives = frozen(scores)
    sampler = sampler_for(positives, 1000, filter="mask", known=known)
    torch.manual_seed(0)
    for _ in range(20):
        negatives = sampler(positives)
        assert torch.equal(negatives.valid, ~torch.isin(negatives.ids, torch.tensor((1, *barred))))
    assert negatives.valid.all()
    assert variation(negatives.ids, target(positives, barred=(1, *barred))) < 0.08
    unfiltered = settled(positives, discarded=2, counted=1)
    assert unfiltered.ge(15).double().mean() > 0.9


def test_what_is_known_and_cannot_be_left_is_marked() -> None:
    known = KnownTriples(torch.tensor([[0, 0, e] for e in range(6)]), 6, 1)
    positives = frozen(torch.zeros(6))
    negatives = sampler_for(positives, filter="mask", known=known)(positives)
    assert not negatives.valid.any()


def test_a_chain_resumes_where_its_own_query_left_it() -> None:
    triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
    positives = frozen(torch.randn(40), triples)
    sampler = sampler_for(positives, 6, side="coin")
    negatives = sampler(positives)
    numbers = sampler.queries(triples)
    for triple in range(2):
        for slot in range(6):
            side = int(negatives.corrupt_head[triple, slot])
            assert sampler.states[numbers[triple, side], slot] == negatives.ids[triple, slot]
            assert sampler.states[numbers[triple, 1 - side], slot] == -1
    # With every proposal rejected, a chain stays.
    sampler.unknown = lambda _, ids, side: torch.zeros_like(side)  # type: ignore[method-assign]
    before = sampler.states.clone()
    sampler(positives)
    begun = before >= 0
    assert torch.equal(sampler.states[begun], before[begun])


def test_chains_of_a_relation_are_shared_by_side() -> None:
    triples = torch.tensor([[0, 0, 1], [2, 0, 3], [4, 1, 5]])
    positives = frozen(torch.randn(40), triples)
    sampler = MCNS(
        4, triples=triples, num_entities=40, num_relations=3, chains="relation", filter="none"
    )
    negatives = sampler(positives)
    for relation, rows in ((0, (0, 1)), (1, (2,))):
        for side in (0, 1):
            for slot in range(4):
                left = [
                    int(negatives.ids[r, slot])
                    for r in rows
                    if negatives.corrupt_head[r, slot] == side
                ]
                state = int(sampler.states[relation + 3 * side, slot])
                assert state == (left[-1] if left else -1)
    assert sampler.states[[2, 5, 6]].eq(-1).all()


def test_of_triples_that_share_a_query_the_last_leaves_its_state() -> None:
    triples = torch.tensor([[0, 0, e] for e in range(1, 8)])
    positives = frozen(torch.randn(40), triples)
    sampler = sampler_for(positives)
    ids = drawn(sampler, positives)
    assert torch.equal(sampler.states[0].long(), ids[-1])


@pytest.mark.parametrize("chains", ["query", "relation", "random"])
def test_a_query_of_no_triple_starts_at_random_and_stores_nothing(chains: str) -> None:
    sampler = sampler_for(frozen(torch.zeros(20)), chains=chains)
    sampler(frozen(torch.zeros(20), torch.tensor([[7, 0, 2]])))
    if chains == "relation":
        assert sampler.states[0].ge(0).all()
    else:
        assert sampler.states.eq(-1).all()


def test_a_single_step_goes_to_neighbours_half_the_time() -> None:
    positives = frozen(torch.zeros(1000))
    torch.manual_seed(0)
    sampler = sampler_for(positives, steps=1)
    sampler(positives)
    now = torch.randint(1000, (100, 200))
    size = torch.full_like(now, 10)
    for sizes, share in ((size, 0.5), (torch.zeros_like(now), 0.0)):
        new = sampler.step(now, sizes)
        inside = (sampler.pools[now] == new.unsqueeze(-1)).any(-1)
        # 10 of 1,000 entities are neighbours of a state.
        assert abs(float(inside.double().mean()) - share) < 0.03


def test_the_correction_is_the_ratio_of_densities() -> None:
    positives = frozen(torch.zeros(9))
    sampler = sampler_for(positives, pool=4)
    sampler.pools = torch.tensor(
        [[1, 2, 3, 9], [0, 9, 9, 9], [9, 9, 9, 9], [2, 4, 5, 6], *[[0, 1, 2, 3]] * 5],
        dtype=torch.int32,
    )
    sets = [[e for e in row if e < 9] for row in sampler.pools.tolist()]
    sizes = torch.tensor([len(members) for members in sets])
    now, new = torch.cartesian_prod(torch.arange(9), torch.arange(9)).T.unsqueeze(1)

    def density(end: int, start: int) -> float:
        if not sets[start]:
            return 1 / 9
        return 0.5 / 9 + 0.5 * (end in sets[start]) / len(sets[start])

    wanted = [
        density(y, x) / density(x, y)
        for y, x in zip(now.flatten().tolist(), new.flatten().tolist(), strict=True)
    ]
    ratio = sampler.correction(now, new, sizes[now], sizes[new]).exp()
    torch.testing.assert_close(ratio.flatten(), torch.tensor(wanted))


def test_neighbours_are_looked_up_anew_every_refresh() -> None:
    looks = []
    for step in range(7):
        positives = frozen(torch.zeros(30))
        if step == 0:
            sampler = sampler_for(positives, refresh=3)
        before = sampler.pools.clone()
        torch.manual_seed(step)
        embeddings = torch.randn_like(positives.entities)
        sampler(Positives(**{**vars(positives), "entities": embeddings}))
        looks.append(torch.equal(sampler.pools, closest(embeddings, 10)))
        assert looks[-1] or torch.equal(sampler.pools, before)
    assert looks == [True, False, False, True, False, False, True]


def test_nearest_is_what_sorting_all_distances_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    entities = torch.randn(60, 3) * torch.rand(60, 1)
    apart = torch.cdist(entities, entities).fill_diagonal_(torch.inf)
    wanted = apart.topk(7, largest=False).indices.sort(1).values
    assert torch.equal(closest(entities, 7).long(), wanted)
    monkeypatch.setattr("dans.samplers.mcns.DISTANCES", 130)
    assert torch.equal(closest(entities, 7).long(), wanted)


def test_walks_find_entities_within_two_hops(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    n = kg.num_entities
    hop = torch.zeros(n, n, dtype=torch.bool)
    hop[kg.train[:, 0], kg.train[:, 2]] = True
    hop = hop | hop.T
    within_two = hop | ((hop.float() @ hop.float()) > 0)
    within_two.fill_diagonal_(False)
    pools = visited(kg.walks, n, 400)
    assert pools.shape == (n, 400)
    for entity, row in enumerate(pools.tolist()):
        found = [e for e in row if e < n]
        assert row == sorted(found) + [n] * (400 - len(found))
        assert found == within_two[entity].nonzero().flatten().tolist()
    assert ((visited(kg.walks, n, 3) < n).sum(1) <= 3).all()


def test_walks_are_drawn_once(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = make("mcns-walks", kg, pool=2)
    before = sampler.state_dict()["pools"].clone()
    for _ in range(3):
        sampler(positives)
    assert torch.equal(sampler.state_dict()["pools"], before)
    other = make("mcns-walks", kg, pool=2)
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(other.state_dict()["pools"], before)


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 100])
def test_membership_is_that_of_a_comparison_with_all(width: int) -> None:
    torch.manual_seed(width)
    pools = torch.randint(120, (40, width)).sort(1).values.int()
    rows, ids = torch.randint(40, (30, 50)), torch.randint(121, (30, 50))
    wanted = (pools[rows] == ids.unsqueeze(-1)).any(-1)
    assert wanted.any()
    assert torch.equal(within(pools, rows, ids), wanted)


def test_the_gap_is_that_between_chains_and_triples() -> None:
    positives = frozen(torch.tensor([0.0, 1.0, 5.0, 7.0]))
    sampler = sampler_for(positives, 2)
    assert sampler.diagnose(positives) == {}
    sampler.states[0] = torch.tensor([2, 3])
    assert sampler.diagnose(positives)["chain_gap"] == pytest.approx((4 + 6) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0}, "k: expected at least 1"),
        ({"steps": 0}, "steps: expected at least 1"),
        ({"pool": 0}, "pool: expected at least 1"),
        ({"refresh": 0}, "refresh: expected at least 1"),
        ({"alpha": 0.0}, "alpha: must be above 0, got 0.0"),
        ({"alpha": float("inf")}, "alpha: must be a finite number, got inf"),
        ({"neighbours": "far"}, "neighbours: known: nearest, walks; got 'far'"),
        ({"neighbours": "walks"}, "neighbours: walks needs the graph"),
        (
            {"neighbours": "walks", "walks": lambda starts, length: starts, "refresh": 500},
            "refresh: neighbours = walks are drawn once; leave it out",
        ),
        ({"chains": "none"}, "chains: known: query, relation, random"),
        ({"side": "both"}, "side: known: coin, head, tail"),
        ({"filter": "resample"}, "filter: known: none, mask"),
        ({"filter": "mask"}, "filter: mask needs the known triples"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampler_for(frozen(torch.zeros(4)), **given)


def test_chains_over_other_entities_are_refused() -> None:
    sampler = sampler_for(frozen(torch.zeros(4)))
    with pytest.raises(InputError, match="chains are over 4 entities, not 5"):
        sampler(frozen(torch.zeros(5)))
