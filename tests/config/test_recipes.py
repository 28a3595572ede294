"""Every recipe builds on the toy graph, has an expected result or is a cell of a paper's table."""

import re
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from baselines.assembly import OBJECTIVES
from dans.analysis.tables import METRICS
from dans.cli.parsing import add_training_options, parser, records
from dans.cli.train_command import configured
from dans.config import papers
from dans.config.reading import read_toml
from dans.config.recipes import COMMANDS, RECIPES, SETTINGS, Recipe, find_recipe, read_recipe
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.build import build_model, build_objective, build_regularizers
from dans.runs.train import inherit

#: Kind and name of every run that a table of results holds; the names are those of 0.1's recipes.
ALL = [(kind, name) for kind in COMMANDS for name in records(kind, "expected")]

#: Likewise of every run that is a cell of a paper's table.
CELLS = {
    (cell.kind, cell.name): None
    for table in papers.names()
    for cell in papers.read(table).cells.values()
}

#: By folder, the names of bases and of settings.
NAMES = {
    folder: sorted(path.stem for path in (RECIPES / folder).glob("*.toml"))
    for folder in ("bases", *SETTINGS.values())
}

#: What a paper may have, or a run be expected to give, of labelled data.
CLASSIFIED = ("nll", "brier", "auc", "platt.nll", "platt.brier")


read_once = cache(read_toml)


