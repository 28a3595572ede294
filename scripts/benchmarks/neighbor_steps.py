"""A training step by neighbor sampling: ours beside the loops that DGL and PyG document.

All draw ten messages for an entity in each of two layers, of a thousand triples and 256 negatives
that these share, and update by one optimizer the rows of the input table that they drew. Ours is
the trainer's step, with unbiased weights and the messages of the batch left out in both directions;
DGL's leaves the same messages out, PyG's none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.memory import keep_freed_memory
from dans.runs.build import build_trainer
from dans.training.optimizers import RowAdagrad
from scripts.benchmarks.measure import Row, compete
from scripts.benchmarks.synthetic import SIZES, Size, graph

WIDTH, BASES, FANOUT = 64, 4, (10, 10)
BATCH, POOL, NEGATIVES = 1000, 256, 20

OURS = "dans"
DGL, SORTED, PYG = "DGL RelGraphConv", "DGL RelGraphConv, sorted blocks", "PyG RGCNConv"

CONFIG = {
    "data": "",
    "graph": {"fanout": list(FANOUT)},
    "encoder": {"name": "rgcn", "dim": WIDTH, "bases": BASES, "dropout": 0.0},
    "decoder": "distmult",
    "loss": "logistic",
    "sampler": [{"name": "uniform", "k": NEGATIVES, "shared_negatives": POOL}],
    "train": {"batch": BATCH, "optimizer": "adagrad", "lr": 0.01, "validate_every": 10**9},
}


def rows(name: str, *, rounds: int = 3) -> list[Row]:
    """One row for each contender that is installed, on the synthetic graph of a size."""
    size = SIZES[name]
    work = f"RGCN step, fan-out 10 × 10, d={WIDTH} B={BASES}, {size.entities:,} entities"
    contenders = [OURS, DGL, SORTED]
    if find_spec("torch_geometric") and (find_spec("pyg_lib") or find_spec("torch_sparse")):
        contenders.append(PYG)
    return compete(work, contenders, make_step, size, rounds=rounds)


def make_step(name: str, size: Size) -> Callable[[], float]:
    """A contender's training step; returns its loss."""
    keep_freed_memory()
    torch.manual_seed(0)
    kg = graph(size)
    if name == OURS:
        trainer = build_trainer(RunConfig.parse(CONFIG), kg, None)
        return lambda: sum(trainer.step().values())
    model = (PyGModel if name == PYG else DGLModel)(kg)
    if isinstance(model, DGLModel):
        model.presorted = name == SORTED
    optimizer = RowAdagrad(model.parameters(), lr=0.01)
    batches = model.batches()

    def step() -> float:
        optimizer.zero_grad()
        loss = model(next(batches))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


