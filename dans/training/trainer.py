"""The training loop."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dans.config.schema import PhaseConfig, Schedule, TrainConfig
from dans.config.selection import Selection
from dans.data.graph import KnowledgeGraph
from dans.data.progress import Pulse, on_terminal
from dans.errors import DivergedError, InputError
from dans.evaluation.classifier import ClassificationReport, Classifier
from dans.evaluation.evaluator import EvaluationReport, Evaluator
from dans.memory import NoRoomError, is_out_of_memory
from dans.models.batch import Positives
from dans.models.model import Model
from dans.objectives.base import Objective
from dans.objectives.regularizers import Regularizer
from dans.seeding import random_state, restore_random_state
from dans.training.batches import BatchEncoder, batches_of
from dans.training.callbacks import Diagnosis, DivergenceGuard, FirstPass, Plateau
from dans.training.distributed import LostProcessError, World, tables_of
from dans.training.negatives_log import NegativesLog
from dans.training.optimizers import Gradients, build_optimizer, descend, groups_of
from dans.training.phases import PhaseOptimizers
from dans.training.run_folder import RunFolder, is_over
from dans.training.shards import cut, places
from dans.training.state_checks import (
    check_counts,
    check_digest,
    check_like,
    check_moments,
    check_options,
)

log = logging.getLogger(__name__)

#: Called after each validation, with its step and its report.
Watch = Callable[[int, EvaluationReport | ClassificationReport], None]


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """The factor of the learning rate at a step; 1 for ``plateau``, whose factor is ``Plateau``'s.

    Example:
        >>> [round(factor("cosine", step, 4), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    done = min(step / max(steps, 1), 1.0)
    shapes = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}
    return shapes.get(schedule, 1.0)


#: Advice where a step does not fit into memory.
LESS = "a smaller train.batch, or fewer negatives (k of the sampler), may help"


@contextmanager
def explain_interruption(trainer: "Trainer") -> Iterator[None]:
    """On Ctrl-C, SIGTERM, divergence, a full disk or no memory, name the checkpoint to resume from.

    Nothing is saved then: steps after the last validation are trained again by ``--resume``.

    Raises:
        DivergedError: a number is NaN, infinite or far too large.
        InputError: a file cannot be written, or, ``NoRoomError``, memory does not suffice.
        KeyboardInterrupt: the user interrupted training; ``Terminated`` by SIGTERM.
    """

    def left() -> str:
        run = trainer.run
        return (
            "nothing was saved, so training starts anew"
            if run is None
            else run.checkpoints.describe_newest()
        )

    try:
        yield
    except FloatingPointError as error:
        raise DivergedError(f"{error}; {left()}; a lower learning rate may help") from error
    except KeyboardInterrupt as stop:
        newest = left()
        hint = "; --resume continues from there" if " of step " in newest else ""
        raise type(stop)(f"in step {trainer.done + 1}; {newest}{hint}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{error.filename or 'a file'}: {reason}; {left()}") from error
    except LostProcessError as error:
        again = "the same command with --resume continues there, on any number of processes"
        raise LostProcessError(f"step {trainer.done + 1}: {error}; {left()}; {again}") from error
    except NoRoomError as error:
        raise NoRoomError(f"step {trainer.done + 1}: {error}; {left()}") from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        sentence = f"step {trainer.done + 1}: out of memory; {left()}; {LESS}"
        raise NoRoomError(sentence) from error


class Trainer:
    """Trains a model, and before each of its steps the phases of its sampler.

    One optimizer for the model and an Adam for each phase. ``fit(6)`` equals ``fit(3)``, save,
    load, ``fit(6)``, to the bit on a CPU with the same number of threads. As the last step is
    validated, what counts validations (the schedule ``plateau``, patience, the best checkpoint)
    needs a multiple of ``validate_every`` in place of 3.

    Args:
        kg: the triples.
        model: what is trained.
        objective: gives the terms of the loss, and has the sampler.
        config: options of training.
        phases: options of the sampler's phases, by name; defaults where one is not named.
        batch_encoder: turns triples into embeddings.
        regularizers: terms of the loss beside the objective's, by name.
        evaluator: evaluates the validation triples; None trains without validation.
        meaning: the options that give weights their meaning, for checkpoints.
        run: where metrics and checkpoints go; None keeps nothing.
        negatives_log: where the negatives of every step go; None keeps none.
        world: the processes that share each batch and the rows of entities; None: this one alone.
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
        meaning: Mapping[str, Any] | None = None,
        run: RunFolder | None = None,
        negatives_log: NegativesLog | None = None,
        world: World | None = None,
    ) -> None:
        _check(config, objective, validated=evaluator is not None)
        self.kg, self.model, self.objective, self.config = kg, model, objective, config
        self.batch_encoder, self.evaluator, self.run = batch_encoder, evaluator, run
        self.regularizers, self.meaning = dict(regularizers or {}), dict(meaning or {})
        self.negatives_log = objective.log_negatives = negatives_log
        #: called after each validation, its checkpoint written; an exception in it ends training
        self.watch: Watch | None = None
        self.batches = batches_of(kg.train, config, batch_encoder.most)
        self.first_pass = FirstPass(model, objective, min(len(self.batches), config.steps))
        self.guard, self.plateau = DivergenceGuard(), Plateau(config)
        self.diagnosis = Diagnosis(kg, model, objective)
        self.world = world
        of_phases = None if world is None else Gradients(world)
        self.gradients = None if world is None else Gradients(world, tables_of(model))
        self.phase_optimizers = PhaseOptimizers(
            objective.phases(), phases, check=self.check, reducer=of_phases
        )
        self.optimizer = build_optimizer(groups_of(model, config.layer_lr), config)
        self.optimizers = {"model": self.optimizer, **self.phase_optimizers.optimizers}
        #: steps so far
        self.done = 0
        #: has the model been evaluated as it was before the first step?
        self.begun = False
        #: can the best be the model before the first step? not where it has rows as they were drawn
        self.start_counts = True
        self.selection = Selection(config.select)
        #: the best value of the selection metric, and its step
        self.best, self.best_step = self.selection.worst, 0
        self.seconds = 0.0

    def step(self) -> dict[str, float]:
        """One training step of the sampler and the model; the terms of both losses, by name."""
        self.model.train()
        self.objective.train()
        rows = self.batches.next()
        positives = self.encode(rows)
        speed = factor(self.config.schedule, self.done, self.config.steps) * self.plateau.factor
        losses = self.phase_optimizers(positives.detach(), factor=speed)
        terms = self.objective(self.model.decoder, positives)
        terms |= (regular := self.regularize(rows, positives))
        self.check(terms)
        descend(
            self.optimizer,
            torch.stack(list(terms.values())).sum(),
            lr=self.config.lr * speed,
            largest=self.config.clip or math.inf,
            check=lambda norm: self.check({"the gradient": norm}),
            reducer=self.gradients,
        )
        self.done += 1
        self.first_pass.update(self.done)
        found = losses | {name: float(term.detach()) for name, term in terms.items()}
        if self.world is not None and (parts := [*losses, *regular]):
            # Means over parts of the batch, already weighed.
            sums = self.world.add(torch.tensor([found[name] for name in parts])).tolist()
            found |= dict(zip(parts, sums, strict=True))
        return found

    def encode(self, rows: Tensor) -> Positives:
        """The triples of (b,) rows as embeddings, with those of the entities the loss needs."""
        ids = Positives.of_ids(self.batch_encoder.triples(rows), self.kg.num_entities)
        proposal = self.objective.propose(ids)
        share = None if self.world is None else self.world.share(len(rows))
        positives = self.batch_encoder.positives(self.model, rows, proposal, share)
        if self.config.batch_by == "triples":
            return positives
        is_head_query = (rows >= len(self.kg.train)).to(positives.triples.device)
        return replace(positives, is_head_query=is_head_query)

    def regularize(self, rows: Tensor, positives: Positives) -> dict[str, Tensor]:
        """The terms of the regularisers, by name; some look at the embeddings of all entities."""
        whole, some = positives, positives.entity_ids is not None
        if some and any(one.all_entities for one in self.regularizers.values()):
            whole = self.batch_encoder.positives(self.model, rows)
        terms = {
            name: regularizer(self.model.decoder, whole if regularizer.all_entities else positives)
            for name, regularizer in self.regularizers.items()
        }
        if positives.share is None:
            return terms
        return {name: term * positives.share.weight for name, term in terms.items()}

    def check(self, terms: Mapping[str, Tensor]) -> None:
        """Stop the step at the first of its terms that diverged."""
        self.guard.check(self.done + 1, terms)

    def fit(self, steps: int) -> EvaluationReport | ClassificationReport | None:
        """Train up to step number ``steps``; the last validation, None without an evaluator.

        Every error that ends training says what is left to resume from; see
        ``explain_interruption``.
        """
        with explain_interruption(self):
            if self.begun and self.is_over(steps):
                return self.evaluate(self.batch_encoder.entities(self.model))
            self.begin_negatives()
            report = None if self.begun else self.validate()
            bar = tqdm(
                total=steps,
                initial=self.done,
                unit="step",
                disable=not (on_terminal() and self.writes),
                desc="train",
                leave=False,
            )
            pulse, first = Pulse(), self.done
            while not self.is_over(steps):
                started = time.perf_counter()
                terms = self.step()
                self.seconds += time.perf_counter() - started
                bar.update()
                if self.done % self.config.validate_every == 0 or self.done == steps:
                    report = self.validate(terms)
                    if report is not None:
                        values = (
                            f"{self.selection.value(report.metrics()):.3f}, best={self.best:.3f}"
                        )
                        bar.set_postfix_str(f"{self.config.select}={values}")
                if pulse.due():
                    left = pulse.left(self.done - first, steps - first)
                    log.info("%s, %s", self.progress(steps), left)
            bar.close()
            return report

    def progress(self, steps: int) -> str:
        """How far training is, in words, with the best validation so far."""
        run = "" if self.run is None else f"{self.run.path}: "
        said = f"{run}step {self.done:,} of {steps:,}"
        if self.evaluator is None or self.best == self.selection.worst:
            return said
        select = self.config.select
        name = select.upper() if select.isalpha() else select
        best = f"{name} {self.best:.4f}, at step {self.best_step:,}"
        return f"{said}, best validation {best}"

    def resumption(self, steps: int) -> str:
        """What is left for a run that resumes, in words."""
        if self.done >= steps:
            return f"already finished at step {self.done:,}; nothing to do"
        if self.is_over(steps):
            without = f"{self.config.patience} validations without a better one"
            return f"already finished at step {self.done:,}, after {without}; nothing to do"
        return f"continues from step {self.done:,} of {steps:,}"

    def is_over(self, steps: int) -> bool:
        """Are all steps done, or has validation stopped improving for ``patience`` validations?"""
        return is_over(self.config, self.done, self.best_step, steps)

    def validate(
        self, terms: Mapping[str, float] | None = None
    ) -> EvaluationReport | ClassificationReport | None:
        """Evaluate the validation triples, diagnose the sampler, write metrics and a checkpoint."""
        self.guard.check_weights(self.done, {"model": self.model, "sampler": self.objective})
        numbers: dict[str, Any] = {"seconds": self.seconds, **({"train": terms} if terms else {})}
        entities = self.batch_encoder.entities(self.model)
        report = self.evaluate(entities)
        # Without an evaluator the newest model is the best.
        better = True
        if report is not None:
            numbers |= report.metrics()
            value = self.selection.value(report.metrics())
            better = self.selection.is_better(value, self.best)
            if better:
                self.best, self.best_step = value, self.done
            self.plateau.update(better=better)
        numbers |= self.diagnosis.diagnose(self.done, entities)
        if shares := self.batch_encoder.statistics():
            numbers["graph"] = shares
        if self.run is not None:
            if self.writes:
                self.run.metrics.record(self.done, "valid", numbers)
            self.save(self.run, best=better)
        self.begun = True
        if not (self.done or self.start_counts):
            self.forget_best()
        self.begin_negatives()
        if report is not None and self.watch is not None:
            self.watch(self.done, report)
        return report

    def save(self, run: RunFolder, *, best: bool) -> None:
        """Write a checkpoint; of several processes each writes its own rows."""
        state = self.state()
        if self.world is None:
            run.checkpoints.save(state, best=best)
            return
        self.world.check_randomness()
        where = places(state, self.model, self.optimizer)
        run.checkpoints.save_shared(state, where, self.world, self.kg.num_entities, best=best)

    @property
    def writes(self) -> bool:
        """Does this process write what is the same in all?"""
        return self.world is None or self.world.leads

    def evaluate(self, entities: Tensor) -> EvaluationReport | ClassificationReport | None:
        """Evaluate the validation triples, without dropout; None without an evaluator."""
        self.model.eval()
        if self.world is None or not isinstance(self.evaluator, Evaluator):
            return None if self.evaluator is None else self.evaluator(self.model.decoder, entities)
        part = self.world.rank, self.world.size
        ranks = self.evaluator.ranks(self.model.decoder, entities, part=part)
        return self.evaluator.report(self.world.joined(ranks))

    def begin_negatives(self) -> None:
        """Start a new part of the negatives log at the checkpoint just written or resumed from."""
        if self.negatives_log is not None:
            self.negatives_log.begin(self.done)

    def forget_best(self) -> None:
        """Take the next validation for the best so far."""
        self.best = self.selection.worst

    def state(self) -> dict[str, Any]:
        """All that training needs to resume."""
        return {
            "step": self.done,
            "best": {self.config.select: self.best, "step": self.best_step},
            "seconds": self.seconds,
            "plateau": self.plateau.state(),
            "first_terms": dict(self.guard.first),
            "digest": self.kg.digest,
            "config": self.meaning,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "batches": self.batches.state(),
            "random": random_state(),
            **({} if self.start_counts else {"start_counts": False}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from what ``state`` returned for the same triples and configuration."""
        check_digest(state, self.kg)
        try:
            if self.world is not None:
                where = places(state, self.model, self.optimizer)
                state = cut(state, where, self.world, self.kg.num_entities)
            check_counts(state)
            check_like(state["model"], self.model, "checkpoint: model")
            check_like(state["objective"], self.objective, "checkpoint: objective")
            for name, optimizer in self.optimizers.items():
                check_moments(state["optimizers"][name], optimizer, f"optimizers.{name}")
                check_options(state["optimizers"][name], optimizer, f"optimizers.{name}")
            self.done, self.begun = state["step"], True
            self.best, self.best_step = state["best"][self.config.select], state["best"]["step"]
            self.start_counts = bool(state.get("start_counts", True))
            if not (self.done or self.start_counts):
                self.forget_best()
            self.seconds = state["seconds"]
            self.plateau.restore(state.get("plateau", {}))
            self.guard.first = dict(state.get("first_terms", {}))
            self.model.load_state_dict(state["model"])
            self.objective.load_state_dict(state["objective"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            self.batches.restore(state["batches"])
            restore_random_state(state["random"])
        except InputError:
            raise
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"checkpoint: made by another configuration: {reason}") from error


def _check(config: TrainConfig, objective: Objective, *, validated: bool) -> None:
    """Refuse options that do not fit an objective."""
    if config.batch_by == "queries" and not objective.by_query:
        sentence = "queries are for objectives that compare all entities; this one takes triples"
        raise InputError(f"train.batch_by: {sentence}")
    if config.schedule == "plateau" and not validated:
        raise InputError("train.schedule: plateau needs validation triples, and there are none")
    if config.log_negatives and not objective.has_negatives:
        sentence = "this objective has no negatives that could be written down; leave it out"
        raise InputError(f"train.log_negatives: {sentence}")
