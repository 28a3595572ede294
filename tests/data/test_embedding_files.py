"""Reading of embeddings by name: both kinds of files give the same, and errors say where."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dans.data.embedding_files import read_embeddings
from dans.data.graph import Vocabulary
from dans.errors import InputError
from dans.predict.export import Embeddings, write_npy, write_word2vec

NAMES = ("ada", "ice tea", "50%20", "ü\u00a0b", "{0}")
ENTITIES = Vocabulary((*NAMES[::-1], "not in the file"))
TABLE = torch.tensor([[0.1, -2e-30], [3.4e38, 0.0], [1 / 3, 7.0], [1.0, 2.0], [5.0, 6.0]])


@pytest.mark.parametrize("kind", ["word2vec.txt", "word2vec.txt.gz", "npy"])
def test_what_export_writes_is_read_bit_by_bit(tmp_path: Path, kind: str) -> None:
    embeddings = Embeddings({"entities": TABLE}, {"entities": NAMES}, {})
    for write in (write_npy, write_word2vec):
        write(tmp_path, embeddings)
    text = tmp_path / "entities.word2vec.txt"
    (tmp_path / "entities.word2vec.txt.gz").write_bytes(gzip.compress(text.read_bytes()))
    ids, rows = read_embeddings(tmp_path / f"entities.{kind}", ENTITIES)
    assert [ENTITIES[i] for i in ids] == list(NAMES)
    assert torch.equal(rows, TABLE)


def test_names_of_other_programs_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("3 1\nTea_%28drink%29 1 \r\n50% 2\nother 3\n")
    ids, rows = read_embeddings(path, Vocabulary(("50%", "Tea_%28drink%29")))
    assert (ids.tolist(), rows.tolist()) == ([1, 0], [[1.0], [2.0]])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "{f}:1: expected word2vec text, whose first line is .* width, got ''"),
        ("ada 1 2\n", "{f}:1: expected word2vec text.* got 'ada 1 2'"),
        ("0 2\n", "{f}: holds no row"),
        ("1 2\nada 1\n", "{f}:2: expected a name .* 2 numbers .*, got 1 after 'ada'"),
        ("1 2\nice tea 1 2\n", "{f}:2: expected a name without spaces.* got 3 after 'ice'"),
        ("1 2\nada 1 x\n", "{f}:2: 'ada': expected numbers: .*'x'"),
        ("2 2\nada 1 2\nother 1 nan\n", "{f}:3: 'other': number 2 must be finite .* got nan"),
        ("1 2\nada 1e39 2\n", "{f}:2: 'ada': number 1 must be finite in 32 bits, got 1e39"),
        ("2 1\nada 1\nada 1\n", "{f}:3: 'ada': has a row already, {f}:2"),
        ("2 1\nada 1\n", "{f}: has 1 rows, and 2 by its first line; is it whole?"),
        ("1 1\nAda 1\n", "{f}: names no entity; its first name is 'Ada', .* such as 'ada'"),
    ],
)
def test_text_that_cannot_be_read_is_refused(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "own.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=error.replace("{f}", re.escape(str(path)))):
        read_embeddings(path, ENTITIES)


@pytest.mark.parametrize(
    ("table", "names", "error"),
    [
        (np.ones(3), {}, r"own.npy: expected rows of numbers, \(r, d\), got shape \(3,\) of float"),
        (np.array([["a"]]), {}, "own.npy: expected rows of numbers.* <U1"),
        (np.array([[None]]), {}, "own.npy: not an array of numbers"),
        (np.ones((2, 1)), {"entities": ["ada"]}, "names.json: own: expected a list.* got None"),
        (np.ones((2, 1)), {"own": ["ada"]}, "names.json: own: 1 names for 2 rows in own.npy"),
        (np.array([[1.0], [np.inf]]), {"own": ["a", "ada"]}, r"own.npy\[1\]: 'ada': number 1 must"),
        (
            np.ones((2, 1)),
            {"own": ["ada", "ada"]},
            r"own.npy\[1\]: 'ada': .* already, .*own.npy\[0\]",
        ),
        (np.ones((0, 1)), {"own": []}, "own.npy: holds no row"),
    ],
)
def test_arrays_that_cannot_be_read_are_refused(
    tmp_path: Path, table: np.ndarray, names: dict[str, list[str]], error: str
) -> None:
    np.save(tmp_path / "own.npy", table)
    (tmp_path / "names.json").write_text(json.dumps(names))
    with pytest.raises(InputError, match=error):
        read_embeddings(tmp_path / "own.npy", ENTITIES)


@pytest.mark.parametrize("name", ["missing.txt", "missing.npy"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: .*[Nn]o such file"):
        read_embeddings(tmp_path / name, ENTITIES)
