"""What lies behind the numbers: the data, training, negatives, mistakes and options."""

from collections.abc import Mapping
from typing import Any

from dans.analysis.diversity import TRUTH
from dans.data.audit import SplitAudit
from dans.predict import Answer
from dans.report.curves import Curve, begun
from dans.report.embedding_plot import Cloud
from dans.report.figures import Figures
from dans.report.figures import behind as numbers_behind
from dans.report.gather import OfRun, Page
from dans.report.markup import Html, join, named, tag
from dans.report.mistakes import ASKED, SAME, Wrong
from dans.report.report_tables import Cell, four, items, paragraph, share, table, whole, words
from dans.report.results import COLUMNS, protocol
from dans.report.svg import field, lines, styles_of

#: Counts of a split, in words, each with what it is a share of; none for sizes.
TRAPS = {
    "triples": ("triples", ""),
    "relations": ("relations in use", ""),
    "negatives": ("lines that are denied", "lines"),
    "repeats": ("lines that repeat an earlier one", "lines"),
    "contradictions": ("triples both affirmed and denied", "lines"),
    "self_loops": ("self-loops", "lines"),
    "unseen_entities": ("entities that train lacks", ""),
    "triples_unseen": ("triples with such an entity", "triples"),
    "unseen_relations": ("relations that train lacks", ""),
    "in_train": ("triples that are in train too", "triples"),
    "reversed_in_train": ("triples in train with head and tail exchanged", "triples"),
    "linked_in_train": ("triples whose head train links to their tail", "triples"),
    "linked_back_in_train": ("triples whose tail train links to their head", "triples"),
}
#: What train says nothing of, being compared with itself.
NOT_OF_TRAIN = (
    "unseen_entities",
    "triples_unseen",
    "unseen_relations",
    "in_train",
    "linked_in_train",
)
#: Copies of relations listed at the most.
COPIES = 15

#: What is measured of a cloud, by the name of a column.
MEASURED = {
    "distinct": "distinct",
    "spread": "spread",
    "spread_within_query": "spread within a query",
    "to_nearest_true_tail": "to the nearest true tail",
    "auc_true tails": "AUC against true tails",
}
#: What of that is measured of the true tails, which stand for no query.
OF_TRUTH = ("distinct", "spread")


def data_set(page: Page) -> Html:
    """Its sizes, its leaks, and relations that repeat each other."""
    audit = page.traps.audit
    splits = audit.splits
    rows = []
    for key, (title, of) in TRAPS.items():
        if not any(getattr(split, key) for split in splits.values()):
            continue
        cells = []
        for name, split in splits.items():
            silent = name == "train" and key in NOT_OF_TRAIN
            cells.append(Cell("") if silent else _count(split, key, of))
        rows.append([words(title), *cells])
    sizes = (
        f"{audit.name}: {whole(audit.entities)} entities, {whole(audit.relations)} relations; "
        f"valid and test share {whole(audit.triples_in_valid_and_test)} triples"
    )
    classes = ", ".join(f"{name}: {count:,}" for name, count in page.traps.classes.items())
    return join(
        [
            table(sizes, ["", *splits], rows, classes="prose"),
            paragraph(f"Relations by class, on train: {classes}."),
            tag("h3", None, "Traps"),
            paragraph(
                "A triple can be answered by looking it up where train links its two entities "
                "already. Numbers on such triples say little about generalisation.",
            ),
            copies(page),
            items(audit.lines(), classes="fine"),
        ]
    )


def _count(split: SplitAudit, key: str, of: str) -> Cell:
    number = getattr(split, key)
    if not of or not number:
        return Cell(whole(number))
    return Cell(f"{whole(number)} ({share(number, getattr(split, of))})")


def copies(page: Page) -> Html:
    """Relations that another one repeats."""
    found = page.traps.copies
    if not found:
        return paragraph(
            "No relation repeats another, or itself backwards, in 80 % of its training triples."
        )
    rows = [
        [
            words(named(one.relation)),
            words(
                "is symmetric"
                if one.relation == one.other
                else join(["is the inverse of " if one.exchanged else "repeats ", named(one.other)])
            ),
            Cell(share(one.share, 1)),
            Cell(whole(one.triples)),
        ]
        for one in found[:COPIES]
    ]
    caption = (
        f"Relations of which another holds 80 % or more of the training triples: {len(rows)} of "
        f"{len(found)}, the most complete first"
    )
    head = ["relation", "", "of its triples", "triples"]
    return table(caption, head, rows, classes="named")


