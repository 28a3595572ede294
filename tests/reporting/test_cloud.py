"""The points of the t-SNE picture carry their names and their ways."""

import sys
from pathlib import Path

import pytest

from dans.assembly import load
from dans.reporting import cloud as clouds
from dans.reporting.cloud import Cloud, cloud
from dans.reporting.gather import Page


def test_every_point_has_its_entity_and_generated_ones_their_nearest(page: Page) -> None:
    found = page.runs[1].cloud
    assert isinstance(found, Cloud)
    assert list(found.points) == ["true tails", "entity way", "relation way", "uniform"]
    kg = page.traps.audit
    assert kg.entities == 8
    for origin, points in found.points.items():
        assert len(points) <= found.drawn[origin]
        for point in points:
            assert point.generated == origin.endswith("way")
            assert bool(point.question) == (origin != "true tails")
            assert point.name


def test_same_seed_same_picture(runs: list[Path], page: Page) -> None:
    assert cloud(load(runs[1]), facts=12) == page.runs[1].cloud


def test_crowded_origins_are_thinned(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clouds, "MOST", 4)
    found = cloud(load(runs[0]), facts=12)
    assert isinstance(found, Cloud)
    assert len(found.points["uniform"]) == 4
    assert found.drawn["uniform"] > 4


def test_too_few_points_are_no_picture(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clouds, "MOST", 3)
    assert "needs more points" in str(cloud(load(runs[0]), facts=1))


def test_without_scikit_learn_the_page_says_so(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sklearn", "sklearn.manifold"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'dans[plots]'" in str(cloud(load(runs[0]), facts=3))
