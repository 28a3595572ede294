"""``dans.train`` and the run it returns, on triples of one's own."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import dans
from dans.models.decoders import DECODERS
from dans.predict import Query
from dans.report.curves import charts, steps_before
from dans.samplers import SAMPLERS
from dans.training.run_folder import RunFolder

TRIPLES = [(f"e{i % 7}", f"r{i % 3}", f"e{(i * i + 3) % 7}") for i in range(30)]
SMALL: dict[str, Any] = {"dim": 8, "options": {"train.validate_every": 2}}


@pytest.fixture(scope="module")
def kg() -> dans.KnowledgeGraph:
    return dans.KnowledgeGraph.of(TRIPLES, valid=TRIPLES[:3], test=TRIPLES[3:6], name="tiny")


@pytest.fixture(scope="module")
def run(kg: dans.KnowledgeGraph, tmp_path_factory: pytest.TempPathFactory) -> dans.Run:
    out = tmp_path_factory.mktemp("runs") / "dans"
    return dans.train(kg, sampler="dans", steps=4, pretrain_steps=4, out=out, **SMALL)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda run: dans.open_run(5), "run: expected a path, got 5"),
        (lambda run: dans.Ensemble(run), "ensemble: expected a list of runs, got <Run"),
        (lambda run: dans.Ensemble([run, None]), "run: expected a path, got None"),
        (lambda run: run.report(others="runs/b"), "others: expected a list of runs, got 'runs/b'"),
        (lambda run: run.report("no/report.html"), "out: expected a folder that is there, got no"),
        (
            lambda run: run.export("e", formats="npy"),
            "formats: expected a list of names, got 'npy'",
        ),
        (lambda run: run.export("e", formats=[]), "formats: expected some of npy.* got none"),
        (lambda run: run.export(b"e"), "out: expected a path, got b'e'"),
        (lambda run: dans.train(TRIPLES, loggers="wandb"), "loggers: expected a list of names"),
        (lambda run: dans.train(TRIPLES, resume="no"), "resume: expected True or False, got 'no'"),
        (lambda run: dans.train(TRIPLES, out=5), "out: expected a path, got 5"),
        (lambda run: dans.train(TRIPLES, init_from=5), "init_from: expected a path, got 5"),
        (lambda run: dans.train(TRIPLES, loss=5), "loss: expected a name, got 5"),
        (lambda run: dans.train(TRIPLES, decoder=dans.Run), "decoder: expected a name, got <class"),
        (lambda run: dans.train(TRIPLES, options={3: 4}), "options: expected a name, got 3"),
        (lambda run: run.predict("e0", "r0", among=[3]), r"among\[0\]: expected a name, got 3"),
        (lambda run: run.predict("e0", "r0", new_only="no"), "new_only: expected True or False"),
        (lambda run: run.explain("e0", "r0", None), "expected a name, got None"),
        (lambda run: list(run.missing(above="0.5")), "above: expected a number, got '0.5'"),
        (
            lambda run: list(run.missing(above_score=True)),
            "above_score: expected a number, got Tru",
        ),
        (lambda run: list(run.missing(top=1, observed="no")), "observed: expected True or False"),
        (lambda run: run.calibrate(seed=True), "seed: expected a whole number, got True"),
        (lambda run: run.evaluate().by(None), "by: expected a name, got None"),
        (
            lambda run: run.predictor.predict(Query("e0", "r0")),
            "queries: expected a list of queries",
        ),
        (lambda run: run.predictor.predict([("e0", "r0")]), r"queries\[0\]: expected a Query, got"),
        (lambda run: run.predictor.load(5), "run: expected a path, got 5"),
        (lambda run: run.kg.save(None), "folder: expected a path, got None"),
        (
            lambda run: dans.KnowledgeGraph.of(TRIPLES, None),
            "valid: expected triples of names, got",
        ),
        (lambda run: run.evaluate(which="first"), "which: known: best, last; got 'first'"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(
    call: Callable[[dans.Run], object], sentence: str, run: dans.Run
) -> None:
    with pytest.raises(dans.InputError, match=sentence):
        call(run)


def test_numbers_and_names_of_numpy_and_pandas_are_taken(run: dans.Run) -> None:
    among = ["e1", "e2"]
    for given in (pd.Series(among), np.array(among), (name for name in among)):
        restricted = dans.Restriction(given)
        for _ in range(2):
            assert {a.name for a in run.predict("e0", "r0", among=restricted)} == set(among)
    some = run.evaluate(candidates=np.int64(3), seed=np.int64(1))
    assert some == run.evaluate(candidates=3, seed=1)
    twice = run.predictor.predict(Query("e0", "r0") for _ in range(2))
    assert twice[0] == twice[1] == list(run.predict("e0", "r0"))


def test_public_names_are_listed_and_there() -> None:
    assert dans.__all__ == sorted(dans.__all__)
    assert set(dans.__all__) <= set(dir(dans))
    assert all(getattr(dans, name).__doc__ for name in dans.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dans.nonsense  # type: ignore[attr-defined]


def test_a_run_evaluates_predicts_and_says_what_it_is(run: dans.Run) -> None:
    report = run.evaluate()
    assert report.both["queries"] == 6
    assert str(report).splitlines()[1].startswith("both")
    assert (run.path / "report.json").exists()
    answers = run.predict(head="e0", relation="r0", top=3)
    assert [answer.rank for answer in answers] == [1, 2, 3]
    assert repr(answers).startswith("(e0, r0, ?)\nrank  tail")
    assert answers.to_pandas()["name"].tolist() == [answer.name for answer in answers]
    (scored,) = run.score([("e0", "r0", "e3")])
    assert scored.known == ("train", "valid")
    assert "rgcn and distmult on tiny, trained by negatives of dans and uniform" in repr(run)
    best = max(line["both"]["mrr"] for line in run.history)
    assert f"validation MRR {best:.4f}" in repr(run)
    assert run.entities.shape == (7, 8)
    assert len(run.sampler(run.trained.positives(run.kg.test)).embeddings) == 3


@pytest.mark.parametrize(("table", "option"), [(SAMPLERS, "sampler"), (DECODERS, "decoder")])
def test_a_component_of_another_kind_is_named(
    table: dict[str, object], option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Other(torch.nn.Module):
        """Neither a sampler nor a decoder."""

        k, dim = 3, 8

    monkeypatch.setitem(table, "other", Other)
    with pytest.raises(dans.InputError, match=rf"{option}.*: Other is no \w+; expected a subclass"):
        dans.train(TRIPLES, **{option: "other"}, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_whole_triple_is_no_query(run: dans.Run) -> None:
    with pytest.raises(dans.InputError, match="nothing to predict; score it instead"):
        run.predict("e0", "r0", "e3")


def test_a_run_explains_a_triple(run: dans.Run) -> None:
    found = run.explain("e0", "r0", "e3", top=2)
    assert found.score == pytest.approx(run.score([("e0", "r0", "e3")])[0].score)
    assert found.basis == "gradient"
    assert found.paths
    with pytest.raises(dans.InputError, match="relation: unknown name 'r9'; known: r0"):
        run.explain("e0", "r9", "e3")


def test_a_run_is_saved_reopened_exported_and_reported(run: dans.Run, tmp_path: Path) -> None:
    copy = run.save(tmp_path / "copy")
    again = dans.open_run(tmp_path / "copy")
    assert again.evaluate("valid") == copy.evaluate("valid") == run.evaluate("valid")
    assert again.kg.digest == run.kg.digest
    with pytest.raises(dans.InputError, match="is there already"):
        run.save(tmp_path / "copy")
    names = {path.name for path in run.export(tmp_path / "vectors")}
    assert names == {"entities.npy", "relations.npy", "names.json"}
    page = run.report(tmp_path / "page.html", others=[copy])
    assert page.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(dans.InputError, match="not the folder of a run"):
        dans.open_run(tmp_path)


def test_a_run_keeps_the_triples_that_were_in_memory(run: dans.Run) -> None:
    assert RunFolder(run.path).graph.exists()
    assert RunFolder(run.path / "pretrain").graph.exists()


def test_a_run_is_found_and_resumed_from_another_folder_and_after_a_move(
    kg: dans.KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: dict[str, Any] = {"sampler": "uniform:k=2", "steps": 2, "pretrain_steps": 2, **SMALL}
    monkeypatch.chdir(tmp_path)
    run = dans.train(kg, out="here", **own)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir("there")
    assert run.evaluate() == dans.train(kg, out="../here", resume=True, **own).evaluate()
    (tmp_path / "here").rename("moved")
    moved = dans.train(kg, out="moved", resume=True, **own)
    assert steps_before(RunFolder(moved.path)) == dans.open_run("moved/pretrain").best_step
    dans.train(kg, out="after", init_from="moved/pretrain", sampler="uniform:k=2", steps=2)
    monkeypatch.chdir(tmp_path.parent)
    tmp_path.rename(tmp_path.parent / "project")
    monkeypatch.chdir("project/there")
    dans.train(
        kg, out="after", init_from="moved/pretrain", sampler="uniform:k=2", steps=2, resume=True
    )
    shutil.copytree("moved/pretrain", "pretrain")
    del own["pretrain_steps"], own["dim"]
    with pytest.raises(dans.InputError, match=r"init_from: '.*/moved/pretrain' then"):
        dans.train(kg, out="moved", resume=True, init_from="pretrain", **own)


def test_a_second_sampler_starts_from_the_same_run(
    kg: dans.KnowledgeGraph, run: dans.Run, tmp_path: Path
) -> None:
    before = run.path / "pretrain"
    options = {"train.validate_every": 1}
    control = dans.train(
        kg, sampler="uniform:k=2", steps=2, init_from=before, out=tmp_path / "a", options=options
    )
    assert control.config.init_from == str(before)
    with pytest.raises(dans.InputError, match="decoder: 'complex' here, 'distmult' in the run"):
        dans.train(kg, sampler="uniform", decoder="complex", init_from=before, out=tmp_path / "b")
    longer = dans.train(kg, init_from=before, steps=1, out=tmp_path / "d")
    assert longer.config.encoder == run.config.encoder, "taken over, not those of the recipe"
    other = dans.KnowledgeGraph.of(TRIPLES[:4], name="other")
    with pytest.raises(dans.InputError, match=r"best\.safetensors: other lacks 1 of the 7 entit"):
        dans.train(other, sampler="uniform", steps=1, init_from=before, out=tmp_path / "c")


def test_an_rgcn_continues_from_a_lookup(kg: dans.KnowledgeGraph, tmp_path: Path) -> None:
    own: dict[str, Any] = {"sampler": "uniform:k=2", "options": {"train.validate_every": 1}}
    dans.train(kg, encoder="lookup", dim=4, steps=1, out=tmp_path / "a", **own)
    own |= {"init_from": tmp_path / "a" / "pretrain", "encoder": "rgcn"}
    rgcn = dans.train(kg, steps=0, out=tmp_path / "b", **own)
    assert torch.equal(rgcn.entities, dans.open_run(tmp_path / "a" / "pretrain").entities)
    assert rgcn.config.encoder.name == "rgcn"
    grown = rgcn.grow([("new", "r0", "e0")])
    longer = dans.train(grown, steps=1, out=tmp_path / "c", **own)
    assert longer.predict("new", "r0", top=2)


def test_validation_among_some_entities_is_named_so(
    kg: dans.KnowledgeGraph, tmp_path: Path
) -> None:
    options = {"train.validate_every": 2, "evaluation.candidates": 3, "evaluation.most": 2}
    run = dans.train(kg, sampler="uniform", steps=4, dim=4, out=tmp_path / "run", options=options)
    assert [sorted(line["both"])[-1] for line in run.history] == ["sampled_ndcg@5"] * 3
    assert all(line["both"]["queries"] == 4 for line in run.history)
    assert "validation sampled MRR 0." in repr(run)
    titles = [chart.title for chart in charts({"A": run.history})["validation"]]
    assert titles == ["sampled_mrr", "sampled_hits@1", "sampled_hits@10"]
    assert "mrr" in run.evaluate().both, "the recipe's protocol is that of validation alone"
    sampled = run.evaluate(candidates=4)
    assert run.evaluate("test", candidates=4) == sampled
    assert str(sampled).startswith("Ranked among 4 candidates drawn from all entities by seed 0")
    wrong = {"evaluation.candidates": "given"}
    with pytest.raises(dans.InputError, match=r"evaluation\.candidates: given: tiny has no"):
        dans.train(kg, sampler="uniform", steps=1, dim=4, out=tmp_path / "b", options=wrong)


def test_runs_without_a_folder_are_numbered(
    kg: dans.KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [dans.train(kg, steps=1, **SMALL).path for _ in range(2)]
    where = Path("runs/tiny-distmult-sampled-softmax-self-loop").absolute()
    assert paths == [where / "1", where / "2"]
    with pytest.raises(dans.InputError, match=r"train\.steps"):
        dans.train(kg, decoder="complex", steps=-1)
    with pytest.raises(dans.InputError, match="resume: needs out"):
        dans.train(kg, resume=True)
    assert not Path("runs/tiny-complex").exists()


def test_a_run_resumes_to_the_same_bits(kg: dans.KnowledgeGraph, tmp_path: Path) -> None:
    options = {"train.validate_every": 2, "train.schedule": "constant"}
    common = {"dim": 4, "options": options}
    whole = dans.train(kg, steps=4, out=tmp_path / "whole", **common)
    dans.train(kg, steps=2, out=tmp_path / "parts", **common)
    with pytest.raises(dans.InputError, match="already holds a run"):
        dans.train(kg, steps=4, out=tmp_path / "parts", **common)
    parts = dans.train(kg, steps=4, out=tmp_path / "parts", resume=True, **common)
    assert parts.evaluate(which="last") == whole.evaluate(which="last")


def test_options_of_the_sampler_are_refused_before_pre_training(
    kg: dans.KnowledgeGraph, tmp_path: Path
) -> None:
    with pytest.raises(dans.InputError, match=r"sampler.0.z: unknown option of uniform"):
        dans.train(kg, sampler="uniform:z=3", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_leaves_torch_as_found(kg: dans.KnowledgeGraph, tmp_path: Path) -> None:
    torch.manual_seed(5)
    threads, expected = torch.get_num_threads(), torch.rand(3)
    torch.manual_seed(5)
    dans.train(kg, steps=1, out=tmp_path / "run", **SMALL)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_naming_what_is_public_loads_no_torch() -> None:
    code = "import sys, dans; dir(dans); dans.InputError; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_run_that_equals_its_start_says_so(
    kg: dans.KnowledgeGraph, run: dans.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for lr, said in ((1e-12, True), (0.5, False)):
        caplog.clear()
        options = {"train.validate_every": 1, "train.lr": lr}
        out = tmp_path / str(lr)
        other = dans.train(
            kg, sampler="uniform:k=2", steps=1, init_from=run.path, out=out, options=options
        )
        warned = "no step improved on the model it started from" in caplog.text
        assert warned == (other.best_step == 0)
        assert warned or not said


AGES = {f"e{i}": float(i * i) for i in range(6)}


def test_features_are_kept_with_the_run(
    kg: dans.KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ages.csv").write_text("who,age\n" + "".join(f"{k},{v}\n" for k, v in AGES.items()))
    options = {**SMALL["options"], "features.combine": "gate", "features.hidden": 3}
    options["train.schedule"] = "constant"
    named = {**options, "features.table.age.file": "ages.csv"}
    given = {"steps": 4, "dim": 8}
    one = dans.train(kg, features={"age": {"values": AGES}}, options=options, out="a", **given)
    other = dans.train(kg, options=named, out="b", **given)
    Path("ages.csv").unlink()
    assert torch.equal(one.entities, other.entities)
    assert other.kg.features is not None
    assert other.kg.features.present.flatten().tolist() == [
        name in AGES for name in kg.entities.names
    ]
    saved = other.save("c")
    assert torch.equal(dans.Run(saved.path).entities, other.entities)
    longer = dans.train(kg, options=named, out="b", resume=True, **{**given, "steps": 6})
    straight = dans.train(
        kg, features={"age": {"values": AGES}}, options=options, out="d", **{**given, "steps": 6}
    )
    assert torch.equal(longer.entities, straight.entities)
    later = dans.train(kg, init_from=longer, sampler="uniform", steps=2, out="e")
    assert later.config.features == longer.config.features
    assert later.kg.features is not None
    with pytest.raises(dans.InputError, match="features: not those that the run keeps a copy of"):
        dans.train(
            kg, features={"age": {"e1": 1.0}}, options=options, out="a", resume=True, **given
        )


def test_features_that_cannot_be_used_are_refused(
    kg: dans.KnowledgeGraph, run: dans.Run, tmp_path: Path
) -> None:
    def refused(sentence: str, **given: Any) -> None:
        with pytest.raises(dans.InputError, match=sentence):
            dans.train(**{"data": kg, "steps": 1, "out": tmp_path / "x", **given})

    ages = {"age": AGES}
    refused("features: need data; or name files in features.table", data=None, features=ages)
    refused("the run to start from was trained without", features=ages, init_from=run)
    refused("features: there are none; name files", options={"features.combine": "only"})
    both = {"features.table.age.file": "ages.csv"}
    refused("features.table: the triples come with features", features=ages, options=both)
    refused("features.combine: known: add, concat", options={"features.combine": "sum"})


def test_features_tell_what_few_triples_cannot(tmp_path: Path) -> None:
    """Whom an entity supports follows from its numbers, and no triple says it of half of them."""
    corners = torch.tensor([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)])
    torch.manual_seed(0)
    kinds = torch.arange(120) % 4
    numbers = {f"e{i}": (corners[k] + 0.2 * torch.randn(2)).tolist() for i, k in enumerate(kinds)}
    supports = [(f"e{i}", "supports", f"club{k}") for i, k in enumerate(kinds.tolist())]
    met = [(f"e{i}", "met", f"e{(7 * i + 3) % 120}") for i in range(120)]
    kg = dans.KnowledgeGraph.of([*supports[:60], *met], valid=supports[60:80], test=supports[80:])
    given = {"encoder": "lookup", "steps": 60, "dim": 16, "lr": 0.05, "loss": "sce"}
    options = {"train.validate_every": 30, "features.combine": "gate", "features.hidden": 16}
    found = []
    for name, some in (("features", {"numbers": {"values": numbers}}), ("none", None)):
        own = options if some else {"train.validate_every": 30}
        trained = dans.train(kg, features=some, options=own, out=tmp_path / name, **given)
        found.append(trained.evaluate().tails["mrr"])
        if some:
            check_new_entities(
                trained, {f"x{k}": (corner * 1.1).tolist() for k, corner in enumerate(corners)}
            )
    assert found[0] > 0.7
    assert found[1] < 0.3


def check_new_entities(trained: dans.Run, numbers: dict[str, list[float]]) -> None:
    """Entities that training never saw are ranked right by their numbers alone."""
    by_features = {"extra_features": {"numbers": numbers}}
    larger = trained.extended(**by_features)
    right = {name: f"club{name[1:]}" for name in numbers}
    assert {x: larger.tails(x, "supports", top=1)[0].name for x in numbers} == right
    assert trained.predict("x1", "supports", **by_features, top=1).answers[0].name == "club1"
    queries = [(name, "supports", club) for name, club in right.items()]
    report = trained.evaluate(triples=queries, **by_features)
    assert report.tails["mrr"] == 1
    met = [(name, "met", "e0") for name in numbers]
    assert trained.evaluate(triples=queries, extra_triples=met).tails["mrr"] < 0.3


def test_a_run_is_opened_at_its_last_checkpoint(kg: dans.KnowledgeGraph, tmp_path: Path) -> None:
    # Steps so long that the first checkpoints are better than the last.
    options = {"train.validate_every": 1, "train.schedule": "constant"}
    best = dans.train(kg, dim=4, steps=3, lr=1.0, out=tmp_path / "run", options=options)
    last = dans.open_run(best.path, which="last")
    assert last.trained.step == 3 > best.best_step
    assert last.evaluate() != best.evaluate()
    assert last.evaluate() == best.evaluate(which="last")
    again = last.evaluate(which="best")
    assert again == best.evaluate()
    [answer] = last.predict(best.kg.entities[0], best.kg.relations[0], top=1)
    expected = dans.Predictor.load(best.path, which="last")
    query = Query(best.kg.entities[0], best.kg.relations[0], None)
    assert [answer] == expected.predict([query], top=1)[0]
    with pytest.raises(dans.InputError, match=r"out: .*: a folder; expected the"):
        best.report(tmp_path)
    copy = best.save(tmp_path / "copy").path
    page = best.report(tmp_path / "page.html", others=[copy], split="test")
    assert page.exists()
    assert "at its last checkpoint" in repr(last)
    with pytest.raises(dans.InputError, match="some are at their best checkpoint, others at"):
        best.report(tmp_path / "page.html", others=[last.save(tmp_path / "c")])
    pair = [dans.open_run(path, which="last") for path in (best.path, copy)]
    assert dans.Ensemble(pair).evaluate().both["mrr"] == last.evaluate().both["mrr"]
    with pytest.raises(dans.InputError, match="init_from: training starts from the best"):
        dans.train(kg, init_from=last, out=tmp_path / "more")
    with pytest.raises(dans.InputError, match="inside the run"):
        best.save(best.path / "copy")
    with pytest.raises(dans.InputError, match="which: known: best, last; got 'newest'"):
        dans.open_run(best.path, which="newest")  # type: ignore[arg-type]
