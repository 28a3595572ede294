"""The report as one self-contained HTML page, from templates."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import chain, count
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dans.analysis.diversity import GENERATED
from dans.config.reading import convert, flat
from dans.config.schema import EvaluationConfig
from dans.config.writing import check_file
from dans.data.graph import SPLITS
from dans.errors import InputError
from dans.evaluation.grouped_metrics import DEGREES, degree_classes
from dans.evaluation.sampled_ranking import stated
from dans.predict.picture import ROLES
from dans.report import explanations, formatting
from dans.report.conclusion import split_name
from dans.report.curves import Curve, begun
from dans.report.embedding_plot import EmbeddingPlot
from dans.report.gather import Page, RunSummary
from dans.report.mistakes import QUERIES, SAME
from dans.report.svg import LONGEST, MARGINS, SHAPES, SIZE, Figure, curve_chart, scatter, styles_of

#: Relations listed at the most.
RELATIONS = 250
#: Of the ranking of relations.
RELATION_METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank")


def render(page: Page) -> str:
    """The HTML of a report.

    Its content security policy allows the inline style and script, and no request.
    """
    style, script = asset("page.css"), asset("page.js")
    options = table_of([run.config for run in page.runs])
    trained_with = []
    for run in page.runs:
        size, seconds = formatting.whole(run.parameters), f"{run.seconds:.1f}"
        trained_with.append({**run.environment, "parameters": size, "seconds": seconds})
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            several=len(page.runs) > 1,
            protocol=protocol(page),
            validation=validation(page),
            figures=Figures.of(page),
            classified=[run for run in page.runs if run.classification],
            options=options,
            differing={key: values for key, values in options.items() if len(set(values)) > 1},
            trained_with=table_of(trained_with),
            relations_shown=RELATIONS,
            style=Markup(style),
            script=Markup(script),
            policy=(
                f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; "
                "base-uri 'none'; form-action 'none'"
            ),
        )
    )


@cache
def environment() -> Environment:
    """The template environment, which escapes all text."""
    environment = Environment(
        loader=PackageLoader("dans.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    for name in ["column", "digits", "four", "heading", "p_value", "percent", "signed", "whole"]:
        environment.filters[name] = getattr(formatting, name)
    environment.filters |= {"continued": continued, "split_name": split_name}
    for function in (explanations.curve, explanations.point, explanations.steps):
        environment.filters[function.__name__] = function
    environment.tests["as_generated"] = lambda origin: origin.endswith(GENERATED)
    environment.globals |= {
        "best": formatting.best,
        "metrics": formatting.METRICS,
        "made": made_of,
        "roles": ROLES,
        "shapes": SHAPES,
        "longest": LONGEST,
        "level_end": SIZE[0] - MARGINS[2],
        "relation_metrics": {k: formatting.METRICS[k] for k in RELATION_METRICS},
        "same": SAME,
        "most_queries": QUERIES,
    }
    return environment


def asset(name: str) -> str:
    """The text of a style or script."""
    return files("dans.report").joinpath("templates").joinpath(name).read_text("utf-8")


def digest(text: str) -> str:
    """The hash of an inline script or style, as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def protocol(page: Page) -> str:
    """The evaluation protocol in one line, for the captions of tables."""
    report = page.runs[0].report
    rule = report.protocol
    alone = len(page.runs) == 1
    steps = "; ".join(
        f"{'' if alone else f'{run.letter} '}step {run.step:,}, seed {run.config['train']['seed']}"
        for run in page.runs
    )
    chosen = {"best": "best on validation", "last": "last checkpoint"}[page.which]
    ties = {"realistic": "a tie counts half"}.get(rule["ties"], f"ties {rule['ties']}")
    unseen = {"ranked": "ranked too", "dropped": "left out"}[rule["unseen_entities"]]
    filtered = f"other true answers of {', '.join(rule['filter'])} left out"
    return (
        f"{report.split} · {report.both['queries']:,.0f} queries, head and tail of each triple · "
        f"{report.limits() or filtered} · {ties} · "
        f"entities that are not in train {unseen} · {chosen}: {steps}"
    )


def validation(page: Page) -> str:
    """How the validation triples were ranked in training, in a sentence, or in one for each run."""
    triples = page.data.audit.splits["valid"].triples
    filtered = f"other true answers of {', '.join(SPLITS)} left out"
    said = {}
    for run in page.runs:
        chosen = convert(run.config.get("evaluation", {}), EvaluationConfig)
        ranked = 2 * min(chosen.most or triples, triples)
        limited = stated(chosen, triples)
        how = limited or filtered
        said[run.letter] = f"{formatting.whole(ranked)} queries, {how}."
    if len(set(said.values())) == 1:
        return f"Validation: {said[page.runs[0].letter]}"
    each = " ".join(f"Validation of {letter}: {text}" for letter, text in said.items())
    return f"{each} These are different protocols: their numbers are not comparable."


