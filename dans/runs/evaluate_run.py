"""Evaluates trained runs: ranking, classification and calibration."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dans.config.reading import convert, to_python
from dans.config.schema import ALL, Candidates, EvaluationConfig, RunConfig
from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.data.known_triples import KnownTriples
from dans.data.own_triples import OwnTriples, Unknown
from dans.errors import InputError
from dans.evaluation import classification as measures
from dans.evaluation.calibration import CALIBRATIONS, DRAWN, Calibration, Fitted
from dans.evaluation.candidate_sets import Among, CandidateSets, Restriction, candidate_sets
from dans.evaluation.classifier import Classifier, logits
from dans.evaluation.evaluator import EvaluationReport, Evaluator, Ranks, Unseen
from dans.evaluation.ranking import metrics
from dans.evaluation.reliability import Reliability
from dans.evaluation.sampled_ranking import ranking
from dans.evaluation.text_table import aligned
from dans.memory import Budget, stated
from dans.registry import choose
from dans.runs.extend import ENCODER, extend, is_extended
from dans.runs.train import Trained, graph_of, restore
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder

log = logging.getLogger(__name__)


@undisturbed()
def evaluate(
    where: Path,
    *,
    split: Split = "test",
    which: Which = "best",
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
    """Evaluate a run on a split and write the report into its folder.

    The file's name is ``report_name``, which says what is not the default; where the name does not
    say all, and a file of that name is of another evaluation, a part is added (`unlike`). A split
    of lines that are labelled true and false is classified too, with the thresholds and
    calibrations fitted on labelled validation lines, which are written into the folder.

    Args:
        where: the run's folder.
        unseen: what becomes of triples with an entity that training never saw.
        candidates: among what answers are ranked, and ``types``, ``seed`` and ``most``, as in the
            section ``[evaluation]`` of a recipe, whose values of these are for validation alone.
        among: what restricts the candidates, not together with ``candidates``; None: what the
            section ``[evaluation]`` of the run's recipe says, by the files as they were when
            training began. ``all``: nothing.
        memory_budget: as ``train.memory_budget``, whose value is the default.
        triples: those to rank instead of a split's, as ``OwnTriples.of`` takes them, with
            ``unknown``; the filter is that of all three splits and of these.
        extra_triples: further triples and their new entities, as in `dans.runs.extend.extend`;
            ``extra_features`` and ``new_entities`` likewise. All entities, old and new, are
            candidates, and the filter has the further triples too. The report has the metrics of
            the queries whose answer is a ``new`` entity, and of those whose answer is an ``old``
            one, under ``answers``.
    """
    run = RunFolder(where)
    stated(memory_budget)
    given = {"candidates": candidates, "types": types, "seed": seed, "most": most}
    chosen = convert(to_python(given), EvaluationConfig)
    if among is not None and chosen.candidates != "all":
        raise InputError("among: not together with candidates, which are drawn or given")
    if triples is None and unknown != "refuse":
        raise InputError("unknown: has no effect without triples; leave it out")
    before = trained = restore(where, which=which)
    larger = is_extended(extra_triples, extra_features, new_entities)
    if larger:
        trained = extend(before, extra_triples, new_entities, extra_features=extra_features)
    kg, own = ranked(trained.kg, split, triples, unknown)
    budget = budget_of(where, trained, memory_budget)
    sets = candidate_sets(among, kg)
    if among is None and chosen.candidates == "all":
        sets = recipe_sets(where, restriction_of(where, trained.config), kg)
    evaluator = ranking(kg, split, chosen, sets=sets, unseen=unseen, budget=budget)
    evaluator.label = own.label if own else split
    ranks = evaluator.ranks(trained.model.decoder, trained.entities)
    report = evaluator.report(ranks)
    further: dict[str, Any] = {"own_triples": own.stated()} if own else {}
    details: dict[str, Any] = {"model": which, "step": trained.step}
    details["seed"] = trained.config.train.seed
    if larger:
        further |= extension(before.kg, trained.kg, new_entities, kg.split(split))
        details["answers"] = by_answer(ranks, before.kg.num_entities, evaluator)
    protocol = {**report.protocol, **further}
    if protocol["filter"] and further:
        beside = [name for name in ("own_triples", "extra_triples") if name in further]
        protocol["filter"] = [*SPLITS, *beside]
    if has_both(kg, split):
        fitted = fitted_of(where, before, which, budget)
        if fitted and fitted.negatives != DRAWN:
            run.write_json(calibration_name(which), fitted.to_json())
        labelled = replace(trained, kg=kg)
        details["classification"] = classify(labelled, split, fitted, budget=budget)
    report = replace(report, protocol=protocol, details=details)
    more = among_parts(sets)
    if larger:
        more += ["extended", *([new_entities] * (new_entities != ENCODER))]
        more += ["features"] * (extra_features is not None)
    name = report_name(split=report.split, which=which, unseen=unseen, evaluation=chosen, more=more)
    if further:
        name = unlike(run, name, report.protocol)
    run.write_json(name, report.to_json())
    return report


def ranked(
    kg: KnowledgeGraph, split: Split, triples: Any, unknown: Unknown
) -> tuple[KnowledgeGraph, OwnTriples | None]:
    """The graph whose split is ranked; triples of one's own, if any, stand for its test triples."""
    own = None
    if triples is not None:
        if split != "test":
            raise InputError(f"split: {split}: has no effect on triples of one's own; leave it out")
        own = OwnTriples.of(kg, triples, unknown=unknown)
        kg = own.graph(kg)
    if not len(kg.split(split)):
        if own:
            raise InputError(f"{own.name}: has no line labelled 1")
        others = "--triples FILE (in Python triples=) evaluates on others"
        raise InputError(f"{kg.name}: has no {split} triples; {others}")
    return kg, own


