"""Statistics of samplers: known rates, numbers worked by hand, and unchanged state."""

import os
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from dans.analysis import sampler_statistics as module
from dans.analysis.sampler_statistics import (
    Draws,
    Inspection,
    distances_within,
    distinct,
    false_negatives,
    inspect,
    members,
    table,
    warm_up,
)
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Negatives, Positives
from dans.samplers import DANS, Mixture, NegativeSampler, Popularity, SelfLoop, Uniform
from tests.suites.samplers import CASES, make, triples_as_embeddings
from tests.suites.states import states_equal


def real(name: str) -> KnowledgeGraph:
    if name != "umls" and "DANS_DATASETS" not in os.environ:
        pytest.skip("no folder of data sets is named, and tests download none")
    try:
        return KnowledgeGraph.load(name)
    except InputError as error:
        pytest.skip(f"{name} is not here: {error}")


def without_model(kg: KnowledgeGraph) -> Callable[[Tensor], Positives]:
    return partial(Positives.of_ids, num_entities=kg.num_entities)


def with_model(kg: KnowledgeGraph) -> Callable[[Tensor], Positives]:
    """The toy triples over free embeddings."""
    _, table, decoder = triples_as_embeddings(kg)
    table = table.detach()

    def positives(triples: Tensor) -> Positives:
        return Positives.from_embeddings(triples, table, decoder)

    return positives


def rate(kg: KnowledgeGraph, sampler: NegativeSampler, triples: int = 6000) -> float:
    found: float = inspect(kg, sampler, without_model(kg), triples=triples).numbers[
        "false_negatives"
    ]["any"]
    return found


def expected_rate(kg: KnowledgeGraph, *, exclude_true: bool) -> float:
    """Of uniform negatives: the answers a query has, over the entities that may be drawn."""
    known = kg.known()
    heads, relations, tails = kg.train.unbind(-1)
    answers = len(known.tails(heads, relations)[0]) + len(known.heads(relations, tails)[0])
    mean = answers / (2 * len(kg.train))
    return (mean - 1) / (kg.num_entities - 1) if exclude_true else mean / kg.num_entities


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exclude_true", "expected", "triples"),
    [("umls", False, 0.151, 6000), ("umls", True, 0.145, 6000), ("wn18rr", False, 4e-4, 30_000)],
)
def test_uniform_negatives_are_triples_as_often_as_counted(
    name: str, expected: float, triples: int, *, exclude_true: bool
) -> None:
    kg = real(name)
    counted = expected_rate(kg, exclude_true=exclude_true)
    assert counted == pytest.approx(expected, rel=0.1)
    found = rate(kg, Uniform(exclude_true=exclude_true), triples)
    assert found == pytest.approx(counted, abs=1e-4 if name == "wn18rr" else 4e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 0.251), (0.75, 0.223)])
def test_popular_negatives_of_umls_are_triples_as_often_as_counted(
    exponent: float, expected: float
) -> None:
    kg = real("umls")
    sampler = Popularity(
        triples=kg.train, num_entities=kg.num_entities, exponent=exponent, exclude_true=False
    )
    assert rate(kg, sampler) == pytest.approx(expected, abs=0.005)


def draws(kg: KnowledgeGraph, ids: list[list[int]], heads: list[list[bool]]) -> Draws:
    """Negatives of the first training triples."""
    found = torch.tensor(ids)
    valid = torch.ones_like(found, dtype=torch.bool)
    side = torch.tensor(heads)
    return Draws(kg.train[: len(ids)], found, side, valid, ~valid, None, None, 1.0)


def test_false_negatives_are_counted_by_split(kg: KnowledgeGraph) -> None:
    row = kg.train.tolist().index(
        [kg.entities.index("ada"), kg.relations.index("owns"), kg.entities.index("tea")]
    )
    names = ["pot", "cup", "map", "bob", "gus"]  # train, valid, test, test, no triple
    given = draws(kg, [[kg.entities.index(n) for n in names]], [[False] * 5])
    given = Draws(kg.train[row : row + 1], *list(vars(given).values())[1:])
    shares = false_negatives(kg, given)
    assert shares == pytest.approx({"train": 0.2, "valid": 0.2, "test": 0.4, "any": 0.8})


