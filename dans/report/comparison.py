"""Runs side by side without a page: metrics, conclusion, and whether they are as expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dans.config.reading import flat
from dans.config.schema import RunConfig
from dans.data.graph import Split
from dans.evaluation.evaluator import Evaluator
from dans.evaluation.text_table import aligned
from dans.report.conclusion import Ranked, conclusion, split_name
from dans.report.formatting import METRICS, four
from dans.report.gather import LETTERS, check_folders, loaded, short_names
from dans.runs.evaluate_run import budget_of
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which

#: Options that do not change what is trained, and the seed.
FREE = ("train.seed", "train.threads", "train.device", "train.memory_budget", "train.log_negatives")

#: Sections whose options differ in number: they are named as a whole.
SECTIONS = ("sampler.", "phase.", "regularizer.")

#: The metrics of the table.
SHOWN = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank")


@dataclass(frozen=True)
class Comparison:
    """Runs of one data set that ranked the same triples, in the order given, by their folders.

    ``differing`` are the options that not all of them have alike, as `differing` names them.
    """

    data: str
    runs: Mapping[Path, Ranked]
    differing: Sequence[str] = ()

    def lines(self) -> list[str]:
        """A table with a row for each run, the sentences of the conclusion, and what differs."""
        runs = list(self.runs.values())
        split = split_name(runs[0].report.split)
        rows = (
            [f"{run.letter} {run.name}", *(run.report.both[name] for name in SHOWN)] for run in runs
        )
        table = aligned([[split, *(METRICS[name] for name in SHOWN)], *rows])
        differ = [f"They differ in {', '.join(self.differing)}."] if self.differing else []
        return [*table, "", *conclusion(runs, self.data), *differ]


@undisturbed()
def compare(folders: Sequence[Path], *, split: Split = "test", which: Which = "best") -> Comparison:
    """Load runs and rank a split by each.

    Args:
        folders: of the runs, each once; later ones are compared with the first.
        which: best or last checkpoints.

    Raises:
        InputError: a folder is no run, or two runs were trained on different data.
    """
    check_folders(folders)
    names = short_names(folders)
    found: dict[Path, Ranked] = {}
    configs, data = [], ""
    for folder, trained in loaded(folders, which, split):
        evaluator = Evaluator(trained.kg, split, budget=budget_of(folder, trained))
        ranks = evaluator.ranks(trained.model.decoder, trained.entities)
        i, report = len(found), evaluator.report(ranks)
        found[folder] = Ranked(LETTERS[i], names[i], report, ranks)
        configs.append(trained.config)
        data = trained.kg.name
    return Comparison(data, found, differing(configs))


def differing(configs: Sequence[RunConfig]) -> list[str]:
    """The options in which runs differ and that matter; of samplers and phases, the section.

    Seeds, and where a run was trained, do not; of another run to start from, whether there is one.

    Example:
        >>> one = {"data": "umls", "encoder": "lookup", "decoder": "distmult", "loss": "logistic"}
        >>> other = {**one, "loss": "margin", "sampler": [{"name": "uniform", "k": 5}]}
        >>> differing([RunConfig.parse(one), RunConfig.parse(other)])
        ['loss.name', 'sampler']
    """
    plain = [{**dict(flat(one.plain())), "init_from": bool(one.init_from)} for one in configs]
    keys = dict.fromkeys(key for options in plain for key in options if key not in FREE)
    found = (key for key in keys if any(one.get(key) != plain[0].get(key) for one in plain))
    return sorted({key.split(".")[0] if key.startswith(SECTIONS) else key for key in found})


def recipe_of(folder: Path) -> tuple[str, str]:
    """Kind and name of the recipe that a run is of, by its folder.

    Example:
        >>> recipe_of(Path("runs/dans/umls-distmult/seed0"))
        ('dans', 'umls-distmult')
    """
    *_, kind, name, _ = ("", "", *folder.resolve().parts)
    return kind, name


def held(run: Ranked, expected: Mapping[str, Any] | None) -> tuple[bool | None, str]:
    """Whether a metric of a run is within the tolerance of its expected value, and a sentence.

    The first is None where nothing of the ranking is recorded.

    Args:
        expected: ``metric``, ``value``, ``tolerance``, and over how many ``seeds`` the value is a
            mean; None: no recipe of the run's name has a record.
    """
    if expected is None:
        return None, f"{run.name}: nothing is recorded for a run of this name."
    if expected["metric"] not in run.report.both:
        metric = expected["metric"].upper()
        where = "which dans evaluate shows and a ranking does not"
        return None, f"{run.name}: recorded is {metric} of labelled lines, {where}."
    metric, value, tolerance = expected["metric"], expected["value"], expected["tolerance"]
    found = run.report.both[metric]
    holds = abs(found - value) <= tolerance
    recorded = f"recorded are {four(value)} ± {four(tolerance)}, over {expected['seeds']} seeds"
    name = METRICS.get(metric, metric)
    said = f"{run.name}: {split_name(run.report.split)} {name} {four(found)}; {recorded}"
    return holds, f"{said}: {'as expected' if holds else 'missed'}."
