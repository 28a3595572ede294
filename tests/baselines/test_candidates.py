"""Sums over all entities hang neither on tiles, nor on memory, nor on a compiler."""

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import candidates
from baselines.candidates import all_entities, keeping
from dans.errors import InputError
from dans.memory import Budget
from dans.models.decoders import DECODERS, Decoder, TransE
from dans.registry import build
from dans.seeding import OutOfMemory
from tests.live import Live

DIM = 8


def decoder_of(name: str = "complex", dtype: torch.dtype = torch.float64, **given: Any) -> Decoder:
    torch.manual_seed(0)
    return build(DECODERS, name, given=given, num_relations=3, dim=DIM).to(dtype)


def plainly(decoder: Decoder, queries: Tensor, entities: Tensor, worth: Tensor) -> Tensor:
    return worth @ decoder.score_all(queries, entities).logsumexp(1)


def found(decoder: Decoder, loss: Any = all_entities, **given: Any) -> list[Tensor]:
    """The loss and its gradients, of the same 12 queries and 300 entities each time."""
    generator, dtype = torch.Generator().manual_seed(0), decoder.relation.weight.dtype
    queries, entities = (
        torch.randn(k, DIM, generator=generator, dtype=dtype).requires_grad_() for k in (12, 300)
    )
    worth = torch.rand(12, generator=generator, dtype=dtype)
    total = loss(decoder, queries, entities, worth, **given)
    return [total.detach(), *torch.autograd.grad(total, (queries, entities))]


