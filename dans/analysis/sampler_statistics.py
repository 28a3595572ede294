"""Statistics of a sampler's negatives: false negatives, hardness, diversity and speed."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dans.analysis.diversity import diversity, evenly
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.text_table import aligned
from dans.models.batch import Negatives, Positives, corrupted
from dans.samplers.base import Mixture, NegativeSampler
from dans.samplers.nearest import identify
from dans.seeding import random_state, restore_random_state, seed_everything
from dans.training.phases import PhaseOptimizers

#: Triples that negatives are drawn for at a time, at the most: to be inspected, and in a warm-up.
TRIPLES, BATCH = 512, 1000

#: Numbers held at once in negatives' embeddings, or in distances between them: 64 MiB of float32.
ELEMENTS = 2**24

#: Negatives of a triple, evenly spaced, between which distances are taken.
PAIRED = 64

#: Entities, evenly spaced, between which distances are taken.
ENTITIES = 1000

#: Lines below a table; the last two where embeddings were generated.
NOTES = [
    "draws/s leave out what a sampler does in training alone, such as the renewal of",
    "  caches or the updates of its phases",
    "* generated embeddings: the nearest entity stands for each in false negatives,",
    "  distinct and coverage",
]

#: Margins kept for a picture, evenly spaced over the sorted ones.
MARGINS = 10_000


@dataclass(frozen=True)
class Draws:
    """Negatives of f triples, (f, k) each, on the CPU.

    Args:
        triples: (f, 3).
        ids: the entities drawn, or those nearest to generated embeddings.
        valid: False where a negative is masked as a known triple.
        generated: True where the embedding is that of no entity.
        margins: score of the negative minus that of its triple; None without a model.
        distance: mean distance between two negatives of one query; None without a model, or where
            no query has two.
        seconds: that the drawing took.
    """

    triples: Tensor
    ids: Tensor
    corrupt_head: Tensor
    valid: Tensor
    generated: Tensor
    margins: Tensor | None
    distance: float | None
    seconds: float


@dataclass(frozen=True)
class Inspection:
    """Statistics of a sampler, by name; see ``inspect``.

    ``margins`` are scores of negatives minus those of their triples, ascending; empty without a
    model.
    """

    numbers: dict[str, Any]
    margins: Tensor


def inspect(
    kg: KnowledgeGraph,
    sampler: NegativeSampler,
    positives: Callable[[Tensor], Positives],
    *,
    triples: int = 1000,
    seed: int = 0,
) -> Inspection:
    """Measure a sampler on training triples, without changing its state or the random state.

    Args:
        sampler: draws in evaluation mode.
        positives: embeds (b, 3) training triples; ``Positives.of_ids`` where there is no model.
        triples: for how many training triples, evenly spaced, negatives are drawn.

    Returns:
        ``negatives``, how many were drawn; ``masked``, the share of them masked as known triples
        and left out of what follows; ``generated``, the share whose embedding is that of no entity;
        ``false_negatives``, the shares that are triples of each split and of ``any``; ``harder``,
        the share that scores above its triple; ``score_gap``, mean score of negatives minus mean
        score of triples; ``diversity_within_query``, mean distance between two negatives of one
        query over that between two entities; ``distinct``, different entities of a query over its
        negatives; ``coverage``, the share of entities drawn at all; and ``draws_per_second``, see
        ``NOTES``. What needs a model is None without one; the nearest entity stands for each
        generated embedding.

    Raises:
        InputError: a count below 1, a graph without training triples, or a sampler that needs a
            model where there is none.
    """
    if triples < 1:
        raise InputError(f"triples: expected at least 1, got {triples}")
    if not len(kg.train):
        raise InputError(f"{kg.name}: has no training triples to draw negatives for")
    with _in_mode(sampler, seed, training=False):
        draws, entities = _draw(sampler, positives, evenly(kg.train, triples))
    return _summary(kg, draws, entities)


@contextmanager
def _in_mode(sampler: NegativeSampler, seed: int, *, training: bool) -> Iterator[None]:
    """A mode and a seed, after which the sampler's mode and the random state are as before."""
    before, was_training = random_state(), sampler.training
    sampler.train(training)
    seed_everything(seed)
    try:
        yield
    finally:
        sampler.train(was_training)
        restore_random_state(before)


