"""Several trained runs as one predictor."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dans.config.reading import convert, to_python
from dans.config.schema import EvaluationConfig
from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.errors import InputError, one_of, shown
from dans.evaluation import classification as measures
from dans.evaluation.calibration import ABOUT_DRAWN
from dans.evaluation.candidate_sets import Among, CandidateSets, candidate_sets
from dans.evaluation.evaluator import EvaluationReport, ModelScores, Unseen
from dans.evaluation.joint_scores import (
    STANDARDS,
    JointScores,
    Standard,
    joint,
    ranks_of_all,
    softmax,
)
from dans.evaluation.reliability import Reliability
from dans.evaluation.sampled_ranking import ranking
from dans.predict.predictor import Predictor
from dans.predict.queries import Answer, ScoredTriple
from dans.runs.evaluate_run import has_both, recipe_sets
from dans.runs.extend import ENCODER, is_extended
from dans.training.checkpoint_store import Which

log = logging.getLogger(__name__)

#: What is averaged over the members.
Join = Literal["ranks", "z-scores", "softmax", "probabilities"]


@dataclass(frozen=True)
class JointAnswer(Answer):
    """An answer of several members; standard deviations are those between members (K - 1).

    ``score`` is the mean of what is averaged, larger is truer; ``probability`` the mean of the
    members' where each has a calibration, and None where a member orders relations by a posterior.
    """

    #: mean over members of its rank among the candidates, known ones included, ties half
    mean_rank: float
    rank_std: float
    probability_std: float | None


@dataclass(frozen=True)
class JointTriple(ScoredTriple):
    """A whole triple scored by several members: the mean of its scores as head and as tail."""

    probability_std: float | None = None
    #: standard deviations of the members' filtered ranks, on demand
    head_rank_std: float | None = None
    tail_rank_std: float | None = None


def check_members(folders: Sequence[str | Path], join: Join | None) -> None:
    """Refuse folders and a join that cannot be an ensemble, before a run is loaded."""
    check_number(len(folders))
    places = [Path(folder).resolve() for folder in folders]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise InputError(f"ensemble: {folders[i]}: named twice")
    check_join(join)


def check_number(members: int) -> None:
    """Refuse fewer than two."""
    if members < 2:
        raise InputError(f"ensemble: expected two runs or more, got {members}")


def check_join(join: Join | None) -> None:
    """Refuse what is no name of a join."""
    if join is not None:
        one_of("join", join, get_args(Join))


class Ensemble(Predictor):
    """Link prediction with several models: candidates are ordered by a mean over the members.

    score(e) = 1/K Σ_k f(s_k)(e)

    with s_k the scores of member k for all candidates of a query, and f what makes scores of
    different models alike (``join``):

    - ``ranks``: minus the rank among all candidates, ties half
    - ``z-scores``: (s - mean) / standard deviation over the candidates
    - ``softmax``: over the candidates
    - ``probabilities``: by the calibration of each member

    Args:
        members: predictors of the same triples, two or more.
        join: what is averaged; None: ``probabilities`` where each member has a calibration on
            labelled lines, ``z-scores`` elsewhere.

    Raises:
        InputError: members differ in entities, relations or triples.

    Example:
        >>> from dans.models.decoders import DistMult
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "cy")])
        >>> members = []
        >>> for numbers in ([1., 2, 3], [1., 3, 2]):
        ...     decoder = DistMult(num_relations=1, dim=1)
        ...     _ = decoder.relation.weight.data.fill_(1)
        ...     members.append(Predictor(kg, decoder, torch.tensor(numbers).unsqueeze(1)))
        >>> for answer in Ensemble(members, join="ranks").tails("ada", "knows"):
        ...     answer.name, answer.mean_rank, round(answer.rank_std, 2)
        ('bob', 1.5, 0.71)
        ('cy', 1.5, 0.71)
        ('ada', 3.0, 0.0)
    """

    beside = ("mean_rank", "rank_std", "probability_std", "head_rank_std", "tail_rank_std")

    def __init__(self, members: Sequence[Predictor], *, join: Join | None = None) -> None:
        check_number(len(members))
        first = members[0]
        for other in members[1:]:
            check_same(first, other)
        calibrated = all(member.calibration is not None for member in members)
        drawn = any(member.drawn for member in members)
        self.join: Join = join or ("probabilities" if calibrated and not drawn else "z-scores")
        check_join(join)
        if self.join == "probabilities" and not calibrated:
            without = next(member for member in members if member.calibration is None)
            raise InputError(
                f"join: probabilities need a calibration of every member, and {without.about} has "
                f"none; expected {', '.join(STANDARDS)}"
            )
        self.members, self.calibrated = tuple(members), calibrated
        about = f"mean of {self.join} of {len(members)} runs on {first.kg.name}"
        super().__init__(
            first.kg,
            first.decoder,
            first.entities,
            drawn=drawn,
            budget=first.budget,
            about=about + ABOUT_DRAWN * drawn,
        )
        if self.join == "probabilities":
            calibrations = [member.calibration for member in members]
            self.standards: list[Standard] = [c.probabilities for c in calibrations if c]
        else:
            self.standards = [STANDARDS[self.join]] * len(members)

    @classmethod
    def of_runs(
        cls,
        folders: Sequence[str | Path],
        *,
        join: Join | None = None,
        which: Which = "best",
        memory_budget: str | int = "",
    ) -> "Ensemble":
        """Load trained runs from their folders; arguments of ``Predictor.load``."""
        check_members(folders, join)
        members = []
        for folder in folders:
            members.append(Predictor.load(folder, which=which, memory_budget=memory_budget))
            if len(members) > 1:
                check_same(members[0], members[-1])
                # Large graphs are in memory once.
                members[-1].kg = members[0].kg
        return cls(members, join=join)

    @classmethod
    def load(cls, where: str | Path, **_: Any) -> Predictor:
        """Not for one folder: `of_runs` loads several."""
        raise InputError(f"ensemble: expected several runs, got {where}; of_runs takes them")

    def extended(self, *_: Any, **__: Any) -> Predictor:
        """Not for several runs: each has embeddings of its own for new entities."""
        raise InputError("extra_triples: expected one run, got several")

    def evaluate(
        self,
        split: Split = "test",
        *,
        unseen: Unseen = "rank",
        most: int = 0,
        seed: int = 0,
        among: Among | None = None,
    ) -> EvaluationReport:
        """The filtered ranking of a split among all entities, or some, by the joint scores.

        Arguments are those of ``dans.runs.evaluate_run.evaluate``; nothing is written. Where
        candidates are restricted, scores are standardised over all entities, as in ``predict``. A
        split of lines that are labelled true and false is classified too, by `classify`, where each
        member has a calibration on such lines.

        Raises:
            InputError: ``among`` is None, and the recipes of the members restrict differently.
        """
        kg = self.kg
        if not len(kg.split(split)):
            raise InputError(f"{kg.name}: has no {split} triples")
        chosen = convert(to_python({"most": most, "seed": seed}), EvaluationConfig)
        sets = self._of_recipes() if among is None else candidate_sets(among, kg)
        evaluator = ranking(kg, split, chosen, sets=sets, unseen=unseen, budget=self.budget)
        models = [ModelScores(member.decoder, member.entities) for member in self.members]
        report = evaluator.report(evaluator.ranks_by(JointScores(models, self.standards)))
        if not has_both(kg, split):
            return report
        if not self.calibrated or self.drawn:
            which = next(m for m in self.members if m.calibration is None or m.drawn)
            said = "%s: labelled lines are not classified: %s has no calibration on such lines"
            log.warning(said, split, which.about or "a member")
            return report
        return replace(report, details={"classification": self.classify(split)})

    def classify(self, split: Split) -> dict[str, Any]:
        """Classification metrics of a labelled split, by the mean of the members' probabilities.

        p(h, r, t) = 1/K Σ_k σ(a_k φ_k(h, r, t) + b_k), with the calibration (a_k, b_k) of member k,
        whatever is averaged for the ranking. The threshold of each relation is the one best on
        validation, as in ``dans.runs.evaluate_run.classify``.
        """
        lines, labels = self.kg.lines(split)
        scores = self._mean_log_odds(lines)
        content: dict[str, Any] = dict(measures.classification(scores, labels))
        content |= {"ece": Reliability.of(scores.sigmoid(), labels).error, "threshold": "zero"}
        content["probabilities"] = "mean of members"
        if split == "valid":
            content["optimistic"] = True
        if has_both(self.kg, "valid"):
            own, holds = self.kg.lines("valid")
            m = self.kg.num_relations
            cuts = measures.thresholds(self._mean_log_odds(own), holds, own[:, 1], m)
            accuracy = measures.accuracy(scores, labels, cuts[lines[:, 1]])
            content |= {"accuracy": accuracy, "threshold": "by relation"}
        return content

    def _mean_log_odds(self, ids: Tensor) -> Tensor:
        """(f,) log odds of the mean of the members' probabilities, also where these round to 1."""
        each = torch.stack(
            [m.calibration.logits(m._logits(ids)) for m in self.members if m.calibration]
        )
        return logsigmoid(each).logsumexp(0) - logsigmoid(-each).logsumexp(0)

    def _of_recipes(self) -> CandidateSets | None:
        """The candidates on which the recipes of all members agree."""
        sets: CandidateSets | None = None
        for number, member in enumerate(self.members):
            own = recipe_sets(member.about, member.restriction, self.kg)
            if number and (own and own.label) != (sets and sets.label):
                said = "among all entities" if own is None else f"among {own.about}"
                raise InputError(
                    f"ensemble: {member.about}: its recipe ranks {said}, that of the first run "
                    "otherwise; choose by --among (in Python among=), such as --among all"
                )
            sets = own
        return sets

    @torch.no_grad()
    def rank(self, triples: Any, *, among: Among | None = None) -> list[ScoredTriple]:
        """Scores of triples by name, their filtered ranks, and deviations between members."""
        ids, sets = self.triple_ids(triples), candidate_sets(among, self.kg)
        if not len(ids):
            return []
        columns: dict[str, list[float]] = {}
        for column, part in ((0, "head_rank"), (2, "tail_rank")):
            each = torch.stack([member.ranked(ids, column, sets)[0] for member in self.members])
            columns[part] = self.ranked(ids, column, sets)[0].tolist()
            columns[f"{part}_std"] = each.std(0).tolist()
        rows = zip(*columns.values(), strict=True)
        return [
            JointTriple(**{**vars(triple), **dict(zip(columns, numbers, strict=True))})
            for triple, numbers in zip(self.scored(ids), rows, strict=True)
        ]

    def scored(self, ids: Tensor) -> list[ScoredTriple]:
        """Triples with the means of scores and of probabilities."""
        found = super().scored(ids)
        numbers = self._means(ids)
        return [
            JointTriple(**{**vars(triple), "probability": mean, "probability_std": deviation})
            for triple, (mean, deviation) in zip(found, numbers, strict=True)
        ]

    @torch.no_grad()
    def _logits(self, ids: Tensor) -> Tensor:
        """(f,) means of the joint scores as answers to (?, r, t) and (h, r, ?)."""
        total = torch.zeros(len(ids), dtype=torch.float64)
        for column in (0, 2):

            def own(part: slice, column: int = column) -> Tensor:
                scores = self._scores(ids[part], column)
                return scores.gather(1, ids[part, column, None].to(scores.device)).squeeze(1).cpu()

            total += torch.cat([total[:0], *self._chunks(ids, column, own)])
        return total / 2

    def _means(self, ids: Tensor) -> list[tuple[float | None, float | None]]:
        """Mean and standard deviation over members of the probabilities of (f, 3) triples."""
        if not (self.calibrated and len(ids)):
            return [(None, None)] * len(ids)
        each = torch.stack(
            [m.calibration.probabilities(m._logits(ids)) for m in self.members if m.calibration]
        )
        return list(zip(each.mean(0).tolist(), each.std(0).tolist(), strict=True))

    def _answers(
        self, ids: Tensor, column: int, top: int, new_only: bool, among: CandidateSets | None
    ) -> Iterator[list[Answer]]:
        """The answers by the joint scores, with what the members say of each."""
        found = list(super()._answers(ids, column, top, new_only, among))
        sets = self._narrowed(ids, column, among)
        index = self._names(column).index

        def beside(part: slice) -> list[list[Answer]]:
            own = found[part]
            rows = torch.arange(len(own)).repeat_interleave(torch.tensor([*map(len, own)]))
            if not len(rows):
                return own
            candidates = torch.tensor([index(answer.name) for some in own for answer in some])
            places = candidates if sets is None else sets.positions(candidates)[0]
            ranks = torch.stack(
                [
                    ranks_of_all(member._scores(ids[part], column, sets)).cpu()[rows, places]
                    for member in self.members
                ]
            )
            triples = ids[part][rows].clone()
            triples[:, column] = candidates
            means = self._means(triples)
            if column == 1 and any(member.by_posterior for member in self.members):
                means = [(None, None)] * len(triples)
            columns = ranks.mean(0).tolist(), ranks.std(0).tolist(), means
            numbers = zip(*columns, strict=True)
            done: list[list[Answer]] = []
            for some in own:
                line: list[Answer] = []
                for answer in some:
                    mean_rank, rank_std, (probability, probability_std) = next(numbers)
                    both = {"mean_rank": mean_rank, "rank_std": rank_std}
                    both |= {"probability": probability, "probability_std": probability_std}
                    line.append(JointAnswer(**{**vars(answer), **both}))
                done.append(line)
            return done

        for some in self._chunks(ids, column, beside):
            yield from some

    def _held(self, column: int, sets: CandidateSets | None = None) -> tuple[int, int]:
        """The most of any member, and of one of them scores, their order and ranks in 64 bits."""
        each, fixed = zip(*(member._held(column) for member in self.members), strict=True)
        candidates = self.kg.num_relations if column == 1 else self.kg.num_entities
        return max(each) + (8 * 7 + 4 * len(self.members)) * candidates, max(fixed)

    def _scores(self, ids: Tensor, column: int, sets: CandidateSets | None = None) -> Tensor:
        """(q, n) joint scores for one column of (q, 3) triples, standardised over all entities."""
        standards = self.standards
        if column == 1 and self.join == "probabilities":
            # A calibration takes scores of triples; a posterior is a probability already.
            pairs = zip(self.members, standards, strict=True)
            standards = [own if member.posterior is None else softmax for member, own in pairs]
        scores = joint((one._scores(ids, column) for one in self.members), standards)
        if sets is not None and sets.columns is not None:
            scores = scores.index_select(1, sets.columns.to(scores.device))
        return self._restricted(scores, ids, column, sets)


