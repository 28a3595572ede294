"""A trained run on a graph that has grown: embeddings of entities that training never saw."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dans.data.extended_graph import NamedTriples, extended
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, shown
from dans.evaluation.evaluator import EvaluationReport, Evaluator
from dans.evaluation.ranking import metrics
from dans.models.new_entities import NEW_ENTITIES
from dans.registry import choose
from dans.runs.evaluate_run import budget_of
from dans.runs.train import Trained, embeddings_of, restore
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder

log = logging.getLogger(__name__)

#: How new entities are embedded where nothing is said: by the encoder of the run.
ENCODER = "encoder"


@undisturbed()
def extend(trained: Trained, extra_triples: NamedTriples, new_entities: str = ENCODER) -> Trained:
    """The run with further triples and the new entities that they name.

    The encoder runs on the triples of training and these together, without training. So the
    embeddings of entities of training change too, as far as messages of the further triples reach.
    A graph without further triples has the same embeddings, to the bit. Further triples count as
    triples of train: they are known, and their relations are those of training.

    Args:
        trained: the run.
        extra_triples: by name, or a file of three columns, separated by tabs; those that train has
            are ignored.
        new_entities: ``encoder``; or, without it and with all other embeddings as they were,
            ``neighbors``, the mean of the embeddings of the neighbors; ``queries``, that of the
            queries whose answer the new entity is; ``table``, that of all, as a control.

    Raises:
        InputError: a relation is not one of training; or the encoder has nothing for entities that
            it was not trained with.
    """
    choose({ENCODER: None, **NEW_ENTITIES}, new_entities, where="new_entities")
    old, encoder = trained.kg, trained.model.encoder
    kg = extended(old, extra_triples, what="extra_triples")
    new = kg.num_entities - old.num_entities
    if new_entities != ENCODER:
        embed: Callable[..., torch.Tensor] = NEW_ENTITIES[new_entities]
        further = kg.train[len(old.train) :]
        entities = embed(trained.model.decoder.eval(), trained.entities, further, new)
    elif new and not encoder.embeds_new:
        name, first = trained.config.encoder.name, shown(kg.entities[old.num_entities])
        raise InputError(
            f"extra_triples: the encoder {name} has a row for each entity of training and none for "
            f"{first}; train an rgcn, or give new_entities: {', '.join(NEW_ENTITIES)}"
        )
    else:
        entities = embeddings_of(trained.config, kg, trained.model)
    log.info(
        "%s: %d further triples, %d new entities",
        *(old.name, len(kg.train) - len(old.train), new),
    )
    return replace(trained, kg=kg, entities=entities)


@undisturbed()
def evaluate_extended(
    where: Path,
    extra_triples: NamedTriples,
    triples: NamedTriples,
    *,
    which: Which = "best",
    new_entities: str = ENCODER,
    memory_budget: str | int = "",
) -> tuple[EvaluationReport, dict[str, Any]]:
    """Rank the heads and tails of triples of new entities, given further triples of theirs.

    Candidates are all entities, those of training and the new ones. Left out are other known
    answers in train, valid, test, the further triples and the ranked ones; ties count half. Writes
    the report into the run's folder as ``report.extended.json``, or with the name of
    ``new_entities`` before the suffix.

    Args:
        where: the run's folder.
        extra_triples: as in `extend`.
        triples: those to rank, by name or in a file. An entity that neither training nor the
            further triples name is refused.
        which: the checkpoint.
        new_entities: as in `extend`.
        memory_budget: as ``train.memory_budget``, whose value is the default.

    Returns:
        The report; and what is written beside it, with the metrics of the queries whose answer is a
        ``new`` entity and of those whose answer is an ``old`` one.
    """
    before = restore(where, which=which)
    trained = extend(before, extra_triples, new_entities)
    kg = trained.kg
    ranked = extended(kg, triples, what="triples")
    if ranked.num_entities > kg.num_entities:
        name = shown(ranked.entities[kg.num_entities])
        raise InputError(f"triples: neither training nor the extra triples have the entity {name}")
    # Of triples that train has too, none is to be predicted.
    chosen = ranked.train[len(kg.train) :]
    if not len(chosen):
        raise InputError("triples: expected triples that training and the extra ones lack, got none")
    among = KnowledgeGraph(
        kg.name,
        kg.entities,
        kg.relations,
        train=kg.train,
        valid=torch.cat((kg.valid, kg.test)),
        test=chosen,
    )
    budget = budget_of(where, before, memory_budget)
    evaluator = Evaluator(among, "test", budget=budget)
    ranks = evaluator.ranks(trained.model.decoder, trained.entities)
    plain = evaluator.report(ranks)
    new = kg.num_entities - before.kg.num_entities
    protocol = {
        **plain.protocol,
        "filter": ["train", "valid", "test", "extra_triples", "triples"],
        "unseen_entities": "ranked, embedded after training",
        "new_entities": {"number": new, "embedded_by": new_entities},
        "extra_triples": len(kg.train) - len(before.kg.train),
    }
    report = replace(plain, split="triples", protocol=protocol)
    # Columns are head and tail queries, whose answers are heads and tails.
    is_new = chosen[:, [0, 2]] >= before.kg.num_entities
    sides = {"new": is_new, "old": ~is_new}
    content: dict[str, Any] = {
        "answers": {
            name: metrics(ranks.realistic[rows], ranks.candidates[rows])
            for name, rows in sides.items()
            if bool(rows.any())
        },
        "model": which,
        "step": trained.step,
        "seed": trained.config.train.seed,
    }
    unusual = [name for name in (which, new_entities) if name not in ("best", ENCODER)]
    file = ".".join(["report", "extended", *unusual, "json"])
    RunFolder(where).write_json(file, {**report.to_json(), **content})
    return report, content
