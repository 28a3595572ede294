"""Ask a trained run: ranked answers by name, scores and probabilities of triples."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import compress, islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.errors import InputError, shown
from dans.evaluation.calibration import CALIBRATIONS, Calibration
from dans.evaluation.classifier import logits
from dans.evaluation.evaluator import MANY, score_all
from dans.evaluation.ranking import rank
from dans.memory import Budget, stated
from dans.models.decoders import Decoder, Multilinear
from dans.models.decoders.costs import query_cost, score_cost
from dans.models.model import eval_mode
from dans.predict.queries import PARTS, Answer, LabelledTriple, Part, Query
from dans.registry import choose
from dans.runs.evaluate import budget_of, has_both, kept_or_fitted
from dans.runs.train import Trained, load
from dans.training.checkpoint_store import Which

log = logging.getLogger(__name__)

T = TypeVar("T")


class Predictor:
    """A model that answers queries by name. Load it once, ask it as often as you like.

    Queries that are asked together are scored together, and never more scores are held at a time
    than the budget allows. In a list of answers, the smaller id comes first of equal scores; in the
    rank of a triple, ties count half, as in evaluation. Known are the triples of all splits; a line
    that is labelled false is none.

    Args:
        kg: the triples and their names.
        decoder: scores triples of embeddings.
        entities: (n, d) their embeddings; the work is done on their device.
        calibration: from scores to probabilities; None: there are none.
        budget: what may be held at a time; None: a quarter of what is free.
        about: what this is, in a line for a person.

    Example:
        >>> from dans.models.decoders import DistMult
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "cy")])
        >>> decoder, entities = DistMult(num_relations=1, dim=1), torch.tensor([[1.], [2], [3]])
        >>> _ = decoder.relation.weight.data.fill_(1)
        >>> ask = Predictor(kg, decoder, entities)
        >>> for answer in ask.tails("ada", "knows", top=2):
        ...     answer.rank, answer.name, answer.score, answer.known
        (1, 'cy', 3.0, ())
        (2, 'bob', 2.0, ('train',))
        >>> ask.rank([("ada", "knows", "bob")])[0].tail_rank
        2.0
        >>> ask.heads("knows", "bop")
        Traceback (most recent call last):
        dans.errors.InputError: tail: unknown name 'bop'; did you mean 'bob'?
    """

    def __init__(
        self,
        kg: KnowledgeGraph,
        decoder: Decoder,
        entities: Tensor,
        *,
        calibration: Calibration | None = None,
        budget: Budget | None = None,
        about: str = "",
    ) -> None:
        self.kg, self.decoder, self.entities = kg, decoder, entities
        self.calibration, self.about = calibration, about
        self.budget = Budget(device=entities.device) if budget is None else budget

    @classmethod
    def load(
        cls,
        where: str | Path,
        *,
        which: Which = "best",
        method: str = "platt",
        memory_budget: str | int = "",
    ) -> "Predictor":
        """Bring a trained run back to be asked.

        Args:
            where: its folder.
            which: its best or its last checkpoint.
            method: the calibration, ``platt`` or ``isotonic``, where the run has one: kept in its
                folder by ``dans.runs.evaluate.evaluate``, or fitted now if validation lines are
                labelled.
            memory_budget: what may be held at a time, as ``train.memory_budget`` has it; empty: as
                in training.

        Raises:
            InputError: there is no such run, it belongs to other triples, no such calibration, or
                no such size.
        """
        choose(CALIBRATIONS, method, where="method")
        stated(memory_budget)
        trained = load(Path(where), which=which)
        config = trained.config
        return cls(
            trained.kg,
            trained.model.decoder,
            trained.entities,
            calibration=_calibration(Path(where), trained, which, method),
            budget=budget_of(Path(where), trained, memory_budget),
            about=f"{where}: {trained.kg.name}, {config.encoder.name} and {config.decoder.name}, "
            f"{which} checkpoint, step {trained.step}",
        )

    def tails(
        self, head: str, relation: str, *, top: int = 10, new_only: bool = False
    ) -> list[Answer]:
        """Who answers (h, r, ?); see ``ask``."""
        return self.ask([Query(head, relation)], top=top, new_only=new_only)[0]

    def heads(
        self, relation: str, tail: str, *, top: int = 10, new_only: bool = False
    ) -> list[Answer]:
        """Who answers (?, r, t); see ``ask``."""
        query = Query(relation=relation, tail=tail)
        return self.ask([query], top=top, new_only=new_only)[0]

    def relations(
        self, head: str, tail: str, *, top: int = 10, new_only: bool = False
    ) -> list[Answer]:
        """Which relations hold between two entities, (h, ?, t); see ``ask``.

        Scores of different relations compare as far as training made them: it mostly does not. With
        reciprocal relations, the score is that of (h, r, t) read forwards.
        """
        query = Query(head=head, tail=tail)
        return self.ask([query], top=top, new_only=new_only)[0]

    @torch.no_grad()
    def ask(
        self, queries: Sequence[Query], *, top: int = 10, new_only: bool = False
    ) -> list[list[Answer]]:
        """The best answers to each of some queries, the best first.

        With reciprocal relations, a list shows the score of the side that was asked, while
        probabilities are of the mean of both.

        Args:
            queries: each with one part left open.
            top: how many answers to each.
            new_only: leave out the triples that are known, of all splits.

        Raises:
            InputError: an unknown name, a whole triple among the queries, or ``top`` below 1.
            FloatingPointError: a score is not finite; the model has diverged.
        """
        if top < 1:
            raise InputError(f"top: expected at least 1, got {top}")
        numbers = [self.ids(query) for query in queries]
        ids = torch.tensor(numbers, dtype=torch.int64).view(-1, 3)
        if any(query.asked is None for query in queries):
            raise InputError("queries: nothing is asked of a whole triple; score it instead")
        found: list[list[Answer]] = [[] for _ in queries]
        for column in range(3):
            rows = (ids[:, column] < 0).nonzero().flatten()
            lists = self._lists(ids[rows], column, top, new_only)
            for row, answers in zip(rows.tolist(), lists, strict=True):
                found[row] = answers
        return found

    def score(self, triples: Iterable[tuple[str, str, str]]) -> list[LabelledTriple]:
        """Score triples by name: head, relation, tail each.

        Raises:
            InputError: an unknown name; the message says in which of them.
            FloatingPointError: a score is not finite; the model has diverged.
        """
        return self._triples(self._numbered(triples))

    @torch.no_grad()
    def rank(self, triples: Iterable[tuple[str, str, str]]) -> list[LabelledTriple]:
        """As ``score``, and where each head and tail comes in among all entities.

        Raises:
            InputError: an unknown name; the message says in which of them.
            FloatingPointError: a score is not finite; the model has diverged.
        """
        ids = self._numbered(triples)
        ranks = (self._ranks(ids, column).tolist() for column in (0, 2))
        return [
            replace(triple, head_rank=head, tail_rank=tail)
            for triple, head, tail in zip(self._triples(ids), *ranks, strict=True)
        ]

    def ids(self, query: Query) -> tuple[int, int, int]:
        """The ids of its names, −1 for the part that is asked.

        Raises:
            InputError: an unknown name; the message offers near spellings.
        """
        head, relation, tail = (
            self._id(part, name) for part, name in zip(PARTS, query.parts, strict=True)
        )
        return head, relation, tail

    def _id(self, part: Part, name: str | None) -> int:
        if name is None:
            return -1
        try:
            return (self.kg.relations if part == "relation" else self.kg.entities).index(name)
        except InputError as error:
            raise InputError(f"{part}: {error}") from None

    def _numbered(self, triples: Iterable[tuple[str, str, str]]) -> Tensor:
        """Triples by name as ids, (f, 3)."""
        ids = []
        for i, triple in enumerate(triples):
            if isinstance(triple, str) or len(triple) != 3 or None in triple:
                raise InputError(f"triples[{i}]: expected three names, got {shown(triple)}")
            try:
                ids.append(self.ids(Query(*triple)))
            except InputError as error:
                raise InputError(f"triples[{i}]: {error}") from None
        return torch.tensor(ids, dtype=torch.int64).view(-1, 3)

    def _triples(self, ids: Tensor) -> list[LabelledTriple]:
        scores = self._logits(ids)
        entities, relations = self.kg.entities, self.kg.relations
        columns = scores.tolist(), self._probabilities(scores), self._splits(ids)
        return [
            LabelledTriple(entities[h], relations[r], entities[t], score, probability, known)
            for (h, r, t), score, probability, known in zip(ids.tolist(), *columns, strict=True)
        ]

    def _logits(self, ids: Tensor) -> Tensor:
        scores = logits(self.decoder, self.entities, ids, budget=self.budget)
        if not scores.isfinite().all():
            raise FloatingPointError("a score is no finite number; the model has no answer")
        return scores

    def _probabilities(self, scores: Tensor) -> Sequence[float | None]:
        if self.calibration is None:
            return [None] * len(scores)
        return self.calibration.probabilities(scores).tolist()

    def _splits(self, ids: Tensor) -> list[tuple[Split, ...]]:
        """The splits that hold each of some triples, (f, 3) ids."""
        known = [self.kg.known((split,)).is_known(ids).tolist() for split in SPLITS]
        return [tuple(compress(SPLITS, held)) for held in zip(*known, strict=True)]

    def _lists(self, ids: Tensor, column: int, top: int, new_only: bool) -> Iterator[list[Answer]]:
        """The answers to queries, (q, 3) ids, that leave one column open."""

        def best(part: slice) -> tuple[Tensor, Tensor, Tensor]:
            scores = self._scores(ids[part], column)
            if new_only:
                scores[self._known(ids[part], column)] = -torch.inf
            scores, places = (found.cpu() for found in _best(scores, top))
            triples = ids[part].unsqueeze(1).repeat(1, places.shape[1], 1)
            triples[:, :, column] = places
            return scores, places, triples.flatten(0, 1)

        names = self.kg.relations if column == 1 else self.kg.entities
        for scores, places, triples in self._chunks(ids, column, best):
            # As they are, or the mean of both that a triple has with reciprocal relations.
            calibrated = self.calibration is not None
            means = self._logits(triples) if calibrated else scores.flatten()
            told = zip(self._probabilities(means), self._splits(triples), strict=True)
            for row, ids_of_row in zip(scores.tolist(), places.tolist(), strict=True):
                lines = zip(row, ids_of_row, islice(told, len(row)), strict=True)
                kept = [line for line in lines if not (new_only and line[2][1])]
                yield [
                    Answer(rank, names[place], score, probability, known)
                    for rank, (score, place, (probability, known)) in enumerate(kept, start=1)
                ]

    def _ranks(self, ids: Tensor, column: int) -> Tensor:
        """Where one column of triples comes in, (f,), among what is not known otherwise."""

        def ranks(part: slice) -> Tensor:
            scores = self._scores(ids[part], column)
            truth = ids[part, column].to(scores.device)
            return rank(scores, truth, self._known(ids[part], column)).cpu()

        return torch.cat([torch.empty(0), *self._chunks(ids, column, ranks)])

    def _chunks(self, ids: Tensor, column: int, work: Callable[[slice], T]) -> Iterator[T]:
        """Work on some queries at a time, within the budget."""
        decoder, size = self.decoder, self.entities.element_size()
        if column == 1:
            m = candidates = self.kg.num_relations
            wide = decoder.pair_width if isinstance(decoder, Multilinear) else m * decoder.dim
            numbers, fixed = query_cost(decoder, 1) + 4 * wide, 2 * decoder.relation.weight.numel()
        else:
            candidates, fixed = self.kg.num_entities, 0
            numbers = query_cost(decoder, 1) + score_cost(decoder, 1, candidates)
        # Beside what the decoder holds: the scores, and what it takes to sort and to name them.
        each = numbers * size + candidates * 64
        return self.budget.chunks(len(ids), each, work, most=MANY, fixed=fixed * size)

    def _scores(self, ids: Tensor, column: int) -> Tensor:
        """All candidates' scores for one column of triples: (q, n); (q, m) for relations."""
        heads, relations, tails = ids.to(self.entities.device).unbind(1)
        with eval_mode(self.decoder):
            if column == 1:
                h, t = self.entities[heads], self.entities[tails]
                scores = self.decoder.score_relations(h, t)
            elif column == 0:
                queries = self.decoder.head_queries(relations, self.entities[tails])
                scores = score_all(self.decoder, queries, self.entities)
            else:
                queries = self.decoder.tail_queries(self.entities[heads], relations)
                scores = score_all(self.decoder, queries, self.entities)
        # A sum is not finite if a term is not, or if it is too large: cheap, then certain.
        if not scores.sum().isfinite() and not (finite := scores.isfinite()).all():
            row, place = (~finite).nonzero()[0].tolist()
            name = (self.kg.relations if column == 1 else self.kg.entities)[place]
            raise FloatingPointError(
                f"the score of {name!r} is {scores[row, place]:g}; the model has no answer"
            )
        return scores

    def _known(self, ids: Tensor, column: int) -> tuple[Tensor, Tensor]:
        """Row and id of every known answer for one column of triples."""
        known, (heads, relations, tails) = self.kg.known(), ids.unbind(1)
        if column == 0:
            rows, places = known.heads(relations, tails)
        elif column == 2:
            rows, places = known.tails(heads, relations)
        else:
            triples = ids.unsqueeze(1).repeat(1, self.kg.num_relations, 1)
            triples[:, :, 1] = torch.arange(self.kg.num_relations)
            rows, places = known.is_known(triples).nonzero(as_tuple=True)
        return rows.to(self.entities.device), places.to(self.entities.device)


def _best(scores: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The best scores of each row and where they stand; of equal ones the first.

    Example:
        >>> _best(torch.tensor([[1., 3., 1., 3., 1.]]), 3)
        (tensor([[3., 3., 1.]]), tensor([[1, 3, 0]]))
    """
    top = min(top, scores.shape[1])
    values, places = scores.topk(top)
    least = values[:, -1:]
    # Which of many equal scores topk takes at the end is left open there, and settled here.
    for row in ((scores >= least).sum(1) > top).nonzero().flatten().tolist():
        above = int((values[row] > least[row]).sum())
        level = (scores[row] == least[row]).nonzero().flatten()
        places[row, above:] = level[: top - above]
    places, _ = places.sort(1)
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _calibration(where: Path, trained: Trained, which: Which, method: str) -> Calibration | None:
    """The calibration of a run; None where it has none."""
    if not has_both(trained.kg, "valid"):
        return None
    try:
        return kept_or_fitted(where, trained, which).calibrations[method]
    except InputError as error:
        log.warning("%s: %s; answers come without probabilities", where, error)
        return None
