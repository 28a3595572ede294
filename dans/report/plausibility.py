"""The ranking of relations and the least plausible training triples that a report shows."""

from dataclasses import dataclass

from dans.analysis.diversity import evenly
from dans.data.graph import Split
from dans.evaluation.relation_ranking import RelationReport, rank_relations
from dans.memory import Budget
from dans.predict import Predictor
from dans.predict.checking import CheckedTriple, check, encoder_of
from dans.report.explanations import MOST_TRIPLES
from dans.runs.evaluate_relations import order_of
from dans.runs.train import Trained

#: Triples whose relations are ranked: the most, and the fewest that are worth a table.
MOST, FEWEST = 2000, 100
#: Products of numbers that ranking relations may take, and scores that checking triples may: about
#: 12 and 4 seconds on one core. Decoders that are no matrix product are slower, by ``SLOWER``.
PRODUCTS, SCORES, SLOWER = 2 * 10**11, 10**8, 8
#: Least plausible triples that are listed.
LISTED = 10


@dataclass(frozen=True)
class Checked:
    """The least plausible of some training triples: of how many, and how many train has."""

    triples: list[CheckedTriple]
    checked: int
    training: int


def relations(
    trained: Trained, split: Split, *, budget: Budget | None = None
) -> RelationReport | str:
    """The ranking of the relations of a split, or of some of its triples; or why there is none."""
    kg = trained.kg
    each = 2 * kg.num_relations * kg.num_entities * trained.entities.shape[1]
    most = min(MOST, PRODUCTS // (each * _slower(trained)))
    if most < min(FEWEST, len(kg.split(split))):
        return (
            f"There is no ranking: it takes the scores of {kg.num_entities:,} entities by "
            f"{kg.num_relations:,} relations for each triple. The command dans evaluate "
            "--relations has it."
        )
    return rank_relations(
        kg,
        split,
        trained.model.decoder,
        trained.entities,
        most=most,
        budget=budget,
        order=order_of(trained.config),
    )


def least_plausible(trained: Trained, predictor: Predictor) -> Checked | str:
    """The least plausible training triples, of those that are checked; or why there are none.

    Checked are all, or as many as ``SCORES`` allows, evenly spaced.
    """
    train = trained.kg.train
    if len(train) > MOST_TRIPLES:
        return (
            f"There are none: the graph has {len(train):,} training triples, more than "
            f"{MOST_TRIPLES:,}. The command dans check lists them."
        )
    most = SCORES // (trained.kg.num_entities * _slower(trained))
    some = evenly(train, max(LISTED, most))
    found = check(predictor, some, top=LISTED, encode=encoder_of(trained))
    return Checked(found, len(some), len(train))


def _slower(trained: Trained) -> int:
    return 1 if trained.model.decoder.dot else SLOWER
