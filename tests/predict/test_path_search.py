"""The paths found are the best of all walks."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dans.predict.path_search import Adjacency, PathSearch


def all_paths(triples: Tensor, head: int, tail: int, left_out: int = -1) -> set[tuple[int, ...]]:
    """Rows of the triples of every path of one to three steps that visits no entity twice."""
    found = set()

    def follow(entity: int, visited: tuple[int, ...], rows: tuple[int, ...]) -> None:
        if entity == tail:
            found.add(rows)
        elif len(rows) < 3:
            for row, (h, _, t) in enumerate(triples.tolist()):
                for start, end in ((h, t), (t, h)):
                    if row != left_out and start == entity and end not in visited:
                        follow(end, (*visited, end), (*rows, row))

    follow(head, (head,), ())
    return found


@pytest.mark.parametrize("seed", range(4))
def test_paths_are_those_of_a_search_of_all_walks(seed: int) -> None:
    torch.manual_seed(seed)
    triples = torch.cat((torch.randint(7, (40, 1)), torch.randint(3, (40, 1))), 1)
    triples = torch.cat((triples, torch.randint(7, (40, 1))), 1).unique(dim=0)
    scores = -torch.rand(len(triples), dtype=torch.float64)
    edges = Adjacency(triples, 7)
    search = PathSearch(edges, 7)
    for head, tail in ((0, 1), (2, 5), (6, 3)):
        direct = ((triples[:, 0] == head) & (triples[:, 2] == tail)).nonzero().flatten().tolist()
        hidden = torch.zeros(len(triples), dtype=torch.bool)
        hidden[direct[:1]] = True
        expected = all_paths(triples, head, tail, *direct[:1])
        worse = {
            i
            for i, (h, r, t) in enumerate(triples.tolist())
            for j, other in enumerate(triples.tolist())
            if other == [t, r, h] and scores[j] > scores[i] and j not in direct[:1]
        }
        expected = {path for path in expected if not worse & set(path)}
        candidates, complete = search.candidates(head, tail, hidden)
        assert complete
        for top in (3, 10_000):
            best = search.best(head, tail, candidates, scores, top)
            rows = [tuple(edges.triple[path].tolist()) for _, path in best]
            totals = sorted((float(scores[list(path)].sum()) for path in expected), reverse=True)
            assert [total for total, _ in best] == pytest.approx(totals[:top])
            assert len(set(rows)) == len(rows)
            assert set(rows) <= expected
        assert set(rows) == expected
        for _, path in best:
            stops = [(int(edges.starts[edge]), int(edges.ends[edge])) for edge in path]
            assert all(one[1] == two[0] for one, two in pairwise(stops))
            assert (stops[0][0], stops[-1][1]) == (head, tail)
