"""The command ``dans``: its list of commands, help without slow imports, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import dans
from dans.cli import exporting, main, parsing, predicting
from dans.cli.train_command import load, outcome
from dans.config.reading import read_toml
from dans.config.recipes import COMMANDS as KINDS
from dans.config.schema import RunConfig
from dans.data.own_triples import named
from dans.errors import InputError, install_command
from dans.predict.export import FORMATS
from dans.predict.queries import PARTS
from dans.training.checkpoint import load_state
from dans.training.checkpoint_store import CheckpointStore
from dans.training.run_folder import RunFolder
from tests.processes import SCRIPTS, run, succeed
from tests.suites.toy import RECIPE, lay

#: What takes long to import.
HEAVY = {"torch", "numpy", "dgl", "scipy", "pandas", "safetensors", "requests", "jinja2"}

#: The command, which at its end prints the names of what was imported.
LOADED = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from dans.cli.main import main
sys.argv = ["dans", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("name", ["", *main.COMMANDS])
def test_help_loads_nothing_heavy(name: str) -> None:
    arguments = [*name.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.split()
    assert "dans.cli.main" in loaded
    assert not HEAVY.intersection(loaded)
    assert done.stdout.startswith(f"usage: dans {name or 'COMMAND'} ")


def test_the_list_has_a_line_for_each_command(tmp_path: Path) -> None:
    shown = succeed("dans", cwd=tmp_path).stdout
    assert shown == succeed("dans", "--help", cwd=tmp_path).stdout
    for name in main.COMMANDS:
        (line,) = re.findall(rf"^  {name} +\S.*$", shown, re.MULTILINE)
        assert len(line) <= 80
    daily, research = shown.split("daily use:\n")[1].split("research:\n")
    assert "\n  train " in daily
    assert "\n  tune " in research
    example = "\n".join(main.EXAMPLE)
    assert example in (SCRIPTS.parent / "README.md").read_text("utf-8")
    assert re.sub("(?m)^  ", "", shown.split("example:\n")[1]).startswith(f"{example}\n")
    assert succeed("dans", "--version", cwd=tmp_path).stdout == f"dans {dans.__version__}\n"


@pytest.mark.parametrize("name", main.COMMANDS)
def test_a_command_shows_how_it_is_called_and_has_a_script(name: str) -> None:
    assert f"\n  dans {name} " in (main.load(name).__doc__ or "")
    shims = [
        path for path in SCRIPTS.glob("*.py") if f'run_script("{name}"' in path.read_text("utf-8")
    ]
    assert len(shims) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian"], "'trian': no such command; did you mean train?"),
        (["--verion"], "'--verion': no such option; did you mean --version?"),
        (["x" * 300], "no such command; dans --help lists them"),
        (["train"], "expected what to train, as in: dans train umls-distmult; --help says more"),
        (["pretrain", "a", "--recipe", "b"], "--recipe b: a is given already; leave one out"),
        (["evaluate", "run", "--spilt=valid"], "--spilt=valid; did you mean --split?"),
        (["evaluate"], "the following arguments are required: RUN_DIR; --help"),
        (["pretrain", "umls-distmult", "--encoder", "lookup"], "says this itself; give a data set"),
        (["train", "umls-distmult", "--split", ".8,.1,.1"], "--split: the recipe umls-distmult"),
        (["train", "umls", "--split", ".8,.2"], "--split: expected three numbers as .8,.1,.1, got"),
        (["pretrain", "umls", "--loss", "sce"], "try: dans train umls --loss sce"),
        (["inspect", "umls", "--sampler", "x"], "a run; triples are given by --dataset umls"),
        (["inspect", __file__, "--sampler", "x"], f"; triples are given by --dataset {__file__}"),
        (["train", "umls-complex", "--loss", "logistc"], "did you mean 'logistic'?"),
        (["baseline", "umls"], "--loss: expected one of discounted, "),
        (["train", "umls", "--decoder", "distmul"], "did you mean 'distmult'?"),
        (["tabulate"], "runs: expected a folder or a file; --help"),
        (["tabulate", "runs/dans", "--mark", "here"], "--mark: no effect without --write"),
        (["tabulate", "--pages", "--json", "x.json"], "--json: no effect without a folder or a"),
        (["tabulate", "x", "--across", "a", "--expected"], "--expected: no effect with --across"),
        (["tabulate", "runs/mine", "--expected"], "--expected: no results are known of mine"),
        (["pretrain", "umls-distmul"], "did you mean umls-distmult"),
        (["serve", "run", "--port", "99999"], "--port: expected a whole number of at most 65535"),
    ],
)
def test_what_is_mistyped_ends_in_a_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    done = run("dans", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not any(tmp_path.iterdir())


def test_what_is_no_run_is_refused_with_a_close_name(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    (tmp_path / "my-run" / "seed0").mkdir(parents=True)
    for given, sentence in {
        ("predict", "mine.csv", "--head", "a"): "mine.csv is a file, not a run's folder",
        ("evaluate", "my-rum"): "my-rum: there is no such folder; did you mean my-run?",
        ("report", "my-rum/seed0"): "no such folder; did you mean my-run/seed0?",
        ("evaluate", "nothing/like/it"): "so nothing/like/it is not the folder of a run",
    }.items():
        done = run("dans", *given, cwd=tmp_path)
        assert done.returncode == 2
        assert sentence in done.stderr


def without_packages(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    monkeypatch.setattr(parsing, "find_spec", lambda name: None if name in missing else True)


def test_pictures_without_their_packages_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_packages(monkeypatch, "matplotlib", "sklearn")
    install = re.escape(install_command("plots"))
    with pytest.raises(InputError, match=f"needs matplotlib and scikit-learn, {install}$"):
        main.run_command("plot-diversity", [str(tmp_path)])
    with pytest.raises(InputError, match=f"needs matplotlib, {install}$"):
        main.run_command("plot-calibration", [str(tmp_path), "--out", "a.png"])


@pytest.mark.parametrize(
    ("command", "option", "file"),
    [
        ("plot-calibration", "--out", "c.png"),
        ("report", "--out", "r.html"),
        ("predict --missing --top 1", "--out", "new.tsv"),
        ("explain --head a --relation b --tail c", "--picture", "e.svg"),
    ],
)
def test_a_file_without_a_folder_is_refused_by_the_name_that_was_given(
    command: str, option: str, file: str, tmp_path: Path
) -> None:
    name, *others = command.split()
    (tmp_path / file).mkdir()
    nowhere = tmp_path / "nodir"
    for out, message in [
        (nowhere / file, f"{option}: expected a folder that is there, got {nowhere}"),
        (tmp_path / file, f"{option}: {tmp_path / file}: a folder; expected the name of a file"),
    ]:
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            main.run_command(name, [str(tmp_path), *others, option, str(out)])


@pytest.mark.slow
def test_samplers_are_measured_where_there_is_no_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path / "triples")
    (tmp_path / "own.toml").write_text(RECIPE.format(data=tmp_path / "triples"))
    where = tmp_path / "a run"
    main.run_command("pretrain", [str(tmp_path / "own.toml"), "--out", str(where)])
    without_packages(monkeypatch, "matplotlib")
    main.run_command("inspect", [str(where)])
    assert "uniform" in (out := capsys.readouterr().out)
    assert f"There is no picture: it needs matplotlib, {install_command('plots')}." in out
    assert (where / "samplers.json").exists()
    assert not (where / "samplers.png").exists()


@pytest.mark.parametrize("best", [0, 2, 4])
def test_the_outcome_has_the_best_and_the_last_value(
    best: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = structs.replace(RunConfig.parse(plain(tmp_path)), init_from="a run")
    monkeypatch.setattr(RunFolder, "config", lambda self: config)
    state = {"step": 4, "best": {"mrr": 0.6355, "step": best}}
    monkeypatch.setattr(CheckpointStore, "load", lambda self, which: state)
    assert (
        outcome(tmp_path, {"both": {"mrr": 0.6099}})
        == {
            0: "best valid MRR 0.6355 at step 0, before the first step; last 0.6099",
            2: "best valid MRR 0.6355 at step 2; last 0.6099",
            4: "best valid MRR 0.6355 at step 4, the last",
        }[best]
    )
    assert ("no step improved on the model it started from" in caplog.text) is (best == 0)


def plain(folder: Path) -> dict[str, Any]:
    (folder / "own.toml").write_text(RECIPE.format(data="umls"))
    return read_toml(folder / "own.toml")


def test_a_script_takes_the_recipe_it_always_took(tmp_path: Path) -> None:
    done = run("train_dans.py", cwd=tmp_path)
    assert "make it with: dans pretrain umls-distmult --seed 0" in done.stderr
    done = run("train_baseline.py", "--recipe", "umls-distmult", cwd=tmp_path)
    assert "without a loss setting" in done.stderr


def test_names_that_are_slow_to_import_are_those_of_their_modules() -> None:
    assert tuple(FORMATS) == exporting.FORMATS
    given = parsing.parser(None)
    predicting.add_options(given)
    for part in PARTS:
        assert vars(given.parse_args(["run", f"--{part}", "a"]))[part] == "a"


def test_every_kind_of_run_has_a_command_and_a_result() -> None:
    assert set(KINDS.values()) <= main.COMMANDS.keys()
    for kind in KINDS:
        assert parsing.records(kind, "expected")


@pytest.mark.slow
def test_the_module_and_the_command_do_what_scripts_do(tmp_path: Path) -> None:
    lay(tmp_path / "triples")
    (tmp_path / "own.toml").write_text(RECIPE.format(data=tmp_path / "triples"))
    done = succeed("dans", "pretrain", "own.toml", "--out", "a run", cwd=tmp_path)
    assert done.stdout.endswith("evaluate it with: dans evaluate 'a run'\n")
    ours = succeed("dans", "evaluate", "a run", cwd=tmp_path)
    assert ours.stdout == succeed("evaluate.py", "a run", cwd=tmp_path).stdout


#: Training of no consequence.
BRIEF = ["--dim", "8", "--steps", "2", "--pretrain-steps", "2", "--set", "train.threads=1"]


@pytest.mark.slow
def test_triples_of_one_s_own_are_trained_on_and_queried(tmp_path: Path) -> None:
    rows = [f"{i};e{i % 7};r{i % 3};e{(i * i + 3) % 7}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["line;from;how;to", *rows]))
    reading = ["--split", ".6,.2,.2", "--columns", "from,how,to", "--delimiter", ";", "--header"]
    given = ["mine.csv", *reading, "--decoder", "complex", "--sampler", "self-loop", *BRIEF]
    done = succeed("dans", "train", *given, "--out", "run", cwd=tmp_path)
    assert re.search(r"^run: best valid MRR .*: dans evaluate run$", done.stdout)
    configs = [RunFolder(tmp_path / name).config() for name in ("run", "run/pretrain")]
    assert [one.decoder.name for one in configs] == ["complex", "complex"]
    assert [part.name for part in configs[0].sampler] == ["uniform", "self_loop"]
    assert [one.train.steps for one in configs] == [2, 2]
    given += ["--out", "run"]
    assert "already holds a run" in run("dans", "train", *given, cwd=tmp_path).stderr
    succeed("dans", "train", *given, "--resume", cwd=tmp_path)
    query = ["--head", "e0", "--relation", "r0", "--top", "2"]
    assert "(e0, r0, ?)" in succeed("dans", "predict", "run", *query, cwd=tmp_path).stdout
    triple = ["run", "--head", "e0", "--relation", "r0", "--tail"]
    as_json = succeed("dans", "explain", *triple, "e3", "--json", cwd=tmp_path)
    assert json.loads(as_json.stdout)["triple"] == ["e0", "r0", "e3"]
    assert (
        "\npaths of training triples"
        in succeed("dans", "explain", *triple, "e3", cwd=tmp_path).stdout
    )
    refused = run("dans", "explain", *triple, "x3", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: --tail: unknown name 'x3'; ")


@pytest.mark.slow
def test_what_was_pre_trained_is_trained_further(tmp_path: Path) -> None:
    lay(tmp_path / "mine")
    brief = [option for option in BRIEF if option != "--pretrain-steps"]
    brief.remove("2")
    succeed("dans", "pretrain", "mine", *brief, cwd=tmp_path)
    before = tmp_path / "runs" / "pretrain" / "mine-distmult" / "seed0"
    made = (before / "best.safetensors").stat().st_mtime_ns
    done = succeed("dans", "train", "mine", *brief, "--sampler", "uniform:k=3", cwd=tmp_path)
    assert done.stdout.startswith("runs/dans/mine-distmult-uniform/seed0: ")
    assert (before / "best.safetensors").stat().st_mtime_ns == made
    assert load_state(before / "last.safetensors")["step"] == 2
    dans = ["--sampler", "dans", "--encoder", "lookup"]
    other = run("dans", "train", "mine", *brief, *dans, cwd=tmp_path)
    assert other.returncode == 2
    sentence = "error: runs/pretrain/mine-distmult/seed0: holds another model (encoder: 'lookup' "
    assert other.stderr.startswith(sentence)
    assert "--out names another folder" in other.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("umls")
def test_a_pre_trained_model_that_is_not_the_recipe_s_is_said(tmp_path: Path) -> None:
    brief = ["umls-distmult", "--steps", "1", "--set", "train.threads=1", "--out"]
    first = succeed("dans", "train", *brief, "quick", "--pretrain-steps", "1", cwd=tmp_path)
    assert "not the recipe's" not in first.stderr
    second = succeed("dans", "train", *brief, "real", cwd=tmp_path)
    assert "is not the recipe's: train.steps: 1 then, 700 now" in second.stderr


def test_labelled_splits_are_named_by_an_option_that_the_refusal_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "lab")
    laid = dans.load(tmp_path / "lab")
    true = len(laid.train) + len(laid.valid) + len(laid.test)
    for split in ("valid", "test"):
        lines = (tmp_path / "lab" / f"{split}.tsv").read_text().splitlines()
        labelled = "".join(f"{line}\t{label}\n" for line in lines for label in ("1", "-1"))
        (tmp_path / "lab" / f"{split}.tsv").write_text(labelled)
    brief = ["train", "lab", *BRIEF[:4], *BRIEF[6:], "--out", "run"]
    with pytest.raises(InputError, match=r"in Python by dans\.load") as refused:
        main.dispatch(brief)
    (named,) = re.findall("--labelled valid,test of dans ([a-z, ]+), or", str(refused.value))
    for name in main.COMMANDS:
        options = parsing.parser("")
        main.load(name).add_options(options)
        has = "--labelled" in options.format_help()
        assert has is (name in re.split(", | and ", named)), name
    with pytest.raises(InputError, match="labelled: known: train, valid, test; got 'dev'"):
        main.dispatch([*brief, "--labelled", "dev"])
    main.dispatch([*brief, "--labelled", "valid,test"])
    main.dispatch(["evaluate", "run"])
    assert "accuracy 0.5000" in capsys.readouterr().out
    main.dispatch(["split", "lab", "--labelled", "valid,test", "--out", "parts"])
    divided = dans.load(tmp_path / "parts")
    assert len(divided.train) + len(divided.valid) + len(divided.test) == true


def test_advice_names_the_commands_that_have_the_options_of_tables(tmp_path: Path) -> None:
    wrong = {
        "delimiter": "ada^knows^bob\n",
        "columns": "ada\tknows\tbob\t.5\n",
        "no-header": "von,to,relation\nada,bob,knows\n",
    }
    kg = dans.load({"train": [("ada", "knows", "bob")]})
    for option, text in wrong.items():
        (tmp_path / "table.tsv").write_text(text)
        with pytest.raises(InputError, match=f"--{option} ") as refused:
            list(named(tmp_path / "table.tsv", kg).lines)
        of_both = r"--\w+ of dans (\w+) and (\w+) \((\w+)= of"
        ((*commands, argument),) = re.findall(of_both, str(refused.value))
        assert argument in signature(dans.load).parameters
        for name in commands:
            options = parsing.parser("")
            main.load(name).add_options(options)
            assert f"--{option}" in options.format_help()


def test_literals_and_blank_nodes_are_dropped_on_request(tmp_path: Path) -> None:
    lines = [f"<u:{i % 5}> <u:r> <u:{(i * i + 1) % 5}> ." for i in range(20)]
    lines += [f'<u:{i}> <u:r> "{i}" .\n_:b <u:r> <u:{i}> .' for i in range(5)]
    (tmp_path / "mine.nt").write_text("\n".join(lines))
    options = parsing.parser(None)
    parsing.add_training_options(options, kind="pretrain")
    file = str(tmp_path / "mine.nt")
    dropped = load(options.parse_args([file, "--literals", "drop", "--blank-nodes", "drop"]))
    assert dropped.num_entities == 5
    assert load(options.parse_args([file])).num_entities == 11


@pytest.mark.slow
def test_the_model_of_a_recipe_is_pre_trained_first_where_that_is_missing(tmp_path: Path) -> None:
    lay(tmp_path / "mine")
    given = ["umls-distmult", *BRIEF, "--set", "data=mine", "--set", "train.validate_every=1"]
    wrong = run("dans", "train", *given, "--set", "sampler.0.kk=1", cwd=tmp_path)
    assert "sampler.0.kk: unknown option" in wrong.stderr
    assert not (tmp_path / "runs").exists(), "refused before pre-training"
    succeed("dans", "train", *given, cwd=tmp_path)
    before, after = (
        tmp_path / "runs" / kind / "umls-distmult" / "seed0" for kind in ("pretrain", "dans")
    )
    assert RunFolder(after).config().init_from == "pretrain/umls-distmult"
    assert RunFolder(before).config().train.steps == 2
    shutil.rmtree(before)
    again = succeed("dans", "train", *given, "--resume", cwd=tmp_path)
    assert "holds no run to resume" not in again.stderr
    assert not before.exists(), "a run that has begun needs it no longer"
    new = succeed("dans", "train", *given, "--set", "train.seed=1", "--resume", cwd=tmp_path)
    assert "seed1: holds no run to resume, so training starts anew" in new.stderr
    assert RunFolder(before.with_name("seed1")).config().train.seed == 1
    script = ["train_dans.py", "--recipe", "umls-distmult"]
    done = run(*script, "--seed", "2", cwd=tmp_path)
    assert "make it with: dans pretrain umls-distmult --seed 2" in done.stderr
    (tmp_path / "less").mkdir()
    (tmp_path / "less" / "train.tsv").write_text("e1\tr0\te4\n")
    done = run(*script, "--seed", "1", "--set", "data=less", "--out", "less-run", cwd=tmp_path)
    assert "less lacks 5 of the 7 entities of the run to start from, first 'e0'" in done.stderr


def test_pages_are_written_in_a_checkout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "RESULTS", tmp_path / "dans" / "results")
    with pytest.raises(InputError, match="--pages: the pages are not installed"):
        main.run_command("tabulate", ["--pages"])
