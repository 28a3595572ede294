"""A run on a graph that has grown: what changes, what does not, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.predict import Predictor
from dans.runs.evaluate_run import evaluate
from dans.runs.extend import extend
from dans.runs.train import Trained, configure, load, train
from tests.suites.labelled import labelled_recipe
from tests.suites.toy import RECIPE, lay

EXTRA = [("new", "r0", "e1"), ("e2", "r1", "new"), ("newer", "r2", "new"), ("e0", "r0", "e3")]
ASKED = [("new", "r1", "e3"), ("e4", "r1", "newer")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    lay(place / "toy")
    (place / "toy.toml").write_text(RECIPE.format(data=place / "toy"))
    sampled = ["encoder.unseen=0.3", "graph.fanout=[2, 2]", "train.encode=some"]
    kinds = {
        "plain": [],
        "unseen": ["encoder.unseen=0.3"],
        "sampled": sampled,
        "lookup": ['encoder={name="lookup", dim=8}', "graph={}"],
    }
    for name, given in kinds.items():
        config = configure(place / "toy.toml", [*given, "train.lr=0.1"])
        train(config, place / name)
    return {name: place / name for name in kinds}


@pytest.fixture(scope="module")
def runs(folders: dict[str, Path]) -> dict[str, Trained]:
    return {name: load(folder, which="last") for name, folder in folders.items()}


@pytest.mark.parametrize("name", ["plain", "unseen", "sampled", "lookup"])
def test_no_further_triple_changes_nothing(runs: dict[str, Trained], name: str) -> None:
    trained = runs[name]
    train = [tuple(row) for row in trained.kg.to_pandas("train").iloc[:, :3].values.tolist()]
    for extra in ([], train[:2]):
        same = extend(trained, extra)
        assert torch.equal(same.entities, trained.entities)
        assert same.kg.digest == trained.kg.digest


def test_new_entities_are_embedded_by_their_messages(runs: dict[str, Trained]) -> None:
    for name in ("plain", "unseen"):
        encoder = runs[name].model.encoder
        more = extend(runs[name], EXTRA)
        table = encoder.entities.weight.detach()
        row = table.mean(0) if encoder.unseen_row is None else encoder.unseen_row.detach()
        # The same encoder with the shared row in its table.
        kg, n = more.kg, runs[name].kg.num_entities
        assert kg.entities.names[n:] == ("new", "newer")
        encoder.entities.weight.data = torch.cat((table, row.expand(2, -1)))
        encoder.entities.num_entities = n + 2
        graph = MessageGraph.of(kg.train, n + 2, kg.num_relations)
        torch.testing.assert_close(more.entities, runs[name].model.embeddings(graph))
        encoder.entities.weight.data, encoder.entities.num_entities = table, n
        assert not torch.equal(more.entities[n], more.entities[n + 1])
        assert not torch.equal(more.entities[:n], runs[name].entities)


def test_drawn_neighbors_train_the_same_encoder(runs: dict[str, Trained]) -> None:
    trained = runs["sampled"]
    more = extend(trained, EXTRA)
    graph = MessageGraph.of(more.kg.train, more.kg.num_entities, more.kg.num_relations)
    torch.testing.assert_close(more.entities, trained.model.embeddings(graph))
    assert bool(trained.model.encoder.unseen_row.any()), "it has been trained"


def test_a_lookup_needs_a_baseline(runs: dict[str, Trained]) -> None:
    with pytest.raises(InputError, match="the encoder lookup has a row for each entity of train"):
        extend(runs["lookup"], EXTRA)
    more = extend(runs["lookup"], EXTRA, "neighbors")
    index, known = more.kg.entities.index, runs["lookup"].entities
    expected = (known[index("e1")] + known[index("e2")]) / 2
    torch.testing.assert_close(more.entities[index("new")], expected)
    assert torch.equal(more.entities[:-2], known)
    with pytest.raises(InputError, match=r"new_entities: unknown name 'mean'; known: encoder, n"):
        extend(runs["lookup"], EXTRA, "mean")


def test_predictions_name_new_entities(folders: dict[str, Path]) -> None:
    predictor = Predictor.load(folders["unseen"], extra_triples=EXTRA)
    answers = predictor.tails("new", "r0", top=99)
    assert [answer.known for answer in answers if answer.name == "e1"] == [("train",)]
    assert {"new", "newer"} < {answer.name for answer in answers}
    assert "3 extra triples, 2 new entities" in predictor.about
    plain = Predictor.load(folders["unseen"])
    same = Predictor.load(folders["unseen"], extra_triples=[])
    assert same.tails("e1", "r0") == plain.tails("e1", "r0")
    with pytest.raises(InputError, match="new_entities: has no effect without extra_triples"):
        Predictor.load(folders["unseen"], new_entities="queries")


def test_a_report_states_the_protocol_and_both_kinds_of_answers(folders: dict[str, Path]) -> None:
    report = evaluate(folders["unseen"], triples=ASKED, extra_triples=EXTRA)
    content = json.loads((folders["unseen"] / "report.own-triples.extended.json").read_text())
    protocol = content["protocol"]
    assert protocol["filter"] == ["train", "valid", "test", "own_triples", "extra_triples"]
    assert (protocol["extra_triples"], protocol["new_entities"]["number"]) == (3, 2)
    assert [content["answers"][kind]["queries"] for kind in ("new", "old")] == [2, 2]
    both = [content["answers"][kind]["mrr"] for kind in ("new", "old")]
    assert report.both["mrr"] == pytest.approx(sum(both) / 2)
    predictor = Predictor.load(folders["unseen"], extra_triples=EXTRA)
    ranks = [rank for one in predictor.rank(ASKED) for rank in (one.head_rank, one.tail_rank)]
    assert report.both["mean_rank"] == pytest.approx(sum(ranks) / 4)
    with pytest.raises(InputError, match=r"triples\[0\]: unknown name 'nobody'"):
        evaluate(folders["unseen"], triples=[("nobody", "r0", "e1")], extra_triples=EXTRA)


def test_calibrations_stay_those_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(configure(labelled_recipe(tmp_path, monkeypatch), ["train.steps=20"]), run)
    evaluate(run)
    before = (run / "calibration.json").read_bytes()
    extra = [("new", "r0", "e1"), ("e2", "r1", "new")]
    report = evaluate(run, extra_triples=extra, new_entities="neighbors")
    assert report.protocol["new_entities"] == {"number": 1, "embedded_by": "neighbors"}
    assert (run / "calibration.json").read_bytes() == before
    assert "classification" in json.loads((run / "report.extended.neighbors.json").read_text())
