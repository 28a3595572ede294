"""``dans train``: what it trains, on triples and by recipes."""

from pathlib import Path
from typing import Any

import pytest

from baselines import assembly
from dans.cli import main, parsing
from dans.config.recipes import Recipe, find_recipe
from dans.config.schema import Component
from dans.errors import InputError
from dans.interface import planning, training
from dans.runs.train import configure
from tests.suites.toy import lay


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The stages, and the folder, of each command that trains on triples; nothing is trained."""
    found: list[Any] = []

    def carry_out(stages: list[planning.Stage], _: object, where: Path, **__: object) -> None:
        found.append((list(stages), where))

    monkeypatch.setattr(training, "carry_out", carry_out)
    return found


def train(*arguments: str, script: bool = False) -> None:
    command, parser = main.load("train"), parsing.parser(None)
    command.add_options(parser)
    if script:
        parser.set_defaults(usual_recipe="umls-distmult")
    command.run(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("options", "choice", "folder"),
    [
        ([], {}, "baselines/mine-distmult-sampled-softmax-self-loop"),
        (["--sampler", "dans"], {"sampler": "dans"}, "dans/mine-distmult"),
        (["--loss", "logistic"], {"loss": "logistic"}, "baselines/mine-distmult-logistic"),
        (
            ["--loss", "sampled_softmax", "--steps", "5"],
            {"loss": "sampled_softmax", "steps": 5},
            "baselines/mine-distmult-sampled_softmax",
        ),
        (["--loss", "sce"], {"loss": "sce"}, "baselines/mine-distmult-sce"),
        (
            ["--set", "sampler.0.k=3", "--set", "loss.name=margin"],
            {"options": {"sampler.0.k": 3, "loss.name": "margin"}},
            "baselines/mine-distmult",
        ),
    ],
)
def test_triples_are_trained_on_as_in_python(
    options: list[str], choice: dict[str, Any], folder: str, tmp_path: Path, plans: list[Any]
) -> None:
    lay(tmp_path / "mine")
    train(str(tmp_path / "mine"), *options)
    kg = training.load(str(tmp_path / "mine"))
    stages = planning.plan(planning.with_default_loss(planning.Choice(**choice)), kg)
    assert plans == [(stages, Path("runs") / folder / "seed0")]


def test_the_script_trains_triples_by_dans(tmp_path: Path, plans: list[Any]) -> None:
    lay(tmp_path / "mine")
    for options in ([], ["--loss", "logistic"]):
        train(str(tmp_path / "mine"), *options, script=True)
        assert [stage.kind for stage in plans.pop()[0]] == ["pretrain", "dans"]


@pytest.mark.parametrize(
    "given",
    [
        ["umls-distmult", "--loss", "sce"],
        ["umls-distmult-sce"],
        ["--recipe", "umls-distmult", "--loss", "sce"],
    ],
)
def test_a_recipe_with_a_loss_setting_is_trained_as_a_baseline(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    monkeypatch.setattr(assembly, "train", lambda config, where, **_: runs.append((config, where)))
    train(*given)
    expected = configure(find_recipe("umls-distmult", "baselines", "sce"), [])
    assert runs == [(expected, Path("runs/baselines/umls-distmult-sce/seed0"))]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mine", "--pretrain-steps", "20"], r"--pretrain-steps \(.*: no effect without a sampler"),
        (["umls-distmult-sce", "--pretrain-steps", "20"], "no effect without a sampler"),
        (["--recipe", "umls-distmult", "--pretrain-steps", "20"], "no effect on --recipe umls-"),
        (["umls-distmult-sce", "--sampler", "dans"], "sampler: the recipe umls-distmult-sce names"),
        (["umls-distmult-self-loop", "--loss", "sce"], "loss: the recipe umls-distmult-self-loop"),
        (
            ["umls-distmult", "--loss", "sce", "--sampler", "dans"],
            "--sampler: the loss setting sce",
        ),
        (["umls-distmult", "--loss", "SCE"], "settings: .*; losses: .*; did you mean 'sce'"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "mine")
    with pytest.raises(InputError, match=sentence):
        train(*arguments)


@pytest.mark.parametrize("what", ["umls-distmult", "mine"])
@pytest.mark.parametrize("given", ["train.steps=7", "train={patience=5,steps=7}"])
def test_an_option_given_twice_is_refused(
    what: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "mine")
    with pytest.raises(InputError, match=r"--set.* train.steps: (--steps says|given as steps)"):
        train(what, "--steps", "5", "--set", given)


def test_a_loss_is_set_before_its_options() -> None:
    command, parser = main.load("train"), parsing.parser(None)
    command.add_options(parser)
    given = ["umls-distmult", "--loss", "margin", "--set", "loss.margin=2"]
    texts = command.assignments(parser.parse_args(given))  # type: ignore[attr-defined]
    base = Recipe(planning.RECIPES / "bases" / "umls-distmult.toml")
    assert configure(base, texts).loss == Component("margin", {"margin": 2})


def test_a_file_of_a_loss_setting_is_no_part_of_pre_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "mine")
    command, parser = main.load("pretrain"), parsing.parser(None)
    command.add_options(parser)
    for what, sentence in (("mine", "which only recipes take"), ("umls-distmult", "try: dans tr")):
        with pytest.raises(InputError, match=sentence):
            command.run(parser.parse_args([what, "--loss", "own.toml"]))  # type: ignore[attr-defined]
