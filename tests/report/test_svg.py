"""Charts: marks lie within, and the texts at the pointer give the values drawn."""

from itertools import pairwise

import pytest

from dans.report.curves import Curve
from dans.report.embedding_plot import EmbeddingPlot, Point
from dans.report.page import environment
from dans.report.svg import PLOT, SIZE, Drawing, hover_text, lines, scatter, styles_of, ticks

CURVES = [Curve("A", ((0, 0.5), (50, 0.75), (700, 1.0))), Curve("B", ((0, -0.25), (50, 0.5)))]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 1),
        (0.0041, 0.0119),
        (-3.2, 7.7),
        (1e-9, 2e-9),
        (0.5, 0.5),
        (0, 0),
        (-1e6, 4e7),
        (0, 1e-300),
        (-1e29, 1e29),
    ],
)
def test_ticks_are_round_few_and_hold_all(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 8
    steps = {round((b - a) / (found[1] - found[0]), 5) for a, b in pairwise(found)}
    assert steps == {1.0}


def places(drawing: Drawing) -> list[tuple[float, float]]:
    """Where the marks of all groups lie."""
    return [place for group in drawing.groups for place in group.marks]


def written(drawing: Drawing) -> str:
    """The SVG of a drawing."""
    return environment().get_template("chart.svg.j2").render(chart=drawing)


def test_curves_lie_within_and_say_their_values() -> None:
    drawing = lines(CURVES, across="step")
    marks = places(drawing)
    assert len(marks) == 5
    assert all(0 <= x <= SIZE[0] and 0 <= y <= SIZE[1] for x, y in marks)
    assert [text for _, _, text in drawing.hover["stops"]] == [
        "step 0\nA 0.5000\nB −0.2500",
        "step 50\nA 0.7500\nB 0.5000",
        "step 700\nA 1.0000",
    ]
    for x, ys, _ in drawing.hover["stops"]:
        assert all((x, y) in marks for y in ys)


def test_higher_values_stand_higher() -> None:
    stops = lines(CURVES, across="step").hover["stops"]
    assert stops[0][1][0] < stops[0][1][1]
    assert stops[2][1][0] < stops[1][1][0]


@pytest.mark.parametrize("points", [((0, 0.5),), ((3, 0.0), (3, 0.0))])
def test_a_single_point_is_a_chart(points: tuple[tuple[float, float], ...]) -> None:
    drawing = lines([Curve("", points)], across="step")
    assert "nan" not in written(drawing)
    assert len(drawing.hover["stops"]) == 1


def test_names_stand_for_places() -> None:
    drawing = lines([Curve("", ((0, 1.0), (1, 0.5)))], across="degree", names=["0", "2–4"])
    assert "2–4</text>" in written(drawing)
    assert drawing.hover["stops"][1][2] == "degree 2–4\n0.5000"


def test_a_run_keeps_its_style_and_a_pathway_its_own() -> None:
    one = [Curve("B", ((0, 1.0),), run=1)]
    both = [Curve("A", ((0, 1.0),), run=0), *one]
    assert styles_of(one, several=True) == styles_of(both, several=True)[1:]
    names = ("entity pathway", "relation pathway")
    pathways = [Curve(f"B · {name}", ((0, 1.0),), 1, name) for name in names]
    assert styles_of(pathways, several=True) == (1, 0)
    everything = [*pathways, *(Curve(c.name, c.points, 0, c.part) for c in pathways)]
    assert len(set(styles_of(everything, several=True))) == 4


def plot(points: dict[str, tuple[Point, ...]]) -> EmbeddingPlot:
    return EmbeddingPlot("r", 1, 1, points, {}, {})


def test_points_of_an_embedding_plot_lie_within_and_say_their_names() -> None:
    groups = {
        "true tails": (Point(-40.0, 3.0, "ada", False, ""),),
        "entity pathway": (Point(10.0, -90.0, "bob", True, "cy, knows, ?"),),
        "mine": (Point(0.0, 0.0, "tea", False, "cy, knows, ?"),),
    }
    drawing = scatter(plot(groups))
    marks = places(drawing)
    assert all(0 < x < PLOT[0] and 0 < y < PLOT[1] for x, y in marks)
    assert drawing.hover["stops"][0][2] == "ada\ntrue tails"
    assert drawing.hover["stops"][1][2] == "nearest to bob\nentity pathway\nfor cy, knows, ?"
    assert [stop[3] for stop in drawing.hover["stops"]] == [0, 1, 2]
    assert len({group.style for group in drawing.groups}) == 3


def test_text_at_a_mark_names_all_origins_of_its_entity() -> None:
    bob = Point(1.0, 1.0, "bob", False, "")
    drawn = [Point(1.0, 1.0, "bob", False, f"{head}, knows, ?") for head in ("ada", "cy")]
    elsewhere = Point(5.0, 5.0, "tea", False, "ada, knows, ?")
    groups = {"true tails": (bob,), "uniform": (*drawn, elsewhere)}
    stops = scatter(plot(groups)).hover["stops"]
    text = "bob\ntrue tails\nuniform, 2 times"
    assert [stop[2] for stop in stops] == [text] * 3 + ["tea\nuniform\nfor ada, knows, ?"]


def test_points_on_one_spot_are_drawn() -> None:
    groups = {"true tails": (Point(1.0, 1.0, "a", False, ""), Point(1.0, 1.0, "b", False, ""))}
    assert "nan" not in written(scatter(plot(groups)))


def test_endless_names_are_cut_under_the_pointer() -> None:
    point = Point(0.0, 0.0, "n" * 5000, False, "q" * 5000)
    assert len(hover_text(point, {"uniform": [point.query]})) < 600
