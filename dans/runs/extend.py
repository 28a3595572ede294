"""A trained run on a graph that has grown: embeddings of entities that training never saw."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from dans.data.extended_graph import extended
from dans.errors import InputError, shown
from dans.models.new_entities import NEW_ENTITIES
from dans.registry import choose
from dans.runs.train import Trained, embeddings_of
from dans.seeding import undisturbed

log = logging.getLogger(__name__)

#: How new entities are embedded where nothing is said: by the encoder of the run.
ENCODER = "encoder"


@undisturbed()
def extend(trained: Trained, extra_triples: Any, new_entities: str = ENCODER) -> Trained:
    """The run with further triples and the new entities that they name.

    The encoder runs on the triples of training and these together, without training. So the
    embeddings of entities of training change too, as far as messages of the further triples reach.
    A graph without further triples has the same embeddings, to the bit. Further triples count as
    triples of train: they are known, and their relations are those of training.

    Args:
        trained: the run.
        extra_triples: by name, in a file or an object, as `dans.data.extended_graph.extended` takes
            them; those that train has are ignored.
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
