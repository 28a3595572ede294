"""Nothing of ours loads a pickle, and a file that carries one is refused by name."""

import ast
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dans.errors import InputError
from dans.training.checkpoint import carries_pickle, save_state
from dans.training.run_folder import RunFolder
from tests.test_architecture import files, imports, named, tree

#: Modules that load pickles, or whose files carry them.
PICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def old_zip_of_objects(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), a=np.array([Trap()], dtype=object))
    path.with_suffix(".npz").rename(path)


def array_of_objects(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Trap()], dtype=object))


def member(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", pickle.dumps(Trap()))


def pickled(protocol: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(Trap(), protocol=protocol))


def long_ago(path: Path) -> None:
    torch.save({"w": torch.ones(2), "t": Trap()}, path, _use_new_zipfile_serialization=False)


CARRIERS: dict[str, Callable[[Path], object]] = {
    "torch": lambda path: torch.save({"w": torch.ones(2), "t": Trap()}, path),
    "torch, old": long_ago,
    "numpy array": array_of_objects,
    "numpy archive": old_zip_of_objects,
    "archive": member,
    **{f"protocol {number}": pickled(number) for number in range(6)},
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("which", ["best", "last"])
def test_a_pickle_is_refused_by_name(carrier: str, which: str, tmp_path: Path) -> None:
    path = tmp_path / f"{which}.safetensors"
    CARRIERS[carrier](path)
    before = path.read_bytes()
    run = RunFolder(tmp_path)
    with pytest.raises(InputError, match=rf"{which}\.safetensors: a pickle, which is never loaded"):
        run.checkpoints.load("best" if which == "best" else "last")
    # Nor does it pass for damage, to be cleared away.
    save_state(run.checkpoints.previous, {"step": 1})
    if which == "last":
        with pytest.raises(InputError, match="a pickle, which is never loaded"):
            run.checkpoints.resume()
    assert path.read_bytes() == before


def test_what_carries_no_pickle_is_told_from_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert not carries_pickle(path)
    plain, header = io.BytesIO(), b'\x80\x03\0\0\0\0\0\0{"state": '
    np.save(plain, np.ones(3))
    texts = b"", b".", b"{}", b"\0" * 99, b"PK\x03\x04", b"(hello)"
    for content in (*texts, plain.getvalue(), header):
        path.write_bytes(content)
        assert not carries_pickle(path), content
    save_state(path, {"w": torch.ones(2)})
    assert not carries_pickle(path)


#: The one module that reads files of others which carry pickles, by torch's restricted reader.
RESTRICTED = "dans/data/ogb.py"


def is_restricted(call: ast.Call) -> bool:
    """Does a call of ``torch.load`` say that no code is to run?"""
    said = {word.arg: ast.unparse(word.value) for word in call.keywords}
    return said.get("weights_only") == "True"


@pytest.mark.parametrize("path", files("dans", "baselines", "scripts"), ids=named)
def test_nothing_of_ours_loads_a_pickle(path: Path) -> None:
    found = {name for name in imports(path) if name.split(".")[0] in PICKLING}
    # The name of an error, and of the module that it is imported from.
    error = {"pickle", "pickle.UnpicklingError"}
    assert found <= (error if named(path) == RESTRICTED else set())
    assert (
        not {
            alias.name
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        & PICKLING
    )
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if named(path) != RESTRICTED or called != "torch.load" or not is_restricted(node):
                assert called not in ("torch.load", "torch.jit.load"), f"{path}:{node.lineno}"
            assert not called.endswith("read_pickle"), f"{named(path)}:{node.lineno}"
            assert "allow_pickle" not in [keyword.arg for keyword in node.keywords]
