"""Filtered ranking: ours beside PyKEEN's ``RankBasedEvaluator`` and the bare matrix product.

All have the same weights and rank the same triples, filtered by the same known ones. PyKEEN's
RotatE takes the Euclidean norm of the moduli where the paper sums them: the same work, other ranks.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import MAX_BYTES, Evaluator
from dans.models.batch import corrupted
from dans.models.decoders import DECODERS, Decoder
from dans.registry import build
from scripts.benchmarks.measure import Row, compete

#: Decoder to the width of an entity, in its own kind of number: real, complex, complex.
WIDTHS = {"distmult": 200, "complex": 200, "rotate": 100}

DANS, PRODUCT, PYKEEN = "dans", "matrix product alone", "PyKEEN RankBasedEvaluator"
BLOOM = "PyKEEN BloomFilterer, not exact"

#: Queries PyKEEN scores at a time: its fastest of 1, 2, 4, 8 and 32. For DistMult its own default
#: takes 2.4 times as long.
PYKEEN_BATCH = {"distmult": 4, "complex": 2, "rotate": 2}


def rows(
    kg: KnowledgeGraph, decoder: str, *, sample: int | None = 1024, rounds: int = 2
) -> list[Row]:
    """One row for each contender that is installed, and one for the product no ranking can beat.

    Args:
        sample: rank this many triples of the split only; None: all of them.
    """
    triples = f"{sample:,} triples" if sample else "all triples"
    work = f"filtered ranking, {kg.name} test, {triples}, {decoder} d={WIDTHS[decoder]}"
    contenders = [DANS] if decoder == "rotate" else [DANS, PRODUCT]
    if find_spec("pykeen"):
        contenders.append(PYKEEN)
    return compete(work, contenders, make_ranking, kg, decoder, sample, rounds=rounds)


def all_rows(kg: KnowledgeGraph, *, sample: int | None = None, rounds: int = 3) -> list[Row]:
    """``rows`` for every decoder there are widths for, and ``filter_rows``."""
    ranked = [row for name in WIDTHS for row in rows(kg, name, sample=sample, rounds=rounds)]
    return [*ranked, *filter_rows(kg)]


def filter_rows(
    kg: KnowledgeGraph, *, triples: int = 512, k: int = 20, rounds: int = 50
) -> list[Row]:
    """Which of k candidates of some training triples are known: exact, and by Bloom filter.

    Args:
        kg: its training triples are the known ones.
    """
    contenders = [DANS, BLOOM] if find_spec("pykeen") else [DANS]
    work = f"filtering {triples} x {k} candidates, {kg.name}"
    return compete(work, contenders, make_filter, kg, triples, k, rounds=rounds)


def make_ranking(
    contender: str, kg: KnowledgeGraph, name: str, sample: int | None
) -> Callable[[], float]:
    """A contender's piece of work; returns the mean reciprocal rank."""
    torch.manual_seed(0)
    kg = replace(kg, test=kg.test[torch.randperm(len(kg.test))[:sample]])
    dim = WIDTHS[name] * (1 if name == "distmult" else 2)
    decoder = build(DECODERS, name, num_relations=kg.num_relations, dim=dim)
    entities = torch.randn(kg.num_entities, dim) / dim**0.5
    return MAKERS[contender](kg, name, decoder, entities)


def _ours(kg: KnowledgeGraph, name: str, decoder: Decoder, entities: Tensor) -> Callable[[], float]:
    kg.known()  # as in training, where each validation finds it made
    return lambda: Evaluator(kg, "test")(decoder, entities).both["mrr"]


def _theirs(
    kg: KnowledgeGraph, name: str, decoder: Decoder, entities: Tensor
) -> Callable[[], float]:
    import pykeen.models  # type: ignore[import-untyped,unused-ignore]
    from pykeen.evaluation import RankBasedEvaluator  # type: ignore[import-untyped,unused-ignore]
    from pykeen.triples import CoreTriplesFactory  # type: ignore[import-untyped,unused-ignore]

    # It warns of every evaluation on a CPU.
    logging.getLogger("torch_max_mem").setLevel(logging.ERROR)
    logging.getLogger("pykeen").setLevel(logging.ERROR)
    train = CoreTriplesFactory(kg.train, kg.num_entities, kg.num_relations)
    model_class = {
        "distmult": pykeen.models.DistMult,
        "complex": pykeen.models.ComplEx,
        "rotate": pykeen.models.RotatE,
    }[name]
    model = model_class(triples_factory=train, embedding_dim=WIDTHS[name])
    relations = decoder.relation.weight.detach()
    if name == "rotate":
        relations = torch.cat((relations.cos(), relations.sin()), 1)
    for tables, embeddings in (
        (model.entity_representations, entities),
        (model.relation_representations, relations),
    ):
        weight = tables[0]._embeddings.weight.data
        # PyKEEN packs a complex number's parts side by side, we pack embedding by embedding.
        parts = embeddings if name == "distmult" else torch.stack(embeddings.chunk(2, 1), 2)
        weight.copy_(parts.reshape(weight.shape))

    def ranking() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = RankBasedEvaluator(filtered=True).evaluate(
                model,
                mapped_triples=kg.test,
                additional_filter_triples=[kg.train, kg.valid],
                batch_size=PYKEEN_BATCH[name],
                use_tqdm=False,
            )
        return float(results.get_metric("both.realistic.inverse_harmonic_mean_rank"))

    return ranking


def _product(
    kg: KnowledgeGraph, name: str, decoder: Decoder, entities: Tensor
) -> Callable[[], float]:
    """Every distinct query's scores, and nothing done with them: no ranking can be faster."""
    count = sum(len(kg.test[:, pair].unique(dim=0)) for pair in ([0, 1], [1, 2]))
    rows = max(1, MAX_BYTES // (4 * kg.num_entities))
    queries = torch.randn(count, entities.shape[1]).split(rows)

    def product() -> float:
        for chunk in queries:
            torch.mm(entities, chunk.T)
        return float("nan")

    return product


MAKERS: dict[str, Callable[[KnowledgeGraph, str, Decoder, Tensor], Callable[[], float]]] = {
    DANS: _ours,
    PYKEEN: _theirs,
    PRODUCT: _product,
}


def make_filter(contender: str, kg: KnowledgeGraph, triples: int, k: int) -> Callable[[], Tensor]:
    """A contender's piece of work; returns which candidates are taken for known ones."""
    torch.manual_seed(0)
    positives = kg.train[torch.randperm(len(kg.train))[:triples]]
    ids = torch.randint(kg.num_entities, (len(positives), k))
    candidates = corrupted(positives, ids, torch.rand(ids.shape) < 0.5)
    if contender == DANS:
        known = kg.known(("train",))
        return lambda: known.is_known(candidates)
    from pykeen.sampling.filtering import (  # type: ignore[import-untyped,unused-ignore]
        BloomFilterer,
    )

    bloom = BloomFilterer(mapped_triples=kg.train)
    return lambda: ~bloom(candidates)
