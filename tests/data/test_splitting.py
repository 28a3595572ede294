"""A split keeps every entity and relation in train, is decided by its seed, and says what it is.

Of a split by entity training sees nothing of the held-out entities, which keep a triple each.
"""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dans.data.readers import SPLITS
from dans.data.splitting import InverseLeakage, split_entities, split_triples
from dans.errors import InputError

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


#: Each entity and its next two, by one of two relations.
RING = torch.tensor([[i, k % 2, (i + k) % 20] for i in range(20) for k in (1, 2)])


def ends(triples: Tensor) -> set[int]:
    return set(triples[:, [0, 2]].flatten().tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.3]), st.booleans())
def test_held_out_entities_are_in_no_training_triple_and_keep_one_of_theirs(
    seed: int, share: float, both_new: bool
) -> None:
    parts, about = split_entities(RING, (20, 2), share, seed=seed, both_new=both_new)
    train, extra, test = (parts[name] for name in ("train", "extra", "test"))
    kept = ends(train)
    assert ends(parts["valid"]) <= kept
    assert len(kept) <= 20 - round(20 * share)
    new = [len(set(row) - kept) for row in extra[:, [0, 2]].tolist()]
    assert set(new) <= ({1, 2} if both_new else {1})
    assert ends(test) - kept <= ends(extra) - kept
    assert set(extra[:, 1].tolist()) <= set(train[:, 1].tolist())
    rows = sorted(map(tuple, torch.cat(list(parts.values())).tolist()))
    left_out = sum(about["left_out"].values())
    assert len(set(rows)) == len(rows) == len(RING) - left_out
    assert set(rows) <= set(map(tuple, RING.tolist()))
    assert about["triples"]["test"] == len(test)


def test_the_seed_decides() -> None:
    one, same, other = (split_entities(RING, (20, 2), 0.2, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one["test"], same["test"])
    assert not torch.equal(one["train"], other["train"])


def test_relations_that_training_lacks_are_dropped_and_counted() -> None:
    held_out = ends(RING) - ends(split_entities(RING, (20, 2), 0.1)[0]["train"])
    one = min(held_out)
    other = next(i for i in range(20) if i not in held_out)
    more = torch.cat((RING, torch.tensor([[one, 2, other]])))
    parts, about = split_entities(more, (20, 3), 0.1)
    assert about["left_out"]["triples of relations that train lacks"] == 1
    assert 2 not in torch.cat(list(parts.values()))[:, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 0.0}, r"held_out: expected a share in \(0, 1\), got 0"),
        ({"test": 1.0}, r"test: expected a share"),
        ({"held_out": 0.99}, "held_out: 0.99 of the entities leaves no triple to train on"),
        ({"held_out": 0.01}, "held_out: 0.01 of the entities leaves none with a triple"),
    ],
)
def test_shares_that_leave_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_entities(RING, (20, 2), **options)  # type: ignore[arg-type]
