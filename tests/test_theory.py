"""Bregman curves against the paper, divergences against a loop over queries; their picture."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from scripts.benchmarks import theory

P = (0.05, 0.10, 0.25, 0.40, 0.50, 0.60, 0.75, 0.90, 0.95)
TABLE = {
    "NS": (0.6163, 0.3395, 0.0731, 0.0081, 0, 0.0056, 0.0285, 0.0607, 0.0726),
    "SCE": (0.8304, 0.5108, 0.1438, 0.0204, 0, 0.0204, 0.1438, 0.5108, 0.8304),
}


@pytest.mark.parametrize("family", TABLE)
def test_bregman_curves_are_those_of_the_table(family: str) -> None:
    half = torch.tensor(0.5, dtype=torch.float64)
    points = torch.tensor(P, dtype=torch.float64)
    found = theory.bregman(theory.POTENTIALS[family], half, points)
    torch.testing.assert_close(
        found, torch.tensor(TABLE[family], dtype=torch.float64), rtol=0, atol=5e-5
    )


def test_bregman_curves_have_the_closed_forms() -> None:
    f = torch.tensor(0.5, dtype=torch.float64)
    p = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(
        theory.bregman(theory.negative_sampling, f, p),
        f * (f / p).log() - (1 + f) * ((1 + f) / (1 + p)).log(),
    )
    torch.testing.assert_close(
        theory.bregman(theory.softmax, f, p),
        f * (f / p).log() + (1 - f) * ((1 - f) / (1 - p)).log(),
    )


def test_negative_sampling_takes_arguments_above_one() -> None:
    """What it compares is v p_n / p_d, which is no probability."""
    found = theory.bregman(theory.negative_sampling, torch.tensor(2.0), torch.tensor([3.0, 9.0]))
    assert (found > 0).all()
    assert found[1] > found[0]


def test_curves_touch_zero_at_their_goal_alone() -> None:
    drawn = theory.curves(0.3)
    for family in theory.POTENTIALS:
        least = min(range(theory.POINTS), key=drawn[family].__getitem__)
        assert drawn["p"][least] == pytest.approx(0.3)
        assert sum(value < 1e-9 for value in drawn[family]) == 1


def some_triples(count: int) -> Tensor:
    """Triples of the toy graph's size, some of them more than once."""
    torch.manual_seed(count)
    return torch.randint(8, (count, 3)) % torch.tensor([8, 3, 8])


def slow(
    kg: KnowledgeGraph, rule: str, smooth: str, epsilon: float
) -> dict[tuple[int, int, bool], tuple[float, float]]:
    """By query: the two divergences, entity by entity."""

    def shares(triples: list[list[int]], known: int, relation: int) -> list[float]:
        joined = []
        for y in range(kg.num_entities):
            with_relation = [triple for triple in triples if triple[1] == relation]
            with_answer = [triple for triple in triples if triple[2] == y]
            one = sum(triple[2] == y for triple in with_relation) / len(with_relation)
            other = sum(triple[0] == known for triple in with_answer) / max(len(with_answer), 1)
            if smooth == "estimates":
                one, other = one + epsilon, other + epsilon
            joined.append(one * other if rule == "product" else one + other)
        if smooth == "result":
            joined = [p / sum(joined) + epsilon for p in joined]
        return [p / sum(joined) for p in joined]

    def away(p: list[float], q: list[float]) -> float:
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    found = {}
    for head in (False, True):
        order = [2, 1, 0] if head else [0, 1, 2]
        train, test = (part[:, order].tolist() for part in (kg.train, kg.test))
        for known, relation in {(a, r) for a, r, _ in train} & {(a, r) for a, r, _ in test}:
            p, q = (shares(triples, known, relation) for triples in (train, test))
            found[known, relation, head] = away(p, q), away(q, p)
    return found


@pytest.mark.parametrize("block", [1, 2**20])
@pytest.mark.parametrize(
    ("rule", "smooth"), list(itertools.product(("product", "sum"), ("estimates", "result")))
)
def test_divergence_is_what_a_loop_over_queries_counts(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch, rule: str, smooth: str, block: int
) -> None:
    monkeypatch.setattr(theory, "BLOCK", block)
    kg = replace(kg, train=some_triples(40), test=some_triples(15))
    smoothing = (1e-6, 0.1)
    found = theory.divergence(kg, rule=rule, smooth=smooth, smoothing=smoothing)  # type: ignore[arg-type]
    for column, epsilon in enumerate(smoothing):
        expected = slow(kg, rule, smooth, epsilon)
        assert len(found) == len(expected) > 15
        assert {head for _, _, head in expected} == {False, True}
        for values, i in ((found.forward, 0), (found.backward, 1)):
            rows = zip(
                found.relations.tolist(),
                found.is_head_query.tolist(),
                values[:, column].tolist(),
                strict=True,
            )
            wanted = ((r, head, each[i]) for (_, r, head), each in expected.items())
            for one, other in zip(sorted(rows), sorted(wanted), strict=True):
                assert one[:2] == other[:2]
                assert one[2] == pytest.approx(other[2], rel=1e-9, abs=1e-12)


