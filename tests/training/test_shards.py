"""Files of rows: what goes into them, who reads which, and which of them stay."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dans.models.embedding_tables import EntityTable, sharing
from dans.training.checkpoint import DamagedError, save_state
from dans.training.distributed import World
from dans.training.optimizers import RowAdagrad
from dans.training.shards import FILE, ROWS, cut, cut_weights, places, put, sweep_rows, take

N, D = 7, 7


class Same(World):
    """One of several processes, which all say what this one says, and wait for none."""

    def wait(self) -> None:
        pass

    def tell(self, value: Any) -> Any:
        return value


def parts(size: int) -> list[tuple[nn.Module, torch.optim.Optimizer, dict[str, Any]]]:
    """A table of N rows and a square matrix of as many, after a step, in each process."""
    found = []
    for rank in range(size):
        with sharing(Same(rank, size)):
            model = nn.ModuleDict({"table": EntityTable(N, D), "square": nn.Linear(D, D)})
        table = model["table"]
        assert isinstance(table, EntityTable)
        numbers = torch.arange(N * D, dtype=torch.float32).view(N, D)
        with torch.no_grad():
            table.weight.copy_(numbers[rank::size])
        optimizer = RowAdagrad(model.parameters(), lr=0.0)
        for one in model.parameters():
            one.grad = one.detach().clone()
        optimizer.step()
        state = {
            "step": 1,
            "model": model.state_dict(),
            "optimizers": {"model": optimizer.state_dict()},
        }
        found.append((model, optimizer, state))
    return found


def written(folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of the first of several processes, all of which have written their rows."""
    monkeypatch.setattr("dans.training.shards.os.urandom", lambda number: b"\1" * number)
    marked = {}
    for rank, (model, optimizer, state) in reversed(list(enumerate(parts(size)))):
        where = places(state, model, optimizer)
        # The square matrix has as many rows, and is in every process.
        assert {place[-1] for place in where} == {"table.weight", "sum"}
        marked = put(folder, state, where, Same(rank, size), N)
    return marked


@pytest.mark.parametrize("readers", [1, 2, 3])
@pytest.mark.parametrize("writers", [2, 3])
def test_any_number_of_processes_reads_its_rows(
    writers: int, readers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = written(tmp_path, writers, monkeypatch)
    assert marked["model"]["table.weight"] == {ROWS: "model/table.weight"}
    whole = torch.arange(N * D, dtype=torch.float32).view(N, D)
    for rank in range(readers):
        world = None if readers == 1 else Same(rank, readers)
        state = take(tmp_path, dict(marked), world)
        assert "shards" not in state
        assert torch.equal(state["model"]["table.weight"], whole[rank::readers])
        kept = state["optimizers"]["model"]["state"]
        assert torch.equal(kept[0]["sum"], whole[rank::readers].square())
        assert kept[1]["sum"].shape == (D, D)
        assert kept[0]["step"] == 1


def test_the_state_of_one_process_is_cut_for_several() -> None:
    ((_, _, state),) = parts(1)
    for rank, (model, optimizer, own) in enumerate(parts(3)):
        found = cut(state, places(state, model, optimizer), Same(rank, 3), N)
        assert torch.equal(found["model"]["table.weight"], own["model"]["table.weight"])
        one, other = (x["optimizers"]["model"]["state"][0]["sum"] for x in (found, own))
        assert torch.equal(one, other)
        assert found["model"]["square.weight"] is state["model"]["square.weight"]
        weights = cut_weights(state, model)["model"]["table.weight"]
        assert torch.equal(weights, own["model"]["table.weight"])


def test_rows_that_are_missing_or_too_few_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = written(tmp_path, 2, monkeypatch)
    path = tmp_path / FILE.format(token="01010101", rank=1, size=2)
    save_state(path, {"rows": {"model/table.weight": torch.zeros(2, D)}})
    with pytest.raises(DamagedError, match=r"model/table\.weight: expected 3 rows, got 2"):
        take(tmp_path, marked, None)
    path.unlink()
    with pytest.raises(DamagedError, match="no such checkpoint"):
        take(tmp_path, marked, None)


def test_files_that_no_checkpoint_names_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = written(tmp_path, 2, monkeypatch)
    save_state(tmp_path / "last.safetensors", marked)
    save_state(tmp_path / "best.safetensors", {"step": 1})
    old, other = tmp_path / "rows-02-0-of-2.safetensors", tmp_path / "rows-of-mine.safetensors"
    for path in (old, other):
        path.write_bytes(b"")
    sweep_rows(tmp_path, [tmp_path / f"{name}.safetensors" for name in ("best", "last", "none")])
    assert not old.exists()
    assert other.exists()
    assert len(list(tmp_path.glob("rows-01010101-*"))) == 2
