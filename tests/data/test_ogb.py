"""Archives of OGB are read from the cache, a folder or a server; no code in a pickle runs."""

import gzip
import io
import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dans.data.cards
from dans.data.cards import DatasetCard
from dans.data.download import archive_cache, cache_folder, whereabouts
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from tests.suites.mirror import Mirror, digest, serving

Files = dict[str, bytes]

#: Stand-ins of both archives: five entities, two relations.
WIKI: dict[str, dict[str, Any]] = {
    "train": {
        "head": np.array([0, 1, 2, 3]),
        "relation": np.array([0, 0, 1, 1]),
        "tail": np.array([1, 2, 3, 4]),
    },
    "valid": {
        "head": np.array([4]),
        "relation": np.array([0]),
        "tail": np.array([0]),
        "head_neg": np.array([[1, 2, 3]]),
        "tail_neg": np.array([[3, 3, 1]], dtype=np.int32),
    },
    "test": {
        "head": np.array([2, 3]),
        "relation": np.array([1, 0]),
        "tail": np.array([0, 1]),
        "head_neg": np.array([[1, 4], [0, 0]]),
        "tail_neg": np.array([[4, 2], [2, 4]]),
    },
}
#: The same triples, where entities 0 and 1 are drugs, 2 to 4 proteins with ids of their own.
BEGINS = {"drug": 0, "protein": 2}


def typed() -> dict[str, dict[str, Any]]:
    found = {}
    for split, arrays in WIKI.items():
        own: dict[str, Any] = {"relation": arrays["relation"]}
        for side in ("head", "tail"):
            kinds = ["drug" if i < 2 else "protein" for i in arrays[side].tolist()]
            begins = np.array([BEGINS[kind] for kind in kinds])
            own |= {side: arrays[side] - begins, f"{side}_type": kinds}
            if f"{side}_neg" in arrays:
                # Of the entity's own type, as OGB draws them.
                own[f"{side}_neg"] = np.array([[0, 1]] * len(kinds))
        found[split] = own
    return found


