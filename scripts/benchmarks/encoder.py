"""RGCN, forward and backward: ours beside DGL's ``RelGraphConv`` and PyG's ``RGCNConv``.

All have the same weights, the same normaliser (1/|N_i^r|) and no dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.memory import keep_freed_memory
from dans.models.rgcn import RGCN, RGCNLayer
from scripts.benchmarks.measure import Row, compete

WIDTH, BASES = 100, 4


class RelGraphConvs(nn.Module):
    """DGL's layers, on presorted messages, their fastest input."""

    def __init__(self, encoder: RGCN) -> None:
        super().__init__()
        from dans.data._dgl import dgl

        self.graph = dgl.graph
        self.entities = encoder.entities
        self.convs = nn.ModuleList()
        for layer in _layers(encoder):
            etypes, bases = _of(layer.coefficients).shape
            conv = dgl.nn.RelGraphConv(WIDTH, WIDTH, etypes, "basis", bases)
            conv.linear_r.W, conv.linear_r.coeff = _flat(layer.matrices), layer.coefficients
            conv.loop_weight, conv.h_bias = layer.self_loop, layer.bias
            self.convs.append(conv)

    def forward(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d)."""
        if "dgl" not in messages.cache:
            ends = (messages.sources.long(), messages.targets.long())
            graph = self.graph(ends, num_nodes=messages.num_entities)
            messages.cache["dgl"] = graph, messages.etype.long()
        graph, etype = cast(tuple[Any, Tensor], messages.cache["dgl"])
        x = cast(Tensor, self.entities.weight)
        weight = messages.weight[:, None]
        for depth, conv in enumerate(self.convs):
            x = conv(graph, x, etype, weight, presorted=True)
            x = F.relu(x) if depth + 1 < len(self.convs) else x
        return x


class RGCNConvs(nn.Module):
    """PyG's layers; their mean per relation is our normaliser."""

    def __init__(self, encoder: RGCN) -> None:
        super().__init__()
        from torch_geometric.nn import RGCNConv

        self.entities = encoder.entities
        self.convs = nn.ModuleList()
        for layer in _layers(encoder):
            etypes, bases = _of(layer.coefficients).shape
            conv = RGCNConv(WIDTH, WIDTH, etypes, num_bases=bases)
            conv.weight, conv.comp = _flat(layer.matrices), layer.coefficients
            conv.root, conv.bias = layer.self_loop, layer.bias
            self.convs.append(conv)

    def forward(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d)."""
        if "pyg" not in messages.cache:
            edges = torch.stack((messages.sources, messages.targets)).long()
            messages.cache["pyg"] = edges, messages.etype.long()
        edges, etype = cast(tuple[Tensor, Tensor], messages.cache["pyg"])
        x = cast(Tensor, self.entities.weight)
        for depth, conv in enumerate(self.convs):
            x = conv(x, edges, etype)
            x = F.relu(x) if depth + 1 < len(self.convs) else x
        return x


CONTENDERS: dict[str, Callable[[RGCN], nn.Module]] = {
    "dans": lambda encoder: encoder,
    "DGL RelGraphConv": RelGraphConvs,
    "PyG RGCNConv": RGCNConvs,
}
PACKAGES = {"dans": "dans", "DGL RelGraphConv": "dgl", "PyG RGCNConv": "torch_geometric"}


def rows(
    kg: KnowledgeGraph,
    *,
    sample: int | None = None,
    layers: int = 2,
    rounds: int = 3,
    limit: int | None = None,
) -> list[Row]:
    """One row for each contender that is installed.

    Args:
        sample: encode this many triples, taken from the whole graph anew in every round, and all
            that is prepared for them with it; otherwise the whole graph, prepared once.
        limit: of ``compete``. PyG wants over 20 GB for two layers of FB15k-237, sampled too.
    """
    triples = "full graph" if sample is None else f"{sample:,} sampled triples"
    work = f"RGCN {layers} layers d={WIDTH} B={BASES} fwd+bwd, {kg.name}, {triples}"
    installed = [name for name, package in PACKAGES.items() if find_spec(package)]
    sizes = (kg.num_entities, kg.num_relations, sample, layers)
    return compete(work, installed, make_step, kg.train, *sizes, rounds=rounds, limit=limit)


def all_rows(dense: KnowledgeGraph, sparse: KnowledgeGraph) -> list[Row]:
    """``rows`` for a graph of many triples, whole and sampled, and for one of few an entity."""
    limit = 11 * 2**30
    return [
        *rows(dense, layers=1, rounds=1, limit=limit),
        *rows(dense, sample=30_000, rounds=2, limit=limit),
        *rows(sparse),
    ]


def make_step(
    name: str, train: Tensor, num_entities: int, num_relations: int, sample: int | None, layers: int
) -> Callable[[], tuple[Tensor, Tensor]]:
    """A contender's piece of work; returns the embeddings and the input's gradient.

    Memory is kept as commands keep it, for all alike.
    """
    keep_freed_memory()
    torch.manual_seed(0)
    encoder = RGCN(num_entities, num_relations, WIDTH, layers=layers, bases=BASES, dropout=0.0)
    direction = torch.randn(num_entities, WIDTH)
    keep = torch.zeros(len(train), dtype=torch.bool)
    keep[torch.randperm(len(train))[:sample]] = True
    whole = MessageGraph.of(train, num_entities, num_relations)
    contender = CONTENDERS[name](encoder)

    def step() -> tuple[Tensor, Tensor]:
        contender.zero_grad()
        embeddings = contender(whole if sample is None else whole.restrict(keep))
        embeddings.backward(direction)
        return embeddings.detach(), _of(cast(Tensor, encoder.entities.weight).grad)

    return step


def _layers(encoder: RGCN) -> list[RGCNLayer]:
    return [layer for layer in encoder.layers if isinstance(layer, RGCNLayer)]


def _flat(bases: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(bases.detach().squeeze(1))


def _of(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise TypeError("the benchmark's RGCN has coefficients, and its table a gradient")
    return tensor
