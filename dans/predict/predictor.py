"""Ranked answers to queries by name, scores and ranks of triples by name, from a trained run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress, islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from dans.data.graph import SPLITS, KnowledgeGraph, Split, Vocabulary
from dans.data.own_triples import OwnTriples
from dans.errors import InputError, boolean, counted, folder_or_file, listed, shown
from dans.evaluation.calibration import ABOUT_DRAWN, DRAWN, Calibration
from dans.evaluation.candidate_sets import Among, CandidateSets, Restriction, candidate_sets
from dans.evaluation.classifier import logits
from dans.evaluation.evaluator import MANY, score_all
from dans.evaluation.ranking import rank
from dans.evaluation.relation_ranking import RelationPosterior, known_relations, relation_bytes
from dans.memory import Budget, stated
from dans.models.decoders import Decoder
from dans.models.decoders.costs import query_cost, score_cost
from dans.models.model import eval_mode
from dans.predict.queries import PARTS, Answer, Part, Query, ScoredTriple
from dans.runs.evaluate_relations import order_of
from dans.runs.evaluate_run import budget_of, fitted_of, restriction_of
from dans.runs.extend import ENCODER, extend, is_extended
from dans.runs.train import Trained, restore
from dans.samplers.entity_types import slots
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which

T = TypeVar("T")


class Predictor:
    """Link prediction by name with a trained model.

    Of equal scores in a list of answers, the smaller id comes first; in the rank of a triple, ties
    count half. Known are the triples of all splits; a line labelled false is not known.

    Args:
        entities: (n, d) embeddings; their device is the one used.
        calibration: from scores to probabilities.
        drawn: whether it was fitted on drawn negatives, in place of lines labelled false.
        budget: memory that scores may take; None: a quarter of what is free.
        about: one line about the run, for a person.
        posterior: the scores of answers to relation queries; None: those of tail queries, which
            compare relations only if training did.

    Example:
        >>> from dans.models.decoders import DistMult
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "cy")])
        >>> decoder, entities = DistMult(num_relations=1, dim=1), torch.tensor([[1.], [2], [3]])
        >>> _ = decoder.relation.weight.data.fill_(1)
        >>> predictor = Predictor(kg, decoder, entities)
        >>> for answer in predictor.tails("ada", "knows", top=2):
        ...     answer.rank, answer.name, answer.score, answer.known
        (1, 'cy', 3.0, ())
        (2, 'bob', 2.0, ('train',))
        >>> predictor.rank([("ada", "knows", "bob")])[0].tail_rank
        2.0
        >>> predictor.heads("knows", "bop")
        Traceback (most recent call last):
        dans.errors.InputError: tail: unknown name 'bop'; did you mean 'bob'?
    """

    #: fields of its answers and triples that those of one model lack
    beside: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        kg: KnowledgeGraph,
        decoder: Decoder,
        entities: Tensor,
        *,
        calibration: Calibration | None = None,
        drawn: bool = False,
        budget: Budget | None = None,
        about: str = "",
        posterior: RelationPosterior | None = None,
        restriction: Restriction | None = None,
    ) -> None:
        self.kg, self.decoder, self.entities = kg, decoder, entities
        self.calibration, self.drawn, self.about = calibration, drawn, about
        self.posterior = posterior
        #: of the recipe of a run, to what evaluation is restricted
        self.restriction = restriction
        self.budget = Budget(device=entities.device) if budget is None else budget

    @classmethod
    @undisturbed()
    def load(
        cls,
        where: str | Path,
        *,
        which: Which = "best",
        memory_budget: str | int = "",
        extra_triples: Any = None,
        extra_features: Mapping[str, Any] | None = None,
        new_entities: str = ENCODER,
    ) -> "Predictor":
        """Load a trained run from its folder.

        Args:
            where: the folder.
            which: the checkpoint.
            memory_budget: empty for that of training.
            extra_triples: triples of entities that training never saw, as in
                `dans.runs.extend.extend`, which embeds them; ``extra_features`` and
                ``new_entities`` likewise.
        """
        stated(memory_budget)
        trained = restore(folder_or_file("run", where), which=which)
        found = cls.of(trained, where, which=which, memory_budget=memory_budget)
        if not is_extended(extra_triples, extra_features, new_entities):
            return found
        return found.extended(trained, extra_triples, new_entities, extra_features=extra_features)

    @classmethod
    @undisturbed()
    def of(
        cls,
        trained: Trained,
        where: str | Path,
        *,
        which: Which = "best",
        memory_budget: str | int = "",
    ) -> "Predictor":
        """A predictor of a run that is loaded already, from ``where``; arguments as in ``load``."""
        config, budget = trained.config, budget_of(Path(where), trained, memory_budget)
        fitted = fitted_of(Path(where), trained, which, budget)
        about = f"{where}: {trained.kg.name}, {config.encoder.name} and {config.decoder.name}, "
        about += f"{which} checkpoint, step {trained.step}"
        model = trained.kg, trained.model.decoder, trained.entities
        drawn = fitted is not None and fitted.negatives == DRAWN
        return cls(
            *model,
            posterior=RelationPosterior(*model) if order_of(config) == "posterior" else None,
            calibration=fitted.calibrations.get("platt") if fitted else None,
            drawn=drawn,
            budget=budget,
            about=about + ABOUT_DRAWN * drawn,
            restriction=restriction_of(where, trained.config),
        )

    def extended(
        self,
        trained: Trained,
        extra_triples: Any = None,
        new_entities: str = ENCODER,
        *,
        extra_features: Mapping[str, Any] | None = None,
    ) -> "Predictor":
        """A predictor that also knows entities which training never saw, by triples or features.

        ``trained`` is the run of this predictor; the rest is as in `dans.runs.extend.extend`. The
        further triples are known as those of train. A calibration stays that of the run.
        """
        more = extend(trained, extra_triples, new_entities, extra_features=extra_features)
        new = more.kg.num_entities - trained.kg.num_entities
        added = len(more.kg.train) - len(trained.kg.train)
        model = more.kg, self.decoder, more.entities
        return type(self)(
            *model,
            posterior=None if self.posterior is None else RelationPosterior(*model),
            calibration=self.calibration,
            drawn=self.drawn,
            budget=self.budget,
            about=f"{self.about}; with {added:,} extra triples, {new:,} new entities",
        )

    @property
    def by_posterior(self) -> bool:
        """Whether scores of answers to relation queries are log p(r | h, t)."""
        return self.posterior is not None

    def score_title(self, target: Part | None) -> str:
        """What the scores of answers are called in a table, by the part that is predicted."""
        return "log p(r | h, t)" if target == "relation" and self.by_posterior else "score"

    def tails(
        self, head: str, relation: str, *, top: int = 10, new_only: bool = False
    ) -> list[Answer]:
        """The best answers to the tail query (h, r, ?)."""
        return self.predict([Query(head, relation)], top=top, new_only=new_only)[0]

    def heads(
        self, relation: str, tail: str, *, top: int = 10, new_only: bool = False
    ) -> list[Answer]:
        """The best answers to the head query (?, r, t)."""
        return self.predict([Query(None, relation, tail)], top=top, new_only=new_only)[0]

    def relations(
        self, head: str, tail: str, *, top: int = 10, new_only: bool = False
    ) -> list[Answer]:
        """The best answers to the relation query (h, ?, t).

        Scores are those of ``posterior``, log p(r | h, t), whose exp sums to one over all
        relations; such answers have no other probability, for that of a calibration is of a
        triple. Without it, scores are those of tail queries.
        """
        return self.predict([Query(head, None, tail)], top=top, new_only=new_only)[0]

    @torch.no_grad()
    def predict(
        self,
        queries: Iterable[Query],
        *,
        top: int = 10,
        new_only: bool = False,
        among: Among | None = None,
    ) -> list[list[Answer]]:
        """The ``top`` answers to each query, best first; ``new_only``: no triple of any split.

        ``among`` restricts heads and tails, not relations: to the names of a list or of a file, a
        type, or domain and range, as in ``Restriction``.
        With reciprocal relations, scores are those of the query's own direction, while
        probabilities are of the mean of both. A score that is not finite is a
        ``FloatingPointError``.
        """
        counted("top", top)
        boolean("new_only", new_only)
        queries = listed("queries", queries, "queries")
        for i, query in enumerate(queries):
            if not isinstance(query, Query):
                raise InputError(f"queries[{i}]: expected a Query, got {shown(query)}")
        ids = torch.tensor([self.ids(query) for query in queries], dtype=torch.int64).view(-1, 3)
        if (ids >= 0).all(1).any():
            raise InputError("queries: a whole triple is no query; score it instead")
        sets = candidate_sets(among, self.kg)
        found: list[list[Answer]] = [[] for _ in queries]
        for column in range(3):
            rows = (ids[:, column] < 0).nonzero().flatten()
            answers = self._answers(ids[rows], column, top, new_only, sets)
            for row, ranked in zip(rows.tolist(), answers, strict=True):
                found[row] = ranked
        return found

    def score(self, triples: Any) -> list[ScoredTriple]:
        """Scores of triples by name, of a file or in a list or a data frame; of none, none."""
        return self.scored(self.triple_ids(triples))

    @torch.no_grad()
    def rank(self, triples: Any, *, among: Among | None = None) -> list[ScoredTriple]:
        """Scores of triples by name, as in ``score``, and the filtered ranks of heads and tails.

        ``among``: as in ``predict``; the triple's own head and tail are candidates all the same.
        """
        ids, sets = self.triple_ids(triples), candidate_sets(among, self.kg)
        ranks = (self.ranked(ids, column, sets)[0].tolist() for column in (0, 2))
        return [
            replace(triple, head_rank=head, tail_rank=tail)
            for triple, head, tail in zip(self.scored(ids), *ranks, strict=True)
        ]

    def ids(self, query: Query) -> list[int]:
        """Head, relation and tail as ids, −1 for the missing part."""
        ids = []
        for column, (part, name) in enumerate(zip(PARTS, query.parts, strict=True)):
            try:
                ids.append(-1 if name is None else self._names(column).index(name))
            except InputError as error:
                raise InputError(f"{part}: {error}") from None
        return ids

    def _names(self, column: int) -> Vocabulary:
        return self.kg.relations if column == 1 else self.kg.entities

    def triple_ids(self, triples: Any) -> Tensor:
        """(f, 3) ids of triples by name; a name that is unknown is refused by its place.

        ``triples``: as `dans.data.own_triples.OwnTriples.of` takes them; an object may have none.
        Lines labelled false are triples too.
        """
        return OwnTriples.of(self.kg, triples, empty=True).lines

    def scored(self, ids: Tensor) -> list[ScoredTriple]:
        """Scores of (f, 3) triples, by name."""
        scores = self._logits(ids)
        entities, relations = self.kg.entities, self.kg.relations
        columns = scores.tolist(), self._probabilities(scores), self._splits(ids)
        return [
            ScoredTriple(entities[h], relations[r], entities[t], score, probability, known)
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
        """The splits that hold each of (f, 3) triples."""
        known = [self.kg.known((split,)).is_known(ids).tolist() for split in SPLITS]
        return [tuple(compress(SPLITS, held)) for held in zip(*known, strict=True)]

    def _answers(
        self, ids: Tensor, column: int, top: int, new_only: bool, among: CandidateSets | None
    ) -> Iterator[list[Answer]]:
        """Ranked answers to (q, 3) queries whose missing part is one column."""
        sets = self._narrowed(ids, column, among)

        def best(part: slice) -> tuple[Tensor, Tensor, Tensor]:
            scores = self._scores(ids[part], column, sets)
            if new_only:
                scores[self._known(ids[part], column, sets)] = -torch.inf
            scores, candidates = (found.cpu() for found in _top(scores, top))
            if sets is not None:
                candidates = sets.ids(candidates)
            triples = ids[part].unsqueeze(1).repeat(1, candidates.shape[1], 1)
            triples[:, :, column] = candidates
            return scores, candidates, triples.flatten(0, 1)

        names = self._names(column)
        for scores, candidates, triples in self._chunks(ids, column, best, sets):
            probabilities: Sequence[float | None] = [None] * len(triples)
            if self.calibration is not None and not (column == 1 and self.by_posterior):
                # A calibration takes what ``score`` gives: with reciprocal relations, a mean.
                probabilities = self._probabilities(self._logits(triples))
            facets = zip(probabilities, self._splits(triples), strict=True)
            for row, columns in zip(scores.tolist(), candidates.tolist(), strict=True):
                lines = zip(row, columns, islice(facets, len(row)), strict=True)
                # Scores are finite, but for answers that are left out.
                shown = [line for line in lines if line[0] > -torch.inf]
                yield [
                    Answer(rank, names[candidate], score, probability, known)
                    for rank, (score, candidate, (probability, known)) in enumerate(shown, start=1)
                ]

    @torch.no_grad()
    def ranked(
        self, ids: Tensor, column: int, among: CandidateSets | None = None
    ) -> tuple[Tensor, Tensor]:
        """Filtered ranks of one column of (f, 3) triples, and the logs of their shares, (f,) each.

        The share of an answer is exp(score) / Σ exp(score) over itself and its competitors.
        """
        sets = self._narrowed(ids, column, among)

        def work(part: slice) -> Tensor:
            scores = self._scores(ids[part], column, sets)
            truth = ids[part, column] if sets is None else sets.positions(ids[part, column])[0]
            truth, known = truth.to(scores.device), self._known(ids[part], column, sets)
            rows = torch.arange(len(truth), device=truth.device)
            gold = scores[rows, truth]
            ranks = rank(scores, truth, known)
            scores[known] = -torch.inf
            scores[rows, truth] = gold
            return torch.stack((ranks, (gold - scores.logsumexp(1)).double())).cpu()

        ranks, logs = torch.cat([torch.empty(2, 0), *self._chunks(ids, column, work, sets)], 1)
        return ranks, logs

    def _chunks(
        self,
        ids: Tensor,
        column: int,
        work: Callable[[slice], T],
        sets: CandidateSets | None = None,
    ) -> Iterator[T]:
        """Results of ``work`` on slices of the queries, within the budget."""
        each, fixed = self._held(column, sets)
        return self.budget.chunks(len(ids), each, work, most=MANY, fixed=fixed)

    def _held(self, column: int, sets: CandidateSets | None = None) -> tuple[int, int]:
        """The bytes that scores of all candidates take: for each query, and beside."""
        decoder, size = self.decoder, self.entities.element_size()
        if column == 1:
            each, fixed = relation_bytes(decoder, self.entities)
            more = (0, 0) if self.posterior is None else self.posterior.bytes_held
            return each + more[0], fixed + more[1]
        candidates = self.kg.num_entities if sets is None else sets.num_entities
        numbers = query_cost(decoder, 1) + score_cost(decoder, 1, candidates)
        # Beside the decoder's own memory: the scores, and what sorting and naming them takes.
        return numbers * size + candidates * 64, 0

    def _narrowed(
        self, ids: Tensor, column: int, sets: CandidateSets | None
    ) -> CandidateSets | None:
        """The candidates for one column of (q, 3) triples, its right answers among the columns."""
        if sets is None or column == 1:
            return None
        return sets.narrowed(slots(ids)[:, column // 2], ids[:, column][ids[:, column] >= 0])

    def _scores(self, ids: Tensor, column: int, sets: CandidateSets | None = None) -> Tensor:
        """(q, n) scores of all entities for one column of (q, 3) triples; (q, m) for relations.

        With ``sets``, scores of its columns, −∞ for those that are no candidates and not the right
        answer.
        """
        decoder, entities = self.decoder, self.entities
        scored = entities if sets is None else sets.embeddings(entities)
        heads, relations, tails = ids.to(entities.device).unbind(1)
        with eval_mode(decoder):
            if column == 1 and self.posterior is not None:
                scores = self.posterior(heads, tails)
            elif column == 1:
                scores = decoder.score_relations(entities[heads], entities[tails])
            elif column == 2:
                tail_queries = decoder.tail_queries(entities[heads], relations)
                scores = score_all(decoder, tail_queries, scored)
            else:
                head_queries = decoder.head_queries(relations, entities[tails])
                scores = score_all(decoder, head_queries, scored)
        # A sum is not finite if a term is not, or if it is too large: cheap, then certain.
        if not scores.sum().isfinite() and not (finite := scores.isfinite()).all():
            row, candidate = (~finite).nonzero()[0].cpu()
            score = scores[row, candidate]
            name = self._names(column)[int(candidate if sets is None else sets.ids(candidate))]
            raise FloatingPointError(f"the score of {name!r} is {score:g}; the model has no answer")
        return self._restricted(scores, ids, column, sets)

    def _restricted(
        self, scores: Tensor, ids: Tensor, column: int, sets: CandidateSets | None
    ) -> Tensor:
        """Scores with −∞ for what is neither a candidate nor the right answer; overwrites them."""
        if sets is None:
            return scores
        excluded = sets.excluded(slots(ids)[:, column // 2])
        places, there = sets.positions(ids[:, column])
        excluded[there, places[there]] = False
        return scores.masked_fill_(excluded.to(scores.device), -torch.inf)

    def _known(
        self, ids: Tensor, column: int, sets: CandidateSets | None = None
    ) -> tuple[Tensor, Tensor]:
        """Row of each known answer for one column of (q, 3) triples, and where it is scored."""
        known, (heads, relations, tails) = self.kg.known(), ids.unbind(1)
        if column == 0:
            rows, answers = known.heads(relations, tails)
        elif column == 2:
            rows, answers = known.tails(heads, relations)
        else:
            rows, answers = known_relations(known, heads, tails)
        if sets is not None:
            answers, there = sets.positions(answers)
            rows, answers = rows[there], answers[there]
        return rows.to(self.entities.device), answers.to(self.entities.device)


def _top(scores: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each row and their columns; of equal scores the first column first.

    Example:
        >>> _top(torch.tensor([[1., 3., 1., 3., 1.]]), 3)
        (tensor([[3., 3., 1.]]), tensor([[1, 3, 0]]))
    """
    top = min(top, scores.shape[1])
    values, columns = scores.topk(top)
    least = values[:, -1:]
    # topk takes any of several equal scores at its end: replace them by the first columns.
    for row in ((scores >= least).sum(1) > top).nonzero().flatten().tolist():
        above = int((values[row] > least[row]).sum())
        equal = (scores[row] == least[row]).nonzero().flatten()
        columns[row, above:] = equal[: top - above]
    columns, _ = columns.sort(1)
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)
