"""A run on a graph that has grown: what changes, what does not, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from dans.cli import main
from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.predict import Predictor
from dans.predict.ensemble import predictor_of
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
    (place / "ages.csv").write_text("who,age\ne0,1\ne1,3\ne2,2\n")
    featured = [f"features.table.age.file={place / 'ages.csv'}"]
    kinds |= {f"{name} features": [*kinds[name], *featured] for name in ("sampled", "lookup")}
    for name, given in kinds.items():
        config = configure(place / "toy.toml", [*given, "train.lr=0.1"])
        train(config, place / name)
    return {name: place / name for name in kinds}


@pytest.fixture(scope="module")
def runs(folders: dict[str, Path]) -> dict[str, Trained]:
    return {name: load(folder, which="last") for name, folder in folders.items()}


@pytest.mark.parametrize(
    "name", ["plain", "unseen", "sampled", "lookup", "sampled features", "lookup features"]
)
def test_nothing_further_changes_nothing(runs: dict[str, Trained], name: str) -> None:
    trained = runs[name]
    featured = trained.config.features is not None
    bare = extend(trained, extra_features={} if featured else None)
    assert torch.equal(bare.entities, trained.entities)
    assert bare.digest == trained.digest
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


AGES = {"age": {"new": 2.5, "newest": 1.0}}


@pytest.mark.parametrize("name", ["sampled features", "lookup features"])
def test_new_entities_are_embedded_by_their_features(runs: dict[str, Trained], name: str) -> None:
    trained = runs[name]
    n, looked_up = trained.kg.num_entities, not trained.model.encoder.uses_graph
    more = extend(trained, EXTRA, extra_features=AGES)
    assert more.kg.entities.names[n:] == ("new", "newer", "newest")
    assert more.kg.features is not None
    assert more.kg.features.present[n:].flatten().tolist() == [True, False, True]
    assert torch.equal(more.entities[:n], trained.entities) == looked_up
    # The encoder with their rows, which the extended run keeps.
    graph = MessageGraph.of(more.kg.train, n + 3, more.kg.num_relations)
    torch.testing.assert_close(more.entities, more.model.embeddings(graph))
    assert more.digest != trained.digest
    table = trained.model.encoder.entities
    if looked_up:
        values = trained.kg.features.of_others(AGES, ["new", "newer", "newest"]).values
        torch.testing.assert_close(more.entities[n:], table.extended(values).whole()[n:])
    other = extend(trained, EXTRA, extra_features={"age": {"new": 99.0, "newest": 1.0}})
    changed = (other.entities != more.entities).any(1)
    assert changed[n:].tolist() == [True, not looked_up, False]
    alone = extend(trained, extra_features=AGES)
    assert alone.kg.entities.names[n:] == ("new", "newest")
    assert torch.equal(alone.kg.train, trained.kg.train)
    missing = extend(trained, EXTRA)
    assert missing.kg.features.present[n:].sum() == 0
    assert not torch.equal(missing.entities[n], more.entities[n])
    # The rows of a matrix product of equal rows may differ in their last digits.
    assert torch.allclose(missing.entities[n], missing.entities[n + 1]) == looked_up


def test_features_that_have_no_effect_are_refused(
    runs: dict[str, Trained], folders: dict[str, Path]
) -> None:
    for name, given, sentence in (
        ("plain", {}, "extra_features: the run was trained without features; leave them out"),
        (
            "sampled features",
            {"new_entities": "queries"},
            "new_entities: queries: uses no features",
        ),
        (
            "sampled features",
            {"extra_features": 3},
            "extra_features: expected tables by name, got 3",
        ),
        (
            "sampled features",
            {"extra_features": {"age": {"e4": 1.0}}},
            "'e4': is an entity of the graph",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            extend(runs[name], **{"extra_features": AGES, **given})
    mean = extend(runs["lookup features"], EXTRA, "neighbors")
    assert mean.kg.features is not None
    with pytest.raises(InputError, match="extra_features: expected one run, got several"):
        predictor_of([folders["lookup features"]] * 2, extra_features=AGES)


def test_commands_take_features_of_new_entities(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, ages, queries = folders["lookup features"], tmp_path / "ages.csv", tmp_path / "queries.txt"
    ages.write_text("who,city,age\nnew,rome,2.5\nnewest,oslo,1\n")
    queries.write_text("new\tr0\te1\ne2\tr1\tnewest\n")
    given = ["--extra-features", f"age={ages}"]
    query = ["--head", "new", "--relation", "r0", "--top", "3", "--json"]
    main.run_command("predict", [str(run), *given, *query])
    answers = json.loads(capsys.readouterr().out)["answers"]
    more = extend(load(run), extra_features=AGES)
    predictor = Predictor(more.kg, more.model.decoder, more.entities)
    expected = predictor.tails("new", "r0", top=3)
    assert [one["name"] for one in answers] == [one.name for one in expected]
    assert [one["score"] for one in answers] == pytest.approx([one.score for one in expected])
    main.run_command("evaluate", [str(run), *given, "--triples", str(queries)])
    content = json.loads((run / "report.own-queries.extended.features.json").read_text())
    new = {"number": 2, "embedded_by": "encoder", "with_features": 2}
    assert content["protocol"]["new_entities"] == new
    assert content["answers"]["new"]["queries"] == 2
    out = tmp_path / "missing.csv"
    main.run_command("predict", [str(run), *given, "--missing", "--top", "1", "--out", str(out)])
    assert "newest" in out.read_text()
    for wrong, sentence in (
        (["--extra-features", "age"], "expected NAME=FILE, got 'age'"),
        ([*given, *given], "--extra-features: age: given twice"),
    ):
        with pytest.raises(InputError, match=sentence):
            main.run_command("evaluate", [str(run), *wrong])


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
    with pytest.raises(InputError, match=r"new_entities .*: has no effect without extra_triples"):
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
    with pytest.raises(InputError, match=r"triples\[0\]: head: unknown name 'nobody'"):
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
