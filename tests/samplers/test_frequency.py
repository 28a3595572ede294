"""Frequency-based noise."""

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import Frequency
from tests.samplers.test_uniform import p_value
from tests.suites.samplers import triples_as_embeddings

DRAWS = 100_000
#: ada is the head of some triples, pot the tail of others
TRIPLE = torch.tensor([[0, 1, 4]])


def make(kg: KnowledgeGraph, **given: object) -> Frequency:
    return Frequency(triples=kg.train, num_entities=kg.num_entities, **given)  # type: ignore[arg-type]


def counts(kg: KnowledgeGraph, column: int, true: int | None) -> Tensor:
    """How often each entity fills a side, counted one by one; 0 for the one left out."""
    found = torch.zeros(kg.num_entities, dtype=torch.float64)
    for triple in kg.train.tolist():
        found[triple[column]] += 1
    if true is not None:
        found[true] = 0
    return found


def given_triple(kg: KnowledgeGraph) -> Positives:
    return Positives.of_ids(TRIPLE, kg.num_entities)


@pytest.mark.parametrize("exclude_true", [True, False])
def test_each_side_is_drawn_by_its_own_counts(exclude_true: bool, kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    negatives = make(kg, k=2 * DRAWS, exclude_true=exclude_true)(given_triple(kg))
    assert negatives.weights is None
    for column, drawn in (
        (0, negatives.ids[negatives.corrupt_head]),
        (2, negatives.ids[~negatives.corrupt_head]),
    ):
        true = int(TRIPLE[0, column]) if exclude_true else None
        assert p_value(drawn, counts(kg, column, true)) > 1e-4
        other_side = counts(kg, 2 - column, true)
        assert not torch.equal(other_side, counts(kg, column, true))


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("exclude_true", [True, False])
def test_a_weight_is_the_ratio_of_the_two_probabilities(
    side: str, exclude_true: bool, kg: KnowledgeGraph
) -> None:
    given = {"k": 500, "noise": "weighted", "side": side, "exclude_true": exclude_true}
    negatives = make(kg, **given)(given_triple(kg))
    column = 0 if side == "head" else 2
    unigram = counts(kg, column, int(TRIPLE[0, column]) if exclude_true else None)
    candidates = kg.num_entities - exclude_true
    ratio = unigram / unigram.sum() / (1 / candidates)
    torch.testing.assert_close(negatives.weights, ratio[negatives.ids].float())
    assert negatives.weights.dtype == torch.float32


@pytest.mark.parametrize("exclude_true", [True, False])
def test_weighted_expects_what_exact_does(exclude_true: bool, kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    terms = torch.rand(kg.num_entities, dtype=torch.float64)
    for side, column in (("head", 0), ("tail", 2)):
        unigram = counts(kg, column, int(TRIPLE[0, column]) if exclude_true else None)
        expected = float((unigram * terms).sum() / unigram.sum())
        for noise in ("exact", "weighted"):
            given = {"k": DRAWS, "noise": noise, "side": side, "exclude_true": exclude_true}
            negatives = make(kg, **given)(given_triple(kg))
            weights = torch.ones(1, DRAWS) if negatives.weights is None else negatives.weights
            values = weights.double() * terms[negatives.ids]
            error = float(values.std()) / DRAWS**0.5
            assert abs(float(values.mean()) - expected) < 4 * error


def test_a_repeated_triple_counts_again() -> None:
    triples = torch.tensor([[0, 0, 1], [0, 0, 1], [1, 0, 0]])
    assert Frequency(triples=triples, num_entities=2).counts.tolist() == [[2.0, 1.0], [1.0, 2.0]]


def test_weights_are_of_the_negatives_drawn_again(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    known = kg.known()
    negatives = make(kg, noise="weighted", filter="resample", known=known, exclude_true=False)(
        positives
    )
    share = torch.stack([counts(kg, column, None) for column in (2, 0)]) / len(kg.train)
    expected = share[negatives.corrupt_head.long(), negatives.ids] * kg.num_entities
    torch.testing.assert_close(negatives.weights, expected.float())


def test_smoothing_brings_back_who_never_fills_a_side(kg: KnowledgeGraph) -> None:
    never = counts(kg, 0, None) == 0
    assert never.any()
    reached = []
    for smoothing in (0.0, 0.5):
        torch.manual_seed(0)
        ids = make(kg, k=DRAWS, smoothing=smoothing, side="head")(given_triple(kg)).ids
        reached.append(bool(never[ids].any()))
    assert reached == [False, True]


def test_wrong_options_are_named(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="noise: known: exact, weighted; got 'unigram'"):
        make(kg, noise="unigram")
    with pytest.raises(InputError, match="must not be negative"):
        make(kg, smoothing=-1.0)
    for value in ("nan", "inf"):
        with pytest.raises(InputError, match=f"smoothing: must be a finite number, got {value}"):
            make(kg, smoothing=float(value))


def test_a_side_that_one_entity_fills_alone_is_refused() -> None:
    one_head = torch.tensor([[0, 0, 1], [0, 0, 2]])
    with pytest.raises(InputError, match="fewer than two entities"):
        Frequency(triples=one_head, num_entities=3)
    Frequency(triples=one_head, num_entities=3, smoothing=1.0)


@pytest.mark.parametrize("noise", ["exact", "weighted"])
def test_counts_of_other_entities_are_refused(noise: str, kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="of 8 entities, not 5"):
        make(kg, noise=noise)(Positives.of_ids(torch.tensor([[0, 0, 1]]), 5))
