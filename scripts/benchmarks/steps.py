"""A DANS training step: ours beside one wired like the published program's.

That program cannot be a dependency. Its place is taken by ``baselines.published_dans``, nested as
it nests its loops, on the layer that it and JinheonBaek/RGCN use: a (d, d) matrix for every
message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.memory import keep_freed_memory
from dans.models import rgcn
from dans.runs.build import build_trainer
from scripts.benchmarks.measure import Row, compete

#: Entities among which the nearest is searched, in place of all; UMLS has fewer.
CANDIDATES = 1024

#: Steps of our recipe that are timed together, as training takes them.
STEPS = 10

#: Messages whose matrices are gathered at a time: all of WN18RR's would be 7 GB for one layer.
GATHERED = 20_000

#: What the published program trains with: every triple of a step a positive, half of them messages,
#: and its networks moved on each thousand of them before the model's one step.
PUBLISHED = {
    "graph": {"norm": "code", "sample": 0.5, "hold_out": False},
    "sampler": [
        {"name": "published_dans", "k": 5},
        {"name": "uniform", "k": 10, "exclude_true": False},
    ],
    "train": {"batch": 30_000},
    "phase": {
        name: {"batch": 1000, "sweep": True}
        for name in ("entity_pathway", "relation_pathway", "discriminator")
    },
}
#: What our recipes do in a step: a batch of a thousand, all other triples messages.
OURS: dict[str, Any] = {
    "graph": {"norm": "relation", "sample": 1.0, "hold_out": True},
    "sampler": [
        {"name": "dans", "preset": "dans", "k": 5, "filter": "mask"},
        {"name": "uniform", "k": 10},
    ],
    "train": {"batch": 1000},
    "phase": {
        name: {"batch": 250} for name in ("entity_pathway", "relation_pathway", "discriminator")
    },
}
COMMON = {
    "encoder": {"name": "rgcn", "dim": 100, "layers": 2, "bases": 4, "dropout": 0.2},
    "decoder": "distmult",
    "loss": "logistic",
}


def per_edge(x: Tensor, messages: MessageGraph, matrices: Tensor, coefficients: Tensor) -> Tensor:
    """Σ_r A_r X W_r as the published programs sum it: a matrix for every message."""
    by_type = torch.einsum("tb,bij->tij", coefficients, matrices.squeeze(1))
    out = x.new_zeros(len(x), matrices.shape[-1])
    for part in torch.arange(len(messages)).split(GATHERED):
        gathered = by_type[messages.etype[part]]
        sent = torch.bmm(x[messages.sources[part]].unsqueeze(1), gathered).squeeze(1)
        out = out.index_add(0, messages.targets[part], sent * messages.weight[part, None])
    return out


#: The same work twice, for a ratio.
SAME = ("published_dans", "published_dans, per-edge layer")
EXACT = "dans, preset dans"
#: A step as our recipes take it, for a time: changes to all of them, and to the sampler ``dans``.
RECIPE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    EXACT: ({}, {}),
    f"{EXACT}, {CANDIDATES:,} candidates": ({}, {"candidates": CANDIDATES}),
    # All messages of the entities that the step needs: the same loss and gradients.
    f"{EXACT}, {CANDIDATES:,} candidates, needed entities": (
        {"graph": {**OURS["graph"], "fanout": [0, 0]}},
        {"candidates": CANDIDATES},
    ),
}


def rows(kg: KnowledgeGraph, *, rounds: int = 3) -> list[Row]:
    """The published wiring on both layers, and our own recipe's step, by both searches."""
    published = f"DANS step, published wiring, DistMult d=100, {kg.name}"
    ours = f"{STEPS} DANS steps, our recipe (batch 1000), DistMult d=100, {kg.name}"
    return [
        *compete(published, SAME, make_step, kg.name, rounds=rounds),
        *compete(
            ours,
            [*RECIPE] if kg.num_entities > CANDIDATES else [EXACT],
            make_step,
            kg.name,
            rounds=rounds,
        ),
    ]


def make_step(name: str, data: str) -> Callable[[], object]:
    """One step of one contender, or ``STEPS`` of our recipe, with memory as commands keep it."""
    keep_freed_memory()
    setting = PUBLISHED
    if name in RECIPE:
        changes, of_dans = RECIPE[name]
        dans, *others = OURS["sampler"]
        setting = {**OURS, **changes, "sampler": [{**dans, **of_dans}, *others]}
    config = RunConfig.parse({"data": data, **COMMON, **setting})
    if "per-edge" in name:
        rgcn.propagate = per_edge  # type: ignore[attr-defined,assignment]
    step = build_trainer(config, KnowledgeGraph.load(data), None, OBJECTIVES, SAMPLERS).step
    return (lambda: [step() for _ in range(STEPS)]) if name in RECIPE else step
