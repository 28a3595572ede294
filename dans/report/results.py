"""What came out: metrics, differences between runs, and where a model is good and where not."""

from collections.abc import Callable, Sequence

from dans.evaluation.calibration import CALIBRATIONS
from dans.report.breakdown import Part, Scores
from dans.report.curves import Curve
from dans.report.data_section import DEGREES, degree_classes
from dans.report.figures import Figures, behind
from dans.report.gather import Page
from dans.report.markup import Html, join, named, tag
from dans.report.report_tables import (
    NOTHING,
    Cell,
    best,
    chance,
    four,
    paragraph,
    signed,
    table,
    whole,
    words,
)
from dans.report.svg import lines, styles_of

#: Metrics of a report, by the name of a column; of the lower ones the least is the best.
COLUMNS = {
    "mrr": "MRR",
    "hits@1": "Hits@1",
    "hits@3": "Hits@3",
    "hits@10": "Hits@10",
    "ndcg@5": "NDCG@5",
    "mean_rank": "mean rank",
    "amri": "AMRI",
}
LOWEST = ("mean_rank",)
#: Digits behind the point, where they are not four.
DIGITS = {"mean_rank": 2}
#: Measures of classification, by the name of a column; the least is the best but for AUC.
CLASSIFIED = {"auc": "AUC", "nll": "NLL", "brier": "Brier", "ece": "ECE"}
#: Sides of a report, in words.
SIDES = {"both": "both", "heads": "heads", "tails": "tails"}

#: Relations listed at the most.
RELATIONS = 250

#: Above so many runs, a table with columns for each is small on paper; above these, smaller.
FEW, MANY = 2, 4

#: From here on ties say that something is wrong with the scores.
MANY_TIES = 0.01


def protocol(page: Page) -> str:
    """How the numbers were made, to stand beside them."""
    report = page.runs[0].report
    rule = report.protocol
    alone = len(page.runs) == 1
    steps = "; ".join(
        f"{'' if alone else f'{run.letter} '}step {run.step:,}, seed {run.config['train']['seed']}"
        for run in page.runs
    )
    chosen = {"best": "best on validation", "last": "last checkpoint"}[page.which]
    return (
        f"{report.split} · {whole(report.both['queries'])} queries, head and tail of each triple · "
        f"filtered by {', '.join(rule['filter'])} · ties {rule['ties']} · "
        f"unseen entities {rule['unseen_entities']} · {chosen}: {steps}"
    )


def metrics(page: Page) -> Html:
    """Every metric of every run, for heads, tails and both."""
    rows = []
    for side, title in SIDES.items():
        numbers = [getattr(run.report, side) for run in page.runs]
        marks = {
            key: best([of[key] for of in numbers], lowest=key in LOWEST, digits=DIGITS.get(key, 4))
            for key in COLUMNS
        }
        for i, (run, of) in enumerate(zip(page.runs, numbers, strict=True)):
            row = [words(again(title) if i else title)] + (
                [words(run.letter)] if len(page.runs) > 1 else []
            )
            row += [
                Cell(f"{of[key]:,.{DIGITS.get(key, 4)}f}".replace("-", "−"), strong=marks[key][i])
                for key in COLUMNS
            ]
            rows.append([*row, Cell(whole(of["queries"]))])
    head = ["side", *(["run"] if len(page.runs) > 1 else []), *COLUMNS.values(), "queries"]
    note = paragraph(
        "Heads: (?, r, t); tails: (h, r, ?). A tie counts half. AMRI is 1 for a perfect model and "
        "0 for a random one, whatever the number of candidates. NDCG@5 takes each query for one "
        "right answer.",
        classes="note",
    )
    numbers_of = table(protocol(page), head, rows)
    return join([flattery(page), numbers_of, note, *checks(page)])


def checks(page: Page) -> list[Html]:
    """Do the numbers agree with those kept, and may they be believed?"""
    kept = [
        tag("li", {"class": None if run.agrees else "warning"}, f"{mention(page, i)}{run.kept}")
        for i, run in enumerate(page.runs)
    ]
    ties = [
        paragraph(
            f"{mention(page, i)}{100 * run.report.tie_rate:.1f} % of the right answers share their "
            "score with a negative: look for a dead encoder or saturated scores.",
            classes="warning",
        )
        for i, run in enumerate(page.runs)
        if run.report.tie_rate > MANY_TIES
    ]
    return [tag("ul", None, *kept), *ties]