@pytest.fixture(autouse=True)
def _files_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred files make some thousand recipes."""
    parsed = "dans.config.recipes.read_toml"
    monkeypatch.setattr(parsed, lambda path: deepcopy(read_once(path)))


@cache
def whole(kind: str, name: str, setting: str = "") -> RunConfig:
    """A recipe with what it inherits from the recipe of the run it starts from."""
    plain = read_recipe(find_recipe(name, kind, setting))
    if start := plain.get("init_from"):
        return inherit(plain, whole(*start.split("/")), where=name)
    return RunConfig.parse(plain, where=name)


def check(config: RunConfig, kg: KnowledgeGraph) -> None:
    """It builds, and all that it sets is used."""
    model = build_model(config, kg)
    objective = build_objective(config, kg, model.encoder.dim, OBJECTIVES)
    assert len(build_regularizers(config, kg)) == len(config.regularizer)
    assert set(config.phase) <= {phase.name for phase in objective.phases()}
    check_pretraining(config)


def shape(options: Any) -> Any:
    """Options with every number as good as another, as far as building them goes."""
    if isinstance(options, dict):
        return tuple((key, shape(value)) for key, value in options.items())
    if isinstance(options, list):
        return tuple(map(shape, options))
    return options if isinstance(options, (str, bool)) else type(options)


def check_pretraining(config: RunConfig) -> None:
    for part in config.sampler:  # a generator is still trained once it is pre-trained
        updates = config.train.steps * int(part.options.get("repeats", 1))
        assert int(part.options.get("pretrain", 0)) < updates


def test_every_base_and_every_setting_has_a_result_or_is_in_a_paper() -> None:
    recipes = [find_recipe(name, kind) for kind, name in dict.fromkeys([*ALL, *CELLS])]
    # What a cell starts from is run for it.
    for recipe in list(recipes):
        if start := read_recipe(recipe).get("init_from"):
            kind, _, name = start.partition("/")
            recipes.append(find_recipe(name, kind))
    assert {recipe.base.stem for recipe in recipes} == set(NAMES["bases"])
    for folder in SETTINGS.values():
        used = {r.setting.stem for r in recipes if r.setting and r.kind == folder}
        assert used == set(NAMES[folder])


@pytest.mark.parametrize(("kind", "name"), dict.fromkeys([*ALL, *CELLS]))
def test_recipe_builds(kind: str, name: str, kg: KnowledgeGraph) -> None:
    assert find_recipe(name, kind).stem == name
    check(whole(kind, name), kg)


@pytest.mark.parametrize(
    ("kind", "setting"), [(kind, name) for kind in SETTINGS for name in NAMES[SETTINGS[kind]]]
)
def test_a_setting_combines_with_every_base(kind: str, setting: str, kg: KnowledgeGraph) -> None:
    built = set()
    for base in NAMES["bases"]:
        if (
            setting == "sce-ls-rgcn-from-sce-ls"
            and whole(kind, base, "sce-ls").encoder.name == "rgcn"
        ):
            # It starts from a lookup.
            with pytest.raises(InputError, match=r"encoder\.(skip|init): .* leave it out"):
                whole(kind, base, setting)
            continue
        config = whole(kind, base, setting)
        check_pretraining(config)
        kinds = shape({**config.plain(), "data": "", "init_from": ""})
        if kinds in built:
            continue
        built.add(kinds)
        if setting == "sp" and config.decoder.name in ("rotate", "transe"):
            # The sum of all scores, in closed form: a multilinear decoder has it, they have not.
            with pytest.raises(InputError, match=r"decoder\.bound: unknown option of (rot|tr)"):
                check(config, kg)
        else:
            check(config, kg)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_result_is_complete(kind: str, name: str) -> None:
    expected = records(kind, "expected")[name]
    assert expected.keys() >= {"metric", "split", "value", "tolerance", "seeds", "commit"}
    assert 0 < expected["tolerance"] <= 0.05
    assert expected["metric"] in (*METRICS, *CLASSIFIED)
    # An NLL has no upper end.
    assert 0 < expected["value"] <= (10 if expected["metric"].endswith("nll") else 1)
    assert expected["seeds"] >= 1


def test_base_and_setting_are_said_apart_or_in_one_name() -> None:
    apart = find_recipe("umls-distmult", "dans", "self-loop")
    assert find_recipe("umls-distmult-self-loop", "dans") == apart
    assert find_recipe("umls-distmult-mcns", "dans", "self-loop") == apart
    assert find_recipe("umls-distmult", "dans") == find_recipe("umls-distmult-dans", "dans")
    assert find_recipe("umls-distmult", "pretrain").setting is None
    assert find_recipe("own.toml", "dans") == Recipe(Path("own.toml"))
    old = "kept"  # 0.1's name of the control
    assert find_recipe(f"umls-distmult-{old}", "dans") == apart
    assert find_recipe("umls-distmult", "dans", old) == apart


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("umls-distmult-sanz", "dans"),
            "umls-distmult-sanz: unknown sampler setting; .* did you mean sans",
        ),
        (("own.toml", "dans", "own-no.toml"), r"own-no\.toml: no such sampler setting"),
        (
            ("umls-distmult-no", "dans", "self-loop"),
            r"bases/umls-distmult-no\.toml: no such recipe",
        ),
        (
            ("umls-distmult", "baselines", "snas"),
            "--loss snas: unknown loss setting; known: discounted, ",
        ),
    ],
)
def test_what_is_not_there_is_refused(
    names: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text("")
    with pytest.raises(InputError, match=message):
        read_recipe(find_recipe(*names))


def test_an_unknown_sampler_setting_lists_all_and_knows_the_old_names() -> None:
    names = re.escape(", ".join(NAMES["samplers"]))
    message = f"^--sampler kep: unknown sampler setting; known: {names}; did you mean self-loop"
    with pytest.raises(InputError, match=message):
        find_recipe("umls-distmult", "dans", "kep")


@pytest.mark.parametrize("base", NAMES["bases"])
@pytest.mark.parametrize("change", ["train.steps=1", "objective=softmax"])
def test_a_base_alone_is_a_baseline_where_a_table_has_it_or_its_objective_is_one(
    base: str, change: str
) -> None:
    given = parser(None)
    add_training_options(given, kind="baselines")
    args = given.parse_args(["--recipe", base, "--set", change])
    if base in records("baselines", "expected") or change.startswith("objective"):
        assert configured(args)[1].parts[-2] == base
    else:
        with pytest.raises(InputError, match=f"{base}: without a loss .* losses: discounted, "):
            configured(args)


@pytest.mark.slow
def test_a_search_takes_no_base_alone_for_a_baseline_either(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "tune.py"
    given = ["--recipe", "umls-complex", "--kind", "baselines", "--space", "train.lr=0.1,0.2"]
    done = subprocess.run(
        [sys.executable, script, *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "umls-complex: without a loss setting it is pre-training" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_setting_changes_a_base_and_the_base_has_the_last_word(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'data = "umls"\nencoder = "lookup"\ndecoder = "distmult"\nloss = "logistic"\n'
        "train = { steps = 5, lr = 0.1 }\n"
        "[samplers.uniform]\ntrain.steps = 7\n[losses.sce]\ntrain.steps = 9\n"
    )
    (tmp_path / "near.toml").write_text('init_from = "pretrain/{base}"\ntrain.steps = 6\n')
    (tmp_path / "uniform.toml").write_text('extends = "near"\ndecoder.dropout = 0.1\n')
    base, setting = tmp_path / "own.toml", tmp_path / "uniform.toml"
    assert read_recipe(Recipe(base, setting)) == {
        "init_from": "pretrain/own",
        "decoder": {"dropout": 0.1},
        "loss": "logistic",
        "train": {"steps": 7, "lr": 0.1},
    }
    assert Recipe(base, setting).stem == "own-uniform"
    reciprocal = read_recipe(find_recipe(str(base), "baselines", "sce-reciprocal"))
    assert reciprocal["decoder"] == {"name": "distmult", "reciprocal": True}
    assert reciprocal["train"] == {"steps": 9, "lr": 0.1, "l2": 0.0}
    assert read_recipe(base)["train"]["steps"] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("samplers = 5", r"own\.toml: samplers: expected a section, got 5"),
        ("losses.sce = 5", r"own\.toml: losses\.sce: expected a section, got 5"),
        ("losses.see.train.lr = 1", r"losses\.see: unknown setting; known: discounted, .*sce"),
    ],
)
def test_changes_of_no_setting_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe(tmp_path / "own.toml")
