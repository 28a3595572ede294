"""The conclusion of a comparison of runs, in plain sentences."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dans.analysis.tables import holm, with_letter
from dans.errors import InputError
from dans.evaluation.adjusted import reciprocal_moments
from dans.evaluation.evaluator import EvaluationReport, Ranks
from dans.report.formatting import four, p_value, percent, signed, whole
from dans.report.paired import Gap, gaps

#: A difference is significant if its p value, corrected for the number of comparisons, is smaller.
LEVEL = 0.05

#: Shares of queries that are compared beside the MRR, and named where significant.
SHARES = {"hits@1": "first", "hits@10": "among the first ten"}


@dataclass(frozen=True)
class Ranked:
    """A run whose split was ranked: its letter and its name, its report, and its ranks."""

    letter: str
    name: str
    report: EvaluationReport
    ranks: Ranks

    @property
    def mrr(self) -> float:
        """MRR of both sides."""
        return self.report.selection_metric

    @property
    def mark(self) -> str:
        """What stands for the run in a sentence until ``named``."""
        return f"\0{self.letter}"


@dataclass(frozen=True)
class Pair:
    """Two runs, and their differences by metric, ours minus theirs; p values are corrected."""

    ours: Ranked
    theirs: Ranked
    gaps: tuple[Gap, ...]

    @property
    def mrr(self) -> Gap:
        """The difference of the MRR."""
        return next(gap for gap in self.gaps if gap.metric == "mrr")


def conclusion(runs: Sequence[Ranked], data: str) -> tuple[str, ...]:
    """Which run is best, by how much, and whether significantly; then the protocol.

    One run is compared with random order. Of several, every later run is compared with the first,
    and the best with the second best, by the tests of ``dans.report.paired``; p values are
    corrected by ``holm`` over these comparisons of the MRR, and those of other metrics likewise.
    Sentences call runs by their letters, and give their names at the first.

    Args:
        runs: those of one data set, which ranked the same triples.
        data: the name of the data set.

    Raises:
        InputError: two runs were ranked by different protocols.
    """
    for run in runs[1:]:
        if run.report.protocol != runs[0].report.protocol:
            ours, theirs = (of.report.limits() or "all ranked" for of in (run, runs[0]))
            raise InputError(f"{run.name}: {ours}; {runs[0].name}: {theirs}; not comparable")
    if len(runs) == 1:
        return alone(runs[0], data), protocol(runs[0], 0)
    found = pairs(runs)
    best = max(runs, key=lambda run: run.mrr)
    said = [sentence(pair) for pair in found]
    if len(runs) > 2:
        split = split_name(best.report.split)
        said.insert(0, f"{best.mark} has the highest {split} MRR, {four(best.mrr)}.")
    return *named(said, runs), protocol(runs[0], len(found))


def named(sentences: Sequence[str], runs: Sequence[Ranked]) -> list[str]:
    """Sentences with letters for marks, and the name behind each letter's first."""
    names = {run.letter: f" ({run.name})" for run in runs}

    def letter(mark: re.Match[str]) -> str:
        return mark[1] + names.pop(mark[1], "")

    return [re.sub(r"\0(.)", letter, one) for one in sentences]


def pairs(runs: Sequence[Ranked]) -> list[Pair]:
    """The comparisons made: best and second best if neither is the first, then the others.

    The first run stands second in its pairs.
    """
    first, *later = runs
    best, second = sorted(runs, key=lambda run: -run.mrr)[:2]
    chosen = [(run, first) for run in later]
    if first not in (best, second):
        chosen.insert(0, (best, second))
    every = [gaps(one.ranks, other.ranks) for one, other in chosen]
    corrected = [_corrected(column) for column in zip(*every, strict=True)]
    rows = zip(chosen, zip(*corrected, strict=True), strict=True)
    return [Pair(one, other, tuple(row)) for (one, other), row in rows]


