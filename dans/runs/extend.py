"""A trained run on a graph that has grown: embeddings of entities that training never saw."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from msgspec import structs

from dans.config.schema import FeaturesConfig
from dans.data.extended_graph import extended
from dans.errors import InputError, shown
from dans.models.model import Model
from dans.models.new_entities import NEW_ENTITIES
from dans.registry import choose
from dans.runs.train import Trained, embeddings_of
from dans.seeding import undisturbed

log = logging.getLogger(__name__)

#: How new entities are embedded where nothing is said: by the encoder of the run.
ENCODER = "encoder"


def is_extended(extra_triples: Any, extra_features: Any, new_entities: str = ENCODER) -> bool:
    """Is anything given to extend a run by? How to embed new entities needs it."""
    if extra_triples is not None or extra_features is not None:
        return True
    if new_entities != ENCODER:
        raise InputError(
            "new_entities (--new-entities): has no effect without extra_triples (--extra-triples); "
            "leave it out"
        )
    return False


@undisturbed()
def extend(
    trained: Trained,
    extra_triples: Any = None,
    new_entities: str = ENCODER,
    *,
    extra_features: Mapping[str, Any] | None = None,
) -> Trained:
    """The run with further triples, and the new entities that these or further features name.

    The encoder runs on the triples of training and these together, without training. So the
    embeddings of entities of training change too, as far as messages of the further triples reach.
    A graph without anything further has the same embeddings, to the bit. Further triples count as
    triples of train: they are known, and their relations are those of training.

    A run that was trained with features embeds new entities by theirs, as
    `dans.models.features.FeaturedTable.extended` does, an RGCN by messages too. Features that are
    not given are missing, in the columns that say so.

    Args:
        trained: the run.
        extra_triples: by name, in a file or an object, as `dans.data.extended_graph.extended` takes
            them; those that train has are ignored. None: none.
        new_entities: ``encoder``; or, without it and with all other embeddings as they were,
            ``neighbors``, the mean of the embeddings of the neighbors; ``queries``, that of the
            queries whose answer the new entity is; ``table``, that of all, as a control.
        extra_features: of new entities, which need no triple: tables by the names that they had in
            training, as `dans.data.entity_features.EntityFeatures.of_others` takes them. A file is
            read with the options of the recipe.

    Raises:
        InputError: a relation is not one of training; or the encoder has nothing for entities that
            it was not trained with; or the features are of an entity that the run has, or of no
            table of training.
    """
    choose({ENCODER: None, **NEW_ENTITIES}, new_entities, where="new_entities")
    old, encoder, about = trained.kg, trained.model.encoder, trained.config.features
    if extra_features is not None:
        if about is None:
            raise InputError("extra_features: the run was trained without features; leave them out")
        if new_entities != ENCODER:
            raise InputError(f"new_entities: {new_entities}: uses no features; leave it out")
        extra_features = _read_as_in_training(about, extra_features)
    triples = [] if extra_triples is None else extra_triples
    kg = extended(old, triples, what="extra_triples", features=extra_features)
    new, model = kg.num_entities - old.num_entities, trained.model
    if new_entities != ENCODER:
        embed: Callable[..., torch.Tensor] = NEW_ENTITIES[new_entities]
        further = kg.train[len(old.train) :]
        entities = embed(trained.model.decoder.eval(), trained.entities, further, new)
    elif new and not encoder.embeds_new:
        name, first = trained.config.encoder.name, shown(kg.entities[old.num_entities])
        raise InputError(
            f"extra_triples: the encoder {name} has a row for each entity of training and none for "
            f"{first}; train an rgcn, or with features, or give new_entities: "
            f"{', '.join(NEW_ENTITIES)}"
        )
    else:
        if new and about is not None and kg.features is not None:
            values, present = kg.features.values[-new:], kg.features.present[-new:].any(1)
            model = Model(encoder.extended(values, present), model.decoder).eval()
            lacking = int((~present).sum())
            if lacking and not encoder.uses_graph:
                log.warning(
                    "%s: %d new entities have no features and the same embedding", old.name, lacking
                )
        entities = embeddings_of(trained.config, kg, model)
        if new and not encoder.uses_graph:
            # A larger product may round other rows otherwise.
            entities = torch.cat((trained.entities, entities[old.num_entities :]))
    log.info(
        "%s: %d further triples, %d new entities",
        *(old.name, len(kg.train) - len(old.train), new),
    )
    return replace(trained, kg=kg, model=model, entities=entities)


def _read_as_in_training(about: FeaturesConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of features, files among them with the options that the recipe has for theirs."""
    if not isinstance(given, Mapping):
        raise InputError(f"extra_features: expected tables by name, got {shown(given)}")

    def table(name: str, one: Any) -> Any:
        own = about.table.get(name)
        if own is None or not isinstance(one, (str, os.PathLike)):
            return one
        return structs.replace(own, file=str(one), names="")

    return {name: table(name, one) for name, one in given.items()}