def flattery(page: Page) -> Html | None:
    """A warning where checkpoints are evaluated by what chose them."""
    if page.split != "valid" or page.which != "best":
        return None
    missing = ""
    if page.unjudged:
        several = len(page.runs) > 1
        who = f"{', '.join(page.unjudged)} of these runs" if several else "This run"
        missing = f" {who} is not evaluated on test yet: python scripts/evaluate.py RUN."
    return paragraph(
        "These numbers are of validation, which also chose the checkpoints: they flatter, and are "
        f"no result to report.{missing}",
        classes="warning",
    )


def classification(page: Page) -> Html | None:
    """How well true lines are told from false ones; None where none are labelled."""
    told = [(i, run.classification) for i, run in enumerate(page.runs) if run.classification]
    if not told:
        return None
    rows = []
    for kind in ("as is", *CALIBRATIONS):
        numbers = [of if kind == "as is" else of.get(kind, {}) for _, of in told]
        marks = {k: best([of.get(k) for of in numbers], lowest=k != "auc") for k in CLASSIFIED}
        right = best([of.get("accuracy") for of in numbers])
        for place, ((i, _), of) in enumerate(zip(told, numbers, strict=True)):
            if not of:
                continue
            row = [words(again(kind) if place else kind)]
            row += [words(page.runs[i].letter)] if len(page.runs) > 1 else []
            row += [Cell(four(of.get(k)), strong=marks[k][place]) for k in CLASSIFIED]
            row.append(Cell(four(of["accuracy"]) if "accuracy" in of else "", strong=right[place]))
            rows.append([*row, words(of.get("threshold", ""))])
    head = ["probability", *(["run"] if len(page.runs) > 1 else []), *CLASSIFIED.values()]
    note = paragraph(
        "As is: the sigmoid of the logit; Platt and isotonic: fitted on the lines of validation, "
        "as the threshold of each relation is. ECE: ten bins of equal width. Accuracy counts lines "
        "on the right side of their threshold, of the logit"
        f"{'; of validation itself these numbers flatter' if page.split == 'valid' else ''}.",
        classes="note",
    )
    return join([table(labelled(page), [*head, "accuracy", "threshold"], rows), note])


def labelled(page: Page) -> str:
    """How the numbers of a classification were made."""
    lines = page.traps.audit.splits[page.split]
    return (
        f"{page.split} · {whole(lines.lines)} labelled lines, {whole(lines.triples)} true · "
        f"no other negatives · {protocol(page).rsplit(' · ', 1)[1]}"
    )


def again(text: str) -> Html:
    """What the row above says too: there for those who hear a table, and not to be seen."""
    return tag("span", {"class": "again"}, text)


def between(letter: str, first: str) -> str:
    """One run minus another, on one line."""
    return f"{letter}\N{NO-BREAK SPACE}−\N{NO-BREAK SPACE}{first}"


def mention(page: Page, i: int) -> str:
    """``A: `` before what is said of a run, where there are several."""
    return f"{page.runs[i].letter}: " if len(page.runs) > 1 else ""


def differences(page: Page) -> Html | None:
    """Every later run minus the first, on the same queries and over seeds; None for one run."""
    if not page.pairs:
        return None
    first = page.runs[0].letter
    rows = [
        [
            words(again(between(letter, first)) if i else between(letter, first)),
            words(COLUMNS[gap.metric]),
            Cell(signed(gap.mean)),
            Cell(NOTHING if gap.low is None else f"{signed(gap.low)} to {signed(gap.high)}"),
            Cell(chance(gap.p)),
            Cell(whole(gap.better)),
            Cell(whole(gap.worse)),
        ]
        for letter, gaps in page.pairs.items()
        for i, gap in enumerate(gaps)
    ]
    triples = next(iter(page.pairs.values()))[0].triples
    head = ["runs", "metric", "difference", "95 % interval", "p", "better", "worse"]
    parts = [
        table(protocol(page), head, rows),
        paragraph(
            f"Paired over {whole(triples)} triples, a triple's two queries being one observation: "
            "interval and p by Student's t. Better and worse count queries. This compares two "
            "trained models; what another seed would give, it does not say. p is not corrected "
            "for the number of comparisons.",
            classes="note",
        ),
    ]
    return join([*parts, seeds(page)])


