"""Embeddings are exported exactly, whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from safetensors import safe_open
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from dans.errors import InputError
from dans.predict import export as writing
from dans.predict.export import Embeddings, export, write_word2vec
from dans.runs.train import configure, load, train
from tests.processes import run as run_script
from tests.processes import succeed

RECIPE = """
data = "{data}"
encoder = {{ name = "lookup", dim = 8 }}
decoder = {{ name = "complex", reciprocal = true }}
loss = "logistic"
[[sampler]]
name = "uniform"
[train]
steps = 1
validate_every = 1
threads = 1
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "triples").mkdir()
    for split in ("train", "valid", "test"):
        (folder / "triples" / f"{split}.tsv").write_text("a\tr\tü b\nc\ts\ta\n語\tr\tc\n", "utf-8")
    (folder / "recipe.toml").write_text(RECIPE.format(data=folder / "triples"))
    train(configure(folder / "recipe.toml", []), folder / "run")
    return folder / "run"


def test_npy_holds_the_embeddings_and_names_their_rows(run: Path, tmp_path: Path) -> None:
    files = export(run, tmp_path / "out")
    trained = load(run)
    assert sorted(path.name for path in files) == sorted(os.listdir(tmp_path / "out"))
    entities = np.load(tmp_path / "out" / "entities.npy")
    assert np.array_equal(entities, trained.entities.detach().numpy())
    names = json.loads((tmp_path / "out" / "names.json").read_text("utf-8"))
    assert names["entities"] == list(trained.kg.entities.names) == ["a", "ü b", "c", "語"]
    weight = trained.model.decoder.relation.weight.detach().numpy()
    for table, rows in (("relations", weight[:2]), ("inverse_relations", weight[2:])):
        assert np.array_equal(np.load(tmp_path / "out" / f"{table}.npy"), rows)
        assert names[table] == ["r", "s"]
    assert names["about"]["digest"] == trained.kg.digest
    assert names["about"]["step"] == str(trained.step)


def test_safetensors_holds_tables_names_and_origin(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out", formats=["safetensors"], which="last")
    trained = load(run, which="last")
    with safe_open(tmp_path / "out" / "embeddings.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("entities"), trained.entities)
        assert set(file.keys()) == {"entities", "relations", "inverse_relations"}
        about = file.metadata()
    assert json.loads(about["entities.names"]) == list(trained.kg.entities.names)
    assert about["checkpoint"] == "last"
    assert about["decoder"] == "complex"


def test_the_projector_finds_tables_and_names(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(run, out, formats=["projector"])
    config = text_format.Parse((out / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert [part.tensor_name for part in config.embeddings] == [
        "entities",
        "relations",
        "inverse_relations",
    ]
    part = config.embeddings[0]
    embeddings = np.loadtxt(out / part.tensor_path, delimiter="\t", dtype=np.float32)
    assert np.array_equal(embeddings, load(run).entities.detach().numpy()), "nine digits are exact"
    names = (out / part.metadata_path).read_text("utf-8").splitlines()
    assert names == ["a", "ü b", "c", "語"]


def test_a_name_stays_on_its_line(tmp_path: Path) -> None:
    odd = ["tab\there", "line\nend", "\u2028", "plain"]
    embeddings = Embeddings({"entities": torch.eye(4)}, {"entities": odd}, {})
    writing.write_projector(tmp_path, embeddings)
    rows = (tmp_path / "entities.names.tsv").read_text("utf-8").splitlines()
    assert rows == ["tab\\there", "line\\nend", "\\u2028", "plain"]
    writing.write_npy(tmp_path, embeddings)
    assert json.loads((tmp_path / "names.json").read_text("utf-8"))["entities"] == odd


def test_bounded_embeddings_are_written_as_the_decoder_takes_them(run: Path) -> None:
    trained = load(run)
    embeddings = Embeddings.of(run)
    triple = trained.kg.train[:1]
    h, r, t = (
        embeddings.tables["entities"][triple[:, 0]],
        embeddings.tables["relations"][triple[:, 1]],
        embeddings.tables["entities"][triple[:, 2]],
    )
    expected = trained.positives(triple).scores().flatten()
    with torch.no_grad():
        assert trained.model.decoder.score(h, r, t).tolist() == pytest.approx(expected.tolist())


def test_a_folder_that_holds_something_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "entities.npy").write_text("mine")
    for out in (tmp_path, tmp_path / "entities.npy"):
        with pytest.raises(InputError, match="there already, and not empty"):
            export(run, out)
    assert (tmp_path / "entities.npy").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert all(path.exists() for path in export(run, tmp_path / "empty"))


def test_what_fails_leaves_nothing_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, embeddings: Embeddings) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(writing.FORMATS, "safetensors", full)
    with pytest.raises(OSError, match="No space"):
        export(run, tmp_path / "deep" / "out", formats=["npy", "safetensors"])
    assert not list((tmp_path / "deep").iterdir())


def test_mistakes_end_in_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="format: unknown name 'npz'"):
        export(run, tmp_path / "out", formats=["npz"])
    with pytest.raises(InputError, match="nowhere is not the folder of a run"):
        export(tmp_path / "nowhere", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_script_prints_what_it_wrote(run: Path, tmp_path: Path) -> None:
    options = ["--out", "out", "--format", "npy", "--format", "projector"]
    done = succeed("export_vectors.py", run, *options, cwd=tmp_path)
    assert sorted(done.stdout.split()) == sorted(str(p) for p in (tmp_path / "out").iterdir())
    again = run_script("export_vectors.py", run, *options, cwd=tmp_path)
    assert again.returncode == 2
    assert "there already" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_a_full_disk_names_the_file_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    files = {
        "npy": ("relations.npy", "names.json"),
        "safetensors": ("embeddings.safetensors",),
        "projector": ("entities.tsv", "relations.names.tsv", "projector_config.pbtxt"),
    }

    def opened(full: str) -> Callable[..., IO[Any]]:
        def opened(path: Path, mode: str) -> IO[Any]:
            return open("/dev/full" if path.name == full else path, mode)

        return opened

    for name, names in files.items():
        for full in names:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Path, "open", opened(full))
                with pytest.raises(OSError, match="No space left on device") as caught:
                    export(run, tmp_path / "out", formats=[name])
            assert caught.value.filename == str(tmp_path / "out" / full)
            assert not any(tmp_path.iterdir())


def test_what_a_killed_export_left_is_removed(run: Path, tmp_path: Path) -> None:
    left, alive = tmp_path / "out[1].4000000000.part", tmp_path / f"out[1].{os.getppid()}.part"
    for folder in (left, alive):
        folder.mkdir()
        (folder / "entities.npy").write_bytes(b"half")
    export(run, tmp_path / "out[1]")
    assert not left.exists()
    assert alive.exists()


def test_word2vec_text_gives_names_and_numbers_back(tmp_path: Path) -> None:
    names = ["ada", "new\u00a0 york\n", "100%20", "\u00e9t\u00e9"]
    table = torch.randn(4, 3)
    write_word2vec(tmp_path, Embeddings({"entities": table}, {"entities": names}, {}))
    text = (tmp_path / "entities.word2vec.txt").read_text("utf-8")
    head, *lines = text.removesuffix("\n").split("\n")
    assert head == "4 3"
    rows = [line.split() for line in lines]
    assert [unquote(word) for word, *_ in rows] == names
    assert torch.equal(torch.tensor([[*map(float, row)] for _, *row in rows]), table)
