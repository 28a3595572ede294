"""Nothing lost: killed at any instant, with a full disk or a damaged file, a run ends the same."""

import errno
import json
import logging
import os
import random
import re
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from dans.training.checkpoint import load_state
from tests.processes import Running, run
from tests.suites import faults
from tests.suites.kills import (
    RECIPES,
    assert_as_if_nothing_had_happened,
    assert_one_sentence,
    command,
    go_on,
    is_best,
    stopped,
    validations,
    without_clock,
)
from tests.suites.states import states_equal
from tests.suites.toy import lay

#: How many kills a test survived: ``--log-cli-level=INFO`` shows it.
log = logging.getLogger(__name__)


#: Random kills of each recipe.
KILLS = 5


#: More calls than it takes to write a checkpoint that is the best.
CALLS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Triples, recipes, and the runs that nothing happened to."""
    folder = tmp_path_factory.mktemp("kills")
    lay(folder / "triples")
    for recipe, text in RECIPES.items():
        (folder / f"{recipe}.toml").write_text(text.format(folder=folder))
        done = run(*command(recipe, folder / "whole" / recipe), cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def out(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a run that something will happen to."""
    return folder / "runs" / re.sub(r"\W+", "-", request.node.name)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_run_killed_at_random_moments_ends_equal_to_one_never_killed(
    recipe: str, folder: Path, out: Path
) -> None:
    rng, kills, rounds = random.Random(f"killed: {recipe}"), 0, 0
    while kills < KILLS:
        rounds += 1
        where = out.with_name(f"{out.name}{rounds}")
        while True:
            # A moment after some validations: so slow machines make headway too.
            wanted, began = validations(where) + rng.choice((0, 0, 1, 2)), time.perf_counter()
            with Running(*command(recipe, where, "--resume"), cwd=folder) as running:
                while running.poll() is None and validations(where) < wanted:
                    time.sleep(0.001)
                time.sleep(rng.uniform(0, 0.3 if time.perf_counter() - began < 0.1 else 0.05))
                running.send(signal.SIGKILL)
                done = running.wait()
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            kills += 1
        assert_as_if_nothing_had_happened(recipe, where)
    log.info("%s: %d random kills in %d runs, 0 bits differ", recipe, kills, rounds)
    assert kills >= KILLS


@pytest.mark.slow
def test_run_killed_at_any_call_that_writes_a_checkpoint_goes_on(folder: Path, out: Path) -> None:
    save = max(number for number, best in enumerate(is_best(folder, "pretrain")) if best)
    assert save > 1
    kills = 0
    for call, torn in [(call, False) for call in range(CALLS)] + [(1, True), (7, True)]:
        where = out.with_name(f"{out.name}-{call}-{torn}")
        stopped(folder, where, save=save)
        killed = go_on("pretrain", where, before=partial(faults.kill_in_save, 0, call, torn=torn))
        if killed.returncode == 0:
            continue
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        kills += 1
        done = go_on("pretrain", where)
        assert done.returncode == 0, done.stderr
        assert_as_if_nothing_had_happened("pretrain", where)
    log.info("writing a checkpoint: %d kills, one before each call, 0 bits differ", kills)
    assert kills >= 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "function", ["Trainer.evaluate", "PhaseOptimizers.update", "Diagnosis.diagnose"]
)
def test_run_killed_in_an_evaluation_or_a_phase_goes_on(
    function: str, folder: Path, out: Path
) -> None:
    rng, kills = random.Random(f"inside: {function}"), 2
    for _ in range(kills):
        fault = partial(faults.kill_inside, function, rng.randrange(1, 4), rng.randrange(30))
        killed = go_on("dans", out, before=fault)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = go_on("dans", out)
    assert done.returncode == 0, done.stderr
    assert_as_if_nothing_had_happened("dans", out)
    log.info("%s: %d kills, 0 bits differ", function, kills)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damaged_checkpoint_falls_back_to_the_one_before(how: str, folder: Path, out: Path) -> None:
    stopped(folder, out)
    path = out / "last.safetensors"
    path.write_bytes(faults.spoil(path.read_bytes(), how))
    refused = run("evaluate.py", out, "--model", "last", cwd=folder)
    assert refused.returncode == 2
    assert "last.safetensors: not a checkpoint, or a damaged one" in refused.stderr
    assert "previous.safetensors is another model" in refused.stderr
    # Killed once more, before anything was written in its place.
    again = go_on("pretrain", out, before=partial(faults.kill_inside, "Trainer.evaluate", 0, 0))
    assert again.returncode == -signal.SIGKILL
    assert re.search(r"last.safetensors: .*damaged.*; continuing from .*previous", again.stderr)
    assert re.search("previous.safetensors, of step 16", again.stderr)
    done = go_on("pretrain", out)
    assert done.returncode == 0, done.stderr
    assert_as_if_nothing_had_happened("pretrain", out)