def continued(run: RunSummary, *, several: bool) -> str:
    """What a run continued, in a sentence; empty where it started anew.

    It is called by its letter only on a page of several runs, where letters are introduced.
    """
    start = run.config.get("init_from", "")
    if not start:
        return ""
    # Of a folder, what tells it from others, not where it lies on a disk.
    start = "/".join(Path(start).parts[-3:])
    subject = run.letter if several else "This run"
    if run.before is None:
        return (
            f"{subject} continues from {start}, which is not there any more: its steps are "
            "counted from there."
        )
    said = f"{subject} continues from step {run.before:,} of {start}: its curves start there, "
    if not run.step:
        return f"{said}and its step 0, evaluated above, is the model it started from."
    return (
        f"{said}and its step {run.step:,}, evaluated above, is step {run.before + run.step:,} in "
        "all."
    )


def made_of(run: RunSummary) -> str:
    """Decoder, encoder and samplers of a run, or its objective where it has none."""
    config = run.config
    against = [part["name"] for part in config.get("sampler", [])] or [config["objective"]["name"]]
    return f"{config['decoder']['name']} on {config['encoder']['name']}, {' + '.join(against)}"


@dataclass(frozen=True)
class Figures:
    """The charts of a page, learning curves by group, embedding plots by letter of their run.

    ``hover`` has what the page's script shows at the pointer, by the id of a figure.
    """

    degrees: Figure
    training: dict[str, list[Figure]]
    embeddings: dict[str, Figure]
    calibration: list[Figure]
    hover: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, page: Page) -> "Figures":
        """Draw the charts of a page."""
        several = len(page.runs) > 1
        keys = (f"figure{i}" for i in count(1))
        degrees = _degree_chart(next(keys), page)
        training: dict[str, list[Figure]] = {}
        for group, charts in page.charts.items():
            training[group] = [
                curve_chart(
                    next(keys),
                    formatting.full(chart.title),
                    chart.curves,
                    drawn=begun(chart).curves,
                    note=begun(chart).note,
                    across="training step",
                    styles=styles_of(chart.curves, several=several),
                )
                for chart in charts
            ]
        embeddings = {
            run.letter: Figure(next(keys), "Map of embeddings (t-SNE)", scatter(run.embedding_plot))
            for run in page.runs
            if isinstance(run.embedding_plot, EmbeddingPlot)
        }
        calibration = [
            _reliability_chart(next(keys), f"Reliability{f' of {run.letter}' * several}", run)
            for run in page.runs
            if run.reliability
        ]
        every = [degrees, *chain(*training.values()), *embeddings.values(), *calibration]
        hover = {figure.key: figure.drawing.hover for figure in every}
        return cls(degrees, training, embeddings, calibration, hover)


def _degree_chart(key: str, page: Page) -> Figure:
    several = len(page.runs) > 1
    curves = []
    for i, run in enumerate(page.runs):
        values = enumerate(part.scores[i].mrr for part in page.degrees)
        points = tuple((float(x), mrr) for x, mrr in values if mrr is not None)
        curves.append(Curve(run.letter if several else "", points, run=i))
    every = degree_classes()
    starts = [f"{DEGREES[every.index(part.name)]:,}" for part in page.degrees]
    across, styles = "training triples of the answer, at least", styles_of(curves, several=several)
    # Its table is called by the metric alone.
    found = curve_chart(key, "MRR", curves, across=across, names=starts, styles=styles)
    return replace(found, title="Mean reciprocal rank (MRR) by degree")


def _reliability_chart(key: str, title: str, run: RunSummary) -> Figure:
    curves = []
    for name, of in run.reliability.items():
        bins = zip(of.probability, of.true, strict=True)
        curves.append(
            Curve(name, tuple((p, q) for p, q in bins if p is not None and q is not None))
        )
    errors = ", ".join(
        f"{name} {formatting.four(of.error)}" for name, of in run.reliability.items()
    )
    note = f"Share of true lines by probability. Expected calibration error (ECE): {errors}."
    return curve_chart(
        key, title, curves, across="probability that the model gives", note=note, diagonal=True
    )


def table_of(contents: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Options of runs by dotted key, a text for each run; sections stay together.

    Example:
        >>> table_of([{"dim": 4, "train": {"betas": [0.9, 0.99]}}, {"dim": 8}])
        {'dim': ['4', '8'], 'train.betas': ['0.9, 0.99', '']}
    """
    given = [{key: _text(value) for key, value in flat(content)} for content in contents]
    keys = list(dict.fromkeys(key for one in given for key in one))
    parts = list(dict.fromkeys(key.split(".")[0] for key in keys))
    keys.sort(key=lambda key: parts.index(key.split(".")[0]))
    return {key: [one.get(key, "") for one in given] for key in keys}


def _text(value: Any) -> str:
    """The value of an option as a recipe has it, without quotes and brackets."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def destination(folders: Sequence[Path], out: Path | None = None) -> Path:
    """The path of a report: ``out``, or in the folder of a single run, or in the current one.

    Raises:
        InputError: ``out`` does not end in ``.html``, or its folder does not exist.
    """
    if out is None:
        return folders[0] / "report.html" if len(folders) == 1 else Path("report.html")
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out: expected a name that ends in .html, got {out}")
    check_file("--out", out)
    return out
