"""The decoders: the suite, their formulas by hand, and the algebra of relations."""

import cmath
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.models import Lookup
from dans.models.decoders import DECODERS, Decoder, RotatE, TuckER, base
from dans.models.decoders.costs import score_cost
from dans.models.decoders.multilinear import conjugate
from dans.models.model import Model
from dans.registry import build, options
from tests.suites.decoders import (
    DIM,
    RELATIONS,
    VARIANTS,
    DecoderSuite,
    close,
    embeddings,
    gradients,
    kind_of,
    make,
)


class TestDecoders(DecoderSuite):
    """All of the table."""


def packed(x: list[float]) -> list[complex]:
    half = len(x) // 2
    return [complex(re, im) for re, im in zip(x[:half], x[half:], strict=True)]


def distmult(h: list[float], r: list[float], t: list[float]) -> float:
    return sum(a * b * c for a, b, c in zip(h, r, t, strict=True))


def complex_(h: list[float], r: list[float], t: list[float]) -> float:
    parts = zip(packed(h), packed(r), packed(t), strict=True)
    return sum((a * b * c.conjugate()).real for a, b, c in parts)


def rotate(h: list[float], r: list[float], t: list[float]) -> float:
    parts = zip(packed(h), r, packed(t), strict=True)
    return 6.0 - sum(abs(a * cmath.exp(1j * angle) - b) for a, angle, b in parts)


def transe(h: list[float], r: list[float], t: list[float]) -> float:
    return 6.0 - sum(abs(a + b - c) for a, b, c in zip(h, r, t, strict=True))


def euclidean(h: list[float], r: list[float], t: list[float]) -> float:
    return 6.0 - math.dist([a + b for a, b in zip(h, r, strict=True)], t)


def rescal(h: list[float], r: list[float], t: list[float]) -> float:
    d = len(h)
    return sum(h[i] * r[d * i + j] * t[j] for i in range(d) for j in range(d))


def simple(h: list[float], r: list[float], t: list[float]) -> float:
    half = len(h) // 2
    there = distmult(h[:half], r[:half], t[half:])
    return (there + distmult(t[:half], r[half:], h[half:])) / 2


def tucker(h: list[float], r: list[float], t: list[float]) -> float:
    d = len(h)
    core = dict(make(f"tucker, d_r = {len(r)}" if len(r) != d else "tucker").named_parameters())
    cube = core["core"].view(len(r), d, d).tolist()
    return sum(
        cube[k][i][j] * h[i] * r[k] * t[j]
        for k in range(len(r))
        for i in range(d)
        for j in range(d)
    )


#: One triple of embeddings at a time, in Python's own numbers. A new decoder needs a line here.
FORMULAS: dict[str, Callable[[list[float], list[float], list[float]], float]] = {
    "distmult": distmult,
    "complex": complex_,
    "rescal": rescal,
    "rotate": rotate,
    "simple": simple,
    "transe": transe,
    "transe, p = 2": euclidean,
    "tucker": tucker,
    "tucker, d_r = 4": tucker,
}


@pytest.mark.parametrize("name", [*DECODERS, *VARIANTS])
def test_score_is_the_formula(name: str) -> None:
    decoder = make(name)
    h, t = embeddings(5, DIM), embeddings(5, DIM, seed=3)
    r = decoder.relation(torch.arange(5) % 3)
    by_hand = [
        FORMULAS[name](*(x.tolist() for x in triple)) for triple in zip(h, r, t, strict=True)
    ]
    assert decoder.score(h, r, t).tolist() == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize("name", ["complex", "rotate", "simple"])
def test_an_odd_width_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"decoder.dim: {name} needs an even number, got 5"):
        build(DECODERS, name, where="decoder", num_relations=2, dim=5)


