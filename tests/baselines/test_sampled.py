"""Negatives shared by a batch: against the sum written out, triple by triple and side by side."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.assembly import OBJECTIVES
from baselines.sampled import SampledNegatives, not_known
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Negatives, Positives, Proposal
from dans.models.model import Model
from dans.objectives.losses import Logistic, Loss, Margin, SampledSoftmax, SelfAdversarial
from dans.runs.build import build_objective
from dans.training.batches import FullGraph
from tests.samplers.test_uniform import p_value
from tests.suites.models import DIM, model_of

DRAWS = 100_000
NS = Logistic(balance="sum")


def positives_of(model: Model, triples: Tensor) -> Positives:
    return model.positives(triples, model.encoder.entities.weight)  # type: ignore[arg-type, union-attr]


def make(kg: KnowledgeGraph, loss: Loss = NS, **given: Any) -> SampledNegatives:
    known = kg.known(("train",))
    return SampledNegatives(
        loss, triples=kg.train, num_entities=kg.num_entities, known=known, **given
    )


def pool_of(objective: SampledNegatives, kg: KnowledgeGraph) -> Tensor:
    pool = objective.propose(Positives.of_ids(kg.train, kg.num_entities)).shared
    assert pool is not None
    return pool


def loss_of(
    objective: SampledNegatives, model: Model, positives: Positives, pool: list[int] | None = None
) -> Tensor:
    """The loss; with the pool given, heads first, instead of drawn."""
    if pool is not None:
        objective.draw = lambda device: torch.tensor(pool)  # type: ignore[method-assign]
    return objective(model.decoder, positives)["loss"]  # type: ignore[no-any-return]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def score_of(model: Model, triple: list[int], column: int) -> float:
    """The score of a triple by the query whose answer is in a column, 0 or 2."""
    entities, decoder = model.encoder.entities.weight, model.decoder  # type: ignore[union-attr]
    relation, other = torch.tensor([triple[1]]), entities[[triple[2 - column]]]  # type: ignore[index]
    tail = bool(column)
    query = decoder.tail_queries(other, relation) if tail else decoder.head_queries(relation, other)
    return float(decoder.score_query(query, entities[[triple[column]]]).detach())  # type: ignore[index]


def ns_by_hand(
    model: Model,
    triples: Tensor,
    pools: tuple[list[int], list[int]],
    keep: Any = lambda triple: True,
    weigh: Any = lambda entity, column: 1.0,
) -> float:
    """NS as a sum over triples, sides and negatives; each by the query of its side."""
    total = 0.0
    for triple in triples.tolist():
        for column, pool in zip((0, 2), pools, strict=True):
            if not pool:
                continue
            total += softplus(-score_of(model, triple, column))
            for entity in pool:
                corrupted = [*triple]
                corrupted[column] = entity
                if keep(tuple(corrupted)):
                    total += weigh(entity, column) * softplus(score_of(model, corrupted, column))
    return total / len(triples)


@pytest.mark.parametrize("decoder", ["distmult", "complex", "rotate"])
@pytest.mark.parametrize("reciprocal", [False, True])
def test_loss_is_that_of_each_triple_on_both_sides(
    decoder: str, reciprocal: bool, kg: KnowledgeGraph
) -> None:
    model = model_of(kg, decoder, reciprocal=reciprocal)
    triples, heads, tails = kg.train[:5], [3, 3, 0], [7, 1]
    got = loss_of(make(kg, heads=3, tails=2), model, positives_of(model, triples), heads + tails)
    assert got.item() == pytest.approx(ns_by_hand(model, triples, (heads, tails)), rel=1e-10)


@pytest.mark.parametrize(("heads", "tails"), [([5], []), ([], [5]), ([6, 2], []), ([1], [1])])
def test_a_side_may_be_left_out_and_one_negative_is_enough(
    heads: list[int], tails: list[int], kg: KnowledgeGraph
) -> None:
    model = model_of(kg)
    objective = make(kg, heads=len(heads), tails=len(tails), noise="weighted", smoothing=1.0)
    triples = kg.train[:1]
    got = loss_of(objective, model, positives_of(model, triples), heads + tails)

    def weigh(entity: int, column: int) -> float:
        count = int((kg.train[:, column] == entity).sum()) + 1
        return kg.num_entities * count / (len(kg.train) + kg.num_entities)

    expected = ns_by_hand(model, triples, (heads, tails), weigh=weigh)
    assert got.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [NS, SelfAdversarial(balance="triples")])
def test_a_shared_pool_is_expected_to_cost_what_pools_of_their_own_do(
    loss: Loss, kg: KnowledgeGraph
) -> None:
    # All draws there are: 2 negatives out of 4 entities for the batch, or for each of 2 triples.
    tiny = KnowledgeGraph.of(
        name="tiny", train=[("a", "r", "b"), ("b", "r", "c"), ("c", "r", "d")], valid=[], test=[]
    )
    model, objective = model_of(tiny), make(tiny, loss, heads=0, tails=2)
    triples = tiny.train[:2]
    pools = list(itertools.product(range(4), repeat=2))
    positives = positives_of(model, triples)
    shared = [loss_of(objective, model, positives, [*pool]).item() for pool in pools]
    alone = []
    for drawn in itertools.product(pools, repeat=2):
        ids = torch.tensor(drawn)
        negatives = Negatives.of(positives, ids, torch.zeros_like(ids, dtype=torch.bool))
        alone.append(loss(positives.scores(), negatives.scores(positives)).item())
    assert sum(shared) / len(shared) == pytest.approx(sum(alone) / len(alone), rel=1e-10)
    assert max(shared) > min(shared)


def test_draws_follow_the_noise_of_their_side(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    for noise in ("uniform", "frequency", "weighted", "published"):
        pool = pool_of(make(kg, heads=DRAWS, tails=DRAWS, noise=noise), kg)
        for column, ids in zip((0, 2), pool.split(DRAWS), strict=True):
            unigram = torch.bincount(kg.train[:, column], minlength=kg.num_entities)
            expected = unigram if noise == "frequency" else torch.ones(kg.num_entities)
            assert p_value(ids, expected) > 1e-4


def test_published_halves_all_and_weighs_negatives_less_by_the_number_of_entities(
    kg: KnowledgeGraph,
) -> None:
    model, triples = model_of(kg), kg.train[:4]
    positives = positives_of(model, triples)
    heads, tails = [0, 0, 3], [2, 6]
    weighted, published, triples_alone = (
        loss_of(objective, model, positives, heads + tails).item()
        for objective in (
            make(kg, heads=3, tails=2, noise="weighted"),
            make(kg, heads=3, tails=2, noise="published"),
            Unweighed(kg),
        )
    )
    negatives = weighted - triples_alone
    assert negatives > 0
    assert 2 * published == pytest.approx(triples_alone + negatives / kg.num_entities, rel=1e-6)


class Unweighed(SampledNegatives):
    """Three heads and two tails, of which none counts."""

    def __init__(self, kg: KnowledgeGraph) -> None:
        super().__init__(NS, triples=kg.train, num_entities=kg.num_entities, heads=3, tails=2)
        self.weights = torch.zeros(2, kg.num_entities)


def test_mask_leaves_out_training_triples_and_nothing_else(kg: KnowledgeGraph) -> None:
    model, triples = model_of(kg), kg.train
    positives = positives_of(model, triples)
    pool = list(range(kg.num_entities))
    given = {"heads": len(pool), "tails": len(pool)}
    train = {tuple(triple) for triple in triples.tolist()}
    for policy, keep in (
        ("none", lambda triple: True),
        ("mask", lambda triple: triple not in train),
    ):
        got = loss_of(make(kg, filter=policy, **given), model, positives, pool + pool)
        expected = ns_by_hand(model, triples, (pool, pool), keep=keep)
        assert got.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("filter", ["none", "mask"])
@pytest.mark.parametrize("noise", ["uniform", "frequency", "published", "weighted"])
@pytest.mark.parametrize("sparse", [False, True])
def test_seeing_only_whom_it_wants_changes_no_loss_and_no_gradient(
    filter: str, noise: str, sparse: bool, kg: KnowledgeGraph
) -> None:
    model = model_of(kg, reciprocal=True)
    objective = make(kg, filter=filter, noise=noise, heads=2, tails=3)
    source = FullGraph(kg.train, kg.messages("relation"), sparse=sparse)
    rows = torch.tensor([3, 9, 0])
    found = []
    for some in (True, False):
        torch.manual_seed(5)
        ids = Positives.of_ids(source.triples(rows), kg.num_entities)
        positives = source.positives(model, rows, objective.propose(ids) if some else None)
        assert (len(positives.entities) < kg.num_entities) == some
        loss = objective(model.decoder, positives)["loss"]
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        found.append((loss, *(g.to_dense() for g in gradients)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_reach_triples_and_pool_and_nobody_else(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    triples, pool = kg.train[:2], [5, 7, 7, 2]
    loss = loss_of(make(kg, heads=2, tails=2), model, positives_of(model, triples), pool)
    (gradient,) = torch.autograd.grad(loss, model.encoder.entities.weight)  # type: ignore[union-attr]
    moved = gradient.abs().sum(1).nonzero().squeeze(1).tolist()
    assert set(moved) == {*triples[:, [0, 2]].flatten().tolist(), *pool}
    assert len(moved) < kg.num_entities


@pytest.mark.parametrize("filter", ["none", "mask"])
def test_the_log_gets_triples_and_negatives_by_entity(filter: str, kg: KnowledgeGraph) -> None:
    seen: list[tuple[Positives, Negatives]] = []
    model, objective = model_of(kg), make(kg, heads=2, tails=1, filter=filter)
    objective.log_negatives = lambda positives, negatives: seen.append((positives, negatives))
    source = FullGraph(kg.train, kg.messages("relation"))
    rows = torch.tensor([7, 8])
    pool = pool_of(objective, kg)
    objective(model.decoder, source.positives(model, rows, Proposal(shared=pool)))
    ((positives, negatives),) = seen
    assert torch.equal(positives.triples, kg.train[rows])
    assert negatives.ids is not None
    assert negatives.ids.tolist() == [pool.tolist()] * 2
    assert negatives.corrupt_head.tolist() == [[True, True, False]] * 2
    assert (negatives.valid is None) == (filter == "none")


def test_counts_of_other_entities_are_refused(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    positives = model.positives(kg.train[:1], torch.randn(9, DIM).double())
    with pytest.raises(InputError, match="num_entities: draws are of 8 entities, not 9"):
        make(kg)(model.decoder, positives)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heads": -1}, "heads: expected at least 0, got -1"),
        ({"heads": 0, "tails": 0}, "heads: expected at least 1 where tails is 0, got 0"),
        ({"noise": "exact"}, "noise: known: uniform, frequency, published, weighted; got 'exact'"),
        ({"filter": "resample"}, "filter: known: none, mask; got 'resample'"),
        ({"smoothing": 1.0}, "smoothing: has no place in uniform noise"),
        ({"smoothing": -1.0, "noise": "frequency"}, "smoothing: must not be negative"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str, kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=message):
        make(kg, **given)


@pytest.mark.parametrize(
    "loss", [Logistic(), Logistic(balance="triples"), SelfAdversarial(balance="sum"), Margin()]
)
def test_published_noise_is_of_the_published_loss(loss: Loss, kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="noise: published is of the loss logistic with balance"):
        make(kg, loss, noise="published")
    make(kg, loss, noise="weighted")


def test_smoothing_brings_back_who_never_fills_a_side(kg: KnowledgeGraph) -> None:
    never = torch.bincount(kg.train[:, 0], minlength=kg.num_entities) == 0
    reached = []
    for smoothing in (0.0, 0.5):
        objective = make(kg, heads=2000, tails=0, noise="frequency", smoothing=smoothing)
        reached.append(bool(never[pool_of(objective, kg)].any()))
    assert reached == [False, True]


def test_a_recipe_can_choose_it(kg: KnowledgeGraph) -> None:
    config = RunConfig.parse(
        {
            "data": "toy",
            "encoder": {"name": "lookup"},
            "decoder": {"name": "distmult"},
            "objective": {"name": "sampled", "heads": 1, "tails": 48, "filter": "mask"},
            "loss": {"name": "self_adversarial", "balance": "triples", "offset": 1.0},
        }
    )
    objective = build_objective(config, kg, DIM, OBJECTIVES)
    assert isinstance(objective, SampledNegatives)
    assert len(pool_of(objective, kg)) == 49
    assert not objective.state_dict()


def test_pairs_are_unknown_just_where_no_triple_says_so(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    heads, tails = torch.randint(kg.num_entities, (2, 12))
    known = {tuple(triple) for triple in kg.train.tolist()}
    for pools in ((heads, tails), (heads[:0], tails), (heads, tails[:0])):
        found = not_known(kg.known(("train",)), kg.train, *pools)
        expected = [
            [(e, r, t) not in known for e in pools[0].tolist()]
            + [(h, r, e) not in known for e in pools[1].tolist()]
            for h, r, t in kg.train.tolist()
        ]
        assert found.tolist() == expected


@pytest.mark.parametrize("noise", ["uniform", "frequency"])
@pytest.mark.parametrize("filter", ["none", "mask"])
def test_sampled_softmax_weighs_a_pool_by_its_probabilities(
    kg: KnowledgeGraph, noise: Any, filter: Any
) -> None:
    model = model_of(kg)
    objective = make(
        kg,
        SampledSoftmax(),
        heads=3,
        tails=2,
        noise=noise,
        smoothing=0.5 * (noise != "uniform"),
        filter=filter,
    )
    heads, tails = [0, 1, 1], [2, 3]
    positives = positives_of(model, kg.train)
    got = loss_of(objective, model, positives, [*heads, *tails]).item()
    known, total = {tuple(triple) for triple in kg.train.tolist()}, 0.0
    counts = torch.full((2, kg.num_entities), 0.5)
    for h, _, t in kg.train.tolist():
        counts[0, h], counts[1, t] = counts[0, h] + 1, counts[1, t] + 1
    for triple in kg.train.tolist():
        for column, pool in ((0, heads), (2, tails)):
            own = score_of(model, triple, column)
            inner = 1.0
            for e in pool:
                negative = [*triple[:column], e, *triple[column + 1 :]]
                if e == triple[column] or (filter == "mask" and tuple(negative) in known):
                    continue
                q = counts[column // 2] / counts[column // 2].sum()
                share = 1 / kg.num_entities if noise == "uniform" else float(q[e])
                inner += math.exp(score_of(model, negative, column) - own) / (len(pool) * share)
            total += math.log(inner)
    assert got == pytest.approx(total / len(kg.train), rel=1e-4)


def test_sampled_softmax_refuses_noise_with_weights_of_its_own(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="noise: weighted has weights of its own"):
        make(kg, SampledSoftmax(), noise="weighted")