def seeds(page: Page) -> Html | None:
    """Differences of recipes, paired by seed; None where no two share two seeds."""
    rows = [
        [
            words(f"{', '.join(one.ours)} − {', '.join(one.theirs)}"),
            words(COLUMNS[metric]),
            Cell(signed(gap.mean)),
            Cell(four(gap.error)),
            Cell(chance(gap.p)),
            Cell(whole(gap.seeds)),
        ]
        for one in page.seeds
        for metric, gap in one.gaps.items()
    ]
    if not rows:
        return None
    head = ["recipes", "metric", "difference", "standard error", "p", "seeds"]
    return join([tag("h3", None, "Over seeds"), table(protocol(page), head, rows)])


def breakdown(
    page: Page,
    parts: Sequence[Part],
    what: str,
    *,
    name: Callable[[str], object] = str,
    sortable: bool = False,
) -> Html:
    """A row for some of the queries: what they are, how many, and how each run answers them."""
    about = list(parts[0].about)
    shown = ("mrr", "heads", "tails", "hits")
    rows = []
    for part in parts:
        marks = {key: best([getattr(of, key) for of in part.scores]) for key in shown}
        row = [words(name(part.name))]
        row += [
            Cell(whole(value)) if isinstance(value, int) else words(value)
            for value in part.about.values()
        ]
        row.append(Cell(whole(part.queries)))
        for i, of in enumerate(part.scores):
            row += [Cell(four(getattr(of, key)), strong=marks[key][i]) for key in shown]
        rows.append(row)
    several = len(page.runs) > 1
    groups = [("", len(about) + 2), *((run.letter, len(shown)) for run in page.runs)]
    return table(
        "" if sortable else protocol(page),
        [what, *about, "queries", *(["MRR", "heads", "tails", "Hits@10"] * len(page.runs))],
        rows,
        groups=groups if several else (),
        sortable=sortable,
        classes=" ".join(["named" * sortable, crowd(len(page.runs))]).strip(),
    )


def crowd(runs: int) -> str:
    """What a table with columns for so many runs is called, for it to fit on paper.

    Example:
        >>> crowd(1), crowd(4), crowd(8)
        ('', 'many', 'most')
    """
    return "most" if runs > MANY else "many" if runs > FEW else ""


def classes(page: Page) -> Html:
    """By class of relation."""
    note = paragraph(
        "A relation is 1-N where heads have 1.5 tails or more on average over the distinct "
        "training triples, N-1 where tails have as many heads, N-N where both (Bordes et al. 2013, "
        "§4.3).",
        classes="note",
    )
    return join([breakdown(page, page.classes, "class"), note])


def degrees(page: Page, figures: Figures) -> Html:
    """By training triples of the answer."""
    every = degree_classes()
    present = [part.name for part in page.degrees]
    starts = [f"{DEGREES[every.index(name)]:,}" for name in present]
    curves, several = [], len(page.runs) > 1
    for i, run in enumerate(page.runs):
        values: list[Scores] = [part.scores[i] for part in page.degrees]
        points = tuple((float(x), of.mrr) for x, of in enumerate(values) if of.mrr is not None)
        curves.append(Curve(run.letter if several else "", points, run=i))
    across, styles = "training triples of the answer, from", styles_of(curves, several=several)
    drawing = lines(curves, across=across, names=starts, styles=styles)
    picture = figures.add(
        drawing, "MRR by degree", behind=behind("MRR", curves, across, starts), classes="small"
    )
    note = paragraph(
        "The degree of a query's answer: how many distinct training triples hold it.",
        classes="note",
    )
    return join([breakdown(page, page.degrees, "degree"), note, picture])


def relations(page: Page) -> Html:
    """By relation."""
    shown = page.relations[:RELATIONS]
    note = paragraph(
        f"{whole(len(shown))} of {whole(len(page.relations))} relations with {page.split} triples, "
        f"those with most queries; a column's head sorts by it. Training triples count once. "
        f"{protocol(page)}.",
        classes="note",
    )
    return join([note, breakdown(page, shown, "relation", name=named, sortable=True)])
