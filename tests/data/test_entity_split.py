"""A split by entity: training sees nothing of the held-out entities, which keep a triple each."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dans.data.entity_split import split_entities
from dans.errors import InputError

#: Each entity and its next two, by one of two relations.
RING = torch.tensor([[i, k % 2, (i + k) % 20] for i in range(20) for k in (1, 2)])


def ends(triples: Tensor) -> set[int]:
    return set(triples[:, [0, 2]].flatten().tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.3]), st.booleans())
def test_held_out_entities_are_in_no_training_triple_and_keep_one_of_theirs(
    seed: int, share: float, both_new: bool
) -> None:
    found = split_entities(RING, (20, 2), share, seed=seed, both_new=both_new)
    kept = ends(found.train)
    assert ends(found.valid) <= kept
    assert len(kept) <= 20 - round(20 * share)
    new = [len(set(row) - kept) for row in found.extra[:, [0, 2]].tolist()]
    assert set(new) <= ({1, 2} if both_new else {1})
    assert ends(found.test) - kept <= ends(found.extra) - kept
    assert set(found.extra[:, 1].tolist()) <= set(found.train[:, 1].tolist())
    rows = sorted(map(tuple, torch.cat(list(found.parts().values())).tolist()))
    left_out = sum(found.about["left_out"].values())
    assert len(set(rows)) == len(rows) == len(RING) - left_out
    assert set(rows) <= set(map(tuple, RING.tolist()))
    assert found.about["triples"]["test"] == len(found.test)


def test_the_seed_decides() -> None:
    one, same, other = (split_entities(RING, (20, 2), 0.2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.test, same.test)
    assert not torch.equal(one.train, other.train)


def test_relations_that_training_lacks_are_dropped_and_counted() -> None:
    held_out = ends(RING) - ends(split_entities(RING, (20, 2), 0.1).train)
    one = min(held_out)
    other = next(i for i in range(20) if i not in held_out)
    more = torch.cat((RING, torch.tensor([[one, 2, other]])))
    found = split_entities(more, (20, 3), 0.1)
    assert found.about["left_out"]["relations"] == 1
    assert 2 not in torch.cat(list(found.parts().values()))[:, 1]


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