def test_distinct_counts_by_query(kg: KnowledgeGraph) -> None:
    # Queries: tails {4, 4}, heads {4}; tails {5}, heads {6, 7}. Five different of six.
    given = draws(kg, [[4, 4, 4], [5, 6, 7]], [[False, False, True], [False, True, True]])
    assert distinct(given) == pytest.approx(5 / 6)


def test_distances_are_taken_within_a_query() -> None:
    embeddings = torch.tensor([[[0.0], [1.0], [100.0], [103.0], [50.0]]])
    side = torch.tensor([[False, False, True, True, True]])
    valid = torch.tensor([[True, True, True, True, False]])
    total, count = distances_within(Negatives(embeddings, side), valid)
    assert (total, count) == (8.0, 4)


def test_hardness_is_that_of_scores_worked_out_one_by_one(kg: KnowledgeGraph) -> None:
    positives, kept = with_model(kg), SelfLoop(k=2, side="tail")
    whole = positives(kg.train).detach()
    gaps = whole.score_query(whole.tail_query, whole.h) - whole.score_query(
        whole.tail_query, whole.t
    )
    numbers = inspect(kg, kept, positives).numbers
    assert numbers["harder"] == pytest.approx(float((gaps > 0).double().mean()))
    assert numbers["score_gap"] == pytest.approx(float(gaps.mean()), rel=1e-4)
    assert numbers["diversity_within_query"] == 0
    assert numbers["distinct"] == 0.5
    assert numbers["coverage"] == len(kg.train[:, 0].unique()) / 8
    assert numbers["negatives"] == 28


def test_uniform_negatives_are_as_diverse_as_entities(kg: KnowledgeGraph) -> None:
    numbers = inspect(kg, Uniform(k=40), with_model(kg)).numbers
    # A pair of one query is the same entity now and then; entities are compared with others.
    assert 0.7 < numbers["diversity_within_query"] < 1
    assert numbers["coverage"] == 1
    assert numbers["draws_per_second"] > 0


def test_masked_negatives_do_not_count(kg: KnowledgeGraph) -> None:
    plain = inspect(kg, Uniform(k=50), without_model(kg)).numbers
    masked = inspect(kg, Uniform(k=50, filter="mask", known=kg.known()), without_model(kg)).numbers
    assert plain["masked"] == 0
    assert plain["false_negatives"]["any"] > 0.1
    assert masked["masked"] == pytest.approx(plain["false_negatives"]["any"])
    assert masked["false_negatives"]["any"] == 0