@pytest.mark.parametrize("name", ["distmult", "rescal", "transe", "tucker"])
def test_an_odd_width_is_fine_where_nothing_is_paired(name: str) -> None:
    decoder = make(name, dim=5)
    r = decoder.relation(torch.tensor([0, 1]))
    assert decoder.score(embeddings(2, 5), r, embeddings(2, 5, seed=3)).shape == (2,)


def pair() -> tuple[Tensor, Tensor]:
    return embeddings(9, DIM), embeddings(9, DIM, seed=3)


def scores(name: str, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    return make(name).score(h, r, t)


def test_complex_is_symmetric_for_real_and_antisymmetric_for_imaginary_relations() -> None:
    (h, t), zero = pair(), torch.zeros(9, DIM // 2, dtype=torch.float64)
    half = embeddings(9, DIM // 2, seed=4)
    real, imaginary = torch.cat((half, zero), 1), torch.cat((zero, half), 1)
    assert close(scores("complex", h, real, t), scores("complex", t, real, h))
    assert close(scores("complex", h, imaginary, t), -scores("complex", t, imaginary, h))


def test_complex_inverts_a_relation_by_its_conjugate() -> None:
    (h, t), r = pair(), embeddings(9, DIM, seed=4)
    assert close(scores("complex", h, r, t), scores("complex", t, conjugate(r), h))


@pytest.mark.parametrize("angle", [0.0, math.pi, -math.pi])
def test_rotate_is_symmetric_for_half_turns(angle: float) -> None:
    h, t = pair()
    r = torch.full((9, DIM // 2), angle, dtype=torch.float64)
    assert torch.allclose(scores("rotate", h, r, t), scores("rotate", t, r, h), atol=1e-9)


def test_rotate_inverts_a_relation_by_its_sign() -> None:
    (h, t), r = pair(), embeddings(9, DIM // 2, seed=4)
    assert close(scores("rotate", h, r, t), scores("rotate", t, -r, h))


def test_rotate_composes_relations_by_their_sum() -> None:
    decoder, (h, _) = make("rotate"), pair()
    r, s = embeddings(9, DIM // 2, seed=4), embeddings(9, DIM // 2, seed=5)
    assert close(decoder.tail_query(decoder.tail_query(h, r), s), decoder.tail_query(h, r + s))


def test_rotate_phases_fill_the_circle() -> None:
    torch.manual_seed(0)
    phases = RotatE(200, 20).relation.weight
    assert phases.abs().max() <= math.pi
    assert phases.min() < -3
    assert phases.max() > 3


class Squared(Decoder):
    """A decoder of a user's own: minus a squared distance, and no fast way for all entities."""

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return h + r

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return t - r

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        return -(query - entity).square().sum(-1)


def test_scores_that_are_no_products_are_never_taken_for_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = Squared(num_relations=2, dim=3, relation_dim=3)
    queries, entities = torch.randn(5, 3), torch.randn(7, 3)
    by_pairs = decoder.score_query(queries[:, None], entities)
    for chunk in (base.CHUNK, 50):
        monkeypatch.setattr(base, "CHUNK", chunk)
        torch.testing.assert_close(decoder.score_all(queries, entities), by_pairs)
    assert not decoder.dot


@pytest.mark.parametrize("name", [*DECODERS, *VARIANTS])
def test_a_subclass_inherits_no_shortcut_that_disagrees_with_its_own_methods(name: str) -> None:
    kind, given = DECODERS[kind_of(name)[0]], kind_of(name)[1]

    class Scaled(kind):  # type: ignore[misc, valid-type]
        """Another comparison of queries with entities."""

        def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
            return 2 * super().score_query(query.tanh(), entity)

    class Turned(kind):  # type: ignore[misc, valid-type]
        """Other queries, from embeddings alone."""

        def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
            return super().tail_query(h, r).tanh()

        def head_query(self, r: Tensor, t: Tensor) -> Tensor:
            return super().head_query(r, t).tanh()

    class Both(Scaled, Turned):
        """Those of both."""

    for own in (Scaled, Turned, Both):
        decoder = own(num_relations=RELATIONS, dim=DIM, **given).double()
        h, t, ids = embeddings(5, DIM), embeddings(5, DIM, seed=3), torch.arange(5) % RELATIONS
        r = decoder.embeddings(ids)
        tails, heads = decoder.tail_query(h, r), decoder.head_query(r, t)
        assert close(decoder.score_all(tails, t), decoder.score_query(tails[:, None], t))
        both = decoder.both_queries(h, ids, t)
        assert close(both[0], tails)
        assert close(both[1], heads)
        assert close(decoder.tail_queries(h, ids), tails)
        assert close(decoder.head_queries(ids, t), heads)
        rows = decoder.score_relations(h, t)[torch.arange(5), ids]
        assert close(rows, decoder.score(h, r, t))


def test_a_subclass_inherits_every_shortcut_that_agrees() -> None:
    for kind in DECODERS.values():
        own = type("Own", (kind,), {"prepare": lambda _, entities: 2 * entities})
        assert all(getattr(own, name) is getattr(kind, name) for name in base.SHORTCUTS)
    assert DECODERS["transe"].score_all is not Decoder.score_all
    assert TuckER.both_queries is not Decoder.both_queries


def test_a_subclass_with_other_matrices_scores_relations_by_them() -> None:
    class Doubled(DECODERS["rescal"]):  # type: ignore[misc]
        """Twice the matrix of each relation."""

        def matrices(self, r: Tensor) -> Tensor:
            return 2 * super().matrices(r)

    decoder = Doubled(num_relations=RELATIONS, dim=DIM).double()
    h, t, ids = embeddings(5, DIM), embeddings(5, DIM, seed=3), torch.arange(5) % RELATIONS
    rows = decoder.score_relations(h, t)[torch.arange(5), ids]
    assert close(rows, decoder.score(h, decoder.embeddings(ids), t))


def test_costs_are_of_the_methods_that_are_used() -> None:
    class Own(DECODERS["transe"]):  # type: ignore[misc]
        """Another comparison of queries with entities."""

        def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
            return (query * entity).tanh().sum(-1)

    own, kind = (c(num_relations=RELATIONS, dim=DIM) for c in (Own, DECODERS["transe"]))
    assert score_cost(own, 5, 7) == 2 * 5 * 7 + 3 * 5 * 7 * DIM
    assert score_cost(own, 5, 7) != score_cost(kind, 5, 7)


def test_whether_scores_are_products_follows_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="dot: Odd has False, which follows from its score_query"):
        type("Odd", (DECODERS["distmult"],), {"dot": False})
    monkeypatch.setattr(DECODERS["distmult"], "score_query", lambda *_: torch.zeros(1))
    with pytest.raises(InputError, match="score_query: distmult got another one after"):
        make("distmult")


def test_a_score_beside_that_of_queries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DECODERS["distmult"], "score", lambda *_: torch.zeros(1), raising=False)
    with pytest.raises(InputError, match="score: distmult has one of its own, which is not what"):
        make("distmult")


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        ("score_query", lambda q, e: q * e, "(3, 2) from (3, 1, 8) and (3, 2, 8); got (3, 2, 8)"),
        ("score_query", lambda q, e: (q * e).sum(), "(3, 2) from (3, 1, 8) and (3, 2, 8); got ()"),
        ("tail_query", lambda h, r: (h * r).sum(-1), "(3, 8) from (3, 8) and (3, 8); got (3,)"),
        ("head_query", lambda r, t: None, "(3, 8) from (3, 8) and (3, 8); got None"),
        ("score_all", lambda q, e: e @ q.T, "(3, 2) from (3, 8) and (2, 8); got (2, 3)"),
        ("relation_query", lambda h, t: h[:, :1], "(3, 8) from (3, 8) and (3, 8); got (3, 1)"),
        ("prepare", lambda x: x[:1], "(3, 8) from (3, 8); got (1, 8)"),
        ("embeddings", lambda ids: torch.ones(8), "(3, 8) from (3,); got (8,)"),
        ("embeddings", lambda ids: None, "(3, 8) from (3,); got None"),
        (
            "both_queries",
            lambda h, ids, t: (h, t[:1]),
            "((3, 8), (3, 8)) from (3, 8) and (3,) and (3, 8); got ((3, 8), (1, 8))",
        ),
    ],
)
def test_a_method_that_returns_another_shape_is_named(
    method: str, wrong: Callable[..., object], message: str
) -> None:
    def call(self: Decoder, *given: Tensor) -> object:
        return wrong(*given)

    kind = type("Own", (DECODERS["distmult"],), {method: call})
    with pytest.raises(InputError) as refused:
        Model(Lookup(2, dim=8), kind(num_relations=2, dim=8))
    assert str(refused.value) == f"decoder: {method} of Own: expected {message}"


def test_queries_that_disagree_are_said(caplog: pytest.LogCaptureFixture) -> None:
    class Own(DECODERS["distmult"]):  # type: ignore[misc]
        """Another tail query alone."""

        def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
            return h * r.roll(1, -1)

        def head_query(self, r: Tensor, t: Tensor) -> Tensor:
            assert not self.reciprocal, "reciprocal relations need no head query"
            return r * t

    Model(Lookup(2, dim=8), Own(num_relations=2, dim=8, reciprocal=True))
    assert not caplog.records
    Model(Lookup(2, dim=8), Own(num_relations=2, dim=8))
    assert "tail_query and head_query of Own give one triple scores of" in caplog.text


@pytest.mark.parametrize("name", DECODERS)
def test_queries_of_our_decoders_agree(name: str, caplog: pytest.LogCaptureFixture) -> None:
    decoder, before = make(name), torch.get_rng_state()
    base.check_queries(decoder)
    base.check_queries(decoder.float())
    assert not caplog.records
    assert torch.equal(before, torch.get_rng_state())


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="p: expected 1 or 2, got 3"):
        make("transe", p=3)
    with pytest.raises(InputError, match="relation_dim: expected at least 1, got 0"):
        make("tucker", relation_dim=0)


@pytest.mark.parametrize("name", DECODERS)
def test_numbers_that_are_none_are_refused(name: str) -> None:
    known = {"bound", "gamma", "init", "shift"} & set(options(DECODERS[name]))
    assert known
    for option in known:
        for wrong in (math.inf, -math.inf, math.nan):
            with pytest.raises(InputError, match=f"{option}: must be a finite number, got {wrong}"):
                make(name, **{option: wrong})


@pytest.mark.parametrize("name", ["rescal", "tucker"])
def test_queries_share_the_dropped_numbers_of_their_relation(name: str) -> None:
    option = "dropout" if name == "rescal" else "matrix_dropout"
    decoder, relations = make(name, **{option: 0.5}), torch.tensor([0, 1, 0, 0])
    h = embeddings(1, DIM).expand(4, DIM)
    queries = decoder.tail_queries(h, relations)
    assert close(queries[0], queries[2])
    assert close(queries[0], queries[3])
    assert not close(queries[0], queries[1])


@pytest.mark.parametrize("name", ["rescal", "tucker"])
def test_no_query_gets_a_matrix_of_its_own(name: str) -> None:
    decoder, kept = make(name), []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.untyped_storage().nbytes())
        return x

    relations = torch.arange(500) % RELATIONS
    h = embeddings(500, DIM)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        decoder.both_queries(h, relations, h)
    assert max(kept) <= 8 * 500 * DIM


def test_tucker_starts_as_its_options_say() -> None:
    torch.manual_seed(0)
    decoder = TuckER(300, 20, relation_dim=7, init=0.1, initial="uniform")
    assert decoder.core.shape == (7, 400)
    for table in (decoder.core, decoder.relation.weight):
        assert 0.09 < table.abs().max() <= 0.1
        assert abs(table.mean()) < 0.01


@pytest.mark.parametrize("name", ["transe", "transe, p = 2"])
def test_transe_scores_do_not_see_where_the_origin_is(name: str) -> None:
    decoder, (h, t), r = make(name), pair(), embeddings(9, DIM, seed=4)
    shift = embeddings(DIM, seed=5)
    assert close(decoder.score(h + shift, r, t + shift), decoder.score(h, r, t))


@pytest.mark.parametrize("most", [1, 40, 10**6])
def test_transe_compares_all_alike_in_parts_of_any_size(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, given = make("transe"), [embeddings(3, DIM), embeddings(9, DIM, seed=3)]
    expected = decoder.score_query(given[0][:, None], given[1])
    monkeypatch.setattr("dans.models.decoders.distances.DIFFERENCES", most)
    scores = decoder.score_all(*given)
    assert close(scores, expected)
    assert all(map(close, gradients(scores, given), gradients(expected, given)))


def test_distances_of_near_embeddings_are_near_and_never_less_than_none() -> None:
    """‖q‖² + ‖e‖² − 2⟨q, e⟩ cancels: what is left of a root is 10⁻³ of a length, not a NaN."""
    decoder = make("transe, p = 2", dim=20).float()
    q = 10 * embeddings(50, 20).detach().float()
    e = (q + 1e-5).requires_grad_()
    scores = decoder.score_all(q, e)
    near = scores.diagonal() - 6
    assert (near <= 0).all()
    assert near.min() > -0.1
    assert torch.autograd.grad(scores.sum(), e)[0].isfinite().all()


def test_transe_relations_invert_compose_and_are_symmetric_at_zero_alone() -> None:
    decoder, (h, t) = make("transe"), pair()
    r, s = embeddings(9, DIM, seed=4), embeddings(9, DIM, seed=5)
    assert close(decoder.score(h, r, t), decoder.score(t, -r, h))
    assert close(decoder.tail_query(decoder.tail_query(h, r), s), decoder.tail_query(h, r + s))
    assert close(decoder.score(h, 0 * r, t), decoder.score(t, 0 * r, h))
    there = h + r
    assert (decoder.score(there, r, h) < decoder.score(h, r, there) - 1e-3).all()


@pytest.mark.parametrize("name", ["rescal", "tucker", "simple"])
def test_these_can_be_symmetric_antisymmetric_and_inverse(name: str) -> None:
    decoder, (h, t) = make(name), pair()
    r = embeddings(9, decoder.relation.embedding_dim, seed=4)
    if name == "simple":
        back = torch.cat((r[:, DIM // 2 :], r[:, : DIM // 2]), dim=1)
    elif name == "rescal":
        back = r.unflatten(1, (DIM, DIM)).mT.flatten(1)
    else:
        # A core of slices and, at the other half of r, their transposes.
        core = dict(decoder.named_parameters())["core"].data.view(DIM, DIM, DIM)
        core[DIM // 2 :] = core[: DIM // 2].mT
        back = torch.cat((r[:, DIM // 2 :], r[:, : DIM // 2]), dim=1)
    assert close(decoder.score(h, r, t), decoder.score(t, back, h))
    assert close(decoder.score(h, r + back, t), decoder.score(t, r + back, h))
    assert close(decoder.score(h, r - back, t), -decoder.score(t, r - back, h))
    assert (decoder.score(h, r - back, t).abs() > 1e-6).all()


def test_rescal_composes_relations_by_their_product() -> None:
    decoder, (h, _) = make("rescal"), pair()
    r, s = embeddings(9, DIM**2, seed=4), embeddings(9, DIM**2, seed=5)
    product = (r.unflatten(1, (DIM, DIM)) @ s.unflatten(1, (DIM, DIM))).flatten(1)
    after = decoder.tail_query(decoder.tail_query(h, r), s)
    assert torch.allclose(after, decoder.tail_query(h, product), rtol=1e-11, atol=1e-11)
