"""A table of results beside those of the papers."""

import statistics
from collections.abc import Mapping, Sequence

from dans.analysis.tables import Results, cell, short
from dans.errors import InputError


def beside(
    results: Mapping[str, Results],
    metrics: Sequence[str],
    papers: Mapping[str, Mapping[str, float]],
) -> str:
    """A Markdown table of recipes, the papers' numbers in brackets.

    Args:
        results: by recipe.
        metrics: the columns, such as ``mrr`` or ``platt.nll``.
        papers: by recipe, the paper's numbers by metric.

    Raises:
        InputError: no recipe has a metric.

    Example:
        >>> result = Results({0: {"mrr": 0.45}}, {}, {0: 9.0})
        >>> print(beside({"ours": result}, ["mrr"], {"ours": {"mrr": 0.438}}))
        | recipe | mrr | seeds | s |
        |---|---:|---:|---:|
        | ours | .450 (.438) | 1 | 9 |
    """
    for metric in metrics:
        if not any(result.numbers(metric) for result in results.values()):
            known = sorted({name for r in results.values() for b in r.best.values() for name in b})
            known += sorted(
                {name for r in results.values() for c in r.classified.values() for name in c}
            )
            raise InputError(f"--metrics {metric}: known: {', '.join(known)}")
    head = ["recipe", *metrics, "seeds", "s"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for recipe in sorted(results):
        result, cells = results[recipe], [recipe]
        for metric in metrics:
            ours, theirs = result.numbers(metric), papers.get(recipe, {}).get(metric)
            text = cell(ours) if ours else "–"
            cells.append(text if theirs is None else f"{text} ({short(theirs)})")
        seconds = statistics.fmean(result.seconds.values())
        lines.append("| " + " | ".join([*cells, str(len(result.best)), f"{seconds:.0f}"]) + " |")
    return "\n".join(lines)
