"""Models with free embeddings: batches of queries, sparse gradients, terms of whole tables."""

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.encoders import Lookup
from dans.training.batches import FullGraph
from tests.suites.trainers import Pooled, pooled, trainer


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_row_wise_adagrad_trains_as_the_dense_one(clip: float, kg: KnowledgeGraph) -> None:
    changes = ["train.optimizer=adagrad", "train.accumulator=0.1", f"train.clip={clip}"]
    models = []
    for sparse in (True, False):
        trained = pooled(kg, *changes)
        assert isinstance(trained.batch_encoder, FullGraph)
        trained.batch_encoder.sparse = sparse
        for _ in range(6):
            trained.step()
            assert isinstance(trained.model.encoder, Lookup)
            grad = trained.model.encoder.entities.weight.grad
            assert grad is not None
            assert grad.is_sparse == sparse
        models.append(trained.model.state_dict())
    for name, parameter in models[0].items():
        torch.testing.assert_close(parameter, models[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam"])
def test_a_step_leaves_the_rows_alone_that_nobody_wanted(
    optimizer: str, kg: KnowledgeGraph
) -> None:
    trained = pooled(kg, f"train.optimizer={optimizer}", "train.batch=1")
    encoder = trained.model.encoder
    assert isinstance(encoder, Lookup)
    for _ in range(4):
        before = encoder.entities.weight.detach().clone()
        trained.step()
        grad = encoder.entities.weight.grad
        assert grad is not None
        reached = grad._indices()[0].tolist()
        moved = (encoder.entities.weight != before).any(1)
        assert len(reached) < kg.num_entities
        assert set(moved.nonzero().flatten().tolist()) <= set(reached)
        assert bool(moved.any())


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "lazy_adam"])
def test_clipping_shortens_the_gradient_of_the_model(optimizer: str, kg: KnowledgeGraph) -> None:
    def norm(clip: float) -> float:
        trained = pooled(kg, f"train.optimizer={optimizer}", f"train.clip={clip}")
        trained.step()
        grads = [p.grad for p in trained.model.parameters() if p.grad is not None]
        assert any(grad.is_sparse for grad in grads) == (optimizer != "adam")
        dense = [grad.to_dense() if grad.is_sparse else grad for grad in grads]
        return float(torch.cat([grad.flatten() for grad in dense]).norm())

    assert norm(0.0) > 1
    assert norm(1e6) == pytest.approx(norm(0.0))
    assert norm(0.25) == pytest.approx(0.25, rel=1e-4)


def test_batches_of_queries_say_which_side_they_ask_for(kg: KnowledgeGraph) -> None:
    trained = pooled(kg, "train.batch_by=queries", "train.batch=4")
    rows = trained.batches.next()
    positives = trained.encode(rows)
    assert positives.is_head_query is not None
    assert positives.is_head_query.tolist() == (rows >= len(kg.train)).tolist()
    assert len(trained.batches) == -(-trained.batches.rows // 4)
    f = len(kg.train)
    edges = trained.encode(torch.tensor([0, f - 1, f, f + 1]))
    assert edges.is_head_query is not None
    assert edges.is_head_query.tolist() == [False, False, True, True]
    by_triples = pooled(kg)
    assert by_triples.encode(by_triples.batches.next()).is_head_query is None


def test_an_objective_sees_the_entities_it_wants(kg: KnowledgeGraph) -> None:
    trained = pooled(kg)
    trained.step()
    assert isinstance(trained.objective, Pooled)
    (seen,) = trained.objective.seen
    assert seen.proposal is not None
    assert seen.proposal.shared is not None
    assert len(seen.proposal.shared) == 3
    assert len(seen.entities) <= 3 + 2 * 3
    assert torch.equal(seen.h, seen.embed(seen.triples[:, 0]))


def test_queries_are_refused_by_an_objective_of_triples(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"train.batch_by: queries are for objectives that"):
        trainer(kg, "train.batch_by=queries")


def by_hand(p: int, *tables: Tensor) -> float:
    """Σ |x|^p."""
    return sum(abs(x) ** p for table in tables for x in table.flatten().tolist())


REGULARIZED = (
    "decoder={name='distmult', reciprocal=true, bound=3.0}",
    "encoder={name='lookup', dim=4}",
    "train.batch=100",
)


def test_a_logged_regulariser_is_of_the_vectors_that_triples_are_scored_with(
    kg: KnowledgeGraph,
) -> None:
    lp = "regularizer=[{name='lp', p=3, entities=0.3, relations=0.7}]"
    trained = pooled(kg, *REGULARIZED, lp)
    e = trained.model.encoder.entities.weight.detach().clone().tanh()  # type: ignore[union-attr]
    r = trained.model.decoder.relation.weight.detach().clone().tanh() * 3 / 4
    heads, relations, tails = kg.train.unbind(1)
    entities = by_hand(3, e[heads], e[tails]) / len(kg.train)
    # Both queries of a triple ask with an embedding of their own.
    both = by_hand(3, r[relations], r[relations + kg.num_relations]) / (2 * len(kg.train))
    expected = 0.3 / 3 * entities + 0.7 / 3 * both
    assert trained.step()["lp"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
@pytest.mark.parametrize("batch_by", ["triples", "queries"])
def test_a_table_is_held_whole_whatever_the_objective_looks_at(
    batch_by: str, optimizer: str, kg: KnowledgeGraph
) -> None:
    table = "regularizer=[{name='table', p=2, entities=0.3, relations=0.7}]"
    changes = (f"train.optimizer={optimizer}", f"train.batch_by={batch_by}", "train.batch=3")
    trained = pooled(kg, *REGULARIZED, table, *changes)
    weight = trained.model.encoder.entities.weight  # type: ignore[union-attr]
    before = weight.detach().clone()
    r = trained.model.decoder.relation.weight.detach().clone().tanh() * 3 / 4
    assert len(trained.batches) == {"triples": 5, "queries": 7}[batch_by]
    expected = (0.3 * by_hand(2, before.tanh()) + 0.7 * by_hand(2, r)) / 2 / len(trained.batches)
    assert trained.step()["table"] == pytest.approx(expected, rel=1e-5)
    assert bool((weight != before).any(1).all())
    (seen,) = trained.objective.seen  # type: ignore[union-attr]
    assert len(seen.entities) < kg.num_entities


@pytest.mark.parametrize("encoder", ["lookup", "rgcn"])
def test_relations_can_be_predicted_beside_any_objective(encoder: str, kg: KnowledgeGraph) -> None:
    term = "regularizer=[{name='relation_prediction', weight=0.5}]"
    trained = pooled(kg, f"encoder.name={encoder}", term)
    assert trained.step()["relation_prediction"] > 0
    trained = trainer(kg, term)
    assert trained.step()["relation_prediction"] > 0


def test_negatives_that_there_are_none_of_cannot_be_written_down(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"train.log_negatives: this objective has no"):
        pooled(kg, "train.log_negatives=true")
    assert trainer(kg, "train.log_negatives=true").objective.has_negatives
