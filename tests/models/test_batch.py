"""Positives and negatives: one position is corrupted, and scores use the right query."""

from dataclasses import replace

import pytest
import torch

from dans.errors import InputError
from dans.models.batch import Negatives, Positives, Proposal, corrupted
from dans.models.decoders import DECODERS, ComplEx, DistMult
from dans.models.decoders.base import Decoder


def batch(decoder: Decoder, entities: torch.Tensor, triples: torch.Tensor) -> Positives:
    return Positives.from_embeddings(triples, entities, decoder)


TRIPLES = torch.tensor([[0, 1, 2], [3, 0, 4]])
IDS = torch.tensor([[5, 1, 0], [2, 2, 1]])
SIDES = torch.tensor([[True, False, True], [False, True, False]])


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_scores_of_negatives_are_scores_of_the_corrupted_triples(name: str) -> None:
    decoder = DECODERS[name](2, 6)  # type: ignore[call-arg]
    entities = torch.randn(6, 6)
    positives = batch(decoder, entities, TRIPLES)
    negatives = Negatives.of(positives, IDS, SIDES)
    heads, relations, tails = negatives.triples(TRIPLES).unbind(-1)
    expected = decoder.score(entities[heads], decoder.relation(relations), entities[tails])
    torch.testing.assert_close(negatives.scores(positives), expected)


