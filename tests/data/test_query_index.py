"""Groups of rows, and numbers of queries."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.data.query_index import Groups, QueryIndex, distinct_ends, last, ranges, repeats


def test_every_distinct_query_has_a_number_of_its_own(kg: KnowledgeGraph) -> None:
    queries = QueryIndex(kg.train, kg.num_entities, kg.num_relations)
    numbers = queries(kg.train)
    by_number: dict[int, set[tuple[str, int, int]]] = {}
    for (head, relation, tail), (tails, heads) in zip(
        kg.train.tolist(), numbers.tolist(), strict=True
    ):
        by_number.setdefault(tails, set()).add(("tails", head, relation))
        by_number.setdefault(heads, set()).add(("heads", tail, relation))
    assert sorted(by_number) == list(range(len(queries)))
    assert all(len(queries_of) == 1 for queries_of in by_number.values())


def test_a_query_of_no_triple_gets_the_number_after_the_last(kg: KnowledgeGraph) -> None:
    queries = QueryIndex(kg.train, kg.num_entities, kg.num_relations)
    tail_queries = {(head, relation) for head, relation, _ in kg.train.tolist()}
    head_queries = {(relation, tail) for _, relation, tail in kg.train.tolist()}
    every = torch.cartesian_prod(torch.arange(8), torch.arange(3), torch.arange(8))
    for (head, relation, tail), (tails, heads) in zip(
        every.tolist(), queries(every).tolist(), strict=True
    ):
        assert (tails < len(queries)) == ((head, relation) in tail_queries)
        assert (heads < len(queries)) == ((relation, tail) in head_queries)


def test_the_two_sides_of_one_entity_and_relation_are_two_queries() -> None:
    queries = QueryIndex(torch.tensor([[0, 0, 0]]), 1, 1)
    assert queries(torch.tensor([[0, 0, 0]])).tolist() == [[0, 1]]


def test_no_triples_have_no_queries() -> None:
    queries = QueryIndex(torch.zeros(0, 3, dtype=torch.int64), 5, 2)
    assert len(queries) == 0
    assert queries(torch.tensor([[4, 1, 4]])).tolist() == [[0, 0]]


def test_queries_stay_out_of_checkpoints(kg: KnowledgeGraph) -> None:
    assert not QueryIndex(kg.train, kg.num_entities, kg.num_relations).state_dict()


def test_last_finds_the_last_position_of_each_number() -> None:
    torch.manual_seed(0)
    rows = torch.randint(20, (500,))
    positions = {row: i for i, row in enumerate(rows.tolist())}
    assert last(rows).tolist() == [positions[row] for row in sorted(positions)]
    assert last(rows[:0]).tolist() == []


def test_repeats_marks_all_but_the_first_of_equal_numbers() -> None:
    torch.manual_seed(0)
    rows = torch.randint(6, (50, 9)).sort().values
    expected = [[row[:i].count(x) > 0 for i, x in enumerate(row)] for row in rows.tolist()]
    assert repeats(rows).tolist() == expected


def test_groups_hold_every_row_once_in_order() -> None:
    torch.manual_seed(0)
    keys = torch.randint(40, (300,))
    groups, distinct = Groups.of(keys), keys.unique()
    assert len(groups) == len(distinct)
    assert torch.equal(distinct[groups.numbers], keys)
    by_key = [(keys == key).nonzero().flatten().tolist() for key in distinct]
    assert groups.rows.tolist() == [row for rows in by_key for row in rows]
    assert groups.first.tolist() == [rows[0] for rows in by_key]
    some = torch.randperm(len(groups))[:7]
    assert groups.take(some).tolist() == [row for group in some for row in by_key[group]]
    assert not len(Groups.of(keys[:0]).take(keys[:0]))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 300])
def test_groups_of_a_limited_size_split_each_key_in_order(most: int) -> None:
    torch.manual_seed(0)
    keys = torch.randint(40, (300,))
    groups = Groups.of(keys, most)
    expected = [
        rows[start : start + most]
        for key in keys.unique()
        for rows in [(keys == key).nonzero().flatten().tolist()]
        for start in range(0, len(rows), most)
    ]
    assert [groups.take(torch.tensor([i])).tolist() for i in range(len(groups))] == expected


def test_ends_are_counted_once_for_each_relation(kg: KnowledgeGraph) -> None:
    twice = torch.cat((kg.train, kg.train[:5]))
    expected = [
        [len({triple[column] for triple in kg.train.tolist() if triple[1] == r}) for r in range(4)]
        for column in (0, 2)
    ]
    assert distinct_ends(twice, 4).tolist() == expected


def test_ranges_may_be_empty() -> None:
    which, numbers = ranges(torch.tensor([4, 9, 0]), torch.tensor([2, 0, 1]))
    assert (which.tolist(), numbers.tolist()) == ([0, 0, 2], [4, 5, 0])
