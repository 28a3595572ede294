"""A run's relations and restricted ranks are evaluated, and written beside its other reports."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import dans
from dans.cli import main
from dans.cli import parsing as cli
from dans.config.schema import Component, RunConfig
from dans.errors import InputError
from dans.models.model import Model
from dans.predict import Predictor
from dans.runs.build import build_model
from dans.runs.evaluate_relations import evaluate_relations, order_of
from dans.runs.train import configure, load, train
from scripts.benchmarks.relations import measure
from tests.suites.toy import RECIPE, lay


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relations")
    lay(folder / "triples")
    recipe = folder / "own.toml"
    recipe.write_text(RECIPE.format(data=folder / "triples"))
    train(configure(recipe, []), folder / "run")
    return folder / "run"


def test_reports_are_written_and_never_mixed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = dans.open_run(trained)
    relations = own.evaluate_relations("valid")
    assert relations == evaluate_relations(trained, split="valid")
    written = json.loads((trained / "report.relations.valid.json").read_text())
    assert written["model"] == relations.model
    assert all(name.startswith("relation_") or name == "queries" for name in relations.model)
    restricted = own.evaluate(among="domain-range")
    written = json.loads((trained / "report.among-domain-range.json").read_text())
    assert written["both"] == restricted.both
    listed = own.evaluate(among=["e1", "e2"])
    assert (trained / f"report.among-{listed.protocol['candidates']['among']}.json").exists()
    assert not (trained / "report.json").exists()
    with pytest.raises(InputError, match="not together with candidates"):
        own.evaluate(among="domain-range", candidates=3)
    recipe = own.config.plain()
    for wrong, sentence in (
        ({"among": "domain-range", "candidates": 3}, "evaluation.among: not together with cand"),
        ({"among": "type:x"}, "evaluation.among: the types of entities are missing"),
        ({"entity_types": "x.tsv"}, "evaluation.among: types of entities have an effect on"),
    ):
        with pytest.raises(InputError, match=sentence):
            RunConfig.parse({**recipe, "evaluation": wrong})
    with pytest.raises(InputError, match=r"evaluation\.among: expected domain-range, type:NAME"):
        dans.train(own.kg, steps=1, out="x", options={"evaluation.among": "domain"})


def test_predictions_are_in_the_order_that_the_report_names(trained: Path) -> None:
    own = dans.open_run(trained)
    kg = own.kg
    report = own.evaluate_relations("valid")
    assert report.protocol["order"] == order_of(own.config) == "posterior"
    ranks = []
    for h, r, t in kg.valid.tolist():
        answers = own.predict(kg.entities[h], tail=kg.entities[t], top=kg.num_relations)
        assert sum(math.exp(answer.score) for answer in answers) == pytest.approx(1)
        others = [a for a in answers if not a.known or a.name == kg.relations[r]]
        ranks.append(1 + [a.name for a in others].index(kg.relations[r]))
    assert report.model["relation_mean_rank"] == pytest.approx(sum(ranks) / len(ranks))
    more = own.extended([("new", "r0", "e1")])
    assert more.posterior is not None
    assert more.posterior.model.num_entities == kg.num_entities + 1


def test_a_run_that_was_trained_by_relation_queries_is_ordered_by_scores(trained: Path) -> None:
    weighted = Component("relation_prediction", {"weight": 1.0})
    config = structs.replace(dans.open_run(trained).config, regularizer=(weighted,))
    assert order_of(config) == "scores"
    loaded = load(trained)
    loaded = replace(loaded, config=config)
    assert Predictor.of(loaded, trained).posterior is None
    assert Predictor.of(load(trained), trained).posterior is not None


def test_the_benchmark_has_the_numbers_of_the_report(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = dans.open_run(trained)
    monkeypatch.setattr("scripts.benchmarks.relations.trained", lambda *which: own)
    found = measure("toy", tmp_path, [0], 1)
    report = own.evaluate_relations(most=1)
    assert found["relation_queries"] == 1
    for row in ("model", "scores", "ends"):
        assert found[row]["mrr"] == [round(getattr(report, row)["relation_mrr"], 6)]


def test_a_run_predicts_among_some(trained: Path) -> None:
    own = dans.open_run(trained)
    among = ["e1", "e2"]
    found = own.predict("e0", "r0", among=among)
    assert sorted(answer.name for answer in found) == among
    assert "a list of 2 entities" in found._table.head()
    assert own.score([("e0", "r0", "e3")], among=among)[0].tail_rank in (1, 2, 3)
    with pytest.raises(InputError, match="the query is for a relation"):
        own.predict("e0", tail="e1", among=among)


def command(*words: object) -> None:
    """Run a command in this process."""
    name, *arguments = map(str, words)
    module = main.load(name)
    parser = cli.parser(None)
    module.add_options(parser)
    module.run(parser.parse_args(arguments))


def test_the_commands_take_restrictions(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = trained.parent / "list.txt"
    names.write_text("e1\ne2\n")
    query = ["predict", trained, "--relation", "r0", "--among", names, "--json"]
    command(*query, "--head", "e0")
    assert len(json.loads(capsys.readouterr().out)["answers"]) == 2
    command("evaluate", trained, "--among", names)
    assert "ranked among a list of 2 entities" in capsys.readouterr().out.lower()
    command("evaluate", trained, "--relations", "--most", 1)
    assert "ends" in capsys.readouterr().out
    command("evaluate", trained, "--relations", "--json")
    expected = dans.open_run(trained).evaluate_relations().to_json()
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(expected))
    refused = {
        "--among: no effect with": [
            "evaluate",
            trained,
            "--relations",
            "--among",
            names,
        ],
        "--among: no effect where neither": [
            *["predict", trained, "--head", "e0", "--tail", "e1", "--among", names]
        ],
        "--csv: no effect with --relations": ["evaluate", trained, "--relations", "--csv"],
        "--above-score: no effect without --missing": [
            *["predict", trained, "--head", "e0", "--relation", "r0", "--above-score", "0"]
        ],
        "--entity-types: no effect without --among": ["evaluate", trained, "--entity-types", names],
    }
    for sentence, words in refused.items():
        with pytest.raises(InputError, match=sentence):
            command(*words)


def test_check_takes_a_file_and_loads_the_run_once(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def build(*given: Any) -> Model:
        built.append(given)
        return build_model(*given)

    monkeypatch.setattr("dans.runs.train.build_model", build)
    (names := trained.parent / "few.tsv").write_text("e0\tr0\te1\ne2\tr1\te0\n")
    command("check", trained, names)
    rows = [line.split("\t")[3:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(built) == 1
    own = dans.open_run(trained)
    found = [one.triple for one in own.check(names)]
    assert len(built) == 2
    assert rows == [[one.head, one.relation, one.tail] for one in found]
    assert sorted(rows) == [["e0", "r0", "e1"], ["e2", "r1", "e0"]]
    command("check", trained, names, "--model", "last", "--json")
    (listed,) = [json.loads(capsys.readouterr().out)]
    found = own.check(names, which="last")
    assert listed == json.loads(json.dumps([one.to_json() for one in found]))
    assert {"plausibility", "head", "head_rank", "probability"} <= listed[0].keys()
