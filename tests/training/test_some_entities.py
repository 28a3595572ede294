"""A step that encodes the entities it needs: the same losses, and a cost that is its batch's."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.errors import InputError
from dans.runs.build import build_trainer, notices
from dans.samplers import Uniform
from dans.samplers.dans.sampler import PRESETS
from dans.training.trainer import Trainer

#: More entities than any of a step's tensors has numbers.
MANY = 40_000

DANS = {"name": "dans", **PRESETS["dans"], "candidates": 40, "k": 2}


def config(**changes: Any) -> RunConfig:
    train = {"steps": 4, "batch": 8, "validate_every": 10, "threads": 1, "lr": 0.1, "clip": 0.5}
    plain = {
        "data": "toy",
        "encoder": {"name": "lookup", "dim": 6},
        "decoder": {"name": "complex"},
        "loss": {"name": "self_adversarial"},
        "sampler": [{"name": "uniform", "k": 3}],
    }
    return RunConfig.parse({**plain, **changes, "train": {**train, **changes.get("train", {})}})


def trainer(kg: KnowledgeGraph, **changes: Any) -> Trainer:
    return build_trainer(config(**changes), kg, None, OBJECTIVES, SAMPLERS)


def many(relations: int = 3) -> KnowledgeGraph:
    """A sparse random graph of many entities."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(MANY, (500, 2), generator=generator)
    r = torch.randint(relations, (500,), generator=generator)
    train = torch.stack((ends[:, 0], r, ends[:, 1]), dim=1)
    names = Vocabulary(tuple(map(str, range(MANY))))
    few = Vocabulary(tuple("abc"[:relations]))
    return KnowledgeGraph("many", names, few, train, train[:0], train[:0])


class Largest(TorchDispatchMode):
    """Notes the largest tensor that an operation makes, views left out, and which made it."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.name = 0, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {id(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        for one in tree_leaves(out):
            # A sparse gradient has the shape of its table, and the cost of its values.
            # In place: all of a tensor but by those that take the rows to change.
            name = func._schema.name
            whole = name.endswith("_") and "index" not in name
            new = isinstance(one, Tensor) and id(one) not in given
            if isinstance(one, Tensor) and (new or whole) and not func.is_view:
                dense = one._values() if one.is_sparse else one
                if dense.numel() > self.numbers:
                    self.numbers, self.name = dense.numel(), str(func)
        return out


@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam", "adam"])
@pytest.mark.parametrize("sampler", [{"name": "uniform", "k": 3}, {"name": "typed", "k": 3}])
def test_some_entities_train_as_all_of_them(
    sampler: dict[str, Any], optimizer: str, kg: KnowledgeGraph
) -> None:
    found = []
    for encode in ("all", "some"):
        train = {"encode": encode, "optimizer": optimizer}
        # Lazy Adam differs from Adam where a row rests, so only sparse runs are compared.
        if optimizer == "lazy_adam" and encode == "all":
            train["encode"] = "some"
        trained = trainer(kg, sampler=[sampler], train=train)
        losses = [trained.step() for _ in range(4)]
        found.append((losses, trained.model.state_dict()))
    (losses, weights), (others, others_weights) = found
    for one, other in zip(losses, others, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others_weights[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam"])
@pytest.mark.parametrize(
    "sampler",
    [
        [{"name": "uniform", "k": 3, "shared_negatives": 30, "filter": "mask"}],
        [{"name": "bernoulli", "k": 3, "filter": "resample"}],
        [{"name": "sans", "k": 3}, {"name": "self_loop", "k": 2}],
        [DANS],
        [{"name": "dans", "k": 2}, {"name": "uniform", "k": 2}],
    ],
    ids=lambda parts: "+".join(part["name"] for part in parts),
)
def test_a_step_makes_no_tensor_as_large_as_the_graph(
    sampler: list[dict[str, Any]], optimizer: str, sparse_graph: KnowledgeGraph
) -> None:
    trained = trainer(
        sparse_graph, sampler=sampler, train={"encode": "some", "optimizer": optimizer}
    )
    # The first step makes the state of the optimizer.
    trained.step()
    with Largest() as largest:
        trained.step()
    assert 0 < largest.numbers < MANY, largest.name


def test_a_step_over_all_entities_is_noticed(sparse_graph: KnowledgeGraph) -> None:
    trained = trainer(sparse_graph, train={"encode": "all"})
    trained.step()
    with Largest() as largest:
        trained.step()
    assert largest.numbers >= MANY


@pytest.fixture(scope="module")
def sparse_graph() -> KnowledgeGraph:
    return many()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "igan"}, "the network of IGAN has an output for every entity"),
        ({"name": "mcns"}, "the chains of MCNS score whatever entity they come to"),
        ({"name": "smile"}, "candidates = 1000 looks at that many"),
        ({"name": "dans", "decode": "nearest"}, "candidates = 1000 searches that many"),
    ],
)
def test_a_sampler_that_needs_all_is_refused_by_name(
    given: dict[str, Any], words: str, kg: KnowledgeGraph
) -> None:
    with pytest.raises(InputError, match=f"^train.encode: some: .*{words}"):
        trainer(kg, sampler=[{"name": "uniform"}, given], train={"encode": "some"})
    assert not trainer(kg, sampler=[given]).objective.encodes_some


def test_an_objective_that_compares_all_is_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"^train.encode: some: .* compares all entities"):
        trainer(kg, objective="softmax", loss="", sampler=[], train={"encode": "some"})


def test_large_graphs_encode_some_by_themselves(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not trainer(kg).objective.encodes_some
    assert not notices(config(), kg)
    monkeypatch.setattr("dans.runs.build.MANY", kg.num_entities - 1)
    assert trainer(kg).objective.encodes_some
    assert not trainer(kg, train={"encode": "all"}).objective.encodes_some
    assert not trainer(kg, encoder={"name": "rgcn", "dim": 6}).objective.encodes_some
    (notice,) = notices(config(), kg)
    assert notice.startswith("train.optimizer: adam updates all of 8 entities in each step")
    assert not notices(config(train={"optimizer": "lazy_adam"}), kg)


def test_pretraining_of_kbgan_may_end_in_the_middle_of_a_step() -> None:
    swept = {"kbgan": {"batch": 4, "sweep": True}}
    sampler = [{"name": "kbgan", "k": 2, "pretrain": 3}]
    train = {"encode": "some", "optimizer": "adagrad"}
    trained = trainer(many(), sampler=sampler, phase=swept, train=train)
    updates = []
    for _ in range(3):
        trained.step()
        updates.append(int(trained.objective.sampler.updates))
    assert updates == [2, 4, 6]


@pytest.mark.parametrize("wrong", [-1, 99])
@pytest.mark.parametrize("encode", ["all", "some"])
def test_ids_that_are_none_of_an_entity_are_named(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch, encode: str, wrong: int
) -> None:
    monkeypatch.setattr(Uniform, "draw", lambda self, _, rows, side: torch.full(side.shape, wrong))
    with pytest.raises(InputError, match=f"negatives: expected ids from 0 to 7, got .*{wrong}"):
        trainer(kg, train={"encode": encode}).step()
