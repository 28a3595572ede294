"""Recipes are read strictly, and a mistake is named by its key."""

from pathlib import Path

import pytest

from dans.config.old_names import renamed_state
from dans.config.reading import parse_toml
from dans.config.recipes import override, read_recipe
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from tests.suites.samplers import make

PLAIN = {
    "data": "umls",
    "encoder": {"name": "rgcn", "dim": 8},
    "decoder": "distmult",
    "loss": {"name": "logistic"},
    "sampler": [{"name": "uniform", "k": 2}],
}


def test_parse_and_plain_are_inverse() -> None:
    config = RunConfig.parse(
        {**PLAIN, "train": {"steps": 3, "lr": 1}, "phase": {"discriminator": {}}}
    )
    assert RunConfig.parse(config.plain()) == config
    assert config.train.lr == 1.0
    assert config.encoder.options == {"dim": 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": {}}, "trian: unknown option; known: data, .*did you mean train"),
        ({"train": {"learning_rate": 1}}, "train.learning_rate: unknown option; known: steps"),
        ({"train": {"steps": 1.5}}, "train.steps: expected a whole number, got 1.5"),
        ({"train": {"steps": True}}, "train.steps: expected a whole number, got True"),
        ({"train": {"betas": [0.9]}}, "train.betas: expected 2 values"),
        ({"train": {"select": "hits"}}, "train.select: known: mrr, .*tails.*, brier, .*'hits'"),
        ({"train": {"schedule": "step"}}, "train.schedule: known: constant, cosine, linear"),
        ({"train": 3}, "train: expected a section, got 3"),
        ({"graph": {"norm": "degree"}}, "graph.norm: known: relation, node, code; got 'degree'"),
        ({"encoder": {"dim": 8}}, "encoder.name: missing"),
        ({"encoder": 7}, "encoder: expected a name or a section"),
        ({"sampler": {"name": "uniform"}}, "sampler: expected a list"),
        ({"phase": {"discriminator": {"rate": 1}}}, "phase.discriminator.rate: unknown option"),
        ({"data": 3}, "data: expected a string"),
        ({"train": {"validate_every": 0}}, "train.validate_every: expected at least 1, got 0"),
        ({"train": {"batch": 0}}, "train.batch: expected at least 1"),
        ({"train": {"steps": -3}}, "train.steps: expected at least 0, got -3"),
        ({"train": {"lr": -1}}, "train.lr: expected at least 0"),
        ({"train": {"lr": float("nan")}}, "train.lr: must be a finite number, got nan"),
        ({"train": {"betas": [0.9, 2]}}, r"train.betas.1: expected at least 0 and below 1, got 2"),
        ({"graph": {"sample": 0}}, "graph.sample: expected above 0 and at most 1, got 0"),
        ({"train": {"accumulator": 0.1}}, 'train.accumulator: has no .* optimizer = "adagrad"'),
        (
            {"train": {"accumulator": 0.1, "optimizer": "lazy_adam"}},
            'train.accumulator: has no effect without optimizer = "adagrad"; leave it out',
        ),
        (
            {"train": {"betas": [0.5, 0.999], "optimizer": "adagrad"}},
            'train.betas: has no effect without optimizer = "adam" or "lazy_adam"',
        ),
        ({"train": {"decay": 0.5}}, 'train.decay: has no effect without schedule = "plateau"'),
        (
            {"train": {"decay_patience": 1, "schedule": "cosine"}},
            'train.decay_patience: has no effect without schedule = "plateau"',
        ),
        ({"train": {"decay": 0, "schedule": "plateau"}}, "train.decay: expected above 0 and at"),
        ({"phase": {"discriminator": {"sweep": True}}}, "phase.discriminator.sweep: needs a batch"),
    ],
)
def test_mistakes_are_named_by_their_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunConfig.parse({**PLAIN, **change})


@pytest.mark.parametrize(
    "train",
    [
        {"optimizer": "adagrad", "accumulator": 0.1},
        {"optimizer": "lazy_adam", "betas": [0.5, 0.99]},
        {"schedule": "plateau", "decay": 0.5, "decay_patience": 1},
        # A run keeps its options, those it left alone among them.
        {"optimizer": "adagrad", "betas": [0.9, 0.999], "decay": 0.95},
    ],
)
def test_options_with_an_effect_are_taken(train: dict[str, object]) -> None:
    config = RunConfig.parse({**PLAIN, "train": train})
    assert RunConfig.parse(config.plain()) == config


def test_missing_section_is_named() -> None:
    with pytest.raises(InputError, match=r"recipe.toml: encoder: missing"):
        RunConfig.parse({k: v for k, v in PLAIN.items() if k != "encoder"}, where="recipe.toml")


def test_expected_results_are_no_part_of_a_configuration() -> None:
    assert RunConfig.parse({**PLAIN, "expected": {"mrr": 1}}) == RunConfig.parse(PLAIN)


def test_override_leaves_the_original_alone_and_reaches_lists() -> None:
    changed = override(PLAIN, ["sampler.0.k=5", "train.schedule=cosine", "decoder=rotate"])
    assert changed["sampler"] == [{"name": "uniform", "k": 5}]
    assert changed["train"] == {"schedule": "cosine"}
    assert PLAIN["sampler"] == [{"name": "uniform", "k": 2}]


def test_name_in_a_list_takes_options() -> None:
    changed = override({"sampler": ["uniform"]}, ["sampler.0.k=2"])
    assert changed == {"sampler": [{"name": "uniform", "k": 2}]}


