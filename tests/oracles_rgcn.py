"""RGCN, one edge at a time, and the small graph it is tried on."""

import torch
from torch import Tensor

#: Eight entities, four relations. Relation 2 is empty, entity 7 isolated, (0, 0, 1) a parallel
#: edge, (3, 1, 3) a self-loop; relation 0 has few tails, relation 3 few heads.
TOY = torch.tensor(
    [
        [0, 0, 1],
        [2, 0, 1],
        [0, 0, 1],
        [4, 0, 1],
        [5, 0, 6],
        [3, 1, 3],
        [1, 1, 2],
        [6, 3, 0],
        [6, 3, 2],
        [6, 3, 4],
        [5, 3, 0],
    ]
)
NUM_ENTITIES, NUM_RELATIONS = 8, 4


def directed(triples: Tensor, num_relations: int) -> list[tuple[int, int, int]]:
    """Both messages of every triple, as (source, type, target)."""
    both = []
    for head, relation, tail in triples.tolist():
        both.append((head, relation, tail))
        both.append((tail, relation + num_relations, head))
    return both


def normaliser(edges: list[tuple[int, int, int]], edge: tuple[int, int, int], norm: str) -> float:
    """What one message weighs, by the definitions in dans.data.message_graph."""
    source, etype, target = edge
    same_type_to_target = sum(r == etype and t == target for _, r, t in edges)
    to_target = sum(t == target for _, _, t in edges)
    same_type_from_source = sum(s == source and r == etype for s, r, _ in edges)
    return {
        "relation": 1 / same_type_to_target,
        "node": 1 / to_target,
        "code": 1 / to_target / same_type_from_source,
    }[norm]


def matrix(matrices: Tensor, coefficients: Tensor | None, etype: int) -> Tensor:
    """W_r, (d_in, d_out), from its decomposition."""
    if coefficients is None:
        return torch.block_diag(*matrices[etype])
    return sum(a * v[0] for a, v in zip(coefficients[etype], matrices, strict=True))


def propagate(
    x: Tensor,
    triples: Tensor,
    num_relations: int,
    norm: str,
    matrices: Tensor,
    coefficients: Tensor | None = None,
) -> Tensor:
    """Σ_r Σ_{j ∈ N_i^r} w x_j W_r, one message after the other."""
    edges = directed(triples, num_relations)
    out = [torch.zeros(matrices.shape[1] * matrices.shape[3], dtype=x.dtype) for _ in x]
    for edge in edges:
        source, etype, target = edge
        weight = normaliser(edges, edge, norm)
        out[target] = out[target] + weight * x[source] @ matrix(matrices, coefficients, etype)
    return torch.stack(out)