def _corrected(of_one_metric: Sequence[Gap]) -> list[Gap]:
    """Gaps with Holm's p values; nan stays nan."""
    adjusted = holm([gap.test.p for gap in of_one_metric])
    return [
        gap if math.isnan(gap.test.p) else replace(gap, test=replace(gap.test, p=p))
        for gap, p in zip(of_one_metric, adjusted, strict=True)
    ]


def sentence(pair: Pair) -> str:
    """Whether one run is better than another, by how much, and what else differs significantly."""
    ours, theirs, test = pair.ours, pair.theirs, pair.mrr.test
    if test.mean < 0:
        better, worse, low, high = theirs, ours, test.high, test.low
        low, high = (None if end is None else -end for end in (low, high))
    else:
        better, worse, low, high = ours, theirs, test.low, test.high
    numbers = f"{split_name(ours.report.split)} MRR {four(better.mrr)} against {four(worse.mrr)}"
    if math.isnan(test.p) or low is None or high is None:
        if test.mean == 0:
            return (
                f"{ours.mark} and {theirs.mark} have the same {numbers.partition(' against')[0]}."
            )
        return f"{better.mark} is above {worse.mark}, untested: {numbers}."
    tested = f"95 % interval {signed(low)} to {signed(high)}, {with_letter(p_value(test.p))}"
    difference = f"a difference of {four(abs(test.mean))}"
    verb = f"is{' not' * (test.p >= LEVEL)} significantly better than"
    said = f"{better.mark} {verb} {worse.mark}: {numbers}, {difference} ({tested})"
    return f"{said}{_shares(pair, better)}."


def _shares(pair: Pair, better: Ranked) -> str:
    """Significant differences of shares that do not follow from that of the MRR."""
    said = ""
    for gap in pair.gaps:
        ahead, behind = (pair.ours, pair.theirs)[:: 1 if gap.test.mean > 0 else -1]
        agrees = pair.mrr.test.p < LEVEL and ahead is better
        if gap.metric in SHARES and gap.test.p < LEVEL and not agrees:
            one, other = (percent(run.report.both[gap.metric]) for run in (ahead, behind))
            place = SHARES[gap.metric]
            said += ", and" if said else "; but"
            said += f" {ahead.mark} ranks the right answer {place} in {one} of the queries, "
            said += f"{behind.mark} in {other} ({with_letter(p_value(gap.test.p))})"
    return said


def alone(run: Ranked, data: str) -> str:
    """How good one run is, beside random order."""
    both = run.report.both
    return (
        f"This model ranks the right answer first in {percent(both['hits@1'])} of the "
        f"{whole(both['queries'])} {split_name(run.report.split)} queries of {data}, and among the "
        f"first ten in {percent(both['hits@10'])}. Its mean reciprocal rank (MRR) is "
        f"{four(run.mrr)}; 1 is perfect, and random order gives {four(random_mrr(run.ranks))}."
    )


def random_mrr(ranks: Ranks) -> float:
    """The expected MRR of random order: the mean of H_n / n over queries with n candidates.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 2, dtype=torch.int64)
        >>> random_mrr(Ranks(torch.zeros(1, 3), one, one, 2 * one))
        0.75
    """
    means, _ = reciprocal_moments(ranks.candidates.double())
    return round(float(means.mean()), 6)


def protocol(run: Ranked, comparisons: int) -> str:
    """How was ranked and tested, in a sentence."""
    rule, limited = run.report.protocol, run.report.limits()
    left_out = f", other true answers of {', '.join(rule['filter'])} left out"
    ranked = (
        f"{split_name(run.report.split).capitalize()} triples: {limited}"
        if limited
        else f"Ranked are all entities as head and as tail of {whole(len(run.ranks.triples))} "
        f"{split_name(run.report.split)} triples{left_out}"
    )
    if not comparisons:
        return f"{ranked}."
    holm_too = f", corrected for {comparisons} comparisons (Holm)" if comparisons > 1 else ""
    return (
        f"{ranked}; p is of a paired t-test over these triples{holm_too}. This compares trained "
        "models, not methods: another seed may give another order."
    )


def split_name(split: str) -> str:
    """The name of a split in a sentence."""
    return {"valid": "validation", "train": "training"}.get(split, split)