def restriction_of(where: str | Path, config: RunConfig) -> Restriction | None:
    """What the recipe of a run restricts candidates to, its files being the run's copies."""
    return Restriction.of(RunFolder(Path(where)).restricted(config.evaluation))


def is_evaluated(where: Path, which: Which = "best") -> bool:
    """Is there a report of test, among all entities or as the run's recipe restricts them?

    One without the triples of unseen entities counts too.
    """
    unseen: tuple[Unseen, ...] = ("rank", "drop")
    if any((where / report_name(which=which, unseen=one)).exists() for one in unseen):
        return True
    run = RunFolder(where)
    config = run.config()
    # A graph is loaded only where its candidates are in the name.
    if config.evaluation.among in ("", ALL):
        return False
    return report_by_recipe(where, config, graph_of(config, run), which=which) is not None


def report_by_recipe(
    where: Path, config: RunConfig, kg: KnowledgeGraph, *, split: Split = "test", which: Which
) -> tuple[str, CandidateSets] | None:
    """The name of the report among the candidates that a run's recipe restricts to, and these.

    None where it restricts none, where the file that names them is gone, and where no such report
    is of the checkpoint that is there now.
    """
    try:
        sets = recipe_sets(where, restriction_of(where, config), kg)
    except InputError:
        return None
    name = report_name(split=split, which=which, more=among_parts(sets))
    run = RunFolder(where)
    if sets is None or not (where / name).exists() or not run.is_of(run.read_json(name), which):
        return None
    return name, sets


def recipe_sets(
    where: object, chosen: Restriction | None, kg: KnowledgeGraph
) -> CandidateSets | None:
    """The candidates under the restriction of a run's recipe; ``where`` opens errors."""
    try:
        return candidate_sets(chosen, kg)
    except InputError as error:
        instead = '--among all (in Python among="all") ranks among all entities'
        raise InputError(f"{where}: the recipe's evaluation: {error}; {instead}") from error


def among_parts(sets: CandidateSets | None) -> list[str]:
    """What a report among some candidates has in its name."""
    return [] if sets is None else [f"among-{sets.label}"]


def unlike(run: RunFolder, name: str, protocol: Mapping[str, Any]) -> str:
    """The file of a report, where files of another protocol may have its name already.

    It is then named by eight letters of a digest of the protocol too, so that the same evaluation
    always replaces its own file alone.
    """
    own = json.dumps(protocol, sort_keys=True)
    try:
        before = run.read_json(name).get("protocol") if (run.path / name).exists() else protocol
    except InputError:
        before = None
    if json.dumps(before, sort_keys=True) == own:
        return name
    digest = hashlib.sha256(own.encode()).hexdigest()[:8]
    other = name.removesuffix("json") + f"{digest}.json"
    log.warning("%s: is of another evaluation; this one is in %s", run.path / name, other)
    return other


def extension(
    before: KnowledgeGraph, kg: KnowledgeGraph, new_entities: str, ranked: Tensor
) -> dict[str, Any]:
    """For the protocol of a report: which triples, and how many entities, came after training.

    A ranked triple, (f, 3), that is an extra triple too sends messages for itself.
    """
    added = kg.train[len(before.train) :]
    both = KnownTriples(added, kg.num_entities, kg.num_relations).is_known(ranked)
    if again := int(both.sum()):
        log.warning("%d of %d ranked triples are extra triples too", again, len(ranked))
    found = {
        "extra_triples": len(added),
        "extra_triples_ranked": again,
        "extra_digest": hashlib.sha256(added.numpy().tobytes()).hexdigest(),
    }
    new = {"number": kg.num_entities - before.num_entities, "embedded_by": new_entities}
    if kg.features is not None:
        new["with_features"] = int(kg.features.present[before.num_entities :].any(1).sum())
        found["features_digest"] = kg.features.digest
    return {**found, "new_entities": new}


