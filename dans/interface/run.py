"""A trained run: evaluated, queried, reported, exported and saved."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from torch import Tensor

from baselines.assembly import SAMPLERS
from dans.config.schema import Candidates, RunConfig
from dans.config.selection import Selection
from dans.config.writing import check_file, whole_folder, write_atomically
from dans.data.extended_graph import extended
from dans.data.graph import KnowledgeGraph, Split
from dans.data.own_triples import Unknown
from dans.errors import InputError, folder_or_file, listed, one_of, visible
from dans.evaluation.candidate_sets import Among, candidate_sets
from dans.evaluation.evaluator import EvaluationReport, Unseen
from dans.evaluation.relation_ranking import RelationReport
from dans.models.model import Model
from dans.predict import Answer, Predictor, Query, ScoredTriple
from dans.predict.checking import CheckedTriple, check, encoder_of
from dans.predict.explain import Explainer, Explanation
from dans.predict.export import Embeddings, export
from dans.predict.missing import missing
from dans.predict.output_formats import QueryOptions, Table
from dans.report.curves import recorded
from dans.report.formatting import heading
from dans.report.gather import gather
from dans.report.page import render
from dans.runs.calibrate_run import calibrate
from dans.runs.evaluate_relations import evaluate_relations
from dans.runs.evaluate_run import evaluate
from dans.runs.extend import ENCODER, is_extended
from dans.runs.train import Trained, load
from dans.samplers import NegativeSampler
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)


class Run:
    """A trained run in its folder.

    What it holds is loaded when it is first asked for, from one of its checkpoints; torch's random
    state is left as found.

    Args:
        path: the folder.
        which: the ``best`` checkpoint on the validation triples, or the ``last``. A method that
            takes ``which`` may name another.

    Raises:
        InputError: the folder holds no run, or one without a checkpoint; or no such ``which``.
    """

    def __init__(self, path: str | Path, *, which: Which = "best") -> None:
        # Whole, so that the run is found from another working folder too.
        self.path = Path(os.path.abspath(folder_or_file("run", path)))
        one_of("which", which, get_args(Which))
        #: the checkpoint that is loaded
        self.which: Which = which
        #: its configuration, defaults included
        self.config: RunConfig = RunFolder(self.path).config()

    def __repr__(self) -> str:
        config, store = self.config, RunFolder(self.path).checkpoints
        data = Path(config.data).name or config.data
        said = f"{config.encoder.name} and {config.decoder.name} on {data}"
        said += f", trained by {self._trained_by}"
        if self.which != "best":
            said += f", at its {self.which} checkpoint"
        if store.file("best").exists():
            said += f"; best at step {store.best_step()}"
            if best := self._best_metric():
                said += f", {best}"
        return f"<Run {visible(str(self.path))}: {visible(said)}>"

    @property
    def best_step(self) -> int:
        """The step of the checkpoint that was best on validation; 0: before the first step."""
        return RunFolder(self.path).checkpoints.best_step()

    @property
    def _trained_by(self) -> str:
        names = " and ".join(dict.fromkeys(part.name for part in self.config.sampler))
        return f"negatives of {names}" if names else self.config.objective.name

    def _best_metric(self) -> str:
        """The best value of the selection metric on the validation triples, in a phrase."""
        of = Selection(self.config.train.select)
        lines = (line for line in self.history if line.get("step") == self.best_step)
        best = next((of.value(line) for line in lines if line.get(of.section)), None)
        if best is None:
            return ""
        return f"validation {heading(self.config.selection_metric)} {best:.4f}"

    @cached_property
    def trained(self) -> Trained:
        """Triples, model, embeddings and sampler of the checkpoint."""
        return load(self.path, which=self.which, samplers=SAMPLERS)

    @property
    def kg(self) -> KnowledgeGraph:
        """The knowledge graph it was trained on."""
        return self.trained.kg

    @property
    def model(self) -> Model:
        """The encoder and the decoder, with their weights."""
        return self.trained.model

    @property
    def entities(self) -> Tensor:
        """(n, d) embeddings of the entities, as the decoder takes them."""
        return self.trained.entities

    @property
    def sampler(self) -> NegativeSampler:
        """The sampler with what it had learnt; an ``InputError`` where there was none."""
        return self.trained.sampler

    @cached_property
    def predictor(self) -> Predictor:
        """Predictions for many queries at once."""
        return Predictor.of(self.trained, self.path, which=self.which)

    @cached_property
    def explainer(self) -> Explainer:
        """Explanations of many triples."""
        return Explainer.of(self.trained)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was logged at each validation: metrics, losses, seconds, by step."""
        return recorded(RunFolder(self.path))

    def evaluate(
        self,
        split: Split = "test",
        *,
        which: Which | None = None,
        unseen: Unseen = "rank",
        candidates: Candidates = "all",
        types: bool = False,
        seed: int = 0,
        most: int = 0,
        among: Among | None = None,
        memory_budget: str | int = "",
        triples: Any = None,
        unknown: Unknown = "refuse",
        extra_triples: Any = None,
        extra_features: Mapping[str, Any] | None = None,
        new_entities: str = ENCODER,
    ) -> EvaluationReport:
        """Rank the triples of a split among all entities, filtered; writes ``report.json``.

        With other options than the defaults the file has another name.

        Args:
            split: ``train``, ``valid`` or ``test``.
            which: the ``best`` or the ``last`` checkpoint; None: the run's.
            unseen: ``rank`` or ``drop`` triples with an entity that training never saw.
            candidates: rank among ``all`` entities, among that many drawn for each query, or among
                those ``given`` with the data set. Metrics among some are higher, and have names of
                their own: ``sampled_mrr``.
            types: draw candidates from the domain or range of the relation.
            seed: of what is drawn; the same for every model.
            most: rank at most that many triples, drawn; 0: all.
            among: rank among ``domain-range``, the names of a list or of a file, or a type, as in
                ``dans.Restriction``; the right answer is always a candidate. Metrics have names of
                their own: ``restricted_mrr``. None: as the run's recipe says; ``all``: no
                restriction.
            memory_budget: for scores, as ``"200MB"``; empty: as in training.
            triples: rank these instead of a split: a path, or triples of names in a list, a data
                frame or an array. The filter set is that of all three splits and of these. A text
                table with labels, 1 or -1, as its fourth column is classified too.
            unknown: ``refuse`` names that the run does not have, or ``drop`` their triples.
            extra_triples: triples of entities that training never saw, as in `extended`, and so are
                ``extra_features`` and ``new_entities``. Old and new entities are candidates, and
                the filter set has these triples too.
        """
        return evaluate(
            self.path,
            split=split,
            which=which or self.which,
            unseen=unseen,
            candidates=candidates,
            types=types,
            seed=seed,
            most=most,
            among=among,
            memory_budget=memory_budget,
            triples=triples,
            unknown=unknown,
            extra_triples=extra_triples,
            extra_features=extra_features,
            new_entities=new_entities,
        )

    def evaluate_relations(
        self,
        split: Split = "test",
        *,
        which: Which | None = None,
        unseen: Unseen = "rank",
        most: int = 0,
        seed: int = 0,
        memory_budget: str | int = "",
    ) -> RelationReport:
        """Rank the relation of each triple of a split among all relations, filtered.

        The model's order is that of predictions, by ``RelationPosterior`` or, for a run that was
        trained by relation queries, by scores. Two baselines that count training triples stand
        beside it. Writes ``report.relations.json``; arguments are as in ``evaluate``.
        """
        return evaluate_relations(
            self.path,
            split=split,
            which=which or self.which,
            unseen=unseen,
            most=most,
            seed=seed,
            memory_budget=memory_budget,
        )

    def calibrate(
        self,
        split: Split = "test",
        *,
        which: Which | None = None,
        seed: int = 0,
        memory_budget: str | int = "",
    ) -> dict[str, Any]:
        """Fit probabilities without labelled lines, to validation triples and drawn negatives.

        Predictions of the run have these probabilities from then on: shares of true triples among
        triples and as many drawn negatives, half of which are true. Writes ``calibration.json``.

        Args:
            split: on whose triples, and as many drawn negatives, the probabilities are measured;
                ``valid``, on which they are fitted, gives optimistic numbers.
            which: the ``best`` or the ``last`` checkpoint; None: the run's.
            seed: of the negatives.
            memory_budget: for scores, as ``"200MB"``; empty: as in training.
        """
        found = calibrate(
            self.path,
            split=split,
            which=which or self.which,
            seed=seed,
            memory_budget=memory_budget,
        )
        self.__dict__.pop("predictor", None)
        return found

    def predict(
        self,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        *,
        top: int = 10,
        new_only: bool = False,
        among: Among | None = None,
        extra_triples: Any = None,
        extra_features: Mapping[str, Any] | None = None,
        new_entities: str = ENCODER,
    ) -> Prediction:
        """The best answers to the query that two of head, relation and tail make.

        Args:
            head: name of an entity; None: predict it. ``relation`` and ``tail`` likewise.
            top: number of answers.
            new_only: leave out answers that train, valid or test hold as a triple.
            among: rank heads or tails among ``domain-range``, the entities seen in training at that
                place, the names of a list or of a file, or a type, as in ``dans.Restriction``.
            extra_triples: triples of entities that training never saw, of which the query may name
                one; see `extended`, which serves many queries. ``extra_features`` and
                ``new_entities`` likewise.
        """
        query, predictor = checked_query(head, relation, tail, among), self.predictor
        if is_extended(extra_triples, extra_features, new_entities):
            predictor = self.extended(
                extra_triples, extra_features=extra_features, new_entities=new_entities
            )
        return Prediction.of(predictor, query, top=top, new_only=new_only, among=among)

    def extended(
        self,
        extra_triples: Any = None,
        *,
        extra_features: Mapping[str, Any] | None = None,
        new_entities: str = ENCODER,
    ) -> Predictor:
        """A predictor over the graph with further triples, and with new entities.

        The encoder runs on the triples of training and these, without training: other embeddings
        change too where messages of the further triples reach. New entities are those that the
        triples or the features name; with features they need no triple.

        Args:
            extra_triples: by name: a path, or triples in a list or a data frame. Those that train
                has are ignored; an unknown relation is refused.
            extra_features: features of the new entities, by the names of the tables that the run
                was trained with: files, mappings by entity name, or data frames. What is left out
                is missing; an entity that the run has is refused.
            new_entities: how new entities are embedded: by the ``encoder``, an RGCN or one with
                features; or by the mean of their ``neighbors`` or of their ``queries``, or of the
                whole ``table``, where the embeddings of training stay as they are.
        """
        return self.predictor.extended(
            self.trained, extra_triples, new_entities, extra_features=extra_features
        )

    def grow(self, triples: Any) -> KnowledgeGraph:
        """The run's graph with further triples in train, to train on: ``init_from`` the run.

        New entities and relations that they name are added; valid and test stay as they are, so
        that the run has not seen what the next one is evaluated on; a warning counts their triples
        that are in train now. Features are not taken along: give those of all entities to
        ``dans.train``.

        Args:
            triples: by name: a path, or triples in a list or a data frame. Those that train has are
                ignored.

        Raises:
            InputError: a triple is not three names; by file and line.
        """
        before = self.kg.with_features(None)
        kg = extended(before, triples, new_relations=True)
        for overlap in kg.overlaps() if kg is not before else ():
            log.warning("%s: %s", kg.name, overlap)
        return kg

    def score(self, triples: Any, *, among: Among | None = None) -> list[ScoredTriple]:
        """Scores of whole triples by name, with their filtered ranks.

        ``triples``: a path, or triples in a list, an iterator or a data frame, of none of which
        there are no scores; ``among`` as in ``predict``.
        """
        return self.predictor.rank(triples, among=among)

    def missing(
        self,
        relation: str | None = None,
        *,
        above: float | None = None,
        above_score: float | None = None,
        top: int | None = None,
        observed: bool = False,
    ) -> Iterator[ScoredTriple]:
        """Predicted triples that no split holds, of a relation or of all, one after the other.

        Args:
            relation: its name; None: all.
            above: with at least this calibrated probability; or ``above_score``, this score; or
                ``top``, the best so many new answers to each query (h, r, ?).
            observed: only heads and tails that the relation has in train.
        """
        return missing(
            self.predictor,
            None if relation is None else [relation],
            above=above,
            above_score=above_score,
            top=top,
            observed=observed,
        )

    def explain(self, head: str, relation: str, tail: str, *, top: int = 5) -> Explanation:
        """Why the model predicts a triple: paths, training triples that carry it, analogies.

        Args:
            head: name of an entity; ``relation`` and ``tail`` likewise.
            top: the most paths, carrying triples and analogies, each.
        """
        return self.explainer.explain(head, relation, tail, top=top)

    def check(
        self, triples: Any = None, *, top: int = 20, which: Which | None = None
    ) -> list[CheckedTriple]:
        """The ``top`` triples that the model finds least plausible, the least plausible first.

        ``triples``: a path, or triples in a list, an iterator or a data frame, of none of which the
        list is empty; None: those of train. ``which``: ``best`` or ``last``; None: the run's own.
        """
        trained, predictor = self.trained, self.predictor
        if which is not None and which != self.which:
            trained = load(self.path, which=which)
            predictor = Predictor.of(trained, self.path, which=which)
        return check(predictor, triples, top=top, encode=encoder_of(trained))

    def embeddings(self) -> Embeddings:
        """Embeddings of entities and relations, with their names."""
        return Embeddings.of(self.path, which=self.which)

    def export(self, out: str | Path, *, formats: Sequence[str] = ("npy",)) -> list[Path]:
        """Write embeddings and names into a new folder; returns the files.

        ``formats``: ``npy``, ``safetensors``, ``projector``, for TensorBoard, ``word2vec``.
        """
        return export(self.path, folder_or_file("out", out), formats=formats, which=self.which)

    def report(
        self,
        out: str | Path | None = None,
        *,
        others: Sequence[Run | str | Path] = (),
        split: Split | None = None,
    ) -> Path:
        """Write a report as one HTML page, by default ``report.html`` in the run's folder.

        Args:
            out: the file.
            others: runs on the same triples, or their folders, which are compared with this one.
            split: the triples to rank; None: test if every run was evaluated on it, else valid.
        """
        where = self.path / "report.html" if out is None else folder_or_file("out", out)
        check_file("out", where)
        runs = [
            self,
            *(
                one if isinstance(one, Run) else Run(one, which=self.which)
                for one in listed("others", others, "runs")
            ),
        ]
        page = gather([run.path for run in runs], split=split, which=same_checkpoint(runs))
        write_atomically(where, render(page).encode())
        return where

    def save(self, folder: str | Path) -> Run:
        """Copy the run into a new folder, and return the copy."""
        target = folder_or_file("folder", folder)
        if target.exists():
            raise InputError(f"{target}: is there already; name a new folder")
        if target.resolve().is_relative_to(self.path.resolve()):
            raise InputError(f"{target}: inside the run; name a folder elsewhere")
        with whole_folder(target) as beside:
            try:
                shutil.copytree(self.path, beside, dirs_exist_ok=True)
            except shutil.Error as error:
                source, _, why = error.args[0][0]
                raise InputError(f"{source}: cannot be copied: {why}") from None
        return Run(target, which=self.which)