def warm_up(
    kg: KnowledgeGraph,
    sampler: NegativeSampler,
    positives: Callable[[Tensor], Positives],
    *,
    passes: int,
    seed: int = 0,
) -> None:
    """Train an adaptive sampler against a frozen model; the random state stays as it was.

    As in each step of a trainer, its phases are updated, with the default optimizer options, and
    then it draws, so that caches are renewed.

    Args:
        sampler: comes back in the mode it was in.
        positives: as for ``inspect``.
        passes: over the shuffled training triples.
        seed: of the order and the draws.

    Raises:
        InputError: ``passes`` is negative.
        FloatingPointError: the loss of a phase is not finite.
    """
    if passes < 0:
        raise InputError(f"warm-up: passes must not be negative, got {passes}")
    order, update = torch.Generator().manual_seed(seed), PhaseOptimizers(sampler.phases())
    size = _batch_size(sampler, positives(kg.train[:1]).entities, BATCH)
    with _in_mode(sampler, seed, training=True):
        for _ in range(passes):
            rows = torch.randperm(len(kg.train), generator=order)
            for triples in kg.train[rows].split(size):
                batch = positives(triples).detach()
                update(batch)
                with torch.no_grad():
                    sampler(batch)


def _summary(kg: KnowledgeGraph, draws: Draws, entities: Tensor) -> Inspection:
    margins = None if draws.margins is None else draws.margins[draws.valid]
    scale = diversity(evenly(entities, ENTITIES))
    relative = draws.distance / scale if draws.distance is not None and scale else None
    numbers = {
        "negatives": draws.ids.numel(),
        "masked": float((~draws.valid).double().mean()),
        "generated": float(draws.generated.double().mean()),
        "false_negatives": false_negatives(kg, draws),
        "harder": None if margins is None else _share(margins > 0),
        "score_gap": float(margins.mean()) if margins is not None and len(margins) else None,
        "diversity_within_query": relative,
        "distinct": distinct(draws),
        "coverage": len(draws.ids[draws.valid].unique()) / kg.num_entities,
        "draws_per_second": draws.ids.numel() / max(draws.seconds, 1e-9),
    }
    kept = torch.zeros(0) if margins is None else evenly(margins.sort().values, MARGINS)
    return Inspection(numbers, kept)


@torch.no_grad()
def _draw(
    sampler: NegativeSampler, positives: Callable[[Tensor], Positives], triples: Tensor
) -> tuple[Draws, Tensor]:
    """Draw negatives batch by batch; also the embeddings of all entities."""
    first = positives(triples[:1])
    entities = first.entities.detach()
    has_model = bool(entities.shape[1])
    if sampler.adaptive and not has_model:
        raise InputError(f"{type(sampler).__name__.lower()}: looks at a model, and there is none")
    sampler(first)  # A first draw may build tables; that time is left out.
    parts, distances, pairs, seconds = [], 0.0, 0, 0.0
    for rows in triples.split(_batch_size(sampler, entities, TRIPLES)):
        batch = positives(rows)
        started = time.perf_counter()
        negatives = sampler(batch)
        # Copying waits for the device, which may still be drawing.
        side = negatives.corrupt_head.cpu()
        seconds += time.perf_counter() - started
        ids, generated = identify(negatives, batch)
        valid = (
            torch.ones_like(negatives.corrupt_head) if negatives.valid is None else negatives.valid
        )
        margins = ids.new_zeros(0)
        if has_model:
            margins = negatives.scores(batch) - batch.scores(negatives.corrupt_head)
            total, count = distances_within(negatives, valid)
            distances, pairs = distances + total, pairs + count
        parts.append((batch.triples, ids, side, valid, generated, margins))
    drawn, ids, side, valid, generated, margins = (
        torch.cat(column).cpu() for column in zip(*parts, strict=True)
    )
    distance = distances / pairs if pairs else None
    known_margins = margins if has_model else None
    return Draws(drawn, ids, side, valid, generated, known_margins, distance, seconds), entities


