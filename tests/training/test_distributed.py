"""Several processes train as one does: steps, checkpoints, and what happens when one ends."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.embedding_tables import EntityTable, sharing
from dans.runs.build import build_trainer
from dans.runs.train import load
from dans.training.checkpoint import DamagedError, peek
from dans.training.checkpoint_store import CheckpointStore
from dans.training.distributed import VARIABLES, World, join
from tests.processes import Running
from tests.suites.shared_steps import CASES, N, outcome

#: Takes steps, and writes what comes out.
STEPS = str(Path(__file__).parents[1] / "suites" / "shared_steps.py")


def start(size: int, script: str, *arguments: object, cwd: Path) -> list[Running]:
    """The processes of a run, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    return [
        Running(script, *arguments, cwd=cwd, env={**os.environ, **own, "RANK": str(rank)})
        for rank in range(size)
    ]


def ended(processes: list[Running]) -> list[tuple[int, str, str]]:
    """The status and the output of each."""
    with ExitStack() as every:
        done = [every.enter_context(one).wait(120) for one in processes]
        return [(one.returncode, one.stdout, one.stderr) for one in done]


@pytest.fixture
def doubles() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_take_the_steps_of_one(size: int, tmp_path: Path, doubles: None) -> None:
    for status, _, errors in ended(start(size, STEPS, tmp_path, cwd=tmp_path)):
        assert not status, errors
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(size)]
    for case in CASES:
        alone, shared = outcome(case, None), [part[case] for part in parts]
        assert sum(one["rows"] for one in shared) == alone["rows"] == N
        assert max(one["rows"] for one in shared) <= -(-N // size)
        for one in shared:
            for own, other in zip(one["losses"], alone["losses"], strict=True):
                assert own == pytest.approx(other, rel=1e-12, abs=1e-12), case
            for name in ("table", "weights", "sampler", "entities"):
                torch.testing.assert_close(one[name], alone[name], rtol=1e-11, atol=1e-12)
            # The ranks are equal, so all numbers are.
            assert one["metrics"] == alone["metrics"]


RECIPE = """
data = "toy"
encoder = {name = "rgcn", dim = 8, dropout = 0.0}
decoder = {name = "distmult"}
loss = "self_adversarial"
sampler = [{name = "uniform", k = 3}, {name = "dans", preset = "dans", k = 1, candidates = 3}]
[graph]
fanout = [0, 0]
hold_out = false
[train]
steps = 6
batch = 7
validate_every = 2
optimizer = "lazy_adam"
lr = 0.1
threads = 1
"""


@pytest.fixture
def recipe(toy_data: str, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace('"toy"', json.dumps(toy_data)))
    return path


@pytest.fixture
def toy_data(kg: KnowledgeGraph, tmp_path: Path) -> str:
    folder = tmp_path / "toy"
    kg.save(folder)
    return str(folder)


def train(size: int, recipe: Path, out: Path, *more: str) -> list[tuple[int, str, str]]:
    command = ("train", "--recipe", recipe, "--out", out, *more)
    return ended(start(size, "dans", *command, cwd=out.parent))


def numbers(out: Path) -> list[dict[str, Any]]:
    """The validations of a run, without times."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: one[key] for key in ("step", "both")} for one in lines if "both" in one]


def test_a_run_goes_on_with_another_number_of_processes(recipe: Path, tmp_path: Path) -> None:
    for size, steps in ((2, 2), (1, 4), (3, 6)):
        more = ["--set", f"train.steps={steps}", *(["--resume"] if steps > 2 else [])]
        (first, *others) = train(size, recipe, tmp_path / "run", *more)
        assert not first[0], first[2]
        assert "evaluate it with" in first[1]
        # One of them speaks and writes.
        assert [one[:2] for one in others] == [(0, "")] * (size - 1)
        # As many files of rows as the checkpoints name.
        named = [peek(path).get("shards") for path in (tmp_path / "run").glob("[blp]*.safetensors")]
        sizes = {one["token"]: one["size"] for one in named if one}
        assert len(list((tmp_path / "run").glob("rows-*"))) == sum(sizes.values())
    assert not train(1, recipe, tmp_path / "alone")[0][0]
    shared, alone = (load(tmp_path / name, which="last") for name in ("run", "alone"))
    torch.testing.assert_close(shared.entities, alone.entities, rtol=1e-3, atol=1e-4)
    assert [one["step"] for one in numbers(tmp_path / "run")] == [0, 2, 4, 6]
    # Without the rows of a process a checkpoint is no whole one.
    store = CheckpointStore(tmp_path / "run")
    token = peek(store.file("last"))["shards"]["token"]
    (tmp_path / "run" / f"rows-{token}-1-of-3.safetensors").unlink()
    with pytest.raises(DamagedError, match=r"-1-of-3\.safetensors: no such checkpoint"):
        store.load("last")


def test_where_one_process_ends_the_others_say_so(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("train", "--recipe", recipe, "--out", out, "--set", "train.steps=1000000")
    processes = start(2, "dans", *command, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (out / "previous.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[1].send(signal.SIGKILL)
    (status, _, errors), _ = ended(processes)
    assert status == 2, errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert "another process of this run has ended, or hangs; the last good checkpoint is" in line
    assert line.endswith("--resume continues there, on any number of processes")


class Alone(World):
    """The first of several processes, none of which it talks to."""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": {"name": "rgcn", "dim": 4}}, "graph.fanout: missing"),
        ({"train": {"encode": "all"}}, "train.encode: some is needed"),
        ({"sampler": [{"name": "nscaching"}]}, "NSCaching learns or keeps depends on the whole"),
        ({"sampler": [{"name": "dans"}]}, "output = scaled_tanh follows all entities of the batch"),
        ({"train": {"encode": "some", "l2": 0.1}}, "train.l2 is a mean over the embeddings"),
        ({"regularizer": [{"name": "table", "entities": 0.1}]}, "regularizer: of all entities"),
        ({"train": {"encode": "some", "log_negatives": True}}, "train.log_negatives"),
        ({"features": {"combine": "only"}}, "features: are not shared"),
        ({"train": {"encode": "some", "batch": 13}}, "the last of a pass has 1 triples"),
        ({"train": {"encode": "some", "batch": 1}}, "a batch of 1 has fewer triples"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    changes: dict[str, Any], words: str, kg: KnowledgeGraph
) -> None:
    plain = {
        "data": "toy",
        "encoder": {"name": "lookup", "dim": 4},
        "decoder": {"name": "distmult"},
        "loss": "logistic",
        "sampler": [{"name": "uniform", "k": 3}],
        "train": {"encode": "some"},
    }
    assert len(kg.train) == 14
    kg = kg.with_features({"x": torch.arange(8.0)})
    with pytest.raises(InputError, match=f"^2 processes: .*{words}"):
        build_trainer(RunConfig.parse({**plain, **changes}), kg, None, world=Alone(0, 2))


def test_variables_of_torchrun_must_be_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match=r"WORLD_SIZE is set, but not .*MASTER_ADDR"):
        join(torch.device("cpu"))
    for name in VARIABLES:
        monkeypatch.setenv(name, "2")
    with pytest.raises(InputError, match=r"train.device: several processes train on processors"):
        join(torch.device("meta"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert join(torch.device("cpu")) is None


@pytest.mark.parametrize("drawn", [2**24, 20])
@pytest.mark.parametrize("initial", ["normal", "uniform", "xavier_normal", "xavier_uniform"])
def test_parts_of_a_table_are_drawn_as_the_whole(
    initial: Any, drawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.models.embedding_tables.DRAWN", drawn)
    tables = []
    for shard in (None, World(0, 3), World(1, 3), World(2, 3)):
        with sharing(shard):
            tables.append(EntityTable(11, 4))
        torch.manual_seed(0)
        tables[-1].draw(initial, 0.5)
    whole, *parts = tables
    for rank, part in enumerate(parts):
        assert torch.equal(part.weight, whole.weight[rank::3])
        # Weights of the whole table can be loaded into a part.
        part.weight.data.zero_()
        part.load_state_dict(whole.state_dict())
        assert torch.equal(part.weight, whole.weight[rank::3])
