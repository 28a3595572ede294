"""What a sampler offers, in numbers: how often false, how hard, how diverse, how fast."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dans.analysis.diversity import spread
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Negatives, Positives, corrupted
from dans.samplers.base import Mixture, NegativeSampler
from dans.samplers.nearest import identify
from dans.seeding import random_state, restore_random_state, seed_everything
from dans.training.phases import PhaseOptimizers

#: Triples given to a sampler at a time, at the most.
FACTS = 512

#: Triples of a batch that a sampler warms up on, at the most.
BATCH = 1000

#: Numbers held at once in negatives' embeddings, or in distances between them: 64 MiB of float32.
ELEMENTS = 2**24

#: Negatives of a triple, evenly spread, between which distances are taken.
PAIRED = 64

#: Entities, evenly spread, between which distances are taken.
ENTITIES = 1000

#: Margins kept for a picture, evenly spread over the sorted ones.
MARGINS = 10_000


@dataclass(frozen=True)
class Draws:
    """Negatives of f triples, as far as numbers are made of them; all on the CPU.

    Args:
        triples: (f, 3) the triples.
        ids: (f, k) the entities drawn, or those nearest to generated embeddings.
        replaces_head: (f, k) bool.
        valid: (f, k) bool; False where a negative was marked as a known triple and does not count.
        generated: (f, k) bool; is the negative nobody's embedding?
        margins: (f, k) score of the negative minus that of its triple; None without a model.
        apart: mean distance between two negatives of one query; None without a model, or where no
            query has two.
        seconds: that the drawing took.
    """

    triples: Tensor
    ids: Tensor
    replaces_head: Tensor
    valid: Tensor
    generated: Tensor
    margins: Tensor | None
    apart: float | None
    seconds: float


@dataclass(frozen=True)
class Inspection:
    """What was found out about a sampler.

    Args:
        numbers: see ``inspect``.
        margins: (p,) scores of negatives minus those of their triples, rising; empty without a
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
    """Measure a sampler on training triples, and leave no trace in it or in chance.

    Args:
        kg: the triples.
        sampler: inspected as in evaluation, so that its state stays what it is.
        positives: training triples, (b, 3), as a model or ``Positives.of_ids`` gives them.
        triples: for how many, evenly spread over the training triples, negatives are drawn.
        seed: of the draws.

    Returns:
        ``negatives``, how many were drawn; ``masked``, the share of them marked as known triples
        and left out of what follows; ``generated``, the share that is no entity;
        ``false_negatives``, the shares that are triples of each split and of ``any``; ``harder``,
        the share with a score above that of the triple; ``score_gap``, mean score of negatives
        minus mean score of triples; ``spread_within_query``, mean distance between two negatives of
        one query over that between two entities; ``distinct``, different entities of a query over
        its negatives; ``coverage``, the share of entities drawn at all; and ``draws_per_second``,
        as in
        evaluation: what a sampler does in training alone, such as the renewal of caches or the
        moves of its phases, is no part of that time. What needs a model is None without one; where
        negatives are generated, the nearest entity stands for each.

    Raises:
        InputError: a count below 1, a graph without training triples, or a sampler that looks at a
            model where there is none.
    """
    if triples < 1:
        raise InputError(f"triples: must be at least 1, got {triples}")
    if not len(kg.train):
        raise InputError(f"{kg.name}: has no training triples to draw negatives for")
    before, training = random_state(), sampler.training
    sampler.eval()
    seed_everything(seed)
    try:
        draws, entities = _draw(sampler, positives, evenly(kg.train, triples))
    finally:
        sampler.train(training)
        restore_random_state(before)
    return _summary(kg, draws, entities)