def test_gradients_of_scores_are_those_of_the_corrupted_triples() -> None:
    decoder = DistMult(2, 6).double()
    entities = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, dtype=torch.float64)
    positives = batch(decoder, entities, TRIPLES)
    negatives = Negatives.of(positives, IDS, SIDES)
    heads, relations, tails = negatives.triples(TRIPLES).unbind(-1)
    expected = decoder.score(entities[heads], decoder.relation(relations), entities[tails])
    inputs = entities, decoder.relation.weight
    found = torch.autograd.grad((negatives.scores(positives) * weight).sum(), inputs)
    for one, other in zip(
        found, torch.autograd.grad((expected * weight).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(one, other)
    # Second derivatives too, as of a penalty on gradients.
    parts = (positives.tail_query, positives.head_query, negatives.embeddings)
    free = [part.detach().clone().requires_grad_() for part in parts]

    def scores(*given: torch.Tensor) -> torch.Tensor:
        tail, head, embeddings = given
        changed = replace(positives, tail_query=tail, head_query=head)
        return Negatives(embeddings, SIDES).scores(changed)

    assert torch.autograd.gradcheck(scores, free)
    assert torch.autograd.gradgradcheck(scores, free)
    # Beside embeddings that have none, the queries still get their part.
    fixed = Negatives(negatives.embeddings.detach(), SIDES)
    again = batch(decoder, entities, TRIPLES)
    found = torch.autograd.grad(fixed.scores(again).sum(), inputs)
    assert all(part.abs().sum() > 0 for part in found)


def test_reciprocal_triples_are_scored_by_the_query_of_their_negatives() -> None:
    decoder = DistMult(2, 6, reciprocal=True)
    entities = torch.randn(6, 6)
    positives = batch(decoder, entities, TRIPLES)
    h, t = entities[TRIPLES[:, 0]], entities[TRIPLES[:, 2]]
    as_tail = decoder.score(h, decoder.relation(TRIPLES[:, 1]), t)
    as_head = decoder.score(t, decoder.relation(TRIPLES[:, 1] + 2), h)
    expected = torch.where(SIDES, as_head.unsqueeze(1), as_tail.unsqueeze(1))
    torch.testing.assert_close(positives.scores(SIDES), expected)


def test_shift_is_added_once_to_scores_of_triples_and_of_negatives() -> None:
    torch.manual_seed(0)
    entities = torch.randn(6, 6)
    plain, shifted = ComplEx(2, 6), ComplEx(2, 6, shift=-1.5)
    shifted.load_state_dict(plain.state_dict())
    negatives = Negatives.of(batch(plain, entities, TRIPLES), IDS, SIDES)
    for scores in (Positives.scores, negatives.scores):
        without, by_product = (scores(batch(one, entities, TRIPLES)) for one in (plain, shifted))
        torch.testing.assert_close(by_product, without - 1.5)
    # The path without a matrix product gives the same.
    one_by_one = replace(batch(shifted, entities, TRIPLES), dot=False)
    assert batch(shifted, entities, TRIPLES).dot
    torch.testing.assert_close(
        negatives.scores(one_by_one), negatives.scores(batch(shifted, entities, TRIPLES))
    )


def test_one_end_of_a_triple_is_corrupted_the_other_kept() -> None:
    torch.manual_seed(0)
    triples, ids = torch.randint(2**40, (7, 3)), torch.randint(2**40, (7, 3))
    side = torch.rand(7, 3) < 0.5
    corrupt = corrupted(triples, ids, side)
    # Loops that take triples row by row view them so.
    assert torch.equal(corrupt.view(-1, 3), corrupt.reshape(-1, 3))
    got = corrupt.tolist()
    for (h, r, t), row, heads, part in zip(
        triples.tolist(), ids.tolist(), side.tolist(), got, strict=True
    ):
        assert part == [
            [e, r, t] if head else [h, r, e] for e, head in zip(row, heads, strict=True)
        ]
    assert corrupted(triples[:0], ids[:0], side[:0]).shape == (0, 3, 3)


def test_gradient_flows_into_the_rows_of_id_negatives() -> None:
    entities = torch.randn(6, 4, requires_grad=True)
    positives = Positives.from_embeddings(TRIPLES[:1], entities)
    negatives = Negatives.of(positives, torch.tensor([[5]]), torch.tensor([[True]]))
    negatives.embeddings.sum().backward()  # type: ignore[no-untyped-call]
    assert entities.grad is not None
    assert entities.grad.sum(1).nonzero().flatten().tolist() == [5]


def test_generated_negatives_have_no_triples() -> None:
    negatives = Negatives(torch.zeros(2, 3, 4), SIDES)
    with pytest.raises(ValueError, match="no ids"):
        negatives.triples(TRIPLES)


def test_shapes_are_checked_at_the_border() -> None:
    with pytest.raises(ValueError, match=r"ids: expected \(2, 3\), got \(2, 2\)"):
        Negatives(torch.zeros(2, 3, 4), SIDES, IDS[:, :2])
    with pytest.raises(ValueError, match="triples: expected"):
        Positives(TRIPLES[:, :2], *[torch.zeros(2, 4)] * 6, score_query=torch.mul)


def test_a_batch_of_no_triple_is_refused() -> None:
    none, entities = torch.empty(0, 3, dtype=torch.int64), torch.ones(5, 2)
    with pytest.raises(InputError, match="triples: a batch of none; expected at least one"):
        Positives.from_embeddings(none, entities)
    with pytest.raises(InputError, match="triples: a batch of none; expected at least one"):
        Positives.of_ids(none, len(entities))


def test_detached_triples_cannot_move_the_model() -> None:
    positives = batch(DistMult(2, 4), torch.randn(6, 4, requires_grad=True), TRIPLES).detach()
    assert not positives.scores().requires_grad
    assert not positives.entities.requires_grad


def test_slices_cover_the_batch() -> None:
    positives = batch(DistMult(2, 4), torch.randn(6, 4), TRIPLES)
    assert torch.equal(positives.slice(1, 9).triples, TRIPLES[1:])
    assert len(positives.slice(0, 1)) == 1


def test_every_tensor_of_a_batch_is_sliced_and_detached() -> None:
    entities = torch.randn(6, 4, requires_grad=True)
    is_head = torch.tensor([True, False])
    positives = replace(batch(DistMult(2, 4), entities, TRIPLES), is_head_query=is_head)
    rows = ("triples", "h", "r", "t", "tail_query", "head_query", "is_head_query")
    second, free = positives.slice(1, 2), positives.detach()
    for name in rows:
        assert torch.equal(getattr(second, name), getattr(positives, name)[1:]), name
    for name in (*rows, "entities"):
        assert not getattr(free, name).requires_grad, name
        assert torch.equal(getattr(free, name), getattr(positives, name)), name


def test_triples_without_embeddings_serve_ids_and_refuse_scores() -> None:
    positives = Positives.of_ids(TRIPLES, 6)
    negatives = Negatives.of(positives, IDS, SIDES)
    assert torch.equal(negatives.triples(TRIPLES), corrupted(TRIPLES, IDS, SIDES))
    with pytest.raises(ValueError, match="no embeddings"):
        negatives.scores(positives)
    with pytest.raises(InputError, match="expected ids of entities from 0 to 5, got 0 to 6"):
        Positives.of_ids(torch.tensor([[0, 9, 0], [0, 0, 6]]), 6)
    with pytest.raises(InputError, match="expected ids of relations at least 0, got -1 to 9"):
        Positives.of_ids(torch.tensor([[0, -1, 0], [0, 9, 0]]), 6)
    assert len(Positives.of_ids(torch.tensor([[0, 9, 0]]), 6)) == 1


def test_ids_that_no_entity_has_are_named() -> None:
    positives = batch(DistMult(2, 4), torch.randn(6, 4), TRIPLES)
    with pytest.raises(InputError, match="negatives: expected ids from 0 to 5, got -1 to 6"):
        positives.embed(torch.tensor([-1, 6]))


def test_a_batch_of_some_entities_speaks_of_them_by_their_ids() -> None:
    entities, decoder = torch.randn(9, 4), DistMult(2, 4)
    ids = torch.tensor([0, 2, 3, 4, 7])
    whole = batch(decoder, entities, TRIPLES)
    some = Positives.from_embeddings(
        TRIPLES, entities[ids], decoder, entity_ids=ids, num_entities=9
    )
    assert some.num_entities == whole.num_entities == 9
    assert torch.equal(some.scores(), whole.scores())
    wanted = torch.tensor([[7, 0, 2], [3, 3, 4]])
    assert torch.equal(some.embed(wanted), whole.embed(wanted))
    assert torch.equal(some.ids(some.rows(wanted)), wanted)
    one, other = (Negatives.of(positives, wanted, SIDES) for positives in (some, whole))
    assert torch.equal(one.scores(some), other.scores(whole))
    assert torch.equal(some.detach().slice(1, 2).embed(wanted), whole.embed(wanted))
    for missing in (1, 8):
        with pytest.raises(ValueError, match=f"entity {missing} is not encoded in this step"):
            some.embed(torch.tensor([0, missing]))


def test_ids_of_rows_must_fit_them() -> None:
    with pytest.raises(ValueError, match="entity_ids: expected one for each row"):
        Positives.from_embeddings(TRIPLES, torch.randn(5, 4), entity_ids=torch.arange(6))
    with pytest.raises(ValueError, match="num_entities of the graph"):
        Positives.from_embeddings(TRIPLES, torch.randn(5, 4), entity_ids=torch.arange(5))


def test_a_proposal_names_all_that_it_needs_and_is_sliced_by_triple() -> None:
    part = Proposal(candidates=torch.tensor([[6], [7]]), shared=torch.tensor([[8, -1]]))
    proposal = Proposal(IDS, SIDES, ~SIDES, SIDES.double(), parts=(part,))
    assert torch.cat(proposal.entities()).unique().tolist() == [0, 1, 2, 5, 6, 7, 8]
    second = proposal.slice(1, 2)
    assert torch.cat(second.entities()).unique().tolist() == [1, 2, 7, 8]
    assert second.valid is not None
    assert torch.equal(second.valid, ~SIDES[1:])
    with pytest.raises(ValueError, match="no negatives by id"):
        part.negatives(Positives.of_ids(TRIPLES, 9))