def _batch_size(sampler: NegativeSampler, entities: Tensor, most: int) -> int:
    """For how many triples a sampler's negatives fit into ``ELEMENTS`` numbers."""
    return max(1, min(most, ELEMENTS // (sampler.k * max(1, entities.shape[1]))))


def false_negatives(kg: KnowledgeGraph, draws: Draws) -> dict[str, float]:
    """The shares of negatives that are triples: of each split, and of any."""
    made = corrupted(draws.triples, draws.ids, draws.corrupt_head)[draws.valid]
    splits = {split: kg.known((split,)) for split in SPLITS} | {"any": kg.known()}
    # The filter lies on the device of a sampler that uses it.
    return {name: _share(known.is_known(made.to(known.device))) for name, known in splits.items()}


def distinct(draws: Draws) -> float:
    """Different entities among the negatives of a query, over these; mean over all negatives."""
    rows = torch.arange(len(draws.ids)).unsqueeze(1) * 2 + draws.corrupt_head
    pairs = torch.stack((rows, draws.ids), dim=-1)[draws.valid]
    return len(pairs.unique(dim=0)) / max(len(pairs), 1)


def distances_within(negatives: Negatives, valid: Tensor) -> tuple[float, int]:
    """Sum and number of the distances between ``valid`` negatives of one query.

    At most ``PAIRED`` negatives of a triple are compared.
    """
    columns = evenly(torch.arange(valid.shape[1], device=valid.device), PAIRED)
    embeddings, side, counts = (
        column[:, columns] for column in (negatives.embeddings, negatives.corrupt_head, valid)
    )
    pair = (side.unsqueeze(1) == side.unsqueeze(2)) & counts.unsqueeze(1) & counts.unsqueeze(2)
    pair = pair & ~torch.eye(len(columns), dtype=torch.bool, device=pair.device)
    # By matrix products, the distance of equal embeddings would be a rounding error.
    mode = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(embeddings, embeddings, compute_mode=mode)[pair]
    return float(distances.double().sum()), len(distances)


def members(sampler: NegativeSampler, names: list[str]) -> dict[str, NegativeSampler]:
    """The samplers of a mixture, or the only one, by name; a second one of a name gets a number."""
    parts = sampler.samplers if isinstance(sampler, Mixture) else (sampler,)
    found: dict[str, NegativeSampler] = {}
    for i, (name, part) in enumerate(zip(names, parts, strict=True), start=1):
        found[f"{name} {i}" if name in found else name] = part
    return found


def _share(holds: Tensor) -> float:
    return float(holds.double().mean()) if holds.numel() else 0.0


def table(found: Mapping[str, Inspection]) -> list[str]:
    """Lines of a table with a row for each sampler, and footnotes."""

    def cell(value: float | None, *, percent: bool = False) -> str:
        return "–" if value is None else f"{100 * value:.2f}" if percent else f"{value:.3f}"

    head = ["false %", *SPLITS, "masked %", "harder %", "score gap"]
    head += ["diversity", "distinct", "coverage", "draws/s"]
    marks = {name: "*" * (one.numbers["generated"] > 0) for name, one in found.items()}
    rows = [["", *head]]
    for name, one in found.items():
        n = one.numbers
        shares = [n["false_negatives"][s] for s in ("any", *SPLITS)] + [n["masked"], n["harder"]]
        others = ("score_gap", "diversity_within_query", "distinct", "coverage")
        cells = [cell(share, percent=True) for share in shares] + [cell(n[key]) for key in others]
        rows.append([name + marks[name], *cells, f"{n['draws_per_second']:.2g}"])
    return [*aligned(rows), *(NOTES if any(marks.values()) else NOTES[:2])]
