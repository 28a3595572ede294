"""A report ranks relations and lists the least plausible triples, and says how many it took."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import dans
from dans.evaluation.calibration import DRAWN, Fitted, Platt
from dans.report import plausibility
from dans.report.gather import Page, gather
from dans.report.page import render
from tests.report.test_markup import read


def section(html: str, name: str = "plausibility") -> str:
    (found,) = re.findall(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    return read(found).text


def test_they_are_those_of_the_commands(page: Page, runs: list[Path], html: str) -> None:
    text = section(html)
    for of, folder in zip(page.runs, runs, strict=True):
        run = dans.open_run(folder)
        assert not isinstance(of.relations, str)
        assert not isinstance(of.checked, str)
        assert of.relations == run.evaluate_relations()
        assert of.relations.rows().keys() == {"model", "scores", "frequency", "ends"}
        assert f"{of.relations.model['relation_mrr']:.4f}" in text
        assert of.checked.triples == run.check(top=plausibility.LISTED)
        assert of.checked.checked == of.checked.training == len(run.kg.train)
        assert f"{of.checked.triples[0].triple.score:.4f}".replace("-", "−") in text
    assert "the relation of 6 triples among 3," in text
    assert "drawn negatives" not in text


def test_of_a_large_graph_some_are_taken_or_a_sentence_says_why_none(
    page: Page, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = dans.open_run(runs[0]).trained
    kg, predictor = trained.kg, dans.open_run(runs[0]).predictor
    each = 2 * kg.num_relations * kg.num_entities * trained.entities.shape[1]
    monkeypatch.setattr(plausibility, "PRODUCTS", 4 * each)
    assert "dans evaluate --relations" in str(plausibility.relations(trained, "test"))
    monkeypatch.setattr(plausibility, "FEWEST", 4)
    monkeypatch.setattr(plausibility, "SCORES", 12 * kg.num_entities)
    some = plausibility.relations(trained, "test")
    checked = plausibility.least_plausible(trained, predictor)
    assert not isinstance(some, str)
    assert not isinstance(checked, str)
    assert (some.model["queries"], checked.checked) == (4, 12) < (6, len(kg.train))
    less = replace(page.runs[0], relations=some, checked=checked)
    text = section(render(replace(page, runs=(less, page.runs[1]))))
    assert "the relation of 4 of 6 triples" in text
    assert f"Of 12 evenly spaced of {len(kg.train)} training triples" in text
    monkeypatch.setattr(plausibility, "MOST_TRIPLES", 10)
    assert "more than 10. The command dans check" in str(
        plausibility.least_plausible(trained, predictor)
    )


def test_probabilities_from_drawn_negatives_say_so(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = Fitted(4, "", (), {"platt": Platt(1.0, 0.0)}, negatives=DRAWN)
    monkeypatch.setattr("dans.report.gather.fitted_of", lambda *_: fitted)
    page = gather([runs[0]], triples=2)
    (run,) = page.runs
    assert run.drawn
    assert not isinstance(run.checked, str)
    assert None not in {one.triple.probability for one in run.checked.triples}
    html = render(page)
    for name in ("plausibility", "mistakes"):
        assert "among true triples and as many drawn negatives." in section(html, name)