def same_checkpoint(runs: Sequence[Run]) -> Which:
    """The checkpoint at which runs are opened; different ones are refused."""
    if len({run.which for run in runs}) > 1:
        raise InputError("runs: some are at their best checkpoint, others at their last")
    return runs[0].which


def checked_query(
    head: str | None, relation: str | None, tail: str | None, among: Among | None
) -> Query:
    """The query that two of head, relation and tail make; a whole triple is none."""
    query = Query(head, relation, tail)
    if query.target is None:
        raise InputError("predict: a whole triple leaves nothing to predict; score it instead")
    if among is not None and query.target == "relation":
        raise InputError("among: restricts heads and tails; the query is for a relation")
    return query


@dataclass(frozen=True)
class Prediction(Sequence[Answer]):
    """Ranked answers to a query, which print as a table."""

    query: Query
    answers: tuple[Answer, ...]
    _table: Table

    @classmethod
    def of(
        cls, predictor: Predictor, query: Query, *, top: int, new_only: bool, among: Among | None
    ) -> Prediction:
        """The best answers of a predictor to a query of `checked_query`."""
        sets = candidate_sets(among, predictor.kg)
        answers = predictor.predict([query], top=top, new_only=new_only, among=sets)[0]
        table = Table(predictor, QueryOptions(top=top, new_only=new_only, among=sets))
        return cls(query, tuple(answers), table)

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, i: Any) -> Any:
        return self.answers[i]

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __repr__(self) -> str:
        return self._table.text(self.query, list(self.answers)).strip("\n")

    def to_pandas(self) -> DataFrame:
        """The answers as a data frame: rank, name, score, probability, known."""
        from pandas import DataFrame

        return DataFrame([vars(answer) for answer in self.answers])


def open_run(folder: str | Path, *, which: Which = "best") -> Run:
    """The trained run in a folder, at its ``best`` checkpoint or its ``last``.

    Raises:
        InputError: the folder holds no run, or no such ``which``.
    """
    return Run(folder, which=which)
