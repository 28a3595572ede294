"""``dans train``: what it trains on triples."""

from pathlib import Path

import pytest

from dans.cli import main, parsing
from dans.interface import planning, training
from tests.suites.toy import lay


@pytest.mark.parametrize(
    ("options", "script", "kinds"),
    [
        ([], False, ["baselines"]),
        (["--sampler", "dans"], False, ["pretrain", "dans"]),
        (["--loss", "logistic"], False, ["pretrain", "dans"]),
        ([], True, ["pretrain", "dans"]),
    ],
)
def test_triples_are_trained_on_as_in_python_unless_a_sampler_is_named(
    options: list[str],
    script: bool,
    kinds: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lay(tmp_path / "mine")
    plans: list[list[planning.Stage]] = []
    monkeypatch.setattr(training, "carry_out", lambda stages, *_, **__: plans.append(list(stages)))
    command, parser = main.load("train"), parsing.parser(None)
    command.add_options(parser)
    if script:
        parser.set_defaults(usual_recipe="umls-distmult")
    command.run(parser.parse_args([str(tmp_path / "mine"), *options]))
    assert [stage.kind for stage in plans[0]] == kinds
    if kinds == ["baselines"]:
        kg = training.load(str(tmp_path / "mine"))
        default = planning.with_default_loss(planning.Choice())
        assert plans[0] == planning.plan(default, kg)
