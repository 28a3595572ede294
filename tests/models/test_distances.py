"""Compiled distances equal torch's, and are used where they can be and only there."""

import shutil

import pytest
import torch
from torch import Tensor

from dans.models.decoders import distances
from dans.models.decoders.distances import manhattan, moduli

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
KINDS = pytest.mark.parametrize("distance", [moduli, manhattan])


def pairs(queries: int, entities: int, dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    torch.manual_seed(queries)
    q, e = (torch.randn(many, dim, dtype=dtype) for many in (queries, entities))
    e[: min(queries, entities)] = q[:entities]
    return q.requires_grad_(), e.requires_grad_()


def with_gradients(distance, q: Tensor, e: Tensor, weights: Tensor) -> list[Tensor]:
    found = distance(q, e)
    return [found.detach(), *torch.autograd.grad((found * weights).sum(), (q, e))]


@NEEDS_COMPILER
@KINDS
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("queries", "entities", "dim"), [(1, 1, 2), (3, 64, 6), (70, 65, 20), (5, 1000, 8)]
)
def test_compiled_distances_equal_exact_ones(
    distance, threads: int, queries: int, entities: int, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "WORTH_COMPILING", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    q, e = pairs(queries, entities, dim, torch.float32)
    # Stored the other way round, as what comes back to scores may be.
    weights = torch.randn(entities, queries).T
    assert distances.compiled(q, e)
    exact = with_gradients(
        distance, *(x.detach().double().requires_grad_() for x in (q, e)), weights
    )
    for ours, theirs in zip(with_gradients(distance, q, e, weights), exact, strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-5, atol=1e-4)


@NEEDS_COMPILER
@KINDS
def test_compiled_distances_of_what_is_no_number_are_none(
    distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "WORTH_COMPILING", 0)
    q, e = (x.detach() for x in pairs(3, 70, 4, torch.float32))
    q[1, 0], e[69, 3] = torch.nan, torch.nan
    found = distance(q, e)
    assert found[1].isnan().all()
    assert found[:, 69].isnan().all()
    assert found[[0, 2], :69].isfinite().all()


@NEEDS_COMPILER
@KINDS
def test_a_distance_too_large_is_infinite_compiled_or_not(
    distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, e = pairs(3, 70, 4, torch.float32)
    e.data[69, 3] = 3e38
    q.data[1, 3], q.data[2, 0] = -3e38, torch.nan
    weights = torch.ones(3, 70)
    found = {}
    for least in (0, 2**62):
        monkeypatch.setattr(distances, "WORTH_COMPILING", least)
        assert distances.compiled(q, e) is (least == 0)
        found[least] = with_gradients(distance, q, e, weights)
    assert found[0][0][1, 69] == torch.inf
    assert found[0][0][2].isnan().all()
    for ours, theirs in zip(*found.values(), strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)


@KINDS
def test_torch_computes_what_cannot_be_compiled(distance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "library", lambda *_: None)
    monkeypatch.setattr(distances, "WORTH_COMPILING", 0)
    q, e = pairs(3, 5, 4, torch.float32)
    assert not distances.compiled(q, e)
    halves = (q[:, None] - e).unflatten(-1, (2, 2)).square().sum(-2).sqrt()
    expected = halves if distance is moduli else (q[:, None] - e).abs()
    torch.testing.assert_close(distance(q, e), expected.sum(-1), rtol=1e-5, atol=1e-5)


@NEEDS_COMPILER
@KINDS
def test_embeddings_of_two_widths_are_refused_by_torch(
    distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "WORTH_COMPILING", 0)
    with pytest.raises((RuntimeError, IndexError)):
        distance(torch.randn(3, 8), torch.randn(5, 6))


@NEEDS_COMPILER
def test_small_distances_and_doubles_are_not_compiled() -> None:
    q, e = pairs(3, 5, 4, torch.float32)
    assert not distances.compiled(q, e)
    wide = torch.empty(1, 1).expand(2**12, 2**6), torch.empty(1, 1).expand(2**6, 2**6)
    assert distances.compiled(*wide)
    assert not distances.compiled(*(x.double() for x in wide))
