"""The explanations of a report: what they explain, and how they are drawn."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dans.predict.picture import Arrow
from dans.report import explanations
from dans.report.explanations import curve, point
from dans.report.gather import Page, gather
from dans.report.page import render
from tests.report.test_markup import read


def test_the_best_triples_and_the_worst_query_are_explained(page: Page) -> None:
    for run in page.runs:
        explained = run.explained
        assert not isinstance(explained, str)
        well = [one for one in explained if one.about == "predicted well"]
        assert len({one.found.triple[1] for one in well}) == len(well) > 1
        ranks = [[float(rank) for rank in re.findall(r"[\d.]+", one.ranks)] for one in well]
        assert all(sum(one) <= sum(two) for one, two in pairwise(ranks))
        missed, *others = explained[len(well) :]
        worst = run.worst[0]
        assert missed.about == "missed"
        assert missed.found.triple == tuple(part or worst.right for part in worst.query.parts)
        assert missed.ranks.startswith(f"rank {worst.rank:g} as")
        new = [answer.name for answer in worst.answers if not answer.known]
        assert len(others) == bool(new)
        for other in others:
            assert other.found.triple == tuple(part or new[0] for part in worst.query.parts)


def test_their_section_has_the_text_and_the_picture(page: Page, html: str) -> None:
    (section,) = re.findall(r'<section id="explanations".*?</section>', html, re.DOTALL)
    explained = [one for run in page.runs for one in run.explained]
    assert section.count("<article") == len(explained)
    drawn = [one for one in explained if len(one.layout.arrows) > 1]  # type: ignore[union-attr]
    assert section.count('class="network" role="img"') == len(drawn) > 2
    arrows = sum(len(one.layout.arrows) for one in drawn)  # type: ignore[union-attr]
    assert section.count("<polygon") == arrows
    text = read(section).text
    assert "All of them removed, the score changes from" in text
    assert "&lt;" not in text.replace("&lt;b&gt;&amp;", "")
    for one in explained:
        for path in one.found.paths:  # type: ignore[union-attr]
            assert f"{path.score:.2f}".replace("-", "−") in text


def test_large_graphs_have_a_sentence(
    page: Page, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "MOST_TRIPLES", 10)
    found = gather([runs[0]], triples=2).runs[0]
    assert isinstance(found.explained, str)
    assert "training triples, more than 10." in found.explained
    assert found.explained in render(replace(page, runs=(found, page.runs[1])))


def test_an_arrow_ends_at_its_point() -> None:
    arrow = Arrow(((0.0, 0.0), (50.0, 0.0), (100.0, 0.0)), ("r",), (50.0, 0.0), "path")
    assert curve(arrow) == "M0.0 0.0Q50.0 0.0 90.0 0.0"
    assert point(arrow) == "90.0,4.5 100.0,0.0 90.0,-4.5"
