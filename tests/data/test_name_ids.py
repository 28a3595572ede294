import gzip
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dans.data import name_ids
from dans.data.name_ids import NameIds
from dans.data.readers import read
from dans.errors import InputError

MARK = "\ufeff".encode()
CLEAN = "".join(f"e{i % 7}\tr{i % 3}\té{i * i % 5}\n" for i in range(40)).encode()


def wrote(folder: Path, data: bytes, name: str = "train.tsv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def by_line(path: Path) -> tuple[NameIds, tuple[Tensor, Tensor]]:
    ids = NameIds()
    return ids, ids.of_lines(read(path))


@pytest.fixture(params=[2**24, 50], ids=["one block", "many blocks"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_ids, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("name", ["train.tsv", "train.txt.gz"])
@pytest.mark.parametrize(
    "data",
    [
        CLEAN,
        CLEAN.removesuffix(b"\n"),
        MARK + CLEAN,
        CLEAN + b"\n\n",
        CLEAN.replace(b"\n", b"\r\n"),
        CLEAN + "a\u2028\tb\x85\t c \n".encode(),
        CLEAN + b"a\tb\tc\r",
    ],
    ids=["plain", "no last line end", "BOM", "blank end", "CRLF", "odd names", "last CR"],
)
def test_blocks_and_lines_give_the_same_ids(tmp_path: Path, data: bytes, name: str) -> None:
    path = wrote(tmp_path, data, name)
    ids, slow = NameIds(), by_line(path)
    triples, holds = ids.of_file(path)
    assert torch.equal(triples, slow[1][0])
    assert torch.equal(holds, slow[1][1])
    assert dict(ids.entities) == dict(slow[0].entities)
    assert dict(ids.relations) == dict(slow[0].relations)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        CLEAN + b"a\tb\n",
        CLEAN + b"a\tb\tc\td\n",
        CLEAN + b"a\t\tc\n",
        CLEAN + b"a\tb\t \n",
        CLEAN + "\u3000\tb\tc\n".encode(),
        CLEAN + b"\n" + CLEAN,
        CLEAN + b"a\tb\0\tc\n",
        CLEAN + b"a\tb\tc\xff\n",
        CLEAN + MARK + CLEAN,
        CLEAN + b"a\rb\tc\td\n",
        b"a\tb\tc\td\te\nf\n" + CLEAN,
    ],
)
def test_what_is_off_is_refused_in_the_same_words(tmp_path: Path, data: bytes) -> None:
    path = wrote(tmp_path, data)
    with pytest.raises(InputError) as slow:
        by_line(path)
    with pytest.raises(InputError) as fast:
        NameIds().of_file(path)
    assert str(fast.value) == str(slow.value)


def test_a_plain_file_is_not_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(name_ids, "read")
    for data in (CLEAN, CLEAN.replace(b"\n", b"\r\n")):
        assert len(NameIds().of_file(wrote(tmp_path, data))[0]) == 40


def test_ids_go_on_from_file_to_file(tmp_path: Path) -> None:
    ids = NameIds()
    ids.of_file(wrote(tmp_path, b"a\tr\tb\n"))
    later = wrote(tmp_path, b"c\ts\ta\n\n", "valid.tsv")
    assert ids.of_file(later)[0].tolist() == [[2, 1, 0]]
