"""Promises that every decoder keeps, whoever wrote it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.models.decoders import DECODERS, Decoder
from dans.registry import build, options

DIM, RELATIONS, ENTITIES = 6, 3, 7

#: For each option, a value that differs from its default. A new option must be entered here.
OTHERWISE: dict[str, Any] = {"gamma": 2.5, "reciprocal": True}


def make(name: str, dim: int = DIM, **given: Any) -> Decoder:
    """A decoder in float64, always from the same seed."""
    torch.manual_seed(0)
    return build(DECODERS, name, given=given, num_relations=RELATIONS, dim=dim).double()


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).requires_grad_()


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def gradients(scores: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Of a sum whose weights differ, so that no two errors cancel."""
    weights = vectors(*scores.shape, seed=2).detach()
    return list(torch.autograd.grad((weights * scores).sum(), inputs, retain_graph=True))


class DecoderSuite:
    """Inherit, and every decoder of the table is put to these tests."""

    @pytest.fixture(params=DECODERS)
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.parametrize("side", ["tails", "heads"])
    def test_fast_path_equals_broadcast_path_and_so_do_gradients(
        self, name: str, side: str
    ) -> None:
        decoder = make(name)
        relations = torch.tensor([2, 0, 1, 2, 2])
        entities, anchors = vectors(ENTITIES, DIM), vectors(5, DIM, seed=3)
        given = [entities, anchors, decoder.relation.weight]
        r = decoder.relation(relations)
        if side == "tails":
            fast = decoder.score_tails(anchors, r, entities)
            slow = decoder.score(anchors[:, None], r[:, None], entities)
        else:
            fast = decoder.score_heads(entities, r, anchors)
            slow = decoder.score(entities, r[:, None], anchors[:, None])
        assert close(fast, slow)
        assert slow.shape == (5, ENTITIES)
        for quick, plain in zip(gradients(fast, given), gradients(slow, given), strict=True):
            assert close(quick, plain)
            assert plain.abs().max() > 0

    @pytest.mark.parametrize(("b", "n"), [(1, 1), (3, 9), (70, 5000)])
    def test_matching_all_without_gradients_is_the_same(self, name: str, b: int, n: int) -> None:
        decoder = make(name, dim=4)
        queries, entities = vectors(b, 4), vectors(n, 4, seed=3)
        with torch.no_grad():
            fast = decoder.match_all(queries, entities)
            slow = decoder.match(queries[:, None], entities)
            assert close(fast, slow)
        assert close(decoder.match_all(queries.detach(), entities.detach()), slow)

    def test_entities_that_are_equal_tie(self, name: str) -> None:
        decoder = make(name, dim=20).float()
        entities = vectors(1, 20).detach().float().repeat(300, 1)
        # Products of a few rows only take other ways, which round equal columns differently.
        scores = decoder.match_all(vectors(32, 20, seed=3).detach().float(), entities)
        assert (scores == scores[:, :1]).all()

    def test_shapes_broadcast_over_the_last_axis(self, name: str) -> None:
        decoder = make(name)
        h, t = vectors(2, 1, DIM), vectors(4, DIM, seed=3)
        r = decoder.relation(torch.tensor([0, 1]))[:, None]
        scores = decoder.score(h, r, t)
        assert scores.shape == (2, 4)
        for i in range(2):
            for j in range(4):
                assert close(scores[i, j], decoder.score(h[i, 0], r[i, 0], t[j]))

    def test_both_questions_of_a_fact_have_its_score(self, name: str) -> None:
        decoder = make(name)
        h, t = vectors(9, DIM), vectors(9, DIM, seed=3)
        r = decoder.relation(torch.arange(9) % RELATIONS)
        assert close(decoder.match(decoder.query_tails(h, r), t), decoder.score(h, r, t))
        assert close(decoder.match(decoder.query_heads(r, t), h), decoder.score(h, r, t))

    def test_symmetry_is_as_declared(self, name: str) -> None:
        decoder = make(name)
        h, t = vectors(9, DIM), vectors(9, DIM, seed=3)
        r = decoder.relation(torch.arange(9) % RELATIONS)
        there, back = decoder.score(h, r, t), decoder.score(t, r, h)
        if decoder.symmetric:
            assert close(there, back)
        else:
            assert ((there - back).abs() > 1e-6).all()

    def test_ids_are_asked_like_vectors(self, name: str) -> None:
        decoder, relations = make(name), torch.tensor([1, 2])
        anchors, r = vectors(2, DIM), decoder.relation(relations)
        assert torch.equal(decoder.ask_tails(anchors, relations), decoder.query_tails(anchors, r))
        assert torch.equal(decoder.ask_heads(relations, anchors), decoder.query_heads(r, anchors))
        assert len(decoder.relation.weight) == RELATIONS

    def test_reciprocal_asks_for_heads_through_the_inverse(self, name: str) -> None:
        decoder, relations = make(name, reciprocal=True), torch.tensor([1, 2])
        h, t = vectors(2, DIM), vectors(2, DIM, seed=3)
        assert len(decoder.relation.weight) == 2 * RELATIONS
        asked = decoder.ask_heads(relations, t)
        assert torch.equal(asked, decoder.ask_tails(t, relations + RELATIONS))
        r = decoder.relation(relations)
        assert torch.equal(decoder.ask_tails(h, relations), decoder.query_tails(h, r))
        as_tail = decoder.match(decoder.ask_tails(h, relations), t)
        assert ((as_tail - decoder.match(asked, h)).abs() > 1e-6).all()

    def test_reciprocal_halves_learn_apart(self, name: str) -> None:
        decoder, relations = make(name, reciprocal=True), torch.tensor([0])
        h, t = vectors(1, DIM), vectors(1, DIM, seed=3)
        (grad,) = gradients(
            decoder.match(decoder.ask_heads(relations, t), h), [decoder.relation.weight]
        )
        assert grad.abs().sum(1).nonzero().flatten().tolist() == [RELATIONS]

    def test_every_option_changes_something(self, name: str) -> None:
        def outcome(decoder: Decoder) -> Tensor:
            h, t = vectors(4, DIM), vectors(4, DIM, seed=3)
            relations = torch.arange(4) % RELATIONS
            # One table for all, so that no draw of it passes for an effect of the option.
            rows = vectors(2 * RELATIONS, decoder.relation.embedding_dim, seed=4).detach()
            decoder.relation.weight.data = rows[: len(decoder.relation.weight)]
            return torch.stack(
                (
                    decoder.match(decoder.ask_tails(h, relations), t),
                    decoder.match(decoder.ask_heads(relations, t), h),
                )
            )

        usual = outcome(make(name))
        for option in options(DECODERS[name]).keys() - {"num_relations", "dim"}:
            changed = outcome(make(name, **{option: OTHERWISE[option]}))
            assert not close(changed, usual), option

    def test_it_owns_the_relations_and_nothing_else(self, name: str) -> None:
        assert [key for key, _ in make(name).named_parameters()] == ["relation.weight"]

    def test_relations_start_apart_and_bounded(self, name: str) -> None:
        weight = make(name).relation.weight
        assert weight.abs().max() <= max(math.pi, math.sqrt(12 / (RELATIONS + DIM)))
        assert weight.unique().numel() == weight.numel()

    def test_inputs_are_not_overwritten(self, name: str) -> None:
        decoder = make(name)
        h, r = vectors(3, DIM).detach(), decoder.relation(torch.arange(3)).detach()
        entities = vectors(ENTITIES, DIM, seed=3).detach()
        before = [x.clone() for x in (h, r, entities)]
        decoder.score_tails(h, r, entities)
        decoder.score_heads(entities, r, h)
        assert all(torch.equal(x, y) for x, y in zip((h, r, entities), before, strict=True))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_scores_of_a_billion_stay_in_order(
        self, name: str, sign: int, dtype: torch.dtype
    ) -> None:
        decoder = make(name).to(dtype)
        query = vectors(1, DIM).detach().to(dtype)
        size = torch.tensor([1.0, 1e3, 1e9], dtype=dtype)
        entities = (sign * size[:, None] * query).requires_grad_()
        scores = decoder.match_all(query, entities)
        with torch.no_grad():
            assert torch.allclose(decoder.match_all(query, entities), scores, rtol=1e-5)
        assert scores.isfinite().all()
        assert scores.abs().max() > 1e9
        falling = bool(scores[0, 2] < 0)
        assert torch.equal(scores[0].argsort(descending=falling), torch.arange(3))
        assert torch.autograd.grad(scores.sum(), entities)[0].isfinite().all()

    def test_zero_vectors_have_gradients(self, name: str) -> None:
        decoder = make(name)
        zeros = torch.zeros(2, DIM, dtype=torch.float64, requires_grad=True)
        r = decoder.relation(torch.tensor([0, 1]))
        scores = decoder.score_tails(zeros, r, zeros)
        for grad in torch.autograd.grad(scores.sum(), [zeros, decoder.relation.weight]):
            assert grad.isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_cuda_agrees_with_cpu(self, name: str) -> None:
        decoder = make(name)
        queries, entities = vectors(70, DIM).detach(), vectors(5000, DIM, seed=3).detach()
        expected = decoder.match_all(queries, entities)
        got = decoder.cuda().match_all(queries.cuda(), entities.cuda())
        assert torch.allclose(got.cpu(), expected, rtol=1e-12, atol=1e-12)