def test_means_are_over_queries_and_relations_add_up_to_them(kg: KnowledgeGraph) -> None:
    found = theory.divergence(kg)
    relations = found.by_relation()
    assert sum(row["queries"] for row in relations) == len(found)
    for direction, means in found.means().items():
        for side, parts in (("tails", ("tail",)), ("heads", ("head",)), ("both", ("tail", "head"))):
            rows = [row for row in relations if row["side"] in parts]
            total = sum(row["queries"] for row in rows)
            mean = sum(row["queries"] * row[direction] for row in rows) / total
            assert means[side] == pytest.approx(mean)


@pytest.mark.parametrize("smooth", ["estimates", "result"])
@pytest.mark.parametrize("rule", ["product", "sum"])
def test_equal_splits_do_not_diverge_and_others_do(
    kg: KnowledgeGraph, rule: str, smooth: str
) -> None:
    def most(kg: KnowledgeGraph) -> float:
        found = theory.divergence(kg, rule=rule, smooth=smooth)  # type: ignore[arg-type]
        return float(torch.cat((found.forward, found.backward)).abs().max())

    assert most(replace(kg, test=kg.train)) < 1e-12
    assert most(kg) > 0.1


def test_less_smoothing_diverges_more(kg: KnowledgeGraph) -> None:
    found = theory.divergence(kg, smoothing=(1e-3, 1e-6))
    assert found.means(1)["train‖test"]["both"] > found.means(0)["train‖test"]["both"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rule": "mean"}, "rule: known: product, sum; got 'mean'"),
        ({"smooth": "counts"}, "smooth: known: estimates, result; got 'counts'"),
        ({"smoothing": (0.0,)}, "smoothing: expected numbers above 0"),
        ({"smoothing": ()}, "smoothing: expected numbers above 0"),
    ],
)
def test_options_out_of_range_are_refused(
    kg: KnowledgeGraph, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        theory.divergence(kg, **options)  # type: ignore[arg-type]


def test_graphs_without_shared_queries_are_refused(kg: KnowledgeGraph) -> None:
    strangers: Tensor = kg.test[:0]
    with pytest.raises(InputError, match="no query"):
        theory.divergence(replace(kg, test=strangers))


def test_order_of_data_sets_is_given_only_where_nothing_reverses_it() -> None:
    def numbers(first: float, second: float) -> dict[str, object]:
        means = {"1e-06": {"train‖test": {"both": first}, "test‖train": {"both": second}}}
        return {"means": {"product": means}}

    found = theory.order({"a": numbers(3.0, 4.0), "b": numbers(1.0, 2.0)})
    assert found == {"product": {"order": ["b", "a"], "ratio": [2.0, 3.0]}}
    found = theory.order({"a": numbers(3.0, 1.0), "b": numbers(1.0, 2.0)})
    assert found == {"product": {"order": None, "ratio": [2.0, 3.0]}}


def test_divergences_name_relations_and_estimators(kg: KnowledgeGraph) -> None:
    numbers = theory.divergences(kg)
    assert set(numbers["means"]) == {
        f"{rule}, {smooth} smoothed"
        for rule in ("product", "sum")
        for smooth in ("estimates", "result")
    }
    assert {row["relation"] for row in numbers["relations"]} <= set(kg.relations.names)
    assert numbers["queries"] == len(theory.divergence(kg))


@pytest.mark.parametrize(("saved", "panels"), [({}, 2), ({1: 0.4, 10: 0.85}, 3)])
def test_picture_has_a_panel_for_reductions_where_they_were_measured(
    kg: KnowledgeGraph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: dict[int, float],
    panels: int,
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    shifts = {"toy": theory.divergences(kg)}
    theory.theory_picture(tmp_path / "theory.png", theory.curves(), shifts, saved)
    (figure,) = drawn
    figure.draw_without_rendering()
    assert len(figure.axes) == panels
    assert {line.get_label() for line in figure.axes[0].lines} == {"NS", "SCE"}
    points = sum(len(points.get_offsets()) for points in figure.axes[1].collections)
    assert points == len(shifts["toy"]["relations"])
    if saved:
        assert list(figure.axes[2].lines[-1].get_ydata()) == list(saved.values())
