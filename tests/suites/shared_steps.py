"""Steps of a few configurations, by one process or by several: ``python -m`` in each of them."""

import sys
from pathlib import Path
from typing import Any

import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.models.encoders import Lookup
from dans.models.rgcn import RGCN
from dans.runs.build import build_trainer
from dans.samplers.dans.sampler import PRESETS
from dans.training.distributed import World, join
from dans.training.trainer import Trainer

N, M = 61, 4

DANS = {"name": "dans", **PRESETS["dans"], "k": 2}

#: Encoder, loss, samplers, optimizer.
CASES: dict[str, tuple[str, str, list[dict[str, Any]], str]] = {
    "lookup": ("lookup", "self_adversarial", [{**DANS, "candidates": 20}], "adagrad"),
    "softmax": (
        "lookup",
        "sampled_softmax",
        [{"name": "uniform", "k": 4, "filter": "mask"}, {"name": "self_loop", "k": 2}],
        "lazy_adam",
    ),
    "dense": ("lookup", "margin", [{"name": "bernoulli", "k": 3, "filter": "resample"}], "adam"),
    "rgcn": (
        "rgcn",
        "logistic",
        [{"name": "popularity", "k": 2}, {**DANS, "decode": "vector"}],
        "adagrad",
    ),
}


def graph() -> KnowledgeGraph:
    """A random graph."""
    generator = torch.Generator().manual_seed(0)
    heads, tails = torch.randint(N, (2, 300), generator=generator)
    triples = torch.stack((heads, torch.randint(M, (300,), generator=generator), tails), dim=1)
    entities, relations = (Vocabulary(tuple(map(str, range(size)))) for size in (N, M))
    return KnowledgeGraph("random", entities, relations, *triples.split((250, 25, 25)))


def trainer(case: str, world: World | None) -> Trainer:
    """A trainer of a case."""
    encoder, loss, samplers, optimizer = CASES[case]
    plain = {
        "data": "random",
        "encoder": {"name": encoder, "dim": 8, "dropout": 0.0},
        "decoder": {"name": "complex"},
        "loss": loss,
        "sampler": samplers,
        "regularizer": [{"name": "n3", "weight": 0.01}],
        "graph": {"fanout": [0, 0]} if encoder == "rgcn" else {},
        # Parts of different sizes, and a smaller batch at the end of a pass.
        "train": {"batch": 41, "optimizer": optimizer, "encode": "some", "clip": 0.5, "lr": 0.1},
    }
    return build_trainer(RunConfig.parse(plain), graph(), None, world=world)


def outcome(case: str, world: World | None) -> dict[str, Any]:
    """The losses of eight steps, the weights after them, and the ranks of validation."""
    trained = trainer(case, world)
    losses = [trained.step() for _ in range(8)]
    encoder = trained.model.encoder
    assert isinstance(encoder, (Lookup, RGCN))
    entities = trained.batch_encoder.entities(trained.model)
    report = trained.evaluate(entities)
    assert report is not None
    return {
        "losses": losses,
        "table": encoder.entities.whole().detach().clone(),
        "weights": [
            one.detach() for one in trained.model.parameters() if one is not encoder.entities.weight
        ],
        "sampler": list(trained.objective.state_dict().values()),
        "entities": entities.detach(),
        "metrics": report.metrics(),
        "rows": len(encoder.entities.weight),
    }


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    place = join(torch.device("cpu"))
    found = {case: outcome(case, place) for case in CASES}
    if place is not None:
        torch.save(found, Path(sys.argv[1]) / f"{place.rank}.pt")
