"""The page: self-contained, with the protocol beside every number."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from dans.errors import InputError
from dans.report.formatting import best
from dans.report.gather import Page
from dans.report.page import asset, destination, digest, environment, protocol, render, validation
from dans.report.svg import STYLES
from tests.processes import run
from tests.report.conftest import HOSTILE
from tests.report.test_markup import read

#: What a page would have to hold to fetch anything.
FETCHES = ("src", "srcset", "action", "background", "ping", "data", "poster", "formaction")


def alone(page: Page, i: int = 1) -> Page:
    """The page of one of the runs."""
    parts = {
        key: tuple(
            dataclasses.replace(part, scores=part.scores[i : i + 1]) for part in getattr(page, key)
        )
        for key in ("classes", "degrees", "relations")
    }
    kept = dataclasses.replace(page.runs[i], letter="A")
    return dataclasses.replace(page, runs=(kept,), pairs={}, seeds=[], **parts)


def test_nothing_on_the_page_points_elsewhere(html: str) -> None:
    found = read(html)
    assert not [name for name, _ in found.attributes if name in FETCHES]
    links = {value for name, value in found.attributes if name in ("href", "xlink:href")}
    assert all(str(link).startswith("#") for link in links)
    assert "@import" not in html
    assert "url(" not in html
    assert "link" not in found.tags
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {str(link)[1:] for link in links} <= set(ids)


def test_hostile_names_make_no_element_and_no_attribute(html: str) -> None:
    found = read(html)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
    shown = found.text
    for name in HOSTILE:
        assert name[:160] in shown
    assert "<r0>&" in shown


def test_policy_names_the_one_style_and_the_one_script(html: str) -> None:
    found = [value for name, value in read(html).attributes if name == "content"]
    (policy,) = [value for value in found if value and value.startswith("default-src")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    for name, element in (("page.css", "style"), ("page.js", "script")):
        assert f"<{element}>{asset(name)}</{element}>" in html
        assert digest(asset(name)) in policy


def test_every_table_of_numbers_says_by_which_protocol(page: Page, html: str) -> None:
    sentence = protocol(page)
    seeds, queries = page.runs[0].config["train"]["seed"], page.runs[0].report.both["queries"]
    for part in (
        "test",
        f"{queries} queries",
        "other true answers of train, valid, test left out",
        "a tie counts half",
        "entities that are not in train ranked too",
        f"A step {page.runs[0].step}, seed {seeds}",
    ):
        assert part in sentence
    sections = re.split(r"<section ", html)
    for key in ("results", "differences", "classes", "degrees", "relations", "mistakes"):
        (section,) = [part for part in sections if part.startswith(f'id="{key}"')]
        assert sentence in section, key


def test_validation_says_by_which_protocol(page: Page) -> None:
    assert "Validation: 12 queries, other true answers of train, valid, test left out." in render(
        page
    )
    first, second = page.runs
    config = {**second.config, "evaluation": {"candidates": 4, "most": 5}}
    sampled = dataclasses.replace(page, runs=(first, dataclasses.replace(second, config=config)))
    said = validation(sampled)
    assert "Validation of A: 12 queries, other true answers" in said
    assert "Validation of B: 10 queries, 5 of 6 triples, drawn by seed 0, ranked among 4" in said
    assert "different protocols" in said
    assert validation(dataclasses.replace(page, runs=sampled.runs[1:])).startswith(
        "Validation: 10 queries"
    )
    assert said in render(sampled)


def test_metrics_stand_with_four_digits_for_both_sides(page: Page, html: str) -> None:
    for of in page.runs:
        for side in ("both", "heads", "tails"):
            assert f"{getattr(of.report, side)['mrr']:.4f}" in html


def test_one_run_needs_no_letters_and_no_differences(page: Page) -> None:
    html = render(alone(page))
    assert "Differences" not in html
    assert 'class="letter"' not in html
    assert "tablist" in asset("page.js")
    assert 'class="tabs"' not in html
    assert '<dl class="figures">' in html


def test_options_that_differ_stand_first(html: str) -> None:
    (section,) = re.findall(r'<section id="configuration".*?</section>', html, re.DOTALL)
    first, rest = section.split("<details>")
    assert "sampler.0.preset" in first
    assert "train.batch" not in first
    assert "train.batch" in rest


def test_an_entity_named_like_a_query_is_no_query() -> None:
    triple = environment().get_template("macros.html.j2").module.triple  # type: ignore[attr-defined]
    assert triple("?", "knows", "?").count("<b>") == 0
    query = triple("?", "knows", None)
    assert query.index("<bdi>?</bdi>") < query.index("<b>")


def test_mean_ranks_that_show_alike_are_both_the_best(page: Page) -> None:
    runs = []
    for of, value in zip(page.runs, (2.111, 2.114), strict=True):
        sides = {
            side: {**getattr(of.report, side), "mean_rank": value + i}
            for i, side in enumerate(("both", "heads", "tails"))
        }
        runs.append(dataclasses.replace(of, report=dataclasses.replace(of.report, **sides)))
    html = render(dataclasses.replace(page, runs=tuple(runs)))
    assert html.count('<td class="n">2.11</td>') == 2
    assert best([2.111, 2.114, 2.2], lowest=True, digits=2) == [True, True, False]
    assert best([0.99996, 0.99994]) == [True, False]


def brightness(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, by WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str, opacity: float = 1.0) -> float:
    """Of a colour, so opaque, on another one; from 1 to 21."""
    above, below = ([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (one, other))
    mixed = [opacity * a + (1 - opacity) * b for a, b in zip(above, below, strict=True)]
    shown = f"#{''.join(f'{round(part):02x}' for part in mixed)}"
    low, high = sorted((brightness(shown), brightness(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out(theme: int) -> None:
    css = asset("page.css")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[theme]))
    (opacity,) = re.findall(r"\.points use \{ fill-opacity: ([.\d]+)", css)
    for name in ("ink", "soft", "faint", "accent", "warn"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["soft"], colours["wash"]) >= 4.5
    assert contrast(colours["tip-ink"], colours["tip"]) >= 4.5
    for style in range(STYLES):
        assert contrast(colours[f"s{style}"], colours["paper"], float(opacity)) >= 3, style


def test_saturated_scores_are_warned_of(page: Page) -> None:
    of = alone(page).runs[0]
    report = dataclasses.replace(of.report, tie_rate=0.25)
    tied = dataclasses.replace(alone(page), runs=(dataclasses.replace(of, report=report),))
    assert "25.0 % of the right answers share their score" in render(tied)


def test_same_runs_same_page(page: Page, html: str) -> None:
    assert render(page) == html


def test_large_tables_are_cut_and_say_so(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dans.report.page.RELATIONS", 2)
    assert "2 of 3 relations with test triples" in render(page)


def test_page_goes_beside_its_run_unless_told_otherwise(tmp_path: Path) -> None:
    assert destination([tmp_path]) == tmp_path / "report.html"
    assert destination([tmp_path, tmp_path]) == Path("report.html")
    assert destination([tmp_path], tmp_path / "mine.html") == tmp_path / "mine.html"
    for wrong, message in [("mine.png", "ends in .html"), ("none/mine.html", "folder that is")]:
        with pytest.raises(InputError, match=f"--out: expected a .*{message}"):
            destination([tmp_path], tmp_path / wrong)


@pytest.mark.slow
def test_script_writes_the_page_into_the_run(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "run")
    done = run("report.py", "run", "--triples", 3, "--split", "valid", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run/report.html\n"
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "valid · " in html
    assert "relations with validation triples" in html
    assert "on other" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere is not the folder of a run"),
        (["run", "--triples", "0"], "--triples: expected a whole number of at least 1, got '0'"),
    ],
)
def test_mistakes_end_in_one_sentence(
    runs: list[Path], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "run").symlink_to(runs[0])
    done = run("report.py", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
