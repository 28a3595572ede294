"""Stay Positive against a loop over all triples, and what must not take part in it."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from baselines.assembly import OBJECTIVES
from baselines.stay_positive import StayPositive, summable
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.decoders import DECODERS, ComplEx, Multilinear
from dans.models.encoders import Lookup
from dans.models.model import Model
from dans.registry import build
from dans.training.batches import FullGraph
from tests.suites.models import DIM, model_of

#: Three triples of the toy graph: six of its eight entities and two of its three relations at most.
ROWS = torch.tensor([0, 6, 8])


def batch(kg: KnowledgeGraph, model: Model, objective: StayPositive) -> Positives:
    messages = kg.messages()
    messages = (
        messages if not model.encoder.uses_graph else messages.restrict(torch.ones(14).bool())
    )
    source = FullGraph(kg.train, messages, hold_out=False, sparse=True)
    return source.positives(
        model, ROWS, objective.propose(Positives.of_ids(kg.train[ROWS], kg.num_entities))
    )


def terms(kg: KnowledgeGraph, model: Model, **given: Any) -> dict[str, Tensor]:
    objective = StayPositive(num_batches=5, **given)
    return objective(model.decoder, batch(kg, model, objective))


def everything(kg: KnowledgeGraph, model: Model, over: str) -> list[Tensor]:
    """Scores without ψ of all triples, one at a time; of both queries where they differ."""
    triples = kg.train[ROWS]
    ids = triples[:, [0, 2]].unique() if over == "batch" else torch.arange(kg.num_entities)
    relations = triples[:, 1].unique() if over == "batch" else torch.arange(kg.num_relations)
    decoder, entities = model.decoder, model.embeddings(kg.messages())
    scores = []
    for h, r, t in product(entities[ids], relations, entities[ids]):
        scores.append(decoder.score(h, decoder.embeddings(r), t) - decoder.shift)
        if decoder.reciprocal:
            inverse = decoder.embeddings(r + kg.num_relations)
            scores.append(decoder.score(t, inverse, h) - decoder.shift)
    return scores


@pytest.mark.parametrize("over", ["batch", "all"])
@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("bound", [None, 5.0])
@pytest.mark.parametrize("name", summable())
def test_total_is_that_of_a_loop_over_all_triples(
    kg: KnowledgeGraph, name: str, bound: float | None, reciprocal: bool, over: str
) -> None:
    model = model_of(kg, name, bound=bound, shift=-2.0, reciprocal=reciprocal)
    scores = torch.stack(everything(kg, model, over))
    for power in (1, 2):
        by_sum = terms(kg, model, weight=0.3, power=power, over=over)["total"]
        torch.testing.assert_close(by_sum, 0.3 / 5 * scores.sum().abs() ** power)
        by_mean = terms(kg, model, weight=0.3, power=power, over=over, reduce="mean")["total"]
        torch.testing.assert_close(by_mean, 0.3 * scores.mean().abs() ** power)


@pytest.mark.parametrize("name", summable())
def test_loss_has_the_shift_and_the_total_has_not(kg: KnowledgeGraph, name: str) -> None:
    plain, shifted = (terms(kg, model_of(kg, name, shift=shift)) for shift in (0.0, -3.0))
    assert torch.equal(plain["total"], shifted["total"])
    h, r, t = kg.train[ROWS].unbind(-1)
    model = model_of(kg, name)
    entities = model.embeddings(kg.messages())
    scores = model.decoder.score(entities[h], model.decoder.embeddings(r), entities[t])
    torch.testing.assert_close(plain["loss"], F.softplus(-scores).sum())
    torch.testing.assert_close(shifted["loss"], F.softplus(3 - scores).sum())


@pytest.mark.parametrize("name", summable())
def test_dropout_acts_on_the_loss_alone(kg: KnowledgeGraph, name: str) -> None:
    plain, dropped = model_of(kg, name), model_of(kg, name, query_dropout=0.5, dropout=0.5)
    without, within = terms(kg, plain), terms(kg, dropped)
    assert torch.equal(without["total"], within["total"])
    assert not torch.equal(without["loss"], within["loss"])
    torch.testing.assert_close(terms(kg, dropped.eval())["loss"], without["loss"])


def test_both_scores_of_a_triple_count(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult", reciprocal=True)
    h, r, t = kg.train[ROWS].unbind(-1)
    entities, decoder = model.embeddings(kg.messages()), model.decoder
    forward = decoder.score(entities[h], decoder.embeddings(r), entities[t])
    inverse = decoder.score(entities[t], decoder.embeddings(r + kg.num_relations), entities[h])
    both = F.softplus(-torch.cat((forward, inverse)))
    torch.testing.assert_close(terms(kg, model)["loss"], both.sum())
    torch.testing.assert_close(terms(kg, model, reduce="mean")["loss"], both.mean())


@pytest.mark.parametrize("encoder", ["lookup", "rgcn"])
@pytest.mark.parametrize("over", ["batch", "all"])
def test_every_encoder_is_bounded(kg: KnowledgeGraph, encoder: str, over: str) -> None:
    model = model_of(kg, "distmult", encoder).eval()
    found = terms(kg, model, over=over)
    expected = torch.stack(everything(kg, model, over)).sum().abs() * 0.1 / 5
    torch.testing.assert_close(found["total"], expected)
    found["total"].backward()  # type: ignore[no-untyped-call]
    grads = {name: weight.grad for name, weight in model.named_parameters()}
    moved = [name for name, grad in grads.items() if grad is not None and grad.to_dense().any()]
    assert {name.split(".")[0] for name in moved} == {"encoder", "decoder"}


def test_rows_outside_the_batch_have_no_gradient(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult")
    sum(terms(kg, model).values()).backward()  # type: ignore[union-attr]
    assert isinstance(model.encoder, Lookup)
    grad = model.encoder.entities.weight.grad
    assert grad is not None
    assert grad.is_sparse
    triples = kg.train[ROWS]
    assert grad.coalesce().indices()[0].tolist() == triples[:, [0, 2]].unique().tolist()


def test_a_step_moves_the_sum_towards_zero_and_the_triples_up(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult")
    before = terms(kg, model)
    for name in before:
        terms(kg, model)[name].backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            grads = [(w, w.grad.to_dense()) for w in model.parameters() if w.grad is not None]
            for weight, grad in grads:
                weight -= 1e-3 * grad
        assert terms(kg, model)[name] < before[name]
        model = model_of(kg, "distmult")


class _Largest(TorchFunctionMode):
    """How many numbers the largest tensor has that is made meanwhile."""

    size = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.size = max(self.size, made.numel())
        return made


@pytest.mark.parametrize("name", summable())
def test_no_tensor_is_larger_than_the_entities(name: str) -> None:
    decoder = build(DECODERS, name, num_relations=3, dim=DIM)
    assert isinstance(decoder, Multilinear)
    with _Largest() as largest:
        decoder.total(torch.randn(200, DIM))
    assert 0 < largest.size <= 200 * DIM


def test_float32_is_enough_for_billions_of_triples() -> None:
    torch.manual_seed(0)
    decoder = build(DECODERS, "distmult", num_relations=11, dim=100, given={"bound": 5.0})
    assert isinstance(decoder, Multilinear)
    entities = torch.randn(40_000, 100).tanh()
    exact, rounded = decoder.double().total(entities.double()), decoder.float().total(entities)
    sums, relations = entities.double().sum(0), decoder.embeddings(torch.arange(11)).double().sum(0)
    scale = (sums.square() * relations).abs().sum()
    assert abs(rounded - exact) < 1e-5 * scale


@pytest.mark.parametrize("name", sorted(set(DECODERS) - set(summable())))
def test_decoders_without_a_closed_sum_are_refused(kg: KnowledgeGraph, name: str) -> None:
    torch.manual_seed(0)
    decoder = build(DECODERS, name, num_relations=kg.num_relations, dim=DIM)
    model = Model(Lookup(kg.num_entities, DIM), decoder)
    message = f"name: stay_positive needs .* complex, distmult.*; got {name}"
    with pytest.raises(InputError, match=message):
        terms(kg, model)
    with pytest.raises(InputError, match=f"objective.{message}"):
        build(OBJECTIVES, "stay_positive", where="objective", num_batches=1, decoder=name)


def test_a_subclass_with_other_queries_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Turned(ComplEx):
        def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
            return super().tail_query(h, r) + h

    monkeypatch.setitem(DECODERS, "turned", Turned)
    assert "turned" not in summable()
    with pytest.raises(InputError, match=r"objective\.name: stay_positive needs .*; got turned$"):
        build(OBJECTIVES, "stay_positive", where="objective", num_batches=1, decoder="turned")


def test_the_batch_is_not_taken_to_be_all_entities(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult")
    whole = model.positives(kg.train[ROWS], model.encode(kg.messages()))
    with pytest.raises(ValueError, match="entity_ids: over = 'batch' needs"):
        StayPositive(num_batches=5)(model.decoder, whole)
    StayPositive(num_batches=5, over="all")(model.decoder, whole)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weight": -1.0}, "weight: must not be negative, got -1"),
        ({"weight": float("nan")}, "weight: must be a finite number, got nan"),
        ({"weight": float("inf")}, "weight: must be a finite number, got inf"),
        ({"power": 3}, "power: known: 1, 2; got 3"),
        ({"over": "some"}, "over: known: batch, all; got 'some'"),
        ({"reduce": "max"}, "reduce: known: sum, mean; got 'max'"),
    ],
)
def test_options_out_of_range_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build(OBJECTIVES, "stay_positive", given=given, num_batches=1)


def test_without_a_weight_there_is_no_total(kg: KnowledgeGraph) -> None:
    assert terms(kg, model_of(kg, "distmult"), weight=0.0).keys() == {"loss"}