def test_component_given_by_name_takes_options() -> None:
    changed = override(PLAIN, ["decoder.gamma=2.5"])
    assert changed["decoder"] == {"name": "distmult", "gamma": 2.5}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.steps", "expected section.option=value"),
        ("=3", "expected section.option=value"),
        ("train..steps=3", "expected section.option=value"),
        ("sampler.1.k=3", "expected a number below 1, got '1'"),
        ("sampler.first.k=3", "expected a number below 1, got 'first'"),
        ("train.steps.most=3", "--set train.steps: is a value, not a section"),
    ],
)
def test_bad_overrides_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        override({**PLAIN, "train": {"steps": 3}}, [assignment])


def test_unknown_recipe_lists_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "near.toml").write_text("")
    with pytest.raises(InputError, match="no such recipe; known: near"):
        read_recipe(tmp_path / "far.toml")


def test_of_many_recipes_those_much_alike_are_offered(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"graph-{'abc'[i % 3] * i}.toml").write_text("")
    (tmp_path / "umls-mcns.toml").write_text("")
    with pytest.raises(InputError, match=r"did you mean umls-mcns\? 41 are in "):
        read_recipe(tmp_path / "umls-mcsn.toml")
    with pytest.raises(InputError, match=r"no such recipe; 41 are in "):
        read_recipe(tmp_path / "zzz.toml")


def test_a_recipe_takes_over_what_it_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        """init_from = "pretrain/base"
loss = { name = "logistic", balance = "triples" }
sampler = [{ name = "uniform", k = 20 }]
[train]
steps = 200
lr = 0.001
"""
    )
    (tmp_path / "heir.toml").write_text(
        """extends = "base"
loss = { name = "margin" }
sampler = [{ name = "self_loop" }]
[train]
steps = 100
"""
    )
    assert read_recipe(tmp_path / "heir.toml") == {
        "init_from": "pretrain/base",
        "loss": {"name": "margin"},
        "sampler": [{"name": "self_loop"}],
        "train": {"steps": 100, "lr": 0.001},
    }


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ('"own"', "own.toml: extends: own extends this recipe"),
        ('"nobody"', "nobody.toml: no such recipe; known: own"),
        ("3", "extends: expected the name of a recipe in the same folder, got 3"),
        ('"../own"', "extends: expected the name of a recipe in the same folder, got '../own'"),
        ('""', "extends: expected the name of a recipe in the same folder, got ''"),
    ],
)
def test_a_recipe_cannot_extend_everything(tmp_path: Path, extends: str, message: str) -> None:
    (tmp_path / "own.toml").write_text(f"extends = {extends}")
    with pytest.raises(InputError, match=message):
        read_recipe(tmp_path / "own.toml")


def test_options_of_a_component_not_named_anew_are_changed(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('loss = { name = "logistic", balance = "triples" }')
    (tmp_path / "heir.toml").write_text('extends = "base"\nloss = { balance = "sum" }')
    assert read_recipe(tmp_path / "heir.toml") == {"loss": {"name": "logistic", "balance": "sum"}}


def test_what_is_inherited_can_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'data = "umls"\nencoder = "lookup"\ndecoder = "distmult"\nloss = "logistic"\n'
        'sampler = ["uniform"]\nregularizer = [{ name = "lp", entities = 0.1 }]\n'
    )
    (tmp_path / "heir.toml").write_text(
        'extends = "base"\nobjective = "softmax"\nloss = ""\nsampler = []\nregularizer = []\n'
    )
    heir = RunConfig.parse(read_recipe(tmp_path / "heir.toml"))
    assert (heir.loss, heir.sampler, heir.regularizer) == (None, (), ())
    assert RunConfig.parse(heir.plain()) == heir
    base = read_recipe(tmp_path / "base.toml")
    changes = ["objective=softmax", "loss=", "sampler=[]", "regularizer=[]"]
    assert RunConfig.parse(override(base, changes)) == heir


def test_a_configuration_of_0_1_still_loads() -> None:
    text = """
start = "pretrain/umls-distmult"
data = "umls"
encoder = "rgcn"
decoder = "distmult"
loss = { name = "logistic", balance = "facts" }
[[sampler]]
name = "dans"
ways = "both"
critic_repeats = 2
[[sampler]]
name = "kept"
[train]
dump = true
[phase.critic]
lr = 0.5
[phase.entity_way]
lr = 0.25
"""
    config = RunConfig.parse(parse_toml(text, "own.toml"))
    assert config.init_from == "pretrain/umls-distmult"
    assert config.loss is not None
    assert config.loss.options == {"balance": "triples"}
    assert config.sampler[0].options == {"pathways": "both", "discriminator_repeats": 2}
    assert config.sampler[1].name == "self_loop"
    assert config.train.log_negatives
    assert set(config.phase) == {"discriminator", "entity_pathway"}


def test_a_name_of_0_1_beside_todays_is_refused() -> None:
    with pytest.raises(InputError, match=r"^start: unknown option; known: "):
        RunConfig.parse({"start": "a", "init_from": "b", "data": "umls"})


@pytest.mark.parametrize("name", ["mcns", "nscaching"])
def test_a_checkpoint_with_the_old_name_of_the_counter_loads(name: str, kg: KnowledgeGraph) -> None:
    sampler = make(name, kg)
    old = {key.replace("seen", "heard"): value for key, value in sampler.state_dict().items()}
    assert "heard" in old
    old["heard"] += 7
    loaded = renamed_state({"objective": {f"sampler.{key}": old[key] for key in old}})["objective"]
    sampler.load_state_dict({key.removeprefix("sampler."): loaded[key] for key in loaded})
    assert sampler.seen == 7
