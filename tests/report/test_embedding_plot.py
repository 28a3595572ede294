"""The embedding plot: names, origins and counts of its points."""

import sys
from pathlib import Path

import pytest
import torch

from dans.analysis.diversity import GENERATED, TRUTH, Group
from dans.errors import install_command
from dans.report import embedding_plot as plots
from dans.report.embedding_plot import EmbeddingPlot, embedding_plot, measured
from dans.report.gather import Page
from dans.runs.train import load


def picture(run: Path, triples: int = 12) -> EmbeddingPlot | str:
    return embedding_plot(load(run), triples=triples)


def test_every_point_has_its_entity_and_generated_ones_their_nearest(page: Page) -> None:
    found = page.runs[1].embedding_plot
    assert isinstance(found, EmbeddingPlot)
    offered = ["entity pathway", "relation pathway", "uniform"]
    drawn = [f"{pathway}{GENERATED}" for pathway in offered[:2]]
    assert list(found.points) == [TRUTH, *offered, *drawn]
    kg = page.data.audit
    assert kg.entities == 8
    for origin, points in found.points.items():
        assert len(points) <= found.drawn[origin]
        for point in points:
            assert point.generated == origin.endswith(GENERATED)
            assert bool(point.query) == (origin != "true tails")
            assert point.name


def test_same_seed_same_picture(runs: list[Path], page: Page) -> None:
    found, shown = picture(runs[1]), page.runs[1].embedding_plot
    assert isinstance(found, EmbeddingPlot)
    assert isinstance(shown, EmbeddingPlot)
    assert (found.points, found.drawn) == (shown.points, shown.drawn)


def test_of_all_negatives_as_many_are_measured(page: Page) -> None:
    found = [run.embedding_plot for run in page.runs]
    plotted = [plot for plot in found if isinstance(plot, EmbeddingPlot)]
    sizes = [
        of["points"] for c in plotted for name, of in c.numbers.items() if name != "true tails"
    ]
    counts = [n for c in plotted for name, n in c.drawn.items() if name != "true tails"]
    assert len(sizes) == 6
    assert set(sizes) == {min(counts)}
    assert max(counts) > min(counts)


def test_share_of_distinct_points_has_one_denominator() -> None:
    one, other = (
        Group(torch.arange(n).remainder(20).view(n, 1).float(), torch.arange(n) // 4, ())
        for n in (40, 400)
    )
    truth = Group(torch.zeros(1, 1), torch.zeros(1), ())
    plotted = [
        EmbeddingPlot("r", 1, 1, {}, {"true tails": truth, "a": group}, {})
        for group in (one, other)
    ]
    found = [plot.numbers for plot in measured(plotted)]
    assert [of["a"]["points"] for of in found] == [40, 40]
    assert found[1]["a"]["diversity_within_query"] == pytest.approx(5 / 3)
    assert measured([]) == []


def test_crowded_origins_are_thinned(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "MOST", 4)
    found = picture(runs[0])
    assert isinstance(found, EmbeddingPlot)
    assert len(found.points["uniform"]) == 4
    assert found.drawn["uniform"] > 4


def test_too_few_points_are_no_picture(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "MOST", 3)
    assert "needs more points" in str(picture(runs[0], triples=1))


def test_without_scikit_learn_the_page_says_so(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sklearn", "sklearn.manifold"):
        monkeypatch.setitem(sys.modules, name, None)
    assert install_command("plots") in str(picture(runs[0], triples=3))