class Model(nn.Module):
    """A table, two layers and DistMult."""

    def __init__(self, kg: KnowledgeGraph, conv: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.triples = kg.train
        self.num_entities = kg.num_entities
        self.entities = nn.Embedding(kg.num_entities, WIDTH, sparse=True)
        self.relations = nn.Embedding(kg.num_relations, WIDTH)
        self.convs = nn.ModuleList(conv() for _ in FANOUT)

    def loss(self, x: Tensor, ends: Tensor, relations: Tensor, pool: Tensor) -> Tensor:
        """The logistic loss of (b, 2) rows of x and of (·,) rows from which negatives are drawn."""
        h, t = x[ends[:, 0]], x[ends[:, 1]]
        r = self.relations(relations)
        number = torch.randint(len(pool), (len(ends), NEGATIVES))
        corrupt_head = torch.rand(len(ends), NEGATIVES, 1) < 0.5
        query = torch.where(corrupt_head, (r * t).unsqueeze(1), (h * r).unsqueeze(1))
        negative = (query * x[pool[number]]).sum(-1)
        positive = (h * r * t).sum(-1)
        return F.softplus(-positive).mean() + F.softplus(negative).mean()


class DGLModel(Model):
    """``sample_neighbors`` and ``to_block`` for each layer, then ``RelGraphConv``.

    Its normaliser counts the messages in the sample. ``presorted`` sorts each block by edge type.
    """

    presorted = False

    def __init__(self, kg: KnowledgeGraph) -> None:
        from dans.data._dgl import dgl

        def conv() -> nn.Module:
            made: nn.Module = dgl.nn.RelGraphConv(
                WIDTH, WIDTH, 2 * kg.num_relations, "basis", BASES
            )
            return made

        super().__init__(kg, conv)
        heads, relations, tails = kg.train.unbind(1)
        ends = torch.cat((heads, tails)), torch.cat((tails, heads))
        self.dgl = dgl
        self.graph = dgl.graph(ends, num_nodes=kg.num_entities, idtype=torch.int32).formats("csc")
        self.etypes = torch.cat((relations, relations + kg.num_relations))

    def batches(self) -> Iterator[Tensor]:
        """Rows of triples."""
        while True:
            yield torch.randint(len(self.triples), (BATCH,))

    def forward(self, rows: Tensor) -> Tensor:
        """The loss of a batch."""
        triples, pool = self.triples[rows], torch.randint(self.num_entities, (POOL,))
        wanted = torch.cat((triples[:, [0, 2]].flatten(), pool))
        ids, local = wanted.unique(return_inverse=True)
        held_out = torch.cat((rows, rows + len(self.triples))).int()
        seeds, blocks = ids.int(), list[tuple[Any, Tensor]]()
        for fanout in reversed(FANOUT):
            sample = self.dgl.sampling.sample_neighbors
            frontier = sample(self.graph, seeds, fanout, exclude_edges=held_out)
            block = self.dgl.to_block(frontier, seeds)
            etypes = self.etypes[frontier.edata[self.dgl.EID][block.edata[self.dgl.EID].long()]]
            seeds = block.srcdata[self.dgl.NID]
            if self.presorted:
                etypes, order = etypes.sort()
                sources, targets = block.edges()
                block = self.dgl.create_block(
                    (sources[order], targets[order]), block.num_src_nodes(), block.num_dst_nodes()
                )
            blocks.insert(0, (block, etypes))
        x = self.entities(seeds.long())
        for depth, (block, etypes) in enumerate(blocks):
            targets = block.edges()[1].long()
            _, of, counts = (etypes * len(x) + targets).unique(
                return_inverse=True, return_counts=True
            )
            norm = counts.float().reciprocal()[of].unsqueeze(1)
            x = self.convs[depth](block, x, etypes, norm, presorted=self.presorted)
            x = F.relu(x) if depth + 1 < len(blocks) else x
        ends, negatives = local[: 2 * len(rows)].view(-1, 2), local[2 * len(rows) :]
        return self.loss(x, ends, triples[:, 1], negatives)


class PyGModel(Model):
    """``LinkNeighborLoader``, then ``RGCNConv``; the batch's own messages are not left out."""

    def __init__(self, kg: KnowledgeGraph) -> None:
        from torch_geometric.nn import RGCNConv

        def conv() -> nn.Module:
            made: nn.Module = RGCNConv(WIDTH, WIDTH, 2 * kg.num_relations, num_bases=BASES)
            return made

        super().__init__(kg, conv)

    def batches(self) -> Iterator[Any]:
        """Sampled subgraphs, with 128 pairs of negatives, so 256 entities."""
        from torch_geometric.data import Data
        from torch_geometric.loader import (
            LinkNeighborLoader,
        )

        heads, relations, tails = self.triples.unbind(1)
        forth = torch.stack((heads, tails))
        data = Data(
            edge_index=torch.cat((forth, forth.flip(0)), dim=1),
            edge_type=torch.cat((relations, relations + self.relations.num_embeddings)),
            num_nodes=self.num_entities,
        )
        while True:
            yield from LinkNeighborLoader(
                data,
                list(FANOUT),
                edge_label_index=forth,
                edge_label=relations + 1,
                neg_sampling=("binary", POOL / 2 / BATCH),
                batch_size=BATCH,
                shuffle=True,
            )

    def forward(self, batch: Any) -> Tensor:
        """The loss of a batch."""
        x = self.entities(batch.n_id)
        for depth, conv in enumerate(self.convs):
            x = conv(x, batch.edge_index, batch.edge_type)
            x = F.relu(x) if depth + 1 < len(self.convs) else x
        # Positives come first, with their relation + 1 as label; that of negatives is 0.
        ends, relations = batch.edge_label_index.T, batch.edge_label
        true = relations > 0
        return self.loss(x, ends[true], relations[true] - 1, ends[~true].flatten())
