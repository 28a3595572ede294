"""The loop, and nothing that is not the loop."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dans.config.schema import PhaseConfig, Schedule, TrainConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.classifier import ClassificationReport, Classifier
from dans.evaluation.evaluator import EvaluationReport, Evaluator
from dans.models.batch import Positives
from dans.models.model import Model
from dans.objectives.base import Objective
from dans.objectives.regularizers import Regularizer
from dans.seeding import random_state, restore_random_state
from dans.training.batches import BatchEncoder, batches_of
from dans.training.callbacks import Diagnosis, DivergenceGuard, saying_what_is_left
from dans.training.negatives_log import NegativesLog
from dans.training.optimizers import build_optimizer, clip
from dans.training.phases import PhaseOptimizers
from dans.training.run import Run

log = logging.getLogger(__name__)

#: Told of each validation, by its step.
Watch = Callable[[int, EvaluationReport | ClassificationReport], None]

#: What any first validation is better than, by what models are selected.
WORST = {"mrr": 0.0, "nll": math.inf}

#: What ``plateau`` has left of the learning rate, and the validations without a gain.
FULL_SPEED = {"factor": 1.0, "waited": 0.0}


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step; by validations, for ``plateau``.

    Example:
        >>> [round(factor("cosine", step, 4), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    done = min(step / max(steps, 1), 1.0)
    shapes = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}
    return shapes.get(schedule, 1.0)


class Trainer:
    """PhaseOptimizers the model, and before each of its steps whatever its sampler has to learn.

    One optimizer for the model and an Adam for each phase. ``fit(6)`` is ``fit(3)``, save, load,
    ``fit(6)``, to the bit on a CPU with the same number of threads.

    Args:
        kg: the triples.
        model: what is trained.
        objective: what it is trained for.
        config: how.
        phases: how each phase of the sampler moves, by its name; defaults where one is not named.
        batch_encoder: turns triples into embeddings.
        regularizers: by name, terms beside the objective's.
        evaluator: evaluates validation triples, by the figure that ``config`` selects by; None
            trains without validation.
        run: where metrics and checkpoints go; None keeps nothing.
        dump: where the negatives of every step go; None keeps none.

    Raises:
        InputError: ``phases`` names one that the sampler does not have, or batches are of queries
            and the objective is not, or the schedule needs validations and there are none, or
            negatives should be written down and the objective has none.
    """

    def __init__(
        self,
        kg: KnowledgeGraph,
        model: Model,
        objective: Objective,
        *,
        config: TrainConfig,
        batch_encoder: BatchEncoder,
        regularizers: Mapping[str, Regularizer] | None = None,
        phases: Mapping[str, PhaseConfig] | None = None,
        evaluator: Evaluator | Classifier | None = None,
        run: Run | None = None,
        dump: NegativesLog | None = None,
    ) -> None:
        self.kg, self.model, self.objective = kg, model, objective
        self.config, self.batch_encoder, self.evaluator, self.run = (
            config,
            batch_encoder,
            evaluator,
            run,
        )
        self.dump = objective.log_negatives = dump
        #: called after each validation, its checkpoint written; what it raises ends training
        self.watch: Watch | None = None
        self.regularizers = dict(regularizers or {})
        self.by_query = config.batch_by == "queries"
        _check(config, objective, judged=evaluator is not None)
        self.batches = batches_of(kg.train, config)
        self.guard = DivergenceGuard()
        self.phase_optimizers = PhaseOptimizers(objective.phases(), phases, check=self.check)
        self.optimizer = build_optimizer(model.parameters(), config)
        self.optimizers = {"model": self.optimizer, **self.phase_optimizers.optimizers}
        self.done = 0
        #: has it been evaluated as it was before the first step?
        self.begun = False
        #: the best figure of validation, and its step
        self.best = WORST[config.select]
        self.best_step = 0
        #: see ``FULL_SPEED``
        self.plateau = dict(FULL_SPEED)
        self.seconds = 0.0
        self.diagnosis = Diagnosis(kg, model, objective)

    def fit(self, steps: int) -> EvaluationReport | ClassificationReport | None:
        """Train up to step number ``steps``, from wherever it stands.

        Returns:
            The last validation; None without an evaluator.

        Raises:
            DivergedError: a loss, a gradient or a weight is no longer a number, or a loss has
                exploded; see ``dans.training.callbacks.EXPLODED``.
            InputError: a file cannot be written; or, ``NoRoomError``, memory does not suffice.
            KeyboardInterrupt: so it was told. All of these say what is left to continue from.
        """
        with self.saying_what_is_left():
            return self._fit(steps)

    def saying_what_is_left(self) -> AbstractContextManager[None]:
        """See ``dans.training.callbacks``."""
        return saying_what_is_left(lambda: self.done + 1, self.kept)

    def kept(self) -> str:
        """What is left if training stops here, in words."""
        return "no run is kept" if self.run is None else self.run.kept()

    def _fit(self, steps: int) -> EvaluationReport | ClassificationReport | None:
        if self.begun and (self.done >= steps or self.exhausted):
            return self.judge(self.batch_encoder.entities(self.model))
        self.begin_part()
        report = None if self.begun else self.validate()
        bar = tqdm(
            total=steps, initial=self.done, unit="step", disable=None, desc="train", leave=False
        )
        while self.done < steps and not self.exhausted:
            started = time.perf_counter()
            terms = self.step()
            self.seconds += time.perf_counter() - started
            bar.update()
            if self.done % self.config.validate_every == 0 or self.done == steps:
                report = self.validate(terms)
                if report is not None:
                    figures = f"{report.selection_metric:.3f}, best={self.best:.3f}"
                    bar.set_postfix_str(f"{self.config.select}={figures}")
        bar.close()
        return report

    @property
    def exhausted(self) -> bool:
        """Has validation stopped improving for longer than ``patience``?"""
        waited = (self.done - self.best_step) // self.config.validate_every
        return 0 < self.config.patience <= waited

    def step(self) -> dict[str, float]:
        """One step of the model, after the sampler's own moves; the terms of its loss."""
        self.model.train()
        self.objective.train()
        rows = self.batches.next()
        positives = self.positives(rows)
        speed = factor(self.config.schedule, self.done, self.config.steps)
        speed *= self.plateau["factor"]
        logged = self.phase_optimizers(positives.detach(), factor=speed)
        terms = self.objective(self.model.decoder, positives)
        terms |= self.regularize(rows, positives)
        self.check(terms)
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward(inputs=list(self.model.parameters()))
        norm = clip(self.model.parameters(), self.config.clip or math.inf)
        if not norm.isfinite():
            self.check({"the gradient": norm})
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * speed
        self.optimizer.step()
        self.done += 1
        return logged | {name: float(term.detach()) for name, term in terms.items()}

    def regularize(self, rows: Tensor, positives: Positives) -> dict[str, Tensor]:
        """The regularisers' terms, by name; of all entities for those that look at them."""
        whole = positives
        if positives.shared_negatives is not None and any(
            one.all_entities for one in self.regularizers.values()
        ):
            whole = self.batch_encoder.positives(self.model, rows)
        return {
            name: regularizer(self.model.decoder, whole if regularizer.all_entities else positives)
            for name, regularizer in self.regularizers.items()
        }

    def positives(self, rows: Tensor) -> Positives:
        """A batch as the objective wants to see it."""
        wanted = self.objective.entities_needed(self.batch_encoder.triples(rows))
        positives = self.batch_encoder.positives(self.model, rows, wanted)
        if not self.by_query:
            return positives
        is_head_query = (rows >= len(self.kg.train)).to(positives.triples.device)
        return replace(positives, is_head_query=is_head_query)

    def check(self, terms: Mapping[str, Tensor]) -> None:
        """Stop the step at the first of its terms that diverged."""
        self.guard.check(self.done + 1, terms)

    def validate(
        self, terms: Mapping[str, float] | None = None
    ) -> EvaluationReport | ClassificationReport | None:
        """Evaluate the validation triples, diagnose the sampler, write a checkpoint."""
        self.guard.check_weights(self.done, {"model": self.model, "sampler": self.objective})
        numbers: dict[str, Any] = {"seconds": self.seconds, **({"train": terms} if terms else {})}
        entities = self.batch_encoder.entities(self.model)
        report = self.judge(entities)
        better = False
        if report is not None:
            numbers |= report.metrics()
            better = report.is_better(self.best)
            if better:
                self.best, self.best_step = report.selection_metric, self.done
            self.slow_down(better=better)
        numbers |= self.diagnosis.diagnose(self.done, entities)
        if self.run is not None:
            self.run.record(self.done, "valid", numbers)
            self.run.save(self.state(), best=better or self.evaluator is None)
        self.guard.renew_limits()
        self.begun = True
        self.begin_part()
        if report is not None and self.watch is not None:
            self.watch(self.done, report)
        return report

    def forget_best(self) -> None:
        """Take the next validation for the best so far."""
        self.best = WORST[self.config.select]

    def slow_down(self, *, better: bool) -> None:
        """After too many validations without a gain, continue with a smaller learning rate."""
        if self.config.schedule != "plateau":
            return
        self.plateau["waited"] = 0.0 if better else self.plateau["waited"] + 1
        if self.plateau["waited"] > self.config.decay_patience:
            self.plateau["factor"] *= self.config.decay
            self.plateau["waited"] = 0.0

    def begin_part(self) -> None:
        """What is dumped from here on belongs to the checkpoint just written, or gone on from."""
        if self.dump is not None:
            self.dump.begin(self.done)

    def judge(self, entities: Tensor) -> EvaluationReport | ClassificationReport | None:
        """Rank or classify the validation triples, without dropout; None without an evaluator."""
        self.model.eval()
        return None if self.evaluator is None else self.evaluator(self.model.decoder, entities)

    def state(self) -> dict[str, Any]:
        """All it needs to continue."""
        return {
            "step": self.done,
            "best": {self.config.select: self.best, "step": self.best_step},
            "seconds": self.seconds,
            "plateau": dict(self.plateau),
            "peaks": dict(self.guard.peaks),
            "digest": self.kg.digest,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "batches": self.batches.state(),
            "random": random_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned.

        Raises:
            InputError: the state belongs to other triples, or to another configuration.
        """
        check_digest(state, self.kg)
        try:
            self._restore(state)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            what = " ".join(str(error).split())
            raise InputError(f"checkpoint: made by another configuration: {what}") from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.done, self.begun = state["step"], True
        self.best, self.best_step = state["best"][self.config.select], state["best"]["step"]
        self.seconds = state["seconds"]
        self.plateau = dict(state.get("plateau", FULL_SPEED))
        self.guard.peaks = dict(state.get("peaks", {}))
        self.guard.renew_limits()
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.batches.restore(state["batches"])
        restore_random_state(state["random"])


def _check(config: TrainConfig, objective: Objective, *, judged: bool) -> None:
    """Refuse what an objective cannot be trained by."""
    if config.batch_by == "queries" and not objective.by_query:
        raise InputError(
            "train.batch_by: queries are for objectives that compare all entities; "
            "this one takes triples"
        )
    if config.schedule == "plateau" and not judged:
        raise InputError("train.schedule: plateau needs validation triples, and there are none")
    if config.log_negatives and not objective.has_negatives:
        raise InputError(
            "train.log_negatives: this objective has no negatives that could be written "
            "down; leave it out"
        )


def check_digest(state: Mapping[str, Any], kg: KnowledgeGraph) -> None:
    """Refuse a checkpoint of other triples.

    Raises:
        InputError: its digest is not that of ``kg``.
    """
    if state["digest"] != kg.digest:
        raise InputError(
            f"checkpoint: made for other triples (digest {state['digest'][:12]}…) than {kg.name} "
            f"({kg.digest[:12]}…)"
        )