def warm_up(
    kg: KnowledgeGraph,
    sampler: NegativeSampler,
    positives: Callable[[Tensor], Positives],
    *,
    passes: int,
    seed: int = 0,
) -> None:
    """Let a sampler learn on a model that stands still, and leave no trace in chance.

    As before each step of a trainer, its phases move, as ``PhaseConfig`` says by default, and then
    it draws, so that what it keeps is renewed.

    Args:
        kg: the triples.
        sampler: comes back in the mode it was in.
        positives: as for ``inspect``.
        passes: over the training triples, each in an order of its own; 0 leaves it as it is.
        seed: of the order and the draws.

    Raises:
        InputError: ``passes`` is negative.
        FloatingPointError: the loss of a phase is no longer a number.
    """
    if passes < 0:
        raise InputError(f"warm-up: passes must not be negative, got {passes}")
    before, training = random_state(), sampler.training
    order, moves = torch.Generator().manual_seed(seed), PhaseOptimizers(sampler.phases())
    size = _at_once(sampler, positives(kg.train[:1]).entities, BATCH)
    sampler.train()
    seed_everything(seed)
    try:
        for _ in range(passes):
            rows = torch.randperm(len(kg.train), generator=order)
            for triples in kg.train[rows].split(size):
                asked = positives(triples).detach()
                moves(asked)
                with torch.no_grad():
                    sampler(asked)
    finally:
        sampler.train(training)
        restore_random_state(before)


