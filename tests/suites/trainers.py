"""Trainers of the toy graph."""

from typing import ClassVar

import torch
from torch import Tensor

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config.recipes import override
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.models.batch import Positives, Proposal
from dans.models.decoders import Decoder
from dans.objectives.base import Objective
from dans.runs.build import build_trainer
from dans.training.run_folder import RunFolder
from dans.training.trainer import Trainer

PLAIN = {
    "data": "toy",
    "graph": {"sample": 0.7, "hold_out_share": 1.0},
    "encoder": {"name": "rgcn", "dim": 6, "bases": 2},
    "decoder": {"name": "complex"},
    "loss": {"name": "self_adversarial"},
    "sampler": [{"name": "dans", "preset": "paper", "k": 2}, {"name": "uniform", "k": 3}],
    "train": {"steps": 6, "batch": 5, "validate_every": 3, "l2": 0.01, "threads": 1},
}


#: The same with the published program for DANS.
PUBLISHED = {**PLAIN, "sampler": [{"name": "published_dans", "k": 2}, {"name": "uniform", "k": 3}]}


def trainer(
    kg: KnowledgeGraph, *changes: str, run: RunFolder | None = None, published: bool = False
) -> Trainer:
    plain = override(PUBLISHED if published else PLAIN, list(changes))
    return build_trainer(RunConfig.parse(plain), kg, run, OBJECTIVES, SAMPLERS)


def without_clock(state: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in state.items() if key != "seconds"}


class Pooled(Objective):
    """Triples against three entities drawn for the whole batch; of a model with free embeddings."""

    by_query: ClassVar[bool] = True

    def __init__(self, *, num_entities: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.seen: list[Positives] = []

    def propose(self, positives: Positives) -> Proposal:
        return Proposal(shared=torch.randint(self.num_entities, (3,)))

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        self.seen.append(positives)
        assert positives.proposal is not None
        assert positives.proposal.shared is not None
        pool = positives.embed(positives.proposal.shared)
        negatives = decoder.score_all(positives.tail_query, pool)
        return {"loss": (negatives - positives.scores()).exp().sum()}


def pooled(kg: KnowledgeGraph, *changes: str, run: RunFolder | None = None) -> Trainer:
    plain = {
        "data": "toy",
        "objective": "pooled",
        "encoder": {"name": "lookup", "dim": 6},
        "decoder": {"name": "complex"},
        "train": {"steps": 6, "batch": 3, "validate_every": 3, "threads": 1, "lr": 0.1},
    }
    return build_trainer(
        RunConfig.parse(override(plain, list(changes))), kg, run, {"pooled": Pooled}
    )
