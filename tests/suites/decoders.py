"""The suite that every decoder passes."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.models.decoders import DECODERS, Decoder, Multilinear
from dans.models.decoders import base as decoders_base
from dans.registry import build, options

DIM, RELATIONS, ENTITIES = 6, 3, 7

#: For each option, a value that differs from its default. A new option must be entered here.
OTHERWISE: dict[str, Any] = {
    "bound": 2.0,
    "dropout": 0.5,
    "gamma": 2.5,
    "init": 0.3,
    "initial": "normal",
    "matrix_dropout": 0.5,
    "p": 2,
    "query_dropout": 0.5,
    "reciprocal": True,
    "relation_dim": 4,
    "shift": 1.5,
}

#: The options at work in training only, and those that only a decoder's start shows.
IN_TRAINING = {"dropout", "matrix_dropout", "query_dropout"}
AT_THE_START = {"init", "initial"}

#: Parameters beside the relation table. A decoder that is not named here has none.
OWN = {"tucker": ["core"]}

#: Options under which another formula or another way to compute it is put to the tests too.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "transe, p = 2": ("transe", {"p": 2}),
    "tucker, d_r = 4": ("tucker", {"relation_dim": 4}),
}

#: Decoders whose score is linear in head, relation and tail alike.
MULTILINEAR = [name for name, kind in DECODERS.items() if issubclass(kind, Multilinear)]


def kind_of(name: str) -> tuple[str, dict[str, Any]]:
    """A decoder's name in the table, and the options it is tested with."""
    return VARIANTS.get(name, (name, {}))


def make(name: str, dim: int = DIM, **given: Any) -> Decoder:
    """A decoder in float64, always from the same seed."""
    torch.manual_seed(0)
    name, usual = kind_of(name)
    return build(
        DECODERS, name, given={**usual, **given}, num_relations=RELATIONS, dim=dim
    ).double()


def untested(name: str) -> set[str]:
    """The options of a decoder that are at their defaults."""
    name, given = kind_of(name)
    return set(options(DECODERS[name])) - {"num_relations", "dim", *given}


def settled(decoder: Decoder) -> Decoder:
    """The same decoder with the same parameters whatever its options, widths allowing."""
    rows = embeddings(2 * RELATIONS, decoder.relation.embedding_dim, seed=4).detach()
    for key, parameter in decoder.named_parameters():
        own = embeddings(*parameter.shape, seed=5).detach()
        parameter.data = rows[: len(parameter)] if key == "relation.weight" else own
    return decoder