def test_generated_negatives_are_the_nearest_entities(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    numbers = inspect(kg, DANS(8, k=2), with_model(kg)).numbers
    assert numbers["generated"] == 1
    assert 0 < numbers["coverage"] <= 1
    mixed = inspect(kg, Mixture(DANS(8, k=2), Uniform(k=12)), with_model(kg)).numbers
    assert mixed["generated"] == 0.25


def test_parts_of_any_size_give_the_same_shapes_and_rates(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = inspect(kg, SelfLoop(k=3, side="head"), with_model(kg)).numbers
    monkeypatch.setattr(module, "TRIPLES", 3)
    parts = inspect(kg, SelfLoop(k=3, side="head"), with_model(kg)).numbers
    for name in set(whole) - {"draws_per_second", "false_negatives"}:
        assert parts[name] == pytest.approx(whole[name]), name
    assert parts["false_negatives"] == whole["false_negatives"]


@pytest.mark.parametrize("case", sorted(CASES))
def test_warm_up_trains_adaptive_samplers_and_leaves_the_random_state(
    case: str, kg: KnowledgeGraph
) -> None:
    positives, sampler, other = with_model(kg), make(case, kg).eval(), make(case, kg)
    before = {name: value.clone() for name, value in sampler.state_dict().items()}
    random = torch.get_rng_state()
    warm_up(kg, sampler, positives, passes=0)
    assert states_equal(sampler.state_dict(), before)
    warm_up(kg, sampler, positives, passes=2)
    assert torch.equal(torch.get_rng_state(), random)
    assert not sampler.training
    assert states_equal(sampler.state_dict(), before) != sampler.adaptive
    torch.manual_seed(77)
    warm_up(kg, other, positives, passes=2)
    assert states_equal(sampler.state_dict(), other.state_dict())


def test_a_warm_up_takes_every_triple_once_a_pass_in_parts(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    positives, seen = with_model(kg), []

    def watched(triples: Tensor) -> Positives:
        seen.append(triples)
        return positives(triples)

    monkeypatch.setattr(module, "BATCH", 4)
    warm_up(kg, Uniform(), watched, passes=2)
    parts = seen[1:]  # the first call finds the dimension
    assert [len(part) for part in parts] == [4, 4, 4, 2] * 2
    first, second = torch.cat(parts[:4]), torch.cat(parts[4:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == sorted(kg.train.tolist())
    assert not torch.equal(first, second)


def test_a_warm_up_makes_caches_hard(kg: KnowledgeGraph) -> None:
    sampler = make("nscaching-top", kg)
    fresh = inspect(kg, sampler, with_model(kg)).numbers
    warm_up(kg, sampler, with_model(kg), passes=3)
    warm = inspect(kg, sampler, with_model(kg)).numbers
    assert warm["harder"] > fresh["harder"]
    assert warm["score_gap"] > fresh["score_gap"]


@pytest.mark.parametrize("case", sorted(CASES))
def test_inspection_leaves_sampler_and_random_state_as_they_were(
    case: str, kg: KnowledgeGraph
) -> None:
    positives, sampler = with_model(kg), make(case, kg)
    before = {name: value.clone() for name, value in sampler.state_dict().items()}
    random = torch.get_rng_state()
    once = inspect(kg, sampler, positives)
    assert torch.equal(torch.get_rng_state(), random)
    assert sampler.training
    for name, value in sampler.state_dict().items():
        assert torch.equal(value, before[name]), name
    torch.manual_seed(77)
    again = inspect(kg, sampler, positives)
    assert torch.equal(once.margins, again.margins)
    assert once.numbers["negatives"] == 14 * sampler.k


def test_failed_inspection_restores_the_random_state(kg: KnowledgeGraph) -> None:
    sampler = DANS(8, k=2)
    random = torch.get_rng_state()
    with pytest.raises(InputError, match="dans: looks at a model, and there is none"):
        inspect(kg, sampler, without_model(kg))
    assert torch.equal(torch.get_rng_state(), random)
    assert sampler.training


def test_without_a_model_what_needs_one_is_unknown(kg: KnowledgeGraph) -> None:
    found = inspect(kg, Uniform(), without_model(kg))
    not_known = {name for name, value in found.numbers.items() if value is None}
    assert not_known == {"harder", "score_gap", "diversity_within_query"}
    assert not len(found.margins)


def test_number_of_triples_is_bounded(kg: KnowledgeGraph) -> None:
    assert inspect(kg, Uniform(k=7), without_model(kg), triples=5).numbers["negatives"] == 35
    with pytest.raises(InputError, match="triples: expected at least 1, got 0"):
        inspect(kg, Uniform(k=7), without_model(kg), triples=0)


def test_margins_kept_are_bounded(kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARGINS", 30)
    margins = inspect(kg, Uniform(k=50), with_model(kg)).margins
    assert len(margins) == 30
    assert torch.equal(margins, margins.sort().values)


def test_members_are_named_and_numbered() -> None:
    one, two, three = Uniform(k=1), Uniform(k=2), SelfLoop(k=1)
    assert members(one, ["uniform"]) == {"uniform": one}
    found = members(Mixture(one, two, three), ["uniform", "uniform", "self_loop"])
    assert found == {"uniform": one, "uniform 2": two, "self_loop": three}


def test_table_says_what_is_generated_and_what_is_unknown(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    found: dict[str, Inspection] = {
        "dans": inspect(kg, DANS(8, k=2), with_model(kg)),
        "uniform:k=5": inspect(kg, Uniform(k=5), with_model(kg)),
    }
    lines = table(found)
    assert lines[1].startswith("dans*")
    assert lines[2].startswith("uniform:k=5 ")
    assert "nearest" in " ".join(lines[3:])
    assert len({len(line) for line in lines[:3]}) == 1
    alone = table({"uniform": inspect(kg, Uniform(k=5), without_model(kg))})
    assert "draws/s" in alone[2]
    assert not any("nearest" in line for line in alone)
    assert alone[1].count("–") == 3
