"""The folder of a run: never overwritten by accident, metrics rewound with the checkpoint."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from dans.config.schema import RunConfig
from dans.errors import InputError
from dans.training.checkpoint import load_state, save_state
from dans.training.run_folder import RunFolder

CONFIG = RunConfig.parse(
    {
        "data": "umls",
        "encoder": "rgcn",
        "decoder": "distmult",
        "loss": "logistic",
        "sampler": ["uniform"],
        "train": {"steps": 5},
    }
)


def test_configuration_comes_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    assert not run.exists
    run.begin(CONFIG, resume=False)
    assert run.exists
    assert run.config() == CONFIG


def test_what_was_measured_is_of_the_checkpoint_of_its_step(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.is_of({"step": 2}, "best"), "weights may be deleted"
    save_state(run.checkpoints.file("best"), {"step": 2})
    assert run.is_of({"step": 2}, "best")
    assert run.is_of({}, "best"), "reports of before have no step"
    assert not run.is_of({"step": 1}, "best")
    run.checkpoints.file("best").write_bytes(b"damaged")
    assert run.is_of({"step": 1}, "best")


def test_training_is_over_by_its_steps_or_its_patience(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.begin(CONFIG.replace(validate_every=1, patience=2), resume=False)
    over = [run.is_over({"step": step, "best": {"step": best}}) for step, best in ((2, 1), (3, 1))]
    assert over == [False, True]
    assert run.is_over({"step": 5, "best": {"step": 5}})


def test_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(CONFIG, resume=False)
    with pytest.raises(InputError, match=r"already holds a run; --resume .* continues"):
        RunFolder(tmp_path).begin(CONFIG, resume=False)


def test_resuming_with_more_steps_is_allowed(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(CONFIG, resume=False)
    RunFolder(tmp_path).begin(CONFIG.replace(steps=9), resume=True)
    assert RunFolder(tmp_path).config().train.steps == 9


def test_resuming_with_another_option_is_refused_by_name(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(CONFIG, resume=False)
    with pytest.raises(InputError, match=r"train.lr: 0.001 then, 0.5 now"):
        RunFolder(tmp_path).begin(CONFIG.replace(lr=0.5, steps=9), resume=True)


def test_a_relative_and_an_absolute_path_are_the_same_triples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder(tmp_path).begin(replace(CONFIG, data="triples"), resume=False)
    RunFolder(tmp_path).begin(replace(CONFIG, data=str(tmp_path / "triples")), resume=True)
    assert RunFolder(tmp_path).config().data == str(tmp_path / "triples")


def test_scheduled_run_cannot_be_prolonged(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(CONFIG.replace(schedule="cosine"), resume=False)
    with pytest.raises(InputError, match=r"5 then, 9 now; the learning rate .*by --init-from "):
        RunFolder(tmp_path).begin(CONFIG.replace(schedule="cosine", steps=9), resume=True)
    other = CONFIG.replace(schedule="cosine", steps=9, lr=0.5)
    with pytest.raises(InputError, match=r"train.lr: 0.001 then, 0.5 now"):
        RunFolder(tmp_path).begin(other, resume=True)
    assert RunFolder(tmp_path).config().train.steps == 5


def test_plateau_run_can_be_prolonged_after_a_whole_number_of_validations(tmp_path: Path) -> None:
    whole = CONFIG.replace(schedule="plateau", validate_every=5)
    RunFolder(tmp_path).begin(whole, resume=False)
    RunFolder(tmp_path).begin(whole.replace(steps=9), resume=True)
    RunFolder(tmp_path).begin(whole.replace(steps=8), resume=True)  # not reached
    RunFolder(tmp_path).begin(whole.replace(steps=9), resume=True)
    save_state(RunFolder(tmp_path).checkpoints.file("last"), {"step": 9})
    sentence = r"9 then, 10 now; .*plateau.* expected a multiple of train.validate_every, 5, for"
    with pytest.raises(InputError, match=sentence):
        RunFolder(tmp_path).begin(whole.replace(steps=10), resume=True)
    assert RunFolder(tmp_path).config().train.steps == 9


def test_metrics_are_rewound_to_a_step(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (0, 5, 10):
        run.metrics.record(step, "valid", {"both": {"mrr": step / 10}, "note": "kept"})
    run.metrics.rewind(5)
    run.metrics.close()
    assert [line["step"] for line in run.metrics.read()] == [0, 5]
    assert run.metrics.read()[1]["both"] == {"mrr": 0.5}


def test_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "bo')
    assert RunFolder(tmp_path).metrics.read() == [{"step": 1}]


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1',
        "[1]",
        "{}",
        '{"step": "one"}',
        "\xff",
        '{"step": true}',
        f'{{"step": {10**400}}}',
        f'{{"step": {2**63}}}',
        '{"step": -1}',
        '{"step": 1, "step": 2}',
        '{"step": 1, "train": []}',
        '{"step": 1, "both": 0.5}',
        '{"step": 1, "sampler": null}',
    ],
)
def test_damaged_line_of_metrics_is_named(tmp_path: Path, line: str) -> None:
    content = f'{{"step": 0}}\n{line}\n{{"step": 2}}\n'
    (tmp_path / "metrics.jsonl").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"metrics.jsonl:2: damaged; expected a JSON object"):
        RunFolder(tmp_path).metrics.read()


def test_full_disk_names_the_file_of_metrics(tmp_path: Path) -> None:
    # A device of the system that is always full.
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        RunFolder(tmp_path).metrics.record(0, "valid", {})
    assert caught.value.filename == str(tmp_path / "metrics.jsonl")


def test_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    save_state(RunFolder(tmp_path).checkpoints.file("last"), {"step": 3})
    with pytest.raises(InputError, match=r"last.safetensors: not the checkpoint of a run: it has"):
        RunFolder(tmp_path).checkpoints.load("last")


def test_newest_checkpoint_is_read_from_the_folder(tmp_path: Path) -> None:
    store = RunFolder(tmp_path).checkpoints
    last = store.file("last")
    assert store.describe_newest() == f"{tmp_path} has no checkpoint yet, so training starts anew"
    store.save({"step": 1}, best=False)
    # An interrupt right after the last rename: the store has not noted its newest checkpoint.
    save_state(last, {"step": 2})
    assert store.describe_newest() == f"the last good checkpoint is {last}, of step 2"
    last.unlink()
    last.mkdir()
    assert store.describe_newest() == f"{last} is no file, so training starts anew"


def test_the_best_and_the_newest_are_one_file_where_they_are_equal(tmp_path: Path) -> None:
    store = RunFolder(tmp_path).checkpoints
    store.save({"step": 1}, best=True)
    assert store.file("best").samefile(store.file("last"))
    store.save({"step": 2}, best=False)
    kept = {name: load_state(path)["step"] for name, path in (
        ("best", store.file("best")), ("last", store.file("last")), ("previous", store.previous)
    )}  # fmt: skip
    assert kept == {"best": 1, "last": 2, "previous": 1}


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="a: a file; expected the folder of a run"):
        RunFolder(tmp_path / "a").begin(CONFIG, resume=False)


def test_a_run_that_lost_its_checkpoints_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.begin(CONFIG, resume=False)
    run.tell_if_lost()
    assert not caplog.messages
    run.metrics.record(3, "valid", {})
    run.tell_if_lost()
    assert "reach step 3, and its checkpoints are gone, so training starts anew" in caplog.text


def test_a_run_keeps_its_name_where_it_resumes_by_its_own_triples(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.begin(replace(CONFIG, data="own"), resume=False)
    run.graph.mkdir()
    run.begin(replace(CONFIG, data=str(run.graph)), resume=True)
    assert run.config().data == "own"


def test_what_a_kill_left_is_removed_when_a_run_resumes(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(CONFIG, resume=False)
    for name in ("last.safetensors", "config.json", "metrics.jsonl"):
        (tmp_path / f"{name}.{os.getppid()}.part").write_text("half")
    RunFolder(tmp_path).begin(CONFIG, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not a JSON file"), ("[1]", "expected an object, got list")]
)
def test_damaged_configuration_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        RunFolder(tmp_path).config()


def test_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a run"):
        RunFolder(tmp_path).config()


def test_a_run_that_another_process_began_inside_is_kept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    own, other = run.path / "config.json", run.path / "other/seed0/config.json"
    run.path.mkdir()

    def refused() -> None:
        with run.undone_unless_saved([run.path]):
            other.parent.mkdir(parents=True)
            for file in (own, other):
                file.write_text("{}")
            raise InputError("refused")

    with pytest.raises(InputError, match="refused"):
        refused()
    assert other.exists()
    assert not own.exists()