def embeddings(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).requires_grad_()


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def gradients(scores: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Of a sum whose weights differ, so that no two errors cancel."""
    weights = embeddings(*scores.shape, seed=2).detach()
    return list(torch.autograd.grad((weights * scores).sum(), inputs, retain_graph=True))


class DecoderSuite:
    """Inherit, and every decoder of the table is put to these tests."""

    @pytest.fixture(params=[*DECODERS, *VARIANTS])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_fast_path_equals_broadcast_path_and_so_do_gradients(self, name: str) -> None:
        decoder = make(name)
        relations = torch.tensor([2, 0, 1, 2, 2])
        entities, anchors = embeddings(ENTITIES, DIM), embeddings(5, DIM, seed=3)
        given = [entities, anchors, *decoder.parameters()]
        r = decoder.relation(relations)
        tails = (
            decoder.score_all(decoder.tail_query(anchors, r), entities),
            decoder.score(anchors[:, None], r[:, None], entities),
        )
        heads = (
            decoder.score_all(decoder.head_query(r, anchors), entities),
            decoder.score(entities, r[:, None], anchors[:, None]),
        )
        for fast, slow in (tails, heads):
            assert close(fast, slow)
            assert slow.shape == (5, ENTITIES)
            for quick, plain in zip(gradients(fast, given), gradients(slow, given), strict=True):
                assert close(quick, plain)
                assert plain.abs().max() > 0

    @pytest.mark.parametrize(("b", "n"), [(1, 1), (70, 5000)])
    def test_scoring_all_equals_scoring_one_and_so_do_gradients(
        self, name: str, b: int, n: int
    ) -> None:
        decoder = make(name, dim=4)
        given = [embeddings(b, 4), embeddings(n, 4, seed=3)]
        fast = decoder.score_all(*given)
        slow = decoder.score_query(given[0][:, None], given[1])
        assert close(fast, slow)
        with torch.no_grad():
            assert close(decoder.score_all(*given), slow)
        for quick, plain in zip(gradients(fast, given), gradients(slow, given), strict=True):
            assert torch.allclose(quick, plain, rtol=1e-10, atol=1e-10)

    def test_scoring_all_keeps_no_differences_for_its_gradients(self, name: str) -> None:
        decoder, kept = make(name), []
        given = [embeddings(32, DIM), embeddings(300, DIM, seed=3)]

        def keep(x: Tensor) -> Tensor:
            kept.append(x.untyped_storage().nbytes())
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            scores = decoder.score_all(*given)
        assert max(kept) <= scores.untyped_storage().nbytes()

    def test_entities_that_are_equal_tie(self, name: str) -> None:
        decoder = make(name, dim=20).float()
        entities = embeddings(1, 20).detach().float().repeat(300, 1)
        # Products of a few rows only take other ways, which round equal columns differently.
        scores = decoder.score_all(embeddings(32, 20, seed=3).detach().float(), entities)
        assert (scores == scores[:, :1]).all()

    def test_shapes_broadcast_over_the_last_axis(self, name: str) -> None:
        decoder = make(name)
        h, t = embeddings(2, 1, DIM), embeddings(4, DIM, seed=3)
        r = decoder.relation(torch.tensor([0, 1]))[:, None]
        scores = decoder.score(h, r, t)
        assert scores.shape == (2, 4)
        for i in range(2):
            for j in range(4):
                assert close(scores[i, j], decoder.score(h[i, 0], r[i, 0], t[j]))

    def test_both_queries_of_a_triple_have_its_score(self, name: str) -> None:
        decoder = make(name)
        h, t = embeddings(9, DIM), embeddings(9, DIM, seed=3)
        r = decoder.relation(torch.arange(9) % RELATIONS)
        assert close(decoder.score_query(decoder.tail_query(h, r), t), decoder.score(h, r, t))
        assert close(decoder.score_query(decoder.head_query(r, t), h), decoder.score(h, r, t))

    def test_symmetry_is_as_declared(self, name: str) -> None:
        decoder = make(name)
        h, t = embeddings(9, DIM), embeddings(9, DIM, seed=3)
        r = decoder.relation(torch.arange(9) % RELATIONS)
        there, back = decoder.score(h, r, t), decoder.score(t, r, h)
        if decoder.symmetric:
            assert close(there, back)
        else:
            assert ((there - back).abs() > 1e-6).all()

    def test_ids_are_embedded_like_embeddings_and_so_are_gradients(self, name: str) -> None:
        decoder = make(name)
        for ids in ([1, 2], [2, 0, 2, 2, 0], [1], []):
            relations = torch.tensor(ids, dtype=torch.int64)
            h, t = embeddings(len(ids), DIM), embeddings(len(ids), DIM, seed=3)
            r, given = decoder.relation(relations), [h, t, *decoder.parameters()]
            plain = decoder.tail_query(h, r), decoder.head_query(r, t)
            queries = decoder.tail_queries(h, relations), decoder.head_queries(relations, t)
            for quick in (queries, decoder.both_queries(h, relations, t)):
                assert all(map(close, quick, plain)), ids
                if ids:
                    expected = gradients(torch.cat(plain), given)
                    assert all(map(close, gradients(torch.cat(quick), given), expected)), ids
        assert len(decoder.relation.weight) == RELATIONS

    def test_both_queries_at_once_are_those_one_by_one(self, name: str) -> None:
        decoder, relations = make(name, reciprocal=True), torch.tensor([1, 2, 1])
        h, t = embeddings(3, DIM), embeddings(3, DIM, seed=3)
        tails, heads = decoder.both_queries(h, relations, t)
        assert close(tails, decoder.tail_queries(h, relations))
        assert close(heads, decoder.head_queries(relations, t))

    def test_reciprocal_head_queries_use_the_inverse(self, name: str) -> None:
        decoder, relations = make(name, reciprocal=True), torch.tensor([1, 2])
        h, t = embeddings(2, DIM), embeddings(2, DIM, seed=3)
        assert len(decoder.relation.weight) == 2 * RELATIONS
        queries = decoder.head_queries(relations, t)
        assert torch.equal(queries, decoder.tail_queries(t, relations + RELATIONS))
        r = decoder.relation(relations)
        assert close(decoder.tail_queries(h, relations), decoder.tail_query(h, r))
        as_tail = decoder.score_query(decoder.tail_queries(h, relations), t)
        assert ((as_tail - decoder.score_query(queries, h)).abs() > 1e-6).all()

    def test_reciprocal_halves_learn_apart(self, name: str) -> None:
        decoder, relations = make(name, reciprocal=True), torch.tensor([0])
        h, t = embeddings(1, DIM), embeddings(1, DIM, seed=3)
        (grad,) = gradients(
            decoder.score_query(decoder.head_queries(relations, t), h), [decoder.relation.weight]
        )
        assert grad.abs().sum(1).nonzero().flatten().tolist() == [RELATIONS]

    def test_every_option_changes_something(self, name: str) -> None:
        def outcome(decoder: Decoder) -> Tensor:
            h, t = embeddings(4, DIM), embeddings(4, DIM, seed=3)
            relations = torch.arange(4) % RELATIONS
            # Parameters of one draw for all, so that no draw passes for an effect of the option.
            tails, heads = settled(decoder).both_queries(h, relations, t)
            return torch.stack((decoder.score_query(tails, t), decoder.score_query(heads, h)))

        usual = outcome(make(name))
        for option in untested(name):
            given = {option: OTHERWISE[option]}
            changes = outcome(make(name, **given)), outcome(make(name, **given).eval())
            if option in AT_THE_START:
                starts = zip(make(name).parameters(), make(name, **given).parameters(), strict=True)
                assert not any(close(one, other) for one, other in starts), option
                assert close(changes[0], usual), option
            else:
                assert not close(changes[0], usual), option
                assert close(changes[1], usual) == (option in IN_TRAINING), option

    def test_dropout_is_drawn_afresh(self, name: str) -> None:
        h, relations = embeddings(50, DIM), torch.arange(50) % RELATIONS
        for option in untested(name) & IN_TRAINING:
            decoder = settled(make(name, **{option: 0.5}))
            queries = [decoder.both_queries(h, relations, h) for _ in range(2)]
            assert not any(close(one, other) for one, other in zip(*queries, strict=True)), option

    def test_a_share_to_drop_is_below_one(self, name: str) -> None:
        for option in untested(name) & IN_TRAINING:
            for wrong in (-0.1, 1.0):
                with pytest.raises(InputError, match=rf"{option}: expected a share in \[0, 1\)"):
                    make(name, **{option: wrong})

    def test_it_owns_the_relations_and_nothing_else(self, name: str) -> None:
        own = [key for key, _ in make(name).named_parameters()]
        assert sorted(own) == sorted(["relation.weight", *OWN.get(kind_of(name)[0], [])])

    def test_a_fresh_draw_moves_all_it_owns(self, name: str) -> None:
        decoder = make(name)
        before = [parameter.detach().clone() for parameter in decoder.parameters()]
        decoder.reset_parameters()
        after = list(decoder.parameters())
        assert not any(close(one, other) for one, other in zip(before, after, strict=True))

    @pytest.mark.parametrize("piece", [1, 60, 10**6])
    def test_relations_are_scored_as_triples_are_and_so_are_gradients(
        self, name: str, piece: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoders_base, "CHUNK", piece)
        for reciprocal in (False, True):
            self.relations_are_scored_as_triples_are(name, reciprocal)

    def relations_are_scored_as_triples_are(self, name: str, reciprocal: bool) -> None:
        given = {"shift": 1.5, "bound": 2.0} if kind_of(name)[0] in MULTILINEAR else {}
        decoder = make(name, reciprocal=reciprocal, **given)
        h, t = embeddings(5, DIM), embeddings(5, DIM, seed=3)
        moved = [h, t, *decoder.parameters()]
        scores = decoder.score_relations(h, t)
        r = decoder.embeddings(torch.arange(RELATIONS))
        slow = torch.stack([decoder.score(h, r[k], t) for k in range(RELATIONS)], dim=1)
        assert close(scores, slow)
        assert scores.shape == (5, RELATIONS)
        assert all(map(close, gradients(scores, moved), gradients(slow, moved)))
        with torch.no_grad():
            assert close(decoder.score_relations(h, t), slow)

    def test_relations_start_apart_and_bounded(self, name: str) -> None:
        weight = make(name).relation.weight
        assert weight.abs().max() <= max(math.pi, math.sqrt(12 / sum(weight.shape)))
        assert weight.unique().numel() == weight.numel()

    def test_inputs_are_not_overwritten(self, name: str) -> None:
        decoder = make(name)
        h, r = embeddings(3, DIM).detach(), decoder.relation(torch.arange(3)).detach()
        entities = embeddings(ENTITIES, DIM, seed=3).detach()
        before = [x.clone() for x in (h, r, entities)]
        decoder.score_all(decoder.tail_query(h, r), entities)
        decoder.score_all(decoder.head_query(r, h), entities)
        assert all(torch.equal(x, y) for x, y in zip((h, r, entities), before, strict=True))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_scores_of_a_billion_stay_in_order(self, name: str, dtype: torch.dtype) -> None:
        decoder = make(name).to(dtype)
        query = embeddings(1, DIM).detach().to(dtype)
        for sign in (1, -1):
            size = torch.tensor([1.0, 1e3, 1e9], dtype=dtype)
            entities = (sign * size[:, None] * query).requires_grad_()
            scores = decoder.score_all(query, entities)
            with torch.no_grad():
                assert torch.allclose(decoder.score_all(query, entities), scores, rtol=1e-5)
            assert scores.isfinite().all()
            assert scores.abs().max() > 1e9
            falling = bool(scores[0, 2] < 0)
            assert torch.equal(scores[0].argsort(descending=falling), torch.arange(3))
            assert torch.autograd.grad(scores.sum(), entities)[0].isfinite().all()

    def test_zero_embeddings_have_gradients(self, name: str) -> None:
        decoder = make(name)
        zeros = torch.zeros(2, DIM, dtype=torch.float64, requires_grad=True)
        r = decoder.relation(torch.tensor([0, 1]))
        scores = decoder.score_all(decoder.tail_query(zeros, r), zeros)
        for grad in torch.autograd.grad(scores.sum(), [zeros, decoder.relation.weight]):
            assert grad.isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_cuda_agrees_with_cpu(self, name: str) -> None:
        decoder = make(name)
        queries, entities = embeddings(70, DIM).detach(), embeddings(5000, DIM, seed=3).detach()
        expected = decoder.score_all(queries, entities)
        got = decoder.cuda().score_all(queries.cuda(), entities.cuda())
        assert torch.allclose(got.cpu(), expected, rtol=1e-12, atol=1e-12)