def by_answer(ranks: Ranks, old: int, evaluator: Evaluator) -> dict[str, dict[str, float]]:
    """Metrics of the queries whose answer is a ``new`` entity, and whose answer is an ``old`` one.

    The first ``old`` ids are those of old entities. A kind without queries is left out.
    """
    # Column 0 has the ranks of heads, column 1 of tails.
    new = ranks.triples[:, [0, 2]] >= old
    return {
        name: evaluator.named(metrics(ranks.realistic[rows], ranks.candidates[rows]))
        for name, rows in {"new": new, "old": ~new}.items()
        if bool(rows.any())
    }


def budget_of(where: Path, trained: Trained, memory_budget: str | int = "") -> Budget:
    """The memory budget for evaluating a run; its own unless another is given."""
    chosen = memory_budget or trained.config.train.memory_budget
    return RunFolder(where).memory_budget(chosen, trained.entities.device)


def report_name(
    *,
    split: str = "test",
    which: Which = "best",
    unseen: Unseen = "rank",
    evaluation: EvaluationConfig | None = None,
    more: Sequence[str] = (),
) -> str:
    """The file of a report; ``split`` is what the report calls it, ``more`` ends its name.

    Example:
        >>> report_name(), report_name(split="valid", which="last")
        ('report.json', 'report.valid.last.json')
        >>> report_name(evaluation=EvaluationConfig(candidates=500, types=True, seed=1))
        'report.sampled500.types.seed1.json'
    """
    unusual: list[str] = [
        name for name in (split, which, unseen) if name not in ("test", "best", "rank")
    ]
    if evaluation is not None:
        number = evaluation.candidates
        parts = {
            f"sampled{number}": isinstance(number, int),
            "given": number == "given",
            "types": evaluation.types,
            f"most{evaluation.most}": evaluation.most,
            f"seed{evaluation.seed}": evaluation.seed,
        }
        unusual += [name for name, there in parts.items() if there]
    return ".".join(["report", *unusual, *more, "json"])


def classify(
    trained: Trained, split: Split, fitted: Fitted | None = None, *, budget: Budget | None = None
) -> dict[str, Any]:
    """Classification metrics of a model on a labelled split.

    The metrics of the uncalibrated logits, with the accuracy at the threshold of each relation or
    at 0; and, by the name of each calibration, ``auc``, ``brier``, ``nll`` and ``ece``. On the
    split ``valid``, on which ``fitted`` was, ``optimistic`` is true: thresholds and calibrations
    know the labels.
    """
    classifier = Classifier(trained.kg, split, budget=budget)
    scores, labels = classifier.scores(trained.model.decoder, trained.entities), classifier.holds
    content: dict[str, Any] = dict(measures.classification(scores, labels))
    plain = Reliability.of(scores.double().sigmoid(), labels)
    content |= {"ece": plain.error, "threshold": "zero"}
    if fitted is None:
        return content
    if fitted.negatives == DRAWN:
        content["calibrated_on"] = DRAWN
    if split == "valid":
        content["optimistic"] = True
    cuts = torch.tensor(fitted.thresholds, dtype=torch.float64)[classifier.lines[:, 1]]
    content |= {"accuracy": measures.accuracy(scores, labels, cuts), "threshold": "by relation"}
    for name, calibration in fitted.calibrations.items():
        logits = calibration.logits(scores)
        content[name] = {
            "auc": measures.auc(logits, labels),
            "brier": measures.brier(logits, labels),
            "nll": measures.nll(logits, labels),
            "ece": Reliability.of(calibration.probabilities(scores), labels).error,
        }
    return content


def classification_table(content: Mapping[str, Any] | None) -> list[str]:
    """What ``classify``, or that of an ensemble, returned as lines of text."""
    if content is None:
        return []
    metrics = ("auc", "nll", "brier", "ece")
    own = content.get("probabilities", "as is")
    rows = {own: content} | {name: content[name] for name in CALIBRATIONS if name in content}
    cells = ([name, *(numbers[metric] for metric in metrics)] for name, numbers in rows.items())
    lines = aligned([["calibration", *metrics], *cells])
    lines.append(f"accuracy {content['accuracy']:.4f}, threshold {content['threshold']}")
    if content.get("optimistic"):
        lines.append("optimistic: the calibrations and the thresholds were fitted to these lines")
    return lines