@pytest.mark.slow
def test_run_of_the_first_layout_goes_on(folder: Path, out: Path) -> None:
    stopped(folder, out)
    for name in ("best", "last"):
        state = load_state(out / f"{name}.safetensors")
        del state["first_terms"]
        with safe_open(out / f"{name}.safetensors", "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            skeleton = json.loads(file.metadata()["state"])
        del skeleton["first_terms"]
        save_file(tensors, out / f"{name}.safetensors", {"state": json.dumps(skeleton)})
        assert states_equal(load_state(out / f"{name}.safetensors"), state)
    (out / "previous.safetensors").unlink()
    done = go_on("pretrain", out)
    assert done.returncode == 0, done.stderr
    assert "last.safetensors: of an earlier version, without a digest" in done.stderr
    whole, later = (
        without_clock(path / "last.safetensors") for path in (folder / "whole" / "pretrain", out)
    )
    del whole["first_terms"], later["first_terms"]
    assert states_equal(whole, later)


@pytest.mark.slow
def test_damaged_best_checkpoint_is_made_again_or_missed_aloud(folder: Path, out: Path) -> None:
    bests = [i for i, best in enumerate(is_best(folder, "pretrain")) if best]
    # Stopped right after a best one: the newest is of the same step.
    stopped(folder, out, save=bests[0] + 1)
    best = out / "best.safetensors"
    best.write_bytes(faults.spoil(best.read_bytes(), "flipped"))
    refused = run("evaluate.py", out, cwd=folder)
    assert refused.returncode == 2
    assert re.search(r"best.safetensors: .*damaged.*last.safetensors is another", refused.stderr)
    done = go_on("pretrain", out)
    assert done.returncode == 0, done.stderr
    assert "made again from another checkpoint of step" in done.stderr
    assert_as_if_nothing_had_happened("pretrain", out)


@pytest.mark.slow
def test_best_checkpoint_that_is_nowhere_else_is_missed_aloud(folder: Path, out: Path) -> None:
    still = ("--set", "train.lr=0.0")
    killed = run(
        *command("pretrain", out, *still), cwd=folder, before=partial(faults.kill_in_save, 4, 0)
    )
    assert killed.returncode == -signal.SIGKILL
    (out / "best.safetensors").write_bytes(b"")
    done = run(*command("pretrain", out, *still, "--resume"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "no other checkpoint is of step 0, so that the next validation" in done.stderr
    assert load_state(out / "best.safetensors")["step"] == 16


@pytest.mark.slow
def test_two_damaged_checkpoints_are_both_named(folder: Path, out: Path) -> None:
    stopped(folder, out)
    for name in ("last", "previous"):
        (out / f"{name}.safetensors").write_bytes(b"")
    refused = go_on("pretrain", out)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert re.search(r"last.safetensors: .*previous.safetensors: .*remove both", refused.stderr)
    for name in ("last", "previous"):
        (out / f"{name}.safetensors").unlink()
    assert go_on("pretrain", out).returncode == 0
    assert_as_if_nothing_had_happened("pretrain", out)


#: What is refused while a checkpoint that is not the best is written: from which call on, by
#: which error; and where the one before is to be found then.
FULL = {
    "opening": (0, errno.EROFS, "last"),
    "syncing": (1, errno.ENOSPC, "last"),
    "the link": (2, errno.ENOSPC, "last"),
    "the first rename": (3, errno.ENOSPC, "last"),
    "the second rename": (4, errno.ENOSPC, "last"),
    "metrics": (8, errno.ENOSPC, "last"),
}


@pytest.mark.slow
@pytest.mark.parametrize("when", FULL)
def test_disk_that_refuses_ends_in_a_sentence_and_nothing_is_lost(
    when: str, folder: Path, out: Path
) -> None:
    call, number, left = FULL[when]
    save = is_best(folder, "pretrain").index(False, 2)
    stopped(folder, out, save=save)
    done = go_on("pretrain", out, before=partial(faults.fail_in_save, 0, call, number))
    step = 4 * (save if when == "metrics" else save - 1)
    file = "metrics.jsonl" if when == "metrics" else "last.safetensors"
    good = f"the last good checkpoint is {out}/{left}.safetensors, of step {step}"
    assert_one_sentence(done, f"{out}/{file}: {os.strerror(number)}", good)
    assert load_state(out / f"{left}.safetensors")["step"] == step
    assert not list(out.glob("*.part"))
    assert go_on("pretrain", out).returncode == 0
    assert_as_if_nothing_had_happened("pretrain", out)


@pytest.mark.slow
def test_files_that_may_not_grow_end_in_a_sentence(folder: Path, out: Path) -> None:
    done = go_on("pretrain", out, before=partial(faults.limit_files, 6000))
    assert_one_sentence(done, "safetensors: File too large", f"{out} has no checkpoint yet")
    assert go_on("pretrain", out).returncode == 0
    assert_as_if_nothing_had_happened("pretrain", out)


@pytest.mark.slow
def test_read_only_folder_is_named_and_left_alone(folder: Path, out: Path) -> None:
    stopped(folder, out)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    out.chmod(0o555)
    try:
        done = go_on("pretrain", out, before=faults.obey_modes)
        assert_one_sentence(done, f"{out}/", "Permission denied")
    finally:
        out.chmod(0o755)
    assert before == {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    nowhere = run("pretrain_rgcn.py", "--recipe", "pretrain.toml", "--out", "/sys/dans", cwd=folder)
    assert_one_sentence(nowhere, "/sys/dans: ")


@pytest.mark.slow
def test_second_process_in_a_folder_is_sent_away(folder: Path, out: Path) -> None:
    long = ("--set", "train.steps=100000", "--resume")
    with Running(*command("pretrain", out, *long), cwd=folder) as first:
        while validations(out) < 2:
            assert first.poll() is None
            time.sleep(0.002)
        second = run(*command("pretrain", out, *long), cwd=folder)
        assert_one_sentence(second, f"{out}: another process trains here")
        evaluated = run("evaluate.py", out, cwd=folder)
        assert evaluated.returncode == 0, evaluated.stderr
        assert first.poll() is None
        first.send(signal.SIGINT)
        stop = first.wait()
    assert_one_sentence(stop, "interrupted in step ", "--resume continues", status=130)
    step = re.search(r"of step (\d+)", stop.stderr)
    assert step is not None
    assert load_state(out / "last.safetensors")["step"] == int(step.group(1))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_says_where_it_goes_on_and_does(
    folder: Path, out: Path, number: signal.Signals, status: int
) -> None:
    with Running(*command("dans", out), cwd=folder) as running:
        while validations(out) < 3:
            assert running.poll() is None
            time.sleep(0.002)
        running.send(number)
        done = running.wait()
    assert_one_sentence(done, "interrupted in step ", f"{out}/last.safetensors", status=status)
    assert go_on("dans", out).returncode == 0
    assert_as_if_nothing_had_happened("dans", out)


@pytest.mark.slow
def test_run_whose_folder_was_removed_names_no_checkpoint(folder: Path, out: Path) -> None:
    long = ("--set", "train.steps=100000", "--set", "train.validate_every=50000")
    with Running(*command("pretrain", out, *long), cwd=folder) as running:
        while not (out / "last.safetensors").exists():
            assert running.poll() is None
            time.sleep(0.002)
        time.sleep(0.3)  # whatever else is written at a validation
        shutil.rmtree(out)
        running.send(signal.SIGINT)
        done = running.wait()
    assert_one_sentence(done, "interrupted in step ", "training starts anew", status=130)
    assert "--resume" not in done.stderr
    assert not out.exists()


@pytest.mark.slow
def test_run_interrupted_before_the_first_validation_says_so(folder: Path, out: Path) -> None:
    done = go_on("pretrain", out, before=faults.interrupt_first_logger)
    assert_one_sentence(done, "interrupted in step 1; ", "has no checkpoint yet", status=130)
    assert go_on("pretrain", out).returncode == 0
    assert_as_if_nothing_had_happened("pretrain", out)


@pytest.mark.slow
def test_diverged_run_names_the_step_the_term_and_the_checkpoint(folder: Path, out: Path) -> None:
    done = run(*command("pretrain", out, "--set", "train.lr=1e15"), cwd=folder)
    assert_one_sentence(
        done,
        "error: training diverged: step 2: loss is ",
        f"the last good checkpoint is {out}/last.safetensors, of step 0",
        "a lower learning rate",
    )
    assert os.listdir(out).count("last.safetensors") == 1