def training(page: Page, figures: Figures) -> Html | None:
    """Curves of validation, of the loss's terms and of the sampler's diagnosis."""
    titles = {
        "validation": "Validation",
        "loss": "Terms of the loss, and of the sampler's own phases",
        "sampler": "Diagnosis of the sampler",
    }
    parts: list[Html] = []
    for group, charts in page.charts.items():
        drawn = []
        for chart in charts:
            shown = begun(chart)
            styles = styles_of(chart.curves, several=len(page.runs) > 1)
            title = heading(chart.title)
            drawn.append(
                figures.add(
                    lines(shown.curves, across="step", styles=styles),
                    title,
                    shown.note,
                    behind=numbers_behind(title, chart.curves, "step"),
                )
            )
        parts += [tag("h3", None, titles[group]), tag("div", {"class": "grid"}, *drawn)]
    if not parts:
        return None
    valid = 2 * page.traps.audit.splits["valid"].triples
    rule = page.runs[0].report.protocol
    judged = "; ".join(
        f"{'' if len(page.runs) == 1 else f'{run.letter} '}step {run.step:,}" for run in page.runs
    )
    note = paragraph(
        f"Validation: {whole(valid)} queries, filtered by {', '.join(rule['filter'])}, ties "
        f"{rule['ties']}, unseen entities {rule['unseen_entities']}. Checkpoint evaluated above: "
        f"{judged}.",
        classes="note",
    )
    return join([note, *parts])


def heading(name: str) -> str:
    """The name of a number, as a person writes it.

    Example:
        >>> heading("hits@10"), heading("discriminator_auc"), heading("l2")
        ('Hits@10', 'discriminator AUC', 'l2')
    """
    if name in COLUMNS:
        return COLUMNS[name]
    return " ".join(word.upper() if word in ("auc", "nll") else word for word in name.split("_"))


def diversity(page: Page, figures: Figures) -> Html:
    """Where each run's negatives lie, beside what they stand in for."""
    parts = [
        tag("h3", None, title) if (title := run_title(page, run)) else None for run in page.runs
    ]
    drawn = [
        paragraph(run.cloud) if isinstance(run.cloud, str) else picture(run.cloud, figures)
        for run in page.runs
    ]
    return join(part for pair in zip(parts, drawn, strict=True) for part in pair)


def picture(cloud: Cloud, figures: Figures) -> Html:
    """One run's cloud, and its numbers."""
    counts = [len(group) for group in cloud.points.values()]
    drawn = [
        f"{len(group):,} of {cloud.drawn[name]:,} {name}"
        for name, group in cloud.points.items()
        if len(group) < cloud.drawn[name]
    ]
    note = join(
        [
            "The true tails of ",
            named(cloud.relation),
            f", and negatives drawn against {cloud.triples:,} of its {cloud.of:,} training lines"
            f"{'; shown are ' + ', '.join(drawn) if drawn else ''}. t-SNE keeps neighbours "
            "together; distances between groups mean little.",
        ]
    )
    rows = [
        [words(name), Cell(whole(cloud.drawn[name])), Cell(whole(of["points"] or 0))]
        + [Cell(four(of.get(key)) if name != TRUTH or key in OF_TRUTH else "") for key in MEASURED]
        for name, of in cloud.numbers.items()
    ]
    caption = (
        "In the model's own space, before projection; of all negatives as many are measured, in "
        "every run, evenly spread, and within a query all that were drawn. Spread: mean distance "
        "of two points; AUC: of a linear probe, 0.5 where groups cannot be told apart"
    )
    behind = table(caption, ["origin", "drawn", "measured", *MEASURED.values()], rows)
    figure = figures.add(field(cloud), "t-SNE", note, counts=counts, classes="wide")
    return join([figure, behind])


def mistakes(page: Page) -> Html:
    """The worst answers of each run, and unknown triples that it believes."""
    parts = [
        tag("div", {"class": "tab", "data-tab": run.letter}, *mistakes_of(page, run))
        for run in page.runs
    ]
    several = len(page.runs) > 1
    return tag("div", {"class": "tabs"}, *parts) if several else join(parts)


def mistakes_of(page: Page, run: OfRun) -> list[Html]:
    """Those of one run."""
    title = run_title(page, run)
    parts = [tag("h3", {"class": "tab-title"}, title)] if title else []
    parts.append(tag("h3", None, "Worst answers"))
    if run.worst:
        rows = [_wrong(one) for one in run.worst]
        head = ["query", "right answer", "rank", "of", "degree", "the model's first answers"]
        parts += [
            table(protocol(page), head, rows, classes="roomy"),
            paragraph(
                "The queries whose right answer ranks last, equal queries once and at most "
                f"{SAME} of one relation and side. Known answers (marked by their split) leave the "
                "race before the rank is counted. Degree: training triples that hold the right "
                "answer. Numbers behind names are logits.",
                classes="note",
            ),
        ]
    else:
        parts.append(paragraph("Every right answer ranks first."))
    parts.append(tag("h3", None, "Believed, and in no split: triples that may be missing"))
    rows = [
        [words(triple(one.head, one.relation, one.tail)), words(one.asked), Cell(four(one.score))]
        + ([] if one.probability is None else [Cell(four(one.probability))])
        for one in run.missing
    ]
    head = ["triple", "asked for", "score"]
    if run.missing and run.missing[0].probability is not None:
        head.append("probability")
    caption = (
        f"The highest scores among unknown answers to {whole(run.asked)} {page.split} queries"
        f"{' (evenly spread, ' + whole(ASKED) + ' a side)' if run.asked >= 2 * ASKED else ''}, two "
        "to a query at the most. A score is a logit"
    )
    parts.append(table(caption, head, rows) if rows else paragraph("There is none."))
    return parts


