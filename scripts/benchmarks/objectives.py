"""Epochs of objectives that draw no negatives, and optimizers that update some rows of a table.

One against all beside PyKEEN's loop over the same queries and the matrix products alone; Stay
Positive beside our negative sampling and its own first term; optimizers that update the rows of a
batch beside torch's, which update the whole table.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Sized
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.assembly import OBJECTIVES
from dans.config.schema import RunConfig, TrainConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.build import build_trainer
from dans.training.batches import QueryBatches
from dans.training.optimizers import build_optimizer
from dans.training.trainer import Trainer
from scripts.benchmarks.measure import Row, compete

#: One against all: width of an entity's embedding, and queries of a batch.
WIDTH, QUERIES = 128, 512
DANS, PRODUCTS, PYKEEN = "dans", "three matrix products alone", "PyKEEN LCWA"

#: Stay Positive: width of an entity's embedding, and triples of a batch, as in the authors' command
#: for FB15k-237AM.
SP_WIDTH, SP_BATCH = 200, 2722
#: The method, the method on batches as large as negative sampling's with its negatives, negative
#: sampling; negative sampling that shares its negatives and, like the method, updates only the
#: rows it looked at; the method over the triples of all entities; and without its closed form.
SP, SP_LARGE, NS, SHARED, SP_ALL, SP_ALONE = (
    "dans, stay positive",
    "dans, stay positive, batch x (n + 1)",
    "dans, negative sampling",
    "dans, shared negatives, touched rows",
    "dans, stay positive over all",
    "dans, its first term alone",
)
SP_WORK = (
    "Stay Positive epoch beside n={n} negatives, {decoder} d={width}, {kg}, {triples:,} triples"
)

#: Updates in a round of the optimizers.
UPDATES = 20
#: Torch's optimizers by our names; fused, their fastest.
TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adagrad": torch.optim.Adagrad,
    "lazy_adam": torch.optim.Adam,
}
ROWS, DENSE = "dans, touched rows", "torch, whole table"


def one_against_all(kg: KnowledgeGraph, *, batches: int = 20, rounds: int = 3) -> list[Row]:
    """Some batches of the queries of an epoch: ours, the products alone, PyKEEN's.

    PyKEEN's relations have inverses, so that its queries are the same.
    """
    epoch = len(QueryBatches(kg.train, QUERIES))
    work = (
        f"one against all, ComplEx d={WIDTH}, {kg.name}, "
        f"{min(batches, epoch)} of an epoch's {epoch} batches of {QUERIES} queries"
    )
    contenders = [DANS, PRODUCTS, *([PYKEEN] if find_spec("pykeen") else [])]
    return compete(work, contenders, make_batches, kg, min(batches, epoch), rounds=rounds)


def make_batches(contender: str, kg: KnowledgeGraph, batches: int) -> Callable[[], object]:
    """A contender's piece of work."""
    torch.manual_seed(0)
    return {DANS: _ours, PRODUCTS: _products, PYKEEN: _theirs}[contender](kg, batches)


def trainer(kg: KnowledgeGraph, **setting: Any) -> Trainer:
    """A trainer of lookup embeddings by Adagrad, with a recipe's further sections."""
    train = {"optimizer": "adagrad", "lr": 0.1, "clip": 0.0, **setting.pop("train")}
    config = RunConfig.parse({"data": kg.name, "train": train, **setting})
    return build_trainer(config, replace(kg, valid=kg.valid[:0]), None, OBJECTIVES)


def _ours(kg: KnowledgeGraph, batches: int) -> Callable[[], object]:
    ours = trainer(
        kg,
        objective="softmax",
        encoder={"name": "lookup", "dim": WIDTH},
        decoder={"name": "complex", "reciprocal": True},
        train={"batch": QUERIES, "batch_by": "queries"},
    )
    return lambda: [ours.step() for _ in range(batches)]


def _products(kg: KnowledgeGraph, batches: int) -> Callable[[], object]:
    """Scores of all entities and both gradients, the least that scoring all takes."""
    queries, entities = torch.randn(QUERIES, WIDTH), torch.randn(kg.num_entities, WIDTH)
    scores = torch.empty(kg.num_entities, QUERIES)
    of_queries, of_entities = torch.empty_like(queries), torch.empty_like(entities)

    def products() -> None:
        for _ in range(batches):
            torch.mm(entities, queries.T, out=scores)
            torch.mm(scores.T, entities, out=of_queries)
            torch.mm(scores, queries, out=of_entities)

    return products