@pytest.mark.parametrize("tile", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("part", [1, 20_000, 10**9])
@pytest.mark.parametrize("name", ["complex", "transe"])
def test_tiles_and_parts_do_not_show(
    monkeypatch: pytest.MonkeyPatch, name: str, tile: int, part: int
) -> None:
    for knob, value in (("TILE", tile), ("TILE_OF_ANY", tile), ("MAX_BYTES", part)):
        monkeypatch.setattr(candidates, knob, value)
    decoder = decoder_of(name)
    for one, other in zip(found(decoder), found(decoder, plainly), strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 entities: 10 tiles; a scarce budget fails as it says."""

    def scarcely(budget: Budget, total: int, bytes_each: int, work: Any, *, fixed: int) -> Any:
        if not isinstance(budget, Scarce):
            return keeping(budget, total, bytes_each, work, fixed=fixed)

        def tight(kept: int) -> Any:
            budget.tried.append(kept)
            made = work(kept)
            if kept > budget.fails_above:
                raise OutOfMemory("out of memory")
            return made

        return keeping(budget, min(total, budget.most), bytes_each, tight, fixed=fixed)

    monkeypatch.setattr(candidates, "keeping", scarcely)
    monkeypatch.setattr(candidates, "TILE", 12 * 30)
    monkeypatch.setattr(candidates, "TILE_OF_ANY", 12 * 30)


class Scarce(Budget):
    """A budget that some tiles are kept in, whatever they take; then memory gives out."""

    def __init__(self, most: int, fails_above: int) -> None:
        super().__init__(10**12)
        self.most, self.fails_above = most, fails_above
        self.tried: list[int] = []


def test_fewer_items_are_kept_where_memory_is_short() -> None:
    sizes, remembered = [], []

    def work(kept: int) -> int:
        sizes.append(kept)
        if kept > 3:
            raise MemoryError
        return kept

    assert keeping(Budget(100, remember=remembered.append), 20, 10, work, fixed=20) == 2
    assert sizes == [8, 4, 2]
    assert remembered == [60, 40]
    assert keeping(Budget(1000), 3, 10, work) == 3
    assert keeping(Budget(20), 20, 10, work, fixed=20) == 0
    with pytest.raises(InputError, match=r"memory_budget: expected at least 30 B.* got 20 B"):
        keeping(Budget(20), 20, 10, work, fixed=30)

    def never(kept: int) -> int:
        raise MemoryError if not kept else RuntimeError("shapes")

    with pytest.raises(InputError, match="memory: expected about 20 B"):
        keeping(Budget(20), 20, 10, never, fixed=20)
    with pytest.raises(RuntimeError, match="shapes"):
        keeping(Budget(40), 20, 10, never, fixed=20)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("given", [{}, {"smoothing": 0.3}, {"low": True}], ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_what_is_not_kept_is_made_again_to_the_bit(name: str, given: dict[str, Any]) -> None:
    decoder = decoder_of(name, torch.float32)
    if "low" in given and not decoder.dot:
        return
    expected = found(decoder, **given)
    for most, fails_above, tried in ((0, 0, [0]), (3, 3, [3]), (9, 9, [9]), (10, 2, [10, 5, 2])):
        budget = Scarce(most, fails_above)
        for one, other in zip(found(decoder, budget=budget, **given), expected, strict=True):
            assert torch.equal(one, other)
        assert budget.tried == tried


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("given", [{}, {"smoothing": 0.3}, {"low": True}], ids=str)
@pytest.mark.parametrize("name", ["complex", "rotate", "transe"])
def test_no_more_is_held_than_the_budget_and_the_gradients(
    name: str, given: dict[str, Any]
) -> None:
    decoder = decoder_of(name, torch.float32)
    if "low" in given and not decoder.dot:
        return
    queries, entities = (torch.randn(k, DIM).requires_grad_() for k in (12, 300))
    worth, least = torch.rand(12), 100
    # Smoothing has gradients of its own.
    ours = 4 * DIM * (len(queries) + len(entities)) * (3 if "smoothing" in given else 1)

    def run(limit: int) -> int:
        with Live(queries, entities, worth, *decoder.parameters()) as live:
            budget = Budget(limit)
            loss = all_entities(decoder, queries, entities, worth, budget=budget, **given)
            loss.backward()
            queries.grad = entities.grad = None
        return live.most - ours

    while True:
        try:
            run(least)
            break
        except InputError:
            least = int(least * 1.2)
    for limit in (least, 2 * least, 10**6):
        assert run(limit) < limit
    assert run(10**6) >= run(least)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("low", [False, True])
def test_compiled_tiles_equal_those_of_torch(
    low: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = decoder_of("complex", torch.float32)
    monkeypatch.setattr(candidates, "WORTH_COMPILING", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    ours = found(decoder, low=low)
    again = found(decoder, low=low, budget=Scarce(3, 3))
    monkeypatch.setattr(candidates, "library", lambda *_: None)
    for one, same, other in zip(ours, again, found(decoder, low=low), strict=True):
        assert torch.equal(one, same)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-2 if low else 1e-5)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [1, 70, 300])
def test_compiled_exponentials_are_exact(
    columns: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(candidates, "WORTH_COMPILING", 0)
    torch.manual_seed(0)
    scores = torch.randn(40, columns).mul_(10 ** torch.linspace(-3, 3, columns)).to(dtype)
    assert candidates.compiled(scores, torch.float32)
    exact = (scores.float() - scores.float().amax(0)).double()
    tile, top, total = scores.clone(), torch.empty(columns), torch.empty(columns)
    candidates._exponentials(tile, top, total)
    assert torch.equal(top, scores.float().amax(0))
    torch.testing.assert_close(total, exact.exp().sum(0).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(tile, exact.exp().to(dtype), rtol=1.5e-7, atol=1e-37)
    again = scores.clone()
    candidates._exponentials(again, top, None)
    assert torch.equal(again, tile)


def test_parameters_of_a_match_of_its_own_get_their_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Learned(TransE):
        def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
            return self.relation.weight[0, 0] * super().score_all(queries, entities)

    torch.manual_seed(0)
    decoder = Learned(num_relations=2, dim=DIM).double()
    monkeypatch.setattr(candidates, "TILE_OF_ANY", 30)
    queries, entities = (torch.randn(k, DIM, dtype=torch.float64) for k in (3, 40))
    worth = torch.rand(3, dtype=torch.float64)
    plain = worth @ decoder.score_all(queries, entities).logsumexp(1)
    ours = all_entities(decoder, queries, entities, worth)
    pair = [torch.autograd.grad(2 * loss, decoder.relation.weight)[0] for loss in (ours, plain)]
    torch.testing.assert_close(*pair)


def test_scores_of_thousands_do_not_overflow() -> None:
    queries = torch.randn(3, DIM, dtype=torch.float64).mul_(1e3).requires_grad_()
    entities = torch.randn(9, DIM, dtype=torch.float64).mul_(10).requires_grad_()
    worth = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    found = all_entities(decoder_of(), queries, entities, worth)
    expected = (worth * (queries @ entities.T).logsumexp(1)).sum()
    assert torch.allclose(found, expected)
    pairs = (torch.autograd.grad(loss, [queries, entities]) for loss in (found, expected))
    assert all(torch.allclose(x, y) for x, y in zip(*pairs, strict=True))


@pytest.mark.parametrize("name", ["complex", "transe"])
def test_a_factor_of_the_sum_is_one_of_its_gradients(name: str) -> None:
    decoder = decoder_of(name)

    def thrice(*given: Any) -> Tensor:
        return 3 * all_entities(*given)

    for one, other in zip(found(decoder), found(decoder, thrice), strict=True):
        torch.testing.assert_close(other, 3 * one)