def _wrong(one: Wrong) -> list[Cell]:
    answers = tag("ol", {"class": "answers"}, *(tag("li", None, answer(a)) for a in one.answers))
    return [
        words(triple(*one.query.parts)),
        words(join([named(one.right), " ", logit(one.score)])),
        Cell(f"{one.rank:,.0f}" if one.rank == int(one.rank) else f"{one.rank:,.1f}"),
        Cell(whole(one.candidates)),
        Cell(whole(one.degree)),
        words(answers),
    ]


def triple(head: str | None, relation: str | None, tail: str | None) -> Html:
    """A triple, or a query with None for what it asks."""
    h, r, t = (
        tag("b", None, "?") if name is None else named(name) for name in (head, relation, tail)
    )
    between = tag("span", {"class": "relation"}, r)
    return tag("span", {"class": "triple"}, h, " ", between, " ", t)


def answer(one: Answer) -> Html:
    """An entity, its score, and the splits that know the triple it makes."""
    chips = [tag("span", {"class": "chip"}, split) for split in one.known]
    return join([named(one.name), " ", logit(one.score), *chips])


def logit(score: float) -> Html:
    """A score behind a name."""
    return tag("span", {"class": "score"}, f"{score:.2f}".replace("-", "−"))


def run_title(page: Page, run: OfRun) -> Html | None:
    """What stands above what is said of one run; nothing where there is but one."""
    if len(page.runs) == 1:
        return None
    return join([tag("span", {"class": "letter"}, run.letter), " ", named(run.name)])


def calibration(page: Page, figures: Figures) -> Html | None:
    """Do probabilities hold? None where no run has calibrated ones."""
    drawn = []
    for run in page.runs:
        if not run.reliability:
            continue
        curves = [
            Curve(
                name,
                tuple(
                    (p, q)
                    for p, q in zip(of.probability, of.true, strict=True)
                    if p is not None and q is not None
                ),
            )
            for name, of in run.reliability.items()
        ]
        errors = ", ".join(f"{name} {four(of.error)}" for name, of in run.reliability.items())
        title = f"Reliability{' of ' + run.letter if len(page.runs) > 1 else ''}"
        drawing = lines(curves, across="probability", diagonal=True)
        note = f"Share of true lines by probability. Expected calibration error: {errors}."
        behind = numbers_behind(title, curves, "probability")
        drawn.append(figures.add(drawing, title, note, behind=behind))
    if not drawn:
        return None
    lines_of = paragraph(
        f"Labelled lines of {page.split}, in ten bins of equal width; calibrated on validation. "
        "What holds lies on the diagonal.",
        classes="note",
    )
    return join([lines_of, tag("div", {"class": "grid"}, *drawn)])


def configuration(page: Page) -> Html:
    """Options and surroundings, run beside run; what differs stands first."""
    options = [dict(flat(run.config)) for run in page.runs]
    around = [dict(flat(run.environment)) for run in page.runs]
    learnt = [{"parameters": whole(r.parameters), "seconds": f"{r.seconds:.1f}"} for r in page.runs]
    made = _options(page, [{**a, **b} for a, b in zip(around, learnt, strict=True)], what="")
    every = _options(page, options)
    if len(page.runs) > 1:
        differ = _options(page, options, alike=False)
        summary = tag("summary", None, "All options")
        every = join([differ, tag("details", None, summary, every)])
    return join([every, tag("h3", None, "Made with"), made])


def _options(
    page: Page, given: list[dict[str, str]], what: str = "option", *, alike: bool = True
) -> Html:
    """A row for each option; only for those that differ, unless those alike are wanted too."""
    keys = list(dict.fromkeys(key for one in given for key in one))
    parts = list(dict.fromkeys(key.split(".")[0] for key in keys))
    rows = []
    for key in sorted(keys, key=lambda key: parts.index(key.split(".")[0])):
        values = [one.get(key, "") for one in given]
        differs = len(set(values)) > 1
        if alike or differs:
            rows.append([words(key), *(Cell(v, number=False, strong=differs) for v in values)])
    heads = [run.letter for run in page.runs] if len(page.runs) > 1 else ["value"]
    if not rows:
        return paragraph("No option differs.")
    caption = "" if alike else "Options that differ"
    return table(caption, [what, *heads], rows, classes="options")


def flat(content: Mapping[str, Any] | list[Any], before: str = "") -> list[tuple[str, str]]:
    """Nested options as dotted keys and texts.

    Example:
        >>> flat({"sampler": [{"name": "uniform", "k": 20}], "betas": [0.9, 0.99]})
        [('sampler.0.name', 'uniform'), ('sampler.0.k', '20'), ('betas', '0.9, 0.99')]
    """
    found: list[tuple[str, str]] = []
    entries = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in entries:
        nested = isinstance(value, Mapping) or (
            isinstance(value, list) and any(isinstance(one, (Mapping, list)) for one in value)
        )
        if nested:
            found += flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            found.append((f"{before}{key}", ", ".join(map(str, value))))
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found.append((f"{before}{key}", text))
    return found