def _theirs(kg: KnowledgeGraph, batches: int) -> Callable[[], object]:
    from pykeen.models import ComplEx  # type: ignore[import-untyped,unused-ignore]
    from pykeen.training import LCWATrainingLoop  # type: ignore[import-untyped,unused-ignore]
    from pykeen.triples import CoreTriplesFactory  # type: ignore[import-untyped,unused-ignore]
    from torch.utils.data import DataLoader, Subset

    class Part(LCWATrainingLoop):  # type: ignore[misc,unused-ignore]
        """An epoch of some batches of its queries, made once."""

        loader: DataLoader[Any] | None = None

        def _create_training_data_loader(self, *given: Any, **options: Any) -> DataLoader[Any]:
            if self.loader is None:
                whole = super()._create_training_data_loader(*given, **options).dataset
                some = torch.randperm(len(cast(Sized, whole)))[: batches * QUERIES].tolist()
                options.pop("sampler", None)
                self.loader = DataLoader(Subset(whole, some), **options)
            return self.loader

    logging.getLogger("pykeen").setLevel(logging.ERROR)
    triples = CoreTriplesFactory(
        kg.train, kg.num_entities, kg.num_relations, create_inverse_triples=True
    )
    # Its complex numbers are pairs of ours.
    model = ComplEx(
        triples_factory=triples, embedding_dim=WIDTH // 2, loss="crossentropy", regularizer=None
    )
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    loop = Part(
        model=model,
        triples_factory=triples,
        optimizer=optimizer,
        automatic_memory_optimization=False,
    )
    losses: list[float] = []

    def epoch() -> list[float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = loop.train(
                triples,
                num_epochs=len(losses) + 1,
                batch_size=QUERIES,
                # It continues with its weights, rather than draw them anew in every round.
                continue_training=bool(losses),
                pin_memory=False,
                use_tqdm=False,
            )
        losses[:] = found or []
        return losses

    return epoch


def stay_positive(
    kg: KnowledgeGraph,
    *,
    negatives: tuple[int, ...] = (0, 1, 10, 50),
    triples: int | None = None,
    rounds: int = 3,
) -> list[Row]:
    """Epochs beside negative sampling's; where n is 0, beside its first term and itself over all.

    By theory negative sampling takes 1 + n times as long as Stay Positive, whose batch may then be
    that many times larger. Negative sampling takes every entity's embedding and updates the whole
    table, Stay Positive those of its batch: part of the difference at n = 1 is that. Shared
    negatives leave the other rows alone too, so that the ratio to them is the method's; a triple
    meets n of them, half on each side. Over all, every row has a gradient.

    Args:
        triples: an epoch of this many of them; None: all.
        rounds: timed epochs of each contender; three times as many where n is 0: the difference
            is small there, and epochs are short.
    """
    kg = replace(kg, train=kg.train[:triples])
    found = []
    for n in negatives:
        work = SP_WORK.format(
            n=n, decoder="SimplE", width=SP_WIDTH, kg=kg.name, triples=len(kg.train)
        )
        contenders = (SP, SP_LARGE, NS, SHARED) if n else (SP, SP_ALONE, SP_ALL)
        times = rounds if n else 3 * rounds
        found += compete(work, contenders, make_epoch, kg, n, rounds=times)
    return found


def make_epoch(contender: str, kg: KnowledgeGraph, n: int) -> Callable[[], object]:
    """A contender's epoch."""
    positive: dict[str, Any] = {
        "objective": {
            "name": "stay_positive",
            "weight": 0.0 if contender == SP_ALONE else 0.1,
            "over": "all" if contender == SP_ALL else "batch",
        },
        "decoder": {"name": "simple", "bound": 5.0},
    }
    sampling: dict[str, Any] = {"loss": {"name": "logistic", "balance": "sum"}, "decoder": "simple"}
    shared = {"name": "sampled", "heads": n // 2, "tails": n - n // 2}
    setting = {
        NS: {**sampling, "sampler": [{"name": "uniform", "k": n}]},
        SHARED: {**sampling, "objective": shared},
    }
    one = trainer(
        kg,
        **setting.get(contender, positive),
        encoder={"name": "lookup", "dim": SP_WIDTH, "initial": "uniform", "init": 0.4},
        train={"batch": SP_BATCH * (n + 1 if contender == SP_LARGE else 1)},
    )
    return lambda: [one.step() for _ in range(len(one.batches))]


def reductions(file: Path) -> dict[int, float]:
    """The share of an epoch's time that Stay Positive saves, (t₁ − t₂)/t₁, by n negatives.

    Its batch is n + 1 times larger than negative sampling's, as in the paper's Fig. 2.

    Args:
        file: rows of ``stay_positive``, among others, as scripts/benchmark.py writes them.
    """
    seconds: dict[int, dict[str, float]] = {}
    for row in json.loads(file.read_text("utf-8")):
        if found := re.match(r"Stay Positive epoch beside n=(\d+) ", row["work"]):
            seconds.setdefault(int(found[1]), {})[row["contender"]] = row["seconds"]
    both = {n: times for n, times in seconds.items() if {NS, SP_LARGE} <= times.keys()}
    if not both:
        raise InputError(f"{file}: no rows of: python scripts/benchmark.py --only stay-positive")
    return {n: 1 - times[SP_LARGE] / times[NS] for n, times in sorted(both.items())}


def touched_rows(
    *, size: tuple[int, int] = (75_043, 200), touched: int = 3000, rounds: int = 5
) -> list[Row]:
    """Updates of a table of which a batch touched few rows, gradient included.

    Args:
        touched: rows with a gradient.
    """
    found = []
    for name in TORCH:
        work = f"{UPDATES} updates by {name}, {touched:,} rows of {size[0]:,} x {size[1]}"
        found += compete(work, (ROWS, DENSE), make_updates, name, size, touched, rounds=rounds)
    return found


def make_updates(
    contender: str, name: str, size: tuple[int, int], touched: int
) -> Callable[[], Tensor]:
    """A contender's updates; returns the table."""
    torch.manual_seed(0)
    table = nn.Parameter(torch.randn(size))
    batches = [torch.randperm(len(table))[:touched] for _ in range(UPDATES)]
    direction = torch.randn(min(touched, len(table)), size[1])
    optimizer = (
        build_optimizer([table], TrainConfig(optimizer=name, lr=0.1))  # type: ignore[arg-type]
        if contender == ROWS
        else TORCH[name]([table], lr=0.1, fused=True)
    )

    def updates() -> Tensor:
        for ids in batches:
            optimizer.zero_grad()
            embeddings = F.embedding(ids, table, sparse=contender == ROWS)
            (embeddings * direction).sum().backward()
            optimizer.step()
        return table.detach()

    return updates
