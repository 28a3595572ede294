"""Training by neighbor sampling: its steps, their cost, its options, and the runs it leaves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.errors import InputError
from dans.runs.build import build_trainer, notices
from dans.runs.init_from import check_initial
from dans.runs.train import load, train
from dans.training.batches import FullGraph, NeighborSampling
from dans.training.trainer import Trainer
from tests.training.test_some_entities import DANS, MANY, Largest


def config(**changes: Any) -> RunConfig:
    sections = {
        "graph": {"fanout": [2, 2], "hold_out_share": 1.0},
        "encoder": {"name": "rgcn", "dim": 6, "bases": 2, "dropout": 0.0},
        "train": {"steps": 4, "batch": 5, "validate_every": 2, "threads": 1, "lr": 0.1},
    }
    plain = {
        "data": "toy",
        "decoder": {"name": "complex"},
        "loss": {"name": "self_adversarial"},
        "sampler": [{"name": "uniform", "k": 3}],
    }
    given = {key: {**section, **changes.pop(key, {})} for key, section in sections.items()}
    return RunConfig.parse({**plain, **given, **changes})


def trainer(kg: KnowledgeGraph, **changes: Any) -> Trainer:
    return build_trainer(config(**changes), kg, None, OBJECTIVES, SAMPLERS)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_with_all_neighbors_it_trains_as_on_the_full_graph(
    optimizer: str, kg: KnowledgeGraph
) -> None:
    found = []
    for fanout in ([], [0, -1]):
        # Both draw the negatives before the messages, which take a seed of torch's.
        train = {"optimizer": optimizer, "encode": "some", "batch": 14}
        trained = trainer(kg, graph={"fanout": fanout}, train=train)
        torch.manual_seed(0)
        found.append((trained.step(), trained.model.state_dict(), trained.batch_encoder))
    (losses, weights, full), (others, others_weights, sampled) = found
    assert isinstance(full, FullGraph)
    assert isinstance(sampled, NeighborSampling)
    assert losses == pytest.approx(others, rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others_weights[name], rtol=1e-4, atol=1e-5)


def test_the_triples_of_a_batch_send_no_messages_unless_asked(kg: KnowledgeGraph) -> None:
    for hold_out in (True, False):
        graph = {"hold_out": hold_out, "hold_out_share": 1.0 if hold_out else 0.25}
        trained = trainer(kg, graph=graph, train={"batch": len(kg.train)})
        trained.step()
        drawn = trained.batch_encoder.statistics()
        assert (drawn["messages"] > 0) is not hold_out
        assert trained.batch_encoder.statistics() == {}


def test_steps_continue_to_the_bit_from_a_checkpoint(kg: KnowledgeGraph) -> None:
    whole = trainer(kg)
    whole.fit(4)
    first = trainer(kg)
    first.fit(2)
    state = first.state()
    second = trainer(kg)
    second.restore(state)
    second.fit(4)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name])


@pytest.fixture(scope="module")
def large() -> KnowledgeGraph:
    """A random graph of many entities and more triples."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(MANY, (MANY + 5000, 2), generator=generator)
    relations = torch.randint(3, (MANY + 5000,), generator=generator)
    train = torch.stack((ends[:, 0], relations, ends[:, 1]), dim=1)
    names = Vocabulary(tuple(map(str, range(MANY))))
    return KnowledgeGraph("large", names, Vocabulary(tuple("abc")), train, train[:0], train[:0])


@pytest.mark.parametrize("norm", ["relation", "node", "code"])
@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam"])
def test_a_step_makes_no_tensor_as_large_as_the_graph(
    optimizer: str, norm: str, large: KnowledgeGraph
) -> None:
    trained = trainer(
        large,
        graph={"norm": norm},
        sampler=[DANS, {"name": "uniform", "k": 2}],
        train={"optimizer": optimizer, "clip": 0.5},
    )
    # The first step makes the state of the optimizer, and the order of the pass.
    trained.step()
    with Largest() as largest:
        trained.step()
    assert 0 < largest.numbers < MANY, largest.name


def test_embeddings_of_all_are_the_full_graphs(kg: KnowledgeGraph) -> None:
    sampled, full = trainer(kg), trainer(kg, graph={"fanout": []})
    full.model.load_state_dict(sampled.model.state_dict())
    entities = sampled.batch_encoder.entities(sampled.model)
    torch.testing.assert_close(entities, full.batch_encoder.entities(full.model))
    positives = sampled.batch_encoder.positives(sampled.model, torch.arange(3))
    assert positives.entity_ids is None
    assert positives.entities.shape == entities.shape


def test_a_trained_run_opens_with_the_embeddings_of_all_messages(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    kg.save(tmp_path / "graph")
    train(config(data=str(tmp_path / "graph")), tmp_path / "run")
    found = load(tmp_path / "run", which="last")
    torch.testing.assert_close(found.entities, found.model.embeddings(kg.messages()))


def test_runs_start_from_each_other() -> None:
    full, sampled = config(graph={"fanout": []}), config()
    check_initial(full, sampled)
    check_initial(sampled, full)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"graph": {"fanout": [5]}}, "graph.fanout: expected 2 numbers, one for each layer"),
        ({"graph": {"fanout": [5, -2]}}, "graph.fanout.1: expected at least -1, got -2"),
        ({"graph": {"sample": 0.5}}, "graph.fanout: cannot be combined with sample"),
        ({"train": {"encode": "all"}}, "graph.fanout: .* train.encode: all"),
        (
            {"sampler": [{"name": "dans", "decode": "nearest"}]},
            "graph.fanout: .* candidates = 1000 searches that many",
        ),
        (
            {"regularizer": [{"name": "table", "entities": 0.1}]},
            "graph.fanout: .* regularizer: table compares all entities",
        ),
        (
            {"objective": "softmax", "loss": "", "sampler": []},
            "graph.fanout: .* compares all entities",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_with_neighbor_sampling_is_refused(
    changes: dict[str, Any], words: str, kg: KnowledgeGraph
) -> None:
    with pytest.raises(InputError, match=rf"^{words}"):
        trainer(kg, **changes)


def test_the_lookup_encoder_is_refused(kg: KnowledgeGraph) -> None:
    plain = config().plain()
    plain["encoder"] = {"name": "lookup", "dim": 6}
    with pytest.raises(InputError, match=r"^graph: has no effect on the encoder lookup"):
        build_trainer(RunConfig.parse(plain), kg, None, OBJECTIVES, SAMPLERS)


def test_large_graphs_are_noticed(kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dans.runs.build.MANY", kg.num_entities - 1)
    adagrad = {"optimizer": "adagrad"}
    (notice,) = notices(config(graph={"fanout": []}, train=adagrad), kg)
    assert notice.startswith("encoder: rgcn embeds all of 8 entities in each step; graph.fanout")
    assert not notices(config(train=adagrad), kg)
