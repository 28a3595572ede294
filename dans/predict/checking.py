"""Triples ordered by how plausible a trained model finds them, the least plausible first."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dans.config.reading import lines
from dans.errors import InputError
from dans.predict.predictor import Predictor
from dans.predict.queries import ScoredTriple


@dataclass(frozen=True)
class CheckedTriple:
    """A triple with its score and ranks, and its plausibility."""

    triple: ScoredTriple
    #: mean of the filtered reciprocal ranks of head and tail, above 0 and at most 1
    plausibility: float


def check(
    predictor: Predictor, triples: Iterable[tuple[str, str, str]] | None = None, *, top: int = 20
) -> list[CheckedTriple]:
    """The ``top`` triples that the model finds least plausible, the least plausible first.

    plausibility = (1 / head rank + 1 / tail rank) / 2, ranks filtered; of equal ones, the triple
    with the lower score comes first. Embeddings are those of the run: a training triple that sends
    messages in the encoder still does, and so supports itself.

    Args:
        triples: by name; None: those of train.
    """
    if top < 1:
        raise InputError(f"top: expected at least 1, got {top}")
    if triples is None:
        kg = predictor.kg
        names, relations = kg.entities, kg.relations
        triples = [(names[h], relations[r], names[t]) for h, r, t in kg.train.tolist()]
    found = [
        CheckedTriple(triple, (1 / triple.head_rank + 1 / triple.tail_rank) / 2)
        for triple in predictor.rank(triples)
        if triple.head_rank is not None and triple.tail_rank is not None
    ]
    return sorted(found, key=lambda one: (one.plausibility, one.triple.score))[:top]


def read_triples(path: Path) -> list[tuple[str, str, str]]:
    """Triples by name of a file, three columns separated by tabs; empty lines are skipped."""
    found = []
    for number, line in lines(path):
        if line.strip():
            names = line.split("\t")
            if len(names) != 3:
                raise InputError(
                    f"{path}:{number}: expected head, relation and tail, separated by tabs, "
                    f"got {len(names)} column{'s' * (len(names) != 1)}"
                )
            found.append((names[0], names[1], names[2]))
    if not found:
        raise InputError(f"{path}: no triple in it; expected head, relation and tail, by tabs")
    return found


def table(checked: Iterable[CheckedTriple]) -> str:
    """The checked triples as lines of tab-separated columns, with a header."""
    rows = ["plausibility\tscore\tprobability\thead\trelation\ttail"]
    for one in checked:
        triple = one.triple
        probability = "" if triple.probability is None else f"{triple.probability:.4f}"
        columns = (f"{one.plausibility:.4f}", f"{triple.score:.4f}", probability)
        rows.append("\t".join((*columns, triple.head, triple.relation, triple.tail)))
    return "\n".join(rows)