def calibration_name(which: Which = "best") -> str:
    """The file of the thresholds and calibrations of a checkpoint."""
    return "calibration.json" if which == "best" else f"calibration.{which}.json"


def fit(
    trained: Trained,
    kinds: Mapping[str, type[Calibration]] = CALIBRATIONS,
    *,
    budget: Budget | None = None,
) -> Fitted:
    """Fit thresholds and some kinds of calibration on the validation lines of a model."""
    classifier = Classifier(trained.kg, "valid", budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    labels, relations = classifier.holds, classifier.lines[:, 1]
    cuts = measures.thresholds(scores, labels, relations, trained.kg.num_relations)
    calibrations = {name: kind.fit(scores, labels) for name, kind in kinds.items()}
    return Fitted(trained.step, trained.digest, tuple(cuts.tolist()), calibrations)


def kept_or_fitted(
    where: Path, trained: Trained, which: Which = "best", *, budget: Budget | None = None
) -> Fitted:
    """The thresholds and calibrations in a run's folder if of the same weights, else fitted now.

    So a run that was calibrated once needs no scikit-learn.
    """
    return kept(where, trained, which) or fit(trained, budget=budget)


def kept(where: Path, trained: Trained, which: Which = "best") -> Fitted | None:
    """The thresholds and calibrations in a run's folder; None if there are none of its weights."""
    path = where / calibration_name(which)
    data = RunFolder(where).read_json(path.name) if path.exists() else {}
    own = data.get("step"), data.get("digest")
    if own != (trained.step, trained.digest) or not CALIBRATIONS.keys() <= data.keys():
        return None
    try:
        fitted = Fitted.from_json(data)
        found, m = len(fitted.thresholds), trained.kg.num_relations
        if found != m:
            raise InputError(f"thresholds: expected {m}, one for each relation, got {found}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return fitted


def fitted_of(
    where: Path, trained: Trained, which: Which = "best", budget: Budget | None = None
) -> Fitted | None:
    """Thresholds and calibrations of a run, saved or fitted now.

    Without labelled lines, those saved by `dans.runs.calibrate_run.calibrate`, or None. Where
    calibration fails, thresholds alone, with a warning.
    """
    if not has_both(trained.kg, "valid"):
        found, path = kept(where, trained, which), where / calibration_name(which)
        if found is None and path.exists():
            log.warning("%s: of other weights, not used; dans evaluate --calibrate fits anew", path)
        return found
    try:
        return kept_or_fitted(where, trained, which, budget=budget)
    except InputError as error:
        log.warning("%s: %s; nothing is calibrated", where, error)
        return fit(trained, {}, budget=budget)


@undisturbed()
def labelled_probabilities(
    where: Path, *, split: Split = "test", which: Which = "best"
) -> tuple[dict[str, Tensor], Tensor]:
    """The probabilities of a labelled split's lines, as ``Fitted.probabilities``, and labels."""
    trained = restore(where, which=which)
    budget = budget_of(where, trained)
    classifier = Classifier(trained.kg, split, budget=budget)
    fitted = kept_or_fitted(where, trained, which, budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    return fitted.probabilities(scores), classifier.holds


@undisturbed()
def probabilities(
    where: Path, triples: Tensor, *, method: str = "platt", which: Which = "best"
) -> Tensor:
    """The calibrated probabilities of (f, 3) triples of ids, (f,) float64 on the CPU.

    ``method``: the calibration, ``platt`` or ``isotonic``.
    """
    choose(CALIBRATIONS, method, where="method")
    if triples.ndim != 2 or triples.shape[1] != 3 or triples.is_floating_point():
        raise ValueError(f"triples: expected whole numbers (f, 3), got {tuple(triples.shape)}")
    trained = restore(where, which=which)
    sizes = torch.tensor([trained.kg.num_entities, trained.kg.num_relations])[[0, 1, 0]]
    wrong = ((triples.cpu() < 0) | (triples.cpu() >= sizes)).any(1).nonzero()
    if len(wrong):
        row, ids = int(wrong[0]), triples[wrong[0, 0]].tolist()
        counts = f"{sizes[0]} entities and {sizes[1]} relations, counted from 0"
        raise InputError(f"triples: row {row}: {ids}: {trained.kg.name} has {counts}")
    budget = budget_of(where, trained)
    calibration = kept_or_fitted(where, trained, which, budget=budget).calibrations[method]
    scores = logits(trained.model.decoder, trained.entities, triples, budget=budget)
    return calibration.probabilities(scores)


def has_both(kg: KnowledgeGraph, split: Split) -> bool:
    """Has a split lines labelled true and lines labelled false?"""
    return measures.both_kinds(kg.lines(split)[1])
