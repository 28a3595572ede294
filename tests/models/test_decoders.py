"""The decoders: the suite, their formulas by hand, and the algebra of relations."""

import cmath
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.models.decoders import DECODERS, ComplEx, DistMult, RotatE
from dans.models.decoders.complex import conjugate
from dans.registry import build
from tests.suites.decoders import DIM, DecoderSuite, close, make, vectors


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


#: One triple of vectors at a time, in Python's own numbers. A new decoder needs a line here.
FORMULAS: dict[str, Callable[[list[float], list[float], list[float]], float]] = {
    "distmult": distmult,
    "complex": complex_,
    "rotate": rotate,
}


@pytest.mark.parametrize("name", DECODERS)
def test_score_is_the_formula(name: str) -> None:
    decoder = make(name)
    h, t = vectors(5, DIM), vectors(5, DIM, seed=3)
    r = decoder.relation(torch.arange(5) % 3)
    by_hand = [FORMULAS[name](*(x.tolist() for x in fact)) for fact in zip(h, r, t, strict=True)]
    assert decoder.score(h, r, t).tolist() == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize("name", ["complex", "rotate"])
def test_an_odd_width_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"decoder.dim: {name} needs an even number, got 5"):
        build(DECODERS, name, where="decoder", num_relations=2, dim=5)


def test_an_odd_width_is_fine_where_nothing_is_paired() -> None:
    assert make("distmult", dim=5).score(*(vectors(2, 5, seed=s) for s in (1, 2, 3))).shape == (2,)


def pair(decoder_dim: int = DIM) -> tuple[Tensor, Tensor]:
    return vectors(9, decoder_dim), vectors(9, decoder_dim, seed=3)


def scores(name: str, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    return make(name).score(h, r, t)


def test_complex_is_symmetric_for_real_and_antisymmetric_for_imaginary_relations() -> None:
    (h, t), zero = pair(), torch.zeros(9, DIM // 2, dtype=torch.float64)
    half = vectors(9, DIM // 2, seed=4)
    real, imaginary = torch.cat((half, zero), 1), torch.cat((zero, half), 1)
    assert close(scores("complex", h, real, t), scores("complex", t, real, h))
    assert close(scores("complex", h, imaginary, t), -scores("complex", t, imaginary, h))


def test_complex_inverts_a_relation_by_its_conjugate() -> None:
    (h, t), r = pair(), vectors(9, DIM, seed=4)
    assert close(scores("complex", h, r, t), scores("complex", t, conjugate(r), h))


def test_complex_with_no_imaginary_part_is_distmult() -> None:
    (h, t), r = pair(), vectors(9, DIM, seed=4)
    zero = torch.zeros(9, DIM, dtype=torch.float64)
    wide = [torch.cat((x, zero), 1) for x in (h, r, t)]
    assert close(make("complex", dim=2 * DIM).score(*wide), scores("distmult", h, r, t))


@pytest.mark.parametrize("angle", [0.0, math.pi, -math.pi])
def test_rotate_is_symmetric_for_half_turns(angle: float) -> None:
    h, t = pair()
    r = torch.full((9, DIM // 2), angle, dtype=torch.float64)
    assert torch.allclose(scores("rotate", h, r, t), scores("rotate", t, r, h), atol=1e-9)


def test_rotate_inverts_a_relation_by_its_sign() -> None:
    (h, t), r = pair(), vectors(9, DIM // 2, seed=4)
    assert close(scores("rotate", h, r, t), scores("rotate", t, -r, h))


def test_rotate_composes_relations_by_their_sum() -> None:
    decoder, (h, _) = make("rotate"), pair()
    r, s = vectors(9, DIM // 2, seed=4), vectors(9, DIM // 2, seed=5)
    assert close(decoder.query_tails(decoder.query_tails(h, r), s), decoder.query_tails(h, r + s))


def test_rotate_keeps_lengths() -> None:
    decoder, (h, _) = make("rotate"), pair()
    assert close(decoder.query_tails(h, vectors(9, DIM // 2, seed=4)).norm(dim=1), h.norm(dim=1))


def test_rotate_is_highest_where_the_rotation_arrives() -> None:
    decoder, (h, _) = make("rotate"), pair()
    assert isinstance(decoder, RotatE)
    r = vectors(9, DIM // 2, seed=4)
    there = decoder.score(h, r, decoder.query_tails(h, r))
    assert torch.allclose(there, torch.full_like(there, decoder.gamma), atol=1e-5)


def test_rotate_phases_fill_the_circle() -> None:
    torch.manual_seed(0)
    phases = RotatE(200, 20).relation.weight
    assert phases.abs().max() <= math.pi
    assert phases.min() < -3
    assert phases.max() > 3


@pytest.mark.parametrize("decoder", [DistMult, ComplEx])
def test_bilinear_scores_scale_with_each_part(decoder: type[DistMult] | type[ComplEx]) -> None:
    (h, t), r = pair(), vectors(9, DIM, seed=4)
    score = decoder(2, DIM).score
    assert close(score(2 * h, -3 * r, 5 * t), -30 * score(h, r, t))
