"""The filter set: exact membership and answers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import corrupted


def every_triple(n: int, m: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(n), torch.arange(m), torch.arange(n))


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 9), m=st.integers(1, 4))
def test_membership_is_that_of_a_set(seed: int, n: int, m: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    every = every_triple(n, m)
    triples = every[torch.rand(len(every), generator=generator) < 0.3]
    expected = {tuple(triple) for triple in triples.tolist()}
    known = KnownTriples(triples, n, m)
    assert known.is_known(every).tolist() == [tuple(a) in expected for a in every.tolist()]
    assert len(known) == len(expected)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 9), m=st.integers(1, 4))
def test_membership_of_corrupted_triples_equals_that_of_the_triples(
    seed: int, n: int, m: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    every = every_triple(n, m)
    known = KnownTriples(every[torch.rand(len(every), generator=generator) < 0.3], n, m)
    positives = every[torch.randperm(len(every), generator=generator)[:6]]
    ids = torch.randint(n, (len(positives), 5), generator=generator)
    corrupt_head = torch.rand(ids.shape, generator=generator) < 0.5
    expected = known.is_known(corrupted(positives, ids, corrupt_head))
    assert torch.equal(known.is_known_corrupted(positives, ids, corrupt_head), expected)


def test_the_largest_corrupted_keys_are_exact() -> None:
    n, m = 3_000_000, 1_000_000
    known = KnownTriples(torch.tensor([[n - 1, m - 1, n - 1], [0, m - 1, n - 1]]), n, m)
    triple = torch.tensor([[0, m - 1, 5]])
    ends = torch.tensor([[n - 1, n - 1, n - 2]])
    found = known.is_known_corrupted(triple, ends, torch.tensor([[False, True, False]]))
    assert found.tolist() == [[True, False, False]]
    triple[0, 2] = n - 1
    found = known.is_known_corrupted(triple, ends, torch.ones(1, 3, dtype=torch.bool))
    assert found.tolist() == [[True, True, False]]


def test_answers_are_exactly_the_known_ones(kg: KnowledgeGraph) -> None:
    known, n, m = kg.known(), kg.num_entities, kg.num_relations
    triples = {tuple(f) for split in ("train", "valid", "test") for f in kg.split(split).tolist()}
    anchors, relations = torch.cartesian_prod(torch.arange(n), torch.arange(m)).unbind(1)
    pairs = list(zip(anchors.tolist(), relations.tolist(), strict=True))
    rows, tails = known.tails(anchors, relations)
    assert rows.tolist() == sorted(rows.tolist())
    got = [(*pairs[row], t) for row, t in zip(rows.tolist(), tails.tolist(), strict=True)]
    assert len(got) == len(triples)
    assert set(got) == triples
    rows, heads = known.heads(relations, anchors)
    got = [(h, *pairs[row][::-1]) for row, h in zip(rows.tolist(), heads.tolist(), strict=True)]
    assert len(got) == len(triples)
    assert set(got) == triples


def test_a_repeated_query_is_answered_twice(kg: KnowledgeGraph) -> None:
    h, r, _ = kg.train[0].tolist()
    rows, tails = kg.known().tails(torch.tensor([h, h]), torch.tensor([r, r]))
    assert len(rows) > 0
    assert tails[rows == 0].tolist() == tails[rows == 1].tolist()


def test_shape_of_the_query_is_the_shape_of_the_answer(kg: KnowledgeGraph) -> None:
    known = kg.known()
    assert known.is_known(kg.train.view(2, -1, 3)).shape == (2, len(kg.train) // 2)
    assert known.is_known(kg.train[0]).shape == ()
    assert bool(known.is_known(kg.train[0]))
    assert known.is_known(kg.train[:0]).shape == (0,)


def test_repeated_triples_count_once() -> None:
    known = KnownTriples(torch.tensor([[0, 0, 1], [0, 0, 1]]), 2, 1)
    assert len(known) == 1
    assert known.tails(torch.tensor([0]), torch.tensor([0]))[1].tolist() == [1]


def test_the_set_may_be_empty() -> None:
    known = KnownTriples(torch.empty(0, 3, dtype=torch.int64), 3, 2)
    assert not known.is_known(every_triple(3, 2)).any()
    assert known.tails(torch.tensor([0]), torch.tensor([1]))[0].tolist() == []


def test_the_largest_keys_that_fit_are_exact() -> None:
    n, m = 3_000_000, 1_000_000
    triples = torch.tensor([[n - 1, m - 1, n - 1], [n - 1, m - 1, 0], [0, 0, 0]])
    known = KnownTriples(triples, n, m)
    assert known.is_known(triples).all()
    assert not known.is_known(torch.tensor([[n - 1, m - 1, n - 2], [n - 2, m - 1, n - 1]])).any()
    last = torch.tensor([n - 1]), torch.tensor([m - 1])
    assert known.tails(*last)[1].tolist() == [0, n - 1]


def test_keys_beyond_64_bits_are_refused() -> None:
    with pytest.raises(InputError, match=r"beyond 64 bits.*below 2\^63"):
        KnownTriples(torch.empty(0, 3, dtype=torch.int64), 3_100_000, 1_000_000)


@pytest.mark.parametrize(
    ("triple", "name"), [([8, 0, 0], "head"), ([0, 3, 0], "relation"), ([0, 0, -1], "tail")]
)
def test_ids_out_of_range_are_refused(triple: list[int], name: str) -> None:
    with pytest.raises(InputError, match=f"{name} id"):
        KnownTriples(torch.tensor([triple]), 8, 3)


def test_triples_are_left_out_of_checkpoints(kg: KnowledgeGraph) -> None:
    assert kg.known().state_dict() == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_cpu() -> None:
    every = every_triple(7, 3)
    triples = every[torch.rand(len(every)) < 0.3]
    known = KnownTriples(triples, 7, 3)
    expected = known.is_known(every), *known.heads(every[:, 1], every[:, 2])
    known.to("cuda")
    every = every.cuda()
    got = known.is_known(every), *known.heads(every[:, 1], every[:, 2])
    assert all(torch.equal(g.cpu(), e) for g, e in zip(got, expected, strict=True))


def test_nothing_is_sorted_before_it_is_needed() -> None:
    known = KnownTriples(every_triple(3, 2), 3, 2)
    assert not any(made is not None for name, made in known.named_buffers() if name != "_triples")
    known.tails(torch.tensor([0]), torch.tensor([1]))
    assert [name for name, _ in known.named_buffers()] == ["_by_head"]


def test_using_first_and_moving_first_give_the_same_set() -> None:
    used, moved = (KnownTriples(every_triple(3, 2)[::2], 3, 2) for _ in range(2))
    queries = torch.tensor([0, 2]), torch.tensor([1, 0])
    for one, other in zip(used.heads(*queries), moved.to("cpu").heads(*queries), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(used.is_known(every_triple(3, 2)), moved.is_known(every_triple(3, 2)))