def _summary(kg: KnowledgeGraph, draws: Draws, entities: Tensor) -> Inspection:
    margins = None if draws.margins is None else draws.margins[draws.valid]
    typical = spread(evenly(entities, ENTITIES))
    numbers = {
        "negatives": draws.ids.numel(),
        "masked": float((~draws.valid).double().mean()),
        "generated": float(draws.generated.double().mean()),
        "false_negatives": false_negatives(kg, draws),
        "harder": None if margins is None else _share(margins > 0),
        "score_gap": float(margins.mean()) if margins is not None and len(margins) else None,
        "spread_within_query": draws.apart / typical
        if draws.apart is not None and typical
        else None,
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
    """Negatives of some triples, part by part, and the entities they were drawn from."""
    whole = positives(triples[:1])
    entities = whole.entities.detach()
    if sampler.adaptive and not entities.shape[1]:
        raise InputError(f"{type(sampler).__name__.lower()}: looks at a model, and there is none")
    sampler(whole)  # what is made at the first draw is no part of the time of the others
    size = _at_once(sampler, entities, FACTS)
    parts, distances, pairs, seconds = [], 0.0, 0, 0.0
    for batch in triples.split(size):
        asked = positives(batch)
        started = time.perf_counter()
        negatives = sampler(asked)
        # Brought here before the clock is read: a device may still be at work.
        side = negatives.replaces_head.cpu()
        seconds += time.perf_counter() - started
        ids, generated = identify(negatives, entities)
        valid = (
            torch.ones_like(negatives.replaces_head) if negatives.valid is None else negatives.valid
        )
        margins = ids.new_zeros(0)
        if entities.shape[1]:
            margins = negatives.scores(asked) - asked.scores(negatives.replaces_head)
            total, count = distances_within(negatives, valid)
            distances, pairs = distances + total, pairs + count
        parts.append((asked.triples, ids, side, valid, generated, margins))
    batch, ids, side, valid, generated, margins = (
        torch.cat(column).cpu() for column in zip(*parts, strict=True)
    )
    draws = Draws(
        batch,
        ids,
        side,
        valid,
        generated,
        margins if entities.shape[1] else None,
        distances / pairs if pairs else None,
        seconds,
    )
    return draws, entities


def _at_once(sampler: NegativeSampler, entities: Tensor, most: int) -> int:
    """For how many triples a sampler's negatives may be held at once."""
    return max(1, min(most, ELEMENTS // (sampler.k * max(1, entities.shape[1]))))


def false_negatives(kg: KnowledgeGraph, draws: Draws) -> dict[str, float]:
    """The shares of negatives that are triples: of each split, and of any."""
    made = corrupted(draws.triples, draws.ids, draws.replaces_head)[draws.valid]
    splits = {split: kg.known((split,)) for split in SPLITS} | {"any": kg.known()}
    # Triples that a sampler filters by have gone to its device.
    return {name: _share(known.is_known(made.to(known.device))) for name, known in splits.items()}


def distinct(draws: Draws) -> float:
    """Different entities offered against a query, over its negatives; mean over all negatives."""
    rows = torch.arange(len(draws.ids)).unsqueeze(1) * 2 + draws.replaces_head
    pairs = torch.stack((rows, draws.ids), dim=-1)[draws.valid]
    return len(pairs.unique(dim=0)) / max(len(pairs), 1)


def distances_within(negatives: Negatives, valid: Tensor) -> tuple[float, int]:
    """Distances between negatives of one query: their sum, and how many there are.

    Args:
        negatives: k for each of b triples; more than ``PAIRED`` are thinned out.
        valid: (b, k) bool; others are left out.
    """
    columns = evenly(torch.arange(valid.shape[1], device=valid.device), PAIRED)
    embeddings, side, counts = (
        column[:, columns] for column in (negatives.embeddings, negatives.replaces_head, valid)
    )
    pair = (side.unsqueeze(1) == side.unsqueeze(2)) & counts.unsqueeze(1) & counts.unsqueeze(2)
    pair = pair & ~torch.eye(len(columns), dtype=torch.bool, device=pair.device)
    # Through products, equal embeddings would be apart by the root of a rounding error.
    mode = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(embeddings, embeddings, compute_mode=mode)[pair]
    return float(distances.double().sum()), len(distances)


def evenly(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, evenly spread.

    Example:
        >>> evenly(torch.arange(9), 3)
        tensor([0, 4, 8])
    """
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most, dtype=torch.double).long().to(rows.device)]


def members(sampler: NegativeSampler, names: list[str]) -> dict[str, NegativeSampler]:
    """The samplers of a mixture, or the one there is, by name; a second of a name gets a number.

    Args:
        sampler: one, or a mixture of as many as there are names.
        names: in order.
    """
    parts = sampler.samplers if isinstance(sampler, Mixture) else (sampler,)
    found: dict[str, NegativeSampler] = {}
    for i, (name, part) in enumerate(zip(names, parts, strict=True), start=1):
        found[f"{name} {i}" if name in found else name] = part
    return found


def _share(holds: Tensor) -> float:
    return float(holds.double().mean()) if holds.numel() else 0.0


def table(found: Mapping[str, Inspection]) -> list[str]:
    """The lines to print: one sampler a row, one number a column, and what they leave out."""
    head = ["false %", "train", "valid", "test", "masked %", "harder %", "score gap"]
    head += ["spread", "distinct", "coverage", "draws/s"]
    marks = {name: "*" * (one.numbers["generated"] > 0) for name, one in found.items()}
    width = max(len(name) + len(marks[name]) for name in found)
    lines = ["".join([" " * width, *(f"{title:>10}" for title in head)])]
    for name, one in found.items():
        n = one.numbers
        rates = n["false_negatives"]
        cells = [
            *(_percent(rates[split]) for split in ("any", *SPLITS)),
            _percent(n["masked"]),
            _percent(n["harder"]),
            *(_plain(n[key]) for key in ("score_gap", "spread_within_query")),
            *(_plain(n[key]) for key in ("distinct", "coverage")),
            f"{n['draws_per_second']:.2g}",
        ]
        lines.append("".join([f"{name + marks[name]:<{width}}", *(f"{c:>10}" for c in cells)]))
    lines.append("draws/s are those of evaluation: without what a sampler does in training alone,")
    lines.append("  such as the renewal of caches or the moves of its phases")
    if any(marks.values()):
        lines.append("* offers generated embeddings: the entity nearest to each stands for it in")
        lines.append("  false negatives, distinct and coverage")
    return lines


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
