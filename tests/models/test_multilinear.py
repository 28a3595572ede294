"""What being linear in each part promises: bounds, and the sum of all scores in closed form."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.models.decoders import DECODERS, Multilinear
from dans.registry import options
from tests.suites.decoders import (
    DIM,
    IN_TRAINING,
    MULTILINEAR,
    RELATIONS,
    close,
    embeddings,
    gradients,
    make,
    settled,
)


@pytest.mark.parametrize("name", MULTILINEAR)
def test_multilinear_scores_scale_with_each_part(name: str) -> None:
    h, t, decoder = embeddings(9, DIM), embeddings(9, DIM, seed=3), make(name)
    r = embeddings(9, decoder.relation.embedding_dim, seed=4)
    score = decoder.score
    assert close(score(2 * h, -3 * r, 5 * t), -30 * score(h, r, t))


#: Options by which each multilinear decoder's closed form is put to the test.
CASES: list[dict[str, Any]] = [
    {},
    {"reciprocal": True},
    {"bound": 2.0},
    {"bound": 2.0, "reciprocal": True, "shift": -1.5},
]


def every_triple(decoder: Multilinear, entities: Tensor, relations: list[int]) -> Tensor:
    """The scores of all triples, one at a time and without the shift; of both where two."""
    one_by_one = []
    for k in relations:
        for row in (k, k + RELATIONS) if decoder.reciprocal else (k,):
            r = decoder.embeddings(torch.tensor(row))
            one_by_one += [
                decoder.score(h, r, t) - decoder.shift for h in entities for t in entities
            ]
    return torch.stack(one_by_one)


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("relations", [None, [2, 0]], ids=["all", "batch"])
@pytest.mark.parametrize("name", [*MULTILINEAR, "tucker, d_r = 4"])
def test_total_is_the_sum_over_all_triples_and_so_is_its_gradient(
    name: str, relations: list[int] | None, options: dict[str, Any]
) -> None:
    decoder = settled(make(name, **options))
    assert isinstance(decoder, Multilinear)
    table = embeddings(4, DIM)
    entities = decoder.prepare(table)
    ids = None if relations is None else torch.tensor(relations)
    total = decoder.total(entities, ids)
    slow = every_triple(decoder, entities, relations or [0, 1, 2]).sum()
    assert total.shape == ()
    assert torch.allclose(total, slow, rtol=1e-11, atol=1e-11)
    given = [table, *decoder.parameters()]
    quick_and_plain = gradients(total[None], given), gradients(slow[None], given)
    for quick, plain in zip(*quick_and_plain, strict=True):
        assert torch.allclose(quick, plain, rtol=1e-10, atol=1e-10)
        assert plain.abs().max() > 0


@pytest.mark.parametrize("name", MULTILINEAR)
def test_total_drops_nothing(name: str) -> None:
    shares = {option: 0.5 for option in IN_TRAINING & set(options(DECODERS[name]))}
    assert shares
    decoder, plain = settled(make(name, **shares)), settled(make(name))
    assert isinstance(decoder, Multilinear)
    assert isinstance(plain, Multilinear)
    assert decoder.training
    assert torch.equal(decoder.total(embeddings(4, DIM)), plain.total(embeddings(4, DIM)))


@pytest.mark.parametrize("name", [*MULTILINEAR, "tucker, d_r = 4"])
@pytest.mark.parametrize("size", [1.0, 3.0, 1e9])
@pytest.mark.parametrize("bound", [0.1, 5.0])
def test_bounded_scores_stay_within_their_bound(name: str, size: float, bound: float) -> None:
    decoder = settled(make(name, bound=bound))
    for parameter in decoder.parameters():
        parameter.data *= size
    entities = decoder.prepare(size * embeddings(40, DIM))
    ids = torch.arange(40) % RELATIONS
    queries = torch.cat(decoder.both_queries(entities, ids, entities))
    scores = decoder.score_all(queries, entities)
    # At the corners of the cube tanh is 1 to the last digit, and sums are rounded.
    assert scores.abs().max() <= bound * (1 + 1e-12 * (size > 5))
    assert scores.abs().max() > 0


@pytest.mark.parametrize("name", [*MULTILINEAR, "tucker, d_r = 4"])
def test_bounded_scores_reach_their_bound_and_no_lower_one_would_do(name: str) -> None:
    decoder = make(name, bound=2.0)
    for parameter in decoder.parameters():
        parameter.data.fill_(50.0)
    one = decoder.prepare(torch.full((1, DIM), 50.0, dtype=torch.float64))
    score = decoder.score(one, decoder.embeddings(torch.tensor([0])), one)
    assert score.item() == pytest.approx(2.0)


@pytest.mark.parametrize("name", MULTILINEAR)
def test_a_bound_is_above_zero(name: str) -> None:
    for wrong in (0.0, -1.0):
        with pytest.raises(InputError, match="bound: must be above 0"):
            make(name, bound=wrong)
