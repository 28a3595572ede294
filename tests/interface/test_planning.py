"""Plans: which runs a choice of data, model, sampler and loss stands for, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config.recipes import RECIPES, find_recipe, override, read_recipe
from dans.config.schema import Component, RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.interface.planning import (
    Choice,
    bases,
    is_recipe,
    plan,
    settings,
    with_default_loss,
)
from dans.models.decoders import DECODERS
from dans.runs.build import build_trainer
from dans.runs.train import configure
from dans.training.run_folder import RunFolder

#: 0.1's name of the control's runs.
OLD = "umls-distmult-" + "kept"

TRIPLES = [(f"e{i % 7}", f"r{i % 3}", f"e{(i * i + 3) % 7}") for i in range(30)]


@pytest.fixture
def kg() -> KnowledgeGraph:
    return KnowledgeGraph.of(TRIPLES, valid=TRIPLES[:2], name="my triples")


def test_a_model_alone_is_one_stage(kg: KnowledgeGraph) -> None:
    (stage,) = plan(Choice(decoder="complex", steps=5, dim=8, lr=0.1, seed=3), kg)
    assert (stage.kind, stage.name) == ("pretrain", "my-triples-complex")
    config = stage.config
    assert (config.data, config.decoder) == ("my triples", Component("complex"))
    assert (config.encoder.name, config.encoder.options["dim"]) == ("rgcn", 8)
    assert (config.train.steps, config.train.lr, config.train.seed) == (5, 0.1, 3)


def test_the_default_loss_is_a_sampled_softmax_with_the_control(kg: KnowledgeGraph) -> None:
    for decoder, reciprocal in (("distmult", True), ("complex", False)):
        (stage,) = plan(with_default_loss(Choice(decoder=decoder)), kg)
        name = f"my-triples-{decoder}-sampled-softmax-self-loop"
        assert (stage.kind, stage.name) == ("baselines", name)
        assert stage.config.loss == Component("sampled_softmax")
        assert stage.config.decoder.options.get("reciprocal", False) == reciprocal
        assert [(part.name, part.options.get("filter")) for part in stage.config.sampler] == [
            ("uniform", None),
            ("self_loop", "mask"),
        ]
        assert stage.config.train.batch == len(kg.train) // 4
    for named in ({"loss": "sce"}, {"sampler": "dans"}, {"recipe": "umls-distmult"}):
        choice = Choice(**named)
        assert with_default_loss(choice) is choice
    choice = Choice(options={"loss.balance": "sum"})
    assert with_default_loss(choice) is choice
    assert with_default_loss(Choice(), Path("run")) == Choice()


def test_a_sampler_continues_from_pre_training(kg: KnowledgeGraph) -> None:
    options = {"encoder.layers": 1, "train.patience": 2}
    choice = Choice(sampler="dans", steps=5, pretrain_steps=7, lr=0.1, options=options)
    before, after = plan(choice, kg)
    assert (before.kind, before.name, before.continues) == (
        "pretrain",
        "my-triples-distmult",
        False,
    )
    assert (after.kind, after.name, after.continues) == ("dans", "my-triples-distmult", True)
    assert [part.name for part in after.config.sampler] == ["dans", "uniform"]
    assert (before.config.train.steps, after.config.train.steps) == (7, 5)
    assert (before.config.train.lr, after.config.train.lr) == (0.01, 0.1)
    assert (before.config.train.patience, after.config.train.patience) == (0, 2)
    for key in RunConfig.INHERITED:
        assert getattr(before.config, key) == getattr(after.config, key)
    assert before.config.encoder.options["layers"] == 1


def test_from_the_start_a_sampler_has_the_steps_of_pre_training(kg: KnowledgeGraph) -> None:
    (stage,) = plan(Choice(sampler="dans", pretrain_steps=0), kg)
    assert (stage.kind, stage.config.init_from) == ("dans", "")
    assert (stage.config.train.steps, stage.config.train.lr) == (800, 0.01)
    assert set(stage.config.phase) == {"entity_pathway", "relation_pathway", "discriminator"}


@pytest.mark.parametrize(
    ("sampler", "found"),
    [
        ("uniform:k=5,filter=mask", [Component("uniform", {"k": 5, "filter": "mask"})]),
        ("uniform:k=2 + self_loop", [Component("uniform", {"k": 2}), Component("self_loop")]),
        ("uniform:k=2+self_loop", [Component("uniform", {"k": 2}), Component("self_loop")]),
        (
            "sans:k=5+uniform:k=1e+3",
            [Component("sans", {"k": 5}), Component("uniform", {"k": 1000})],
        ),
        ({"name": "sans", "k": 3}, [Component("sans", {"k": 3})]),
        ([{"name": "uniform"}], [Component("uniform")]),
    ],
)
def test_samplers_are_settings_texts_or_mappings(
    kg: KnowledgeGraph, sampler: Any, found: list[Component]
) -> None:
    assert list(plan(Choice(sampler=sampler), kg)[-1].config.sampler) == found


def test_an_unknown_name_among_joined_samplers_is_said_alone(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"sampler\.1: unknown name 'unifrm'"):
        plan(Choice(sampler="sans:k=5+unifrm"), kg)


def test_every_setting_and_decoder_makes_a_plan_for_own_triples(kg: KnowledgeGraph) -> None:
    for decoder in DECODERS:
        for sampler in settings("dans"):
            assert len(plan(Choice(decoder=decoder, sampler=sampler), kg)) == 2
        for loss in settings("baselines"):
            if not read_recipe(RECIPES / "losses" / f"{loss}.toml").get("init_from"):
                assert plan(Choice(decoder=decoder, loss=loss), kg)[0].kind == "baselines"


def test_an_encoder_without_messages_has_no_options_of_the_graph(kg: KnowledgeGraph) -> None:
    (stage,) = plan(Choice(encoder="lookup", decoder="rotate"), kg)
    assert stage.config.encoder == Component("lookup", {"dim": 100})
    assert stage.config.graph.sample == 1.0
    assert stage.config.decoder.options["gamma"] == 12.0


def test_the_batch_grows_with_the_graph(kg: KnowledgeGraph) -> None:
    large = KnowledgeGraph.of([(f"e{i}", "r", f"e{i + 1}") for i in range(30_000)])
    assert plan(Choice(), kg)[0].config.train.batch == len(kg.train) // 4, "what is held out"
    assert plan(Choice(), large)[0].config.train.batch == 3000
    assert plan(Choice(batch=50), large)[0].config.train.batch == 50


def test_published_triples_have_their_own_recipe() -> None:
    kg = KnowledgeGraph.load("umls")
    (stage,) = plan(with_default_loss(Choice()), kg)
    recipe = find_recipe("umls-distmult-sampled-softmax-self-loop", "baselines")
    assert stage.config == configure(recipe, ["train.seed=0"])
    (stage,) = plan(Choice(), kg)
    assert stage.config == configure(find_recipe("umls-distmult", "pretrain"), ["train.seed=0"])
    (tuned,) = plan(Choice(recipe="kinship-complex"), None)
    assert tuned.config.data == "kinship"


def test_a_run_continues_by_the_recipe_of_its_own_decoder(tmp_path: Path) -> None:
    config = configure(find_recipe("umls-complex", "pretrain"), [])
    RunFolder(tmp_path).begin(config, resume=False)
    kg = KnowledgeGraph.load("umls")
    (stage,) = plan(Choice(sampler="self-loop"), kg, start=tmp_path)
    assert stage.name == "umls-complex-self-loop"


@pytest.mark.parametrize("name", ["umls-distmult-self-loop", "umls-distmult-" + "kept"])
def test_a_recipe_may_name_its_setting(name: str) -> None:
    before, after = plan(Choice(recipe=name), None)
    assert before.config == configure(find_recipe("umls-distmult", "pretrain"), ["train.seed=0"])
    assert [part.name for part in after.config.sampler] == ["uniform", "self_loop"]
    assert after.name == "umls-distmult-self-loop"


def test_a_name_of_a_sampler_and_of_a_loss_setting_is_the_sampler_s() -> None:
    for name in set(settings("dans")) & set(settings("baselines")):
        assert plan(Choice(recipe=f"umls-distmult-{name}"), None)[-1].kind == "dans"


def test_another_component_has_none_of_the_options_of_the_old_one(kg: KnowledgeGraph) -> None:
    (stage,) = plan(Choice(options={"loss.margin": 2.0, "loss.name": "margin"}), kg)
    assert stage.config.loss == Component("margin", {"margin": 2.0})
    (stage,) = plan(Choice(options={"encoder.name": "lookup", "graph": {}}), kg)
    assert stage.config.encoder == Component("lookup", {"dim": 100})


def test_a_section_given_whole_is_its_options_one_by_one(kg: KnowledgeGraph) -> None:
    given = {"train": {"patience": 5}, "encoder": {"name": "lookup"}, "graph": {}}
    (stage,) = plan(Choice(steps=20, lr=0.05, seed=3, dim=8, options=given), kg)
    (other,) = plan(Choice(steps=20, lr=0.05, seed=3, dim=8, encoder="lookup"), kg)
    assert stage.config == other.config.replace(patience=5)
    with pytest.raises(InputError, match=r"--set .*: train.steps: given as steps already"):
        Choice(steps=20, options={"train": {"steps": 5}})
    with pytest.raises(InputError, match=r"--set .*: train.lr: given twice"):
        Choice(options={"train": {"lr": 0.5}, "train.lr": 0.1})
    with pytest.raises(InputError, match=r"--set .*: decoder.name: given twice"):
        Choice(options={"decoder": "transe", "decoder.name": "rotate"})
    with pytest.raises(InputError, match=r"--set .*: decoder.name: given as decoder already"):
        Choice(decoder="distmult", options={"decoder": "rotate"})
    phases = {"generator": {"lr": 0.1, "batch": 2}, "discriminator": {"lr": 0.3}}
    changed = override({"phase": phases}, ["phase={generator={lr=0.5}}"])["phase"]
    assert changed == {"generator": {"lr": 0.5, "batch": 2}, "discriminator": {"lr": 0.3}}


def test_numbers_of_numpy_are_numbers(kg: KnowledgeGraph) -> None:
    numbers: Any = {"steps": np.int64(3), "dim": np.int32(8), "lr": np.float64(0.5)}
    (stage,) = plan(Choice(**numbers, options={"train.l2": np.float64(0.25)}), kg)
    (other,) = plan(Choice(steps=3, dim=8, lr=0.5, options={"train.l2": 0.25}), kg)
    assert stage.config == other.config
    sampler: Any = {"name": "uniform", "k": np.int64(4)}
    assert plan(Choice(sampler=sampler), kg)[-1].config.sampler[0].options == {"k": 4}


def test_paths_are_taken_where_texts_are_and_stored_as_texts(kg: KnowledgeGraph) -> None:
    file, text = Path("rows") / "all.npz", str(Path("rows") / "all.npz")
    sampler = {"name": "listed", "file": file}
    given = {"encoder": {"initial_from": file}, "evaluation.among": file}
    (stage,) = plan(Choice(sampler=sampler, pretrain_steps=0, options=given), kg)
    assert stage.config.encoder.options["initial_from"] == text
    assert stage.config.sampler[0].options["file"] == text
    assert stage.config.evaluation.among == text
    plain = {**stage.config.plain(), "data": file, "features": {"table": {"image": {"file": file}}}}
    assert RunConfig.parse(plain).plain()["data"] == text


def test_a_loss_setting_is_a_baseline() -> None:
    (stage,) = plan(Choice(recipe="umls-distmult-sce"), None)
    assert (stage.kind, stage.name) == ("baselines", "umls-distmult-sce")
    recipe = find_recipe("umls-distmult", "baselines", "sce")
    assert stage.config == configure(recipe, ["train.seed=0"])


def test_a_recipe_of_ones_own(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('data = "umls"\nencoder = { name = "lookup", dim = 4 }\ndecoder = "distmult"\n')
    (stage,) = plan(Choice(recipe=str(file), options={"train.l2": 0.5}), kg)
    assert (stage.name, stage.config.data, stage.config.train.l2) == ("own", "my triples", 0.5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"decoder": "dismult"}, "decoder: unknown name 'dismult'.*did you mean 'distmult'"),
        ({"encoder": "gcn"}, "encoder: unknown name 'gcn'; known: lookup, rgcn"),
        ({"sampler": "danz"}, "sampler: unknown name 'danz'.*did you mean 'dans'"),
        ({"sampler": {"k": 3}}, "sampler: expected options with a name, got {'k': 3}"),
        ({"sampler": []}, "sampler: expected at least one"),
        ({"sampler": "uniform:k=5,k=6"}, "uniform:k=5,k=6: k is given twice"),
        (
            {"loss": "softmax"},
            "loss: unknown name 'softmax'; settings: .*, sce, .*; losses: logistic, margin,.*",
        ),
        ({"sampler": "DANS"}, "; samplers: bernoulli, .*uniform; did you mean 'dans'"),
        ({"loss": "Self-Adversarial"}, "did you mean 'self-adversarial'"),
        ({"loss": "Sampled_Softmax"}, "did you mean 'sampled_softmax'"),
        ({"decoder": "ComplEx"}, "did you mean 'complex'"),
        ({"sampler": "dans-filtered:k=5"}, "sampler: dans-filtered is a setting, which stands"),
        ({"loss": "sce", "sampler": "dans"}, "sampler: the loss setting sce says"),
        ({"pretrain_steps": 5}, "pretrain_steps=.: no effect without a sampler"),
        ({"recipe": "umls-distmut"}, "recipe: unknown name 'umls-distmut'.*did you mean"),
        ({"steps": -1}, "train.steps: expected at least 0, got -1"),
        ({"options": {"train.stepz": 1}}, "train.stepz: unknown option"),
        ({"options": {"data": "umls"}}, "--set .*: data: the triples are given already"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    kg: KnowledgeGraph, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        plan(Choice(**given), kg)


def test_neither_triples_nor_a_recipe_is_refused() -> None:
    with pytest.raises(InputError, match="data: expected triples, or a recipe that names them"):
        plan(Choice(), None)


def test_recipes_are_told_from_data() -> None:
    assert all(map(is_recipe, bases()))
    assert is_recipe("own.toml")
    assert not any(map(is_recipe, ["umls", "my-triples", "my.csv", "umls-other"]))
    special = {path.stem for path in (RECIPES / "own").glob("*.toml")} - {"base"}
    assert special <= set(DECODERS)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 1, "options": {"train.steps": 2}}, "train.steps: given as steps already"),
        ({"seed": 1, "options": {"train.seed": 2}}, "train.seed: given as seed already"),
        ({"options": {"init_from": "runs/a"}}, "init_from: is an argument of its own"),
        ({"options": [1]}, r"options: expected a mapping of names to values, got \[1\]"),
        ({"sampler": 3}, "sampler: expected a name, options or several, got 3"),
        (
            {"recipe": "umls-distmult-self-loop", "sampler": "uniform"},
            "sampler: the recipe umls-distmult-self-loop names a setting itself",
        ),
        (
            {"recipe": "umls-distmult-sce", "loss": "sp"},
            "loss: the recipe umls-distmult-sce names a setting itself",
        ),
        (
            {"recipe": "umls-distmult-sce", "loss": "logistic"},
            "loss: the recipe umls-distmult-sce names a setting itself",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    kg: KnowledgeGraph, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        plan(Choice(**given), kg)


def test_the_seed_is_an_argument_or_an_option(kg: KnowledgeGraph) -> None:
    assert plan(Choice(), kg)[0].config.train.seed == 0
    assert plan(Choice(options={"train.seed": 7}), kg)[0].config.train.seed == 7


def test_what_is_there_is_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "umls-distmult-self-loop").mkdir()
    assert not is_recipe("umls-distmult-self-loop")
    assert not is_recipe("kinship-complex-2024.csv")


def test_samplers_with_options_have_a_name_of_their_own(kg: KnowledgeGraph) -> None:
    names = [plan(Choice(sampler=s), kg)[-1].name for s in ("dans", "dans:k=3", "uniform:k=2")]
    assert [name.removeprefix("my-triples-distmult") for name in names] == ["", "-dans", "-uniform"]


def test_many_entities_have_steps_that_cost_what_their_batch_does(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.interface.planning.MANY", kg.num_entities - 1)
    (stage,) = plan(with_default_loss(Choice()), kg)
    config = stage.config
    assert config.graph.fanout == (10, 10)
    assert (config.train.optimizer, config.train.encode) == ("lazy_adam", "auto")
    assert (config.evaluation.candidates, config.evaluation.most) == (1000, 5000)
    assert [part.options.get("shared_negatives") for part in config.sampler] == [1000, None]
    # What is given is kept.
    given = {"evaluation.most": 7, "train.optimizer": "adagrad", "graph.fanout": [3, 4]}
    (stage,) = plan(Choice(options=given), kg)
    assert (stage.config.evaluation.most, stage.config.train.optimizer) == (7, "adagrad")
    assert stage.config.graph.fanout == (3, 4)
    first, last = plan(Choice(sampler="dans-filtered"), kg)
    (dans, *_) = (part for part in last.config.sampler if part.name == "dans")
    assert dans.options["candidates"] == 1000
    assert first.config.graph == last.config.graph
    (stage,) = plan(Choice(encoder="lookup", loss="sampled-softmax"), kg)
    assert not stage.config.graph.fanout
    build_trainer(stage.config, kg, None, OBJECTIVES)
    for one in (first, last):
        assert build_trainer(RunConfig.parse({**one.config.plain(), "init_from": ""}), kg, None)


def test_a_fanout_replaces_the_share_of_messages_of_our_recipe(kg: KnowledgeGraph) -> None:
    (stage,) = plan(Choice(options={"graph.fanout": [3, 4]}), kg)
    assert stage.config.graph.fanout == (3, 4)
    with pytest.raises(InputError, match=r"graph\.fanout: cannot be combined with sample"):
        plan(Choice(options={"graph.fanout": [3, 4], "graph.sample": 0.5}), kg)


def test_many_entities_are_all_encoded_where_the_sampler_or_an_option_needs_them(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.interface.planning.MANY", kg.num_entities - 1)
    for choice in (
        Choice(sampler="mcns"),
        Choice(sampler="uniform", options={"train.encode": "all"}),
    ):
        assert not any(stage.config.graph.fanout for stage in plan(choice, kg))
    (stage,) = plan(with_default_loss(Choice(options={"encoder.layers": 1})), kg)
    assert stage.config.graph.fanout == (10,)
    (stage,) = plan(with_default_loss(Choice(options={"evaluation.among": "domain-range"})), kg)
    assert (stage.config.evaluation.candidates, stage.config.evaluation.most) == ("all", 5000)


def test_few_entities_are_all_encoded(kg: KnowledgeGraph) -> None:
    (stage,) = plan(with_default_loss(Choice()), kg)
    assert not stage.config.graph.fanout
    assert stage.config.train.optimizer == "adam"
    assert stage.config.evaluation.candidates == "all"


def test_samplers_of_the_baselines_are_chosen_and_listed_as_where_samplers_are_inspected(
    kg: KnowledgeGraph,
) -> None:
    *_, last = plan(Choice(sampler="published_dans"), kg)
    assert [part.name for part in last.config.sampler] == ["published_dans"]
    with pytest.raises(InputError, match=f"samplers: {', '.join(sorted(SAMPLERS))};"):
        plan(Choice(sampler="nope"), kg)
