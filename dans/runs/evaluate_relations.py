"""Evaluates the relations that trained runs predict."""

from pathlib import Path

from dans.config.reading import convert, to_python
from dans.config.schema import EvaluationConfig, RunConfig
from dans.data.graph import Split
from dans.errors import InputError
from dans.evaluation.evaluator import Unseen
from dans.evaluation.relation_ranking import Order, RelationReport, rank_relations
from dans.memory import stated
from dans.runs.evaluate_run import budget_of, report_name
from dans.runs.train import restore
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder

#: The regularizer that trains by relation queries, (h, ?, t).
BY_RELATIONS = "relation_prediction"


def order_of(config: RunConfig) -> Order:
    """How a run orders relations: by scores if its loss compares them, else by the posterior."""
    by_relations = any(part.name == BY_RELATIONS for part in config.regularizer)
    return "scores" if by_relations else "posterior"


@undisturbed()
def evaluate_relations(
    where: Path,
    *,
    split: Split = "test",
    which: Which = "best",
    unseen: Unseen = "rank",
    most: int = 0,
    seed: int = 0,
    memory_budget: str | int = "",
) -> RelationReport:
    """Rank the relation of every triple of a split, and write the report into the run's folder.

    The file is that of ``report_name`` with ``relations`` in its name. Arguments are as in
    ``dans.runs.evaluate_run.evaluate``.
    """
    stated(memory_budget)
    chosen = convert(to_python({"most": most, "seed": seed}), EvaluationConfig)
    trained = restore(where, which=which)
    if not len(trained.kg.split(split)):
        raise InputError(f"{trained.kg.name}: has no {split} triples")
    report = rank_relations(
        trained.kg,
        split,
        trained.model.decoder,
        trained.entities,
        unseen=unseen,
        most=most,
        seed=seed,
        budget=budget_of(where, trained, memory_budget),
        order=order_of(trained.config),
    )
    name = report_name(split=split, which=which, unseen=unseen, evaluation=chosen)
    about = {"checkpoint": which, "step": trained.step, "seed": trained.config.train.seed}
    name = name.replace("report", "report.relations", 1)
    RunFolder(where).write_json(name, {**report.to_json(), **about})
    return report