def pickled(content: object, *, former: bool = False) -> bytes:
    """A file by torch; the former format, with numpy's former name, as published ones may be."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not former)
    return file.getvalue().replace(b"numpy._core", b"numpy.core") if former else file.getvalue()


def table(header: str, *rows: str) -> bytes:
    return gzip.compress("\n".join([header, *rows, ""]).encode())


def wiki(*, former: bool = False, **changed: object) -> Files:
    arrays = {**WIKI, **changed}
    files = {f"split/time/{s}.pt": pickled(part, former=former) for s, part in arrays.items()}
    # In any order; the same name twice.
    rows = ("3,Q9", "0,Q1", "1,Q2", "2,Q3", "4,Q9")
    files["mapping/nodeidx2entityid.csv.gz"] = table("node idx,entity id", *rows)
    files["mapping/reltype2relid.csv.gz"] = table("reltype,rel id", "0,P1", '1,"P,2"')
    return files


def bio() -> Files:
    files = {f"split/random/{s}.pt": pickled(part) for s, part in typed().items()}
    files["mapping/protein_entidx2name.csv.gz"] = table("ent idx,ent name", "0,p0", "1,p1", "2,p2")
    files["mapping/drug_entidx2name.csv.gz"] = table("ent idx,ent name", "0,d0", "1,d1")
    files["mapping/relidx2relname.csv.gz"] = table("rel idx,rel name", "0,P1", "1,P2")
    return files


def packed(files: Files, top: str = "biokg/") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(top + name, data)
    return content.getvalue()


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DANS_DATASETS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "cards").mkdir()
    monkeypatch.setattr(dans.data.cards, "card_folder", lambda: tmp_path / "cards")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as mirror:
        yield mirror


def card(tmp_path: Path, url: str = "http://127.0.0.1:9/toy.zip", pin: str = "") -> DatasetCard:
    path = tmp_path / "cards" / "ogbl-toy.toml"
    path.write_text(
        'name = "ogbl-toy"\ntitle = "t"\nsource = "s"\npaper = "p"\nlicence = "l"\n'
        "entities = 5\nrelations = 2\ntrain.lines = 4\nvalid.lines = 1\ntest.lines = 2\n"
        f'[archive]\nformat = "ogb"\nbytes = 100000\nurl = "{url}"\n{pin}'
    )
    return DatasetCard.read(path)


def unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files, name: str = "ogbl_toy"
) -> Path:
    """The files in a folder that DANS_DATASETS names."""
    for inner, data in files.items():
        path = tmp_path / "data" / name / inner
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    monkeypatch.setenv("DANS_DATASETS", str(tmp_path / "data"))
    return tmp_path / "data" / name


def check(kg: KnowledgeGraph, *, types: bool = False) -> None:
    """Is this the graph of the stand-ins?"""
    names = ("drug:d0", "drug:d1", *(f"protein:p{i}" for i in range(3)))
    assert kg.entities.names == (names if types else ("Q1", "Q2", "Q3", "Q9", "Q9 (4)"))
    assert kg.relations.names == (("P1", "P2") if types else ("P1", "P,2"))
    assert kg.train.tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 3], [3, 1, 4]]
    assert kg.valid.tolist() == [[4, 0, 0]]
    assert kg.test.tolist() == [[2, 1, 0], [3, 0, 1]]
    assert list(kg.given_negatives) == ["valid", "test"]
    given = {
        split: [side.tolist() for side in kg.given_negatives[split]] for split in ("valid", "test")
    }
    if types:
        assert given["valid"] == [[[2, 3]], [[0, 1]]]
        assert given["test"] == [[[2, 3], [2, 3]], [[0, 1], [0, 1]]]
    else:
        assert given["valid"] == [[[1, 2, 3]], [[3, 3, 1]]]
        assert given["test"] == [[[1, 4], [0, 0]], [[4, 2], [2, 4]]]
    assert all(ids.dtype == torch.int64 for ids in kg.given_negatives["valid"])


@pytest.mark.parametrize("name", ["ogbl_toy", "ogbl-toy"])
@pytest.mark.parametrize("former", [False, True])
def test_an_unpacked_archive_is_read_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, former: bool
) -> None:
    toy = card(tmp_path)
    assert whereabouts(toy) == "download"
    folder = unpacked(tmp_path, monkeypatch, wiki(former=former), name)
    assert whereabouts(toy) == str(folder)
    before = sorted(tmp_path.joinpath("data").rglob("*"))
    kg = KnowledgeGraph.load("ogbl-toy")
    check(kg)
    assert (kg.name, kg.source) == ("ogbl-toy", "ogbl-toy")
    assert sorted(tmp_path.joinpath("data").rglob("*")) == before
    # Without the folder, what was read of it is still there.
    monkeypatch.delenv("DANS_DATASETS")
    check(KnowledgeGraph.load("ogbl-toy"))


def test_entities_of_several_types_have_ids_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(tmp_path)
    unpacked(tmp_path, monkeypatch, bio())
    check(KnowledgeGraph.load("ogbl-toy"), types=True)


def test_an_archive_is_downloaded_once_and_its_checksum_recorded(
    tmp_path: Path, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    data = packed(wiki())
    mirror.offer("/toy.zip", data)
    card(tmp_path, f"{mirror.url}/toy.zip")
    with caplog.at_level(logging.WARNING):
        check(KnowledgeGraph.load("ogbl-toy"))
    assert (
        f"its card has no checksum, as none is published; that of this download, {digest(data)}"
        in (caplog.text)
    )
    check(KnowledgeGraph.load("ogbl-toy"))
    assert mirror.requested == ["/toy.zip"]
    assert not list(cache_folder().rglob("*.zip"))
    # A later download is compared with the first.
    archive_cache(DatasetCard.read(tmp_path / "cards" / "ogbl-toy.toml")).unlink()
    mirror.offer("/toy.zip", packed(wiki(), "other/"))
    with pytest.raises(
        InputError, match=rf"toy.zip failed \(its sha256 is .*, expected {digest(data)}\)"
    ):
        KnowledgeGraph.load("ogbl-toy")
    mirror.offer("/toy.zip", data)
    check(KnowledgeGraph.load("ogbl-toy"))


def test_a_checksum_on_the_card_holds(tmp_path: Path, mirror: Mirror) -> None:
    data = packed(wiki())
    mirror.offer("/toy.zip", data)
    card(tmp_path, f"{mirror.url}/toy.zip", f'sha256 = "{digest(b"")}"')
    with pytest.raises(InputError, match=rf"its sha256 is {digest(data)}.*DANS_DATASETS$"):
        KnowledgeGraph.load("ogbl-toy")
    card(tmp_path, f"{mirror.url}/toy.zip", f'sha256 = "{digest(data)}"')
    check(KnowledgeGraph.load("ogbl-toy"))


def test_what_is_kept_is_made_again_where_it_is_damaged_or_of_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = archive_cache(card(tmp_path))
    folder = unpacked(tmp_path, monkeypatch, wiki())
    check(KnowledgeGraph.load("ogbl-toy"))
    whole = kept.read_bytes()
    for damaged in (b"", b"foreign", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(damaged)
        check(KnowledgeGraph.load("ogbl-toy"))
        assert kept.read_bytes() == whole
    other = {**WIKI["valid"], "head": np.array([3])}
    path = folder / "split/time/valid.pt"
    path.write_bytes(pickled(other))
    os.utime(path, ns=(1, 1))
    assert KnowledgeGraph.load("ogbl-toy").valid.tolist() == [[3, 0, 0]]


class Evil:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(tmp_path)
    made = tmp_path / "made"
    unpacked(tmp_path, monkeypatch, wiki(train={**WIKI["train"], "more": Evil(made)}))
    with pytest.raises(InputError, match=r"split/time/train\.pt: not arrays by torch: "):
        KnowledgeGraph.load("ogbl-toy")
    assert not made.exists()
    assert not archive_cache(card(tmp_path)).exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (wiki(train={"head": np.array([0])}), "relation: expected an array of ids"),
        (wiki(train=[1]), "expected arrays by name"),
        (wiki(train={**WIKI["train"], "tail": [1.0] * 4}), "tail: expected an array"),
        (wiki(train={**WIKI["train"], "tail": np.array([5] * 4)}), "holds an id that no table"),
        (wiki(train={**WIKI["train"], "tail": np.array([-1] * 4)}), "holds an id that no table"),
        (wiki(train={**WIKI["train"], "tail": np.array([1])}), "expected as many heads"),
        (wiki(valid={**WIKI["valid"], "head_neg": np.array([[7]])}), "head_neg: holds an id that"),
        (wiki(valid={**WIKI["valid"], "tail_neg": np.array([1, 2])}), "tail_neg: expected ids for"),
        ({**wiki(), "split/time/test.pt": b"text"}, "test.pt: not arrays by torch"),
        ({**wiki(), "split/random/test.pt": b""}, "expected one file test.pt below split"),
        (
            {**wiki(), "mapping/reltype2relid.csv.gz": table("a,b", "0,P1")},
            "expected a column of ids and one of names, got 'a', 'b'",
        ),
        (
            {**wiki(), "mapping/reltype2relid.csv.gz": table("reltype,rel id", "0,P1", "0,P2")},
            "csv.gz:3: expected an id of its own and a name",
        ),
        (
            {**wiki(), "mapping/reltype2relid.csv.gz": table("reltype,rel id", "0,P1", "2,P2")},
            "expected the ids 0 to 1",
        ),
        (
            {**wiki(), "mapping/reltype2relid.csv.gz": table("reltype,rel id", "0,P1")[:-6]},
            "damaged: ",
        ),
        (
            {**bio(), "split/random/train.pt": pickled(WIKI["train"])},
            "head_type: expected for each",
        ),
    ],
)
def test_what_is_no_archive_of_ogb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files, why: str
) -> None:
    card(tmp_path)
    unpacked(tmp_path, monkeypatch, files)
    with pytest.raises(InputError, match=why.replace(".", r"\.")) as caught:
        KnowledgeGraph.load("ogbl-toy")
    assert str(caught.value).startswith(str(tmp_path / "data"))
    assert "\n" not in str(caught.value)


def test_what_is_no_zip_and_no_connection_are_one_sentence(tmp_path: Path, mirror: Mirror) -> None:
    card(tmp_path)
    with pytest.raises(InputError, match=r"failed \(no connection\); put the unpacked archive at"):
        KnowledgeGraph.load("ogbl-toy")
    mirror.offer("/toy.zip", b"text")
    card(tmp_path, f"{mirror.url}/toy.zip")
    with pytest.raises(InputError, match=r"toy\.zip: not a zip archive"):
        KnowledgeGraph.load("ogbl-toy")