def predictor_of(
    folders: Sequence[str | Path],
    *,
    join: Join | None = None,
    which: Which = "best",
    memory_budget: str | int = "",
    extra_triples: Any = None,
    extra_features: Mapping[str, Any] | None = None,
    new_entities: str = ENCODER,
) -> Predictor:
    """The predictor of one run, or of several as an ensemble; arguments as of `Predictor.load`."""
    if len(folders) > 1:
        if is_extended(extra_triples, extra_features, new_entities):
            option = "triples" if extra_features is None else "features"
            raise InputError(f"extra_{option}: expected one run, got several")
        return Ensemble.of_runs(folders, join=join, which=which, memory_budget=memory_budget)
    if join is not None:
        raise InputError("join: no effect on one run; name two or more")
    return Predictor.load(
        folders[0],
        which=which,
        memory_budget=memory_budget,
        extra_triples=extra_triples,
        extra_features=extra_features,
        new_entities=new_entities,
    )


def check_same(one: Predictor, other: Predictor) -> None:
    """Refuse predictors of other entities, relations or triples, saying what differs."""
    if one.kg is other.kg or one.kg.digest == other.kg.digest:
        return
    raise InputError(
        f"ensemble: {other.about or 'a member'}: {_difference(one.kg, other.kg)}; expected runs on "
        "the same triples"
    )


def _difference(one: KnowledgeGraph, other: KnowledgeGraph) -> str:
    """In what a second graph differs from a first, in words."""
    for what, first, second in (
        ("entity", one.entities.names, other.entities.names),
        ("relation", one.relations.names, other.relations.names),
    ):
        for names, others, said in ((first, second, "lacks"), (second, first, "has more:")):
            there = set(others)
            if missing := next((name for name in names if name not in there), None):
                return f"{said} the {what} {shown(missing)}"
        if list(first) != list(second):
            wrong = next(i for i, name in enumerate(first) if name != second[i])
            numbers = f"{what} {wrong} is {shown(second[wrong])} there, {shown(first[wrong])} here"
            return f"the same names in another order ({numbers})"
    for split in SPLITS:
        a, b = (len(kg.split(split)) for kg in (one, other))
        if a != b:
            return f"has {b:,} triples in {split}, the first run {a:,}"
        if not torch.equal(one.split(split), other.split(split)):
            return f"has other triples in {split}, or in another order"
    return "has other labels"
