"""Synthetic knowledge graphs of any size, with a power law and patterns that a model can learn.

Each entity has a popularity, Zipf's law with exponent 1, and one of some clusters. A relation maps
each cluster to one: the tail of (h, r, ?) is in the cluster that r gives for that of h. Of four
relations one is symmetric, two are inverses of each other, and one has the clusters alone. So most
triples held out have a counterpart in train.

  python -m scripts.benchmarks.synthetic s /tmp/synthetic-s
"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dans.cli.command import run_main
from dans.data.graph import SPLITS, KnowledgeGraph, Vocabulary

#: Triples held out for valid, and as many for test, at most; and at most this share.
HELD_OUT, SHARE = 10_000, 0.02

#: Draws of triples before a graph counts as too dense to have so many different ones.
ROUNDS = 50

#: Lines of a file that are written at a time.
LINES = 2**17


@dataclass(frozen=True)
class Size:
    """How large a graph is; ``triples`` counts the different ones of all splits."""

    entities: int
    triples: int
    relations: int = 500
    clusters: int = 50


#: The sizes of the table of growth; l is that of ogbl-wikikg2.
SIZES = {
    "s": Size(50_000, 500_000),
    "m": Size(500_000, 5_000_000),
    "l": Size(2_500_000, 17_000_000),
}


def graph(size: Size, *, seed: int = 0, name: str = "synthetic") -> KnowledgeGraph:
    """The graph of a size and a seed; the names of entities and relations are their ids.

    Example:
        >>> graph(Size(50, 400, relations=4, clusters=5))
        KnowledgeGraph(entities=50, relations=4, train=384, valid=8, test=8)
    """
    drawn = triples(size, seed=seed)
    held = min(HELD_OUT, int(SHARE * size.triples))
    parts = drawn.split([len(drawn) - 2 * held, held, held])
    # Copies, so that no split holds the memory of all three.
    splits = {split: part.clone() for split, part in zip(SPLITS, parts, strict=True)}
    del drawn, parts
    return KnowledgeGraph(name, _numbers(size.entities), _numbers(size.relations), **splits)


def triples(size: Size, *, seed: int = 0) -> Tensor:
    """Different triples in random order, (f, 3), f = ``size.triples``.

    Raises:
        ValueError: so small a graph has not so many, or has too few entities for its clusters.
    """
    n, m = size.entities, size.relations
    if not 1 <= size.clusters <= n:
        raise ValueError(f"clusters: expected 1 to {n}, got {size.clusters}")
    generator = torch.Generator().manual_seed(seed)
    # Popularity goes by rank; ids are in random order, as in a file.
    ids = torch.randperm(n, generator=generator)
    shifts = torch.randint(size.clusters, (m,), generator=generator)
    keys = torch.empty(0, dtype=torch.int64)
    for _ in range(ROUNDS):
        missing = size.triples - len(keys)
        if missing <= 0:
            break
        drawn = _draw(size, shifts, max(1000, missing), generator)
        keys = torch.cat((keys, (drawn[0] * m + drawn[1]) * n + drawn[2])).unique()
    if len(keys) < size.triples:
        found = f"{len(keys):,} different triples in {ROUNDS} draws"
        raise ValueError(f"triples: expected {size.triples:,}, found {found}; ask for fewer")
    keys = keys[torch.randperm(len(keys), generator=generator)[: size.triples]]
    heads, rest = ids[keys // (m * n)], keys % (m * n)
    del keys
    return torch.stack((heads, rest // n, ids[rest % n]), 1)


def _draw(
    size: Size, shifts: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Heads, relations and tails as ranks of popularity; ``count`` and the counterparts."""
    clusters = size.clusters
    heads = _zipf(size.entities, count, generator)
    relations = _zipf(size.relations, count, generator)
    cluster, kind = _mapped(heads % clusters, relations, shifts, clusters), relations % 4
    # The members of cluster c are the ranks c, c + clusters, c + 2 clusters, …
    members = size.entities // clusters
    tails = _zipf(members, count, generator) * clusters + cluster
    # Of a symmetric relation, and of an inverse that there is: the last relation may lack it.
    inverse = relations + torch.tensor([0, 1, -1, 0])[kind]
    both = (kind != 3) & (inverse < size.relations)
    return (
        torch.cat((heads, tails[both])),
        torch.cat((relations, inverse[both])),
        torch.cat((tails, heads[both])),
    )


def _mapped(cluster: Tensor, relations: Tensor, shifts: Tensor, clusters: int) -> Tensor:
    """The cluster of the tails: s − c of a symmetric relation, c ± s of inverses, c + s else."""
    kind = relations % 4
    # Both relations of a pair have the shift of the first.
    shift = shifts[relations - (kind == 2).long()]
    shift = torch.where(kind == 2, -shift, shift)
    return (torch.where(kind == 0, -cluster, cluster) + shift) % clusters


def _zipf(limit: int, count: int, generator: torch.Generator) -> Tensor:
    """Ranks from 0, (count,), by Zipf's law: P(k) = log((k + 2) / (k + 1)) / log(limit + 1)."""
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    ranks = uniform.mul_(torch.tensor(float(limit + 1)).log().double()).exp_().long() - 1
    return ranks.clamp_(0, limit - 1)


def _numbers(count: int) -> Vocabulary:
    return Vocabulary(tuple(map(str, range(count))))


def write(kg: KnowledgeGraph, folder: Path) -> None:
    """Write the triples of a graph whose names are its ids: ``train.txt`` and so on, by tabs."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (folder / f"{split}.txt").open("w", encoding="utf-8") as file:
            for part in kg.split(split).split(LINES):
                file.write("%d\t%d\t%d\n" * len(part) % tuple(part.flatten().tolist()))


def main() -> None:
    """Parse and write."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=SIZES, help="size of the graph")
    parser.add_argument("folder", type=Path, help="folder for train.txt, valid.txt and test.txt")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    args = parser.parse_args()
    write(graph(SIZES[args.size], seed=args.seed), args.folder)


if __name__ == "__main__":
    run_main(main)
