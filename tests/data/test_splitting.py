"""A split keeps every entity and relation in train, is decided by its seed, and says what it is."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dans.data.readers import SPLITS
from dans.data.splitting import InverseLeakage, split_triples

TRIPLES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(0, 8)), min_size=1, unique=True
)


def ids(column: torch.Tensor) -> set[int]:
    return set(column.flatten().tolist())


@settings(max_examples=60, deadline=None)
@given(TRIPLES, st.integers(0, 2**31), st.sampled_from(["allow", "avoid"]))
def test_train_has_every_entity_and_relation(
    rows: list[tuple[int, int, int]], seed: int, leakage: InverseLeakage
) -> None:
    triples = torch.tensor(rows)
    parts = split_triples(triples, (9, 4), (0.5, 0.2, 0.3), seed=seed, inverse_leakage=leakage)
    assert list(parts) == list(SPLITS)
    assert sorted(map(tuple, torch.cat(list(parts.values())).tolist())) == sorted(rows)
    assert ids(parts["train"][:, ::2]) == ids(triples[:, ::2])
    assert ids(parts["train"][:, 1]) == ids(triples[:, 1])
    for part in parts.values():
        assert [rows.index(tuple(row)) for row in part.tolist()] == sorted(
            rows.index(tuple(row)) for row in part.tolist()
        )
    if leakage == "avoid":
        pairs = [{frozenset((h, t)) for h, _, t in part.tolist()} for part in parts.values()]
        assert not pairs[0] & pairs[1] and not pairs[0] & pairs[2] and not pairs[1] & pairs[2]  # noqa: PT018


def dense(n: int) -> torch.Tensor:
    heads, tails = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    return torch.stack((heads.flatten(), (heads + tails).flatten() % 2, tails.flatten()), dim=1)


def test_shares_are_met_where_they_can_be(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parts = split_triples(dense(20), (20, 2), (0.8, 0.05, 0.15))
    assert [len(part) for part in parts.values()] == [320, 20, 60]
    assert caplog.messages == ["triples: split with seed 0: 320 train, 20 valid, 60 test triples"]
    first = split_triples(dense(20), (20, 2), (0.8, 0.05, 0.15), seed=0)
    other = split_triples(dense(20), (20, 2), (0.8, 0.05, 0.15), seed=1)
    assert torch.equal(first["test"], parts["test"])
    assert not torch.equal(other["test"], parts["test"])


def test_each_triple_may_be_held_out() -> None:
    held = torch.cat([
        split_triples(dense(4), (4, 2), (0.5, 0.25, 0.25), seed=seed)["test"] for seed in range(40)
    ])  # fmt: skip
    assert len(held.unique(dim=0)) == 16


def test_shares_that_cannot_be_met_are_said(caplog: pytest.LogCaptureFixture) -> None:
    chain = torch.stack((torch.arange(20), torch.zeros(20).long(), torch.arange(1, 21)), dim=1)
    parts = split_triples(chain, (21, 1), (0.2, 0.4, 0.4), where="chain.tsv")
    sizes = {split: len(part) for split, part in parts.items()}
    assert sizes["train"] > 4
    for split in ("valid", "test"):
        assert f"chain.tsv: {split} has {sizes[split]} triples instead of 8: " in caplog.text
    assert abs(sizes["valid"] - sizes["test"]) <= 1


def test_small_graphs_have_a_triple_in_each_split() -> None:
    parts = split_triples(dense(3), (3, 2), (0.98, 0.01, 0.01))
    assert [len(part) for part in parts.values()] == [7, 1, 1]


def test_triples_beside_count_as_those_of_train() -> None:
    triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
    alone = split_triples(triples, (4, 1), (0.5, 0.0, 0.5))
    assert len(alone["test"]) == 0, "each is the only one of its entities"
    beside = torch.tensor([[0, 0, 2], [1, 0, 3]])
    parts = split_triples(triples, (4, 1), (0.5, 0.0, 0.5), beside=beside)
    assert len(parts["train"]) == len(parts["test"]) == 1
