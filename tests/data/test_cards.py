import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import dans.data.cards
from dans.data.cards import DatasetCard, Download, Installed, card_folder, cards, find_card
from dans.data.readers import SPLITS
from dans.errors import InputError

#: Sets that no folder of the tests holds, of two archives of OGB and one of Wikidata5M.
LARGE = ("ogbl-biokg", "ogbl-wikikg2", "wikidata5m")
SHIPPED = (
    *("countries_s1", "fb13", "fb15k-237", "fb15k-237am", "kinship", "nations"),
    *("nell-995", "nell-995-deeppath", "umls", "wn11", "wn18am", "wn18rr"),
)
NAMES = tuple(sorted((*SHIPPED, *LARGE)))
SHA = "0123456789abcdef" * 4
CARD = f"""
name = "toy"
title = "A toy"
source = "nobody"
paper = "none"
licence = "none needed"
entities = 3
relations = 2
labelled = ["test"]

[train]
lines = 2
sha256 = "{SHA}"
installed = {{ distribution = "carrier", file = "carrier/toy/train.txt" }}

[[train.download]]
url = "https://example.org/toy.tar.gz"
sha256 = "{SHA[::-1]}"
member = "train.txt"
transform = "crlf-to-lf"

[[train.download]]
url = "https://example.org/train.txt"
sha256 = "{SHA}"

[valid]
lines = 1
sha256 = "{SHA}"

[test]
lines = 1
sha256 = "{SHA}"
"""


def wrote(folder: Path, text: str, name: str = "toy.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        DatasetCard.read(path)
    return str(caught.value)


def test_every_published_set_has_a_card() -> None:
    assert tuple(cards()) == NAMES


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_pin_every_address_they_give(name: str) -> None:
    card = DatasetCard.read(cards()[name])
    for split in SPLITS:
        downloads = card.splits[split].downloads
        assert bool(downloads) is (card.derived is None)
        for download in downloads:
            assert re.fullmatch(r"https://[^/]+/[^/]+/[^/]+/[0-9a-f]{40}/.+", download.url)
            if download.member is None and download.transform is None:
                assert download.sha256 == card.splits[split].sha256


@pytest.mark.parametrize("name", LARGE)
def test_large_sets_are_pinned_as_far_as_their_publisher_lets(name: str) -> None:
    card = DatasetCard.read(cards()[name])
    if card.archive:
        # OGB publishes no checksum: the card has none, rather than one of its own.
        assert card.archive.sha256 is None
        assert card.archive.url.startswith("https://snap.stanford.edu/ogb/data/linkproppred/")
        return
    for split in SPLITS:
        (download,) = card.splits[split].downloads
        assert re.fullmatch(r"https://.+/resolve/[0-9a-f]{40}/[^/]+\.tar\.gz", download.url)
        assert download.member is not None


def manifest() -> dict[str, Any]:
    """What the folders in DANS_DATASETS say of themselves, where they do."""
    for folder in os.environ.get("DANS_DATASETS", "").split(os.pathsep):
        path = Path(folder, "manifest.json")
        if folder and path.is_file():
            triples: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return {**triples["datasets"], **triples["derived_not_shipped"]}
    pytest.skip("no folder named in DANS_DATASETS holds a manifest.json")


def test_cards_agree_with_the_manifest_of_the_files() -> None:
    known = manifest()
    assert sorted(known) == list(SHIPPED)
    for name, triples in known.items():
        card = DatasetCard.read(cards()[name])
        assert (card.entities, card.relations) == (triples["entities"], triples["relations"])
        assert (card.derived.parent if card.derived else None) == triples.get("made_from")
        for split in SPLITS:
            file, stated = card.splits[split], triples["splits"][split]
            assert (file.lines, file.sha256) == (stated["lines"], stated["tsv_sha256"])
            assert (split in card.labelled) is (stated.get("columns") == 4)
            pinned = {
                upstream["url"]: upstream["sha256"] for upstream in triples.get("upstream", [])
            }
            for download in file.downloads:
                assert pinned[download.url] == download.sha256


def test_a_card_gives_all_it_says(tmp_path: Path) -> None:
    card = DatasetCard.read(wrote(tmp_path, CARD))
    assert (card.name, card.title, card.entities, card.relations) == ("toy", "A toy", 3, 2)
    assert (card.source, card.paper, card.licence) == ("nobody", "none", "none needed")
    assert (card.labelled, card.derived, card.path) == (("test",), None, tmp_path / "toy.toml")
    train = card.splits["train"]
    assert (train.lines, train.sha256) == (2, SHA)
    assert train.installed == Installed("carrier", "carrier/toy/train.txt")
    assert train.downloads == (
        Download("https://example.org/toy.tar.gz", SHA[::-1], "train.txt", "crlf-to-lf"),
        Download("https://example.org/train.txt", SHA),
    )
    assert card.splits["test"].downloads == ()


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('title = "A toy"', 'titel = "A toy"', "titel: unknown option; known: name, title"),
        ('title = "A toy"', "", "title: missing"),
        ("[valid]\nlines", "[valid]\nline = 1\nlines", "valid.line: unknown option; known: lines,"),
        ('member = "train.txt"', 'file = "train.txt"', "train.download.0.file: unknown option"),
        ('file = "carrier', 'path = "", file = "carrier', "train.installed.path: unknown option"),
        ('member = "', 'member = "../', "train.download.0.member: expected a path such as"),
        ('file = "carrier', 'file = "../carrier', "train.installed.file: expected a path such as"),
        ("relations = 2\n", 'relations = 2\nderived = {from = "x"}\n', "derived.rule: missing"),
        (
            "relations = 2\n",
            'relations = 2\nderived = {from = "x", rule = "all"}\n',
            "derived.rule: known: drop-unseen; got 'all'",
        ),
        ("entities = 3", "entities = 3.0", "entities: expected a whole number, got 3.0"),
        ("entities = 3", "entities = true", "entities: expected a whole number"),
        ("lines = 2", "lines = 0", "train.lines: expected at least 1, got 0"),
        ('paper = "none"', 'paper = " "', "paper: expected a text"),
        ('paper = "none"', "paper = 7", "paper: expected a text, got 7"),
        (
            f'[valid]\nlines = 1\nsha256 = "{SHA}"\n',
            "[valid]\nlines = 1\n",
            "valid.sha256: missing",
        ),
        (
            "relations = 2\n",
            'relations = 2\narchive = {format = "ogb", url = "https://x/y.zip", bytes = 9}\n',
            "train: its file is in the archive; leave out all else",
        ),
        (f'sha256 = "{SHA}"', 'sha256 = "abc"', "train.sha256: expected 64 hexadecimal digits"),
        (f'sha256 = "{SHA}"', f'sha256 = "{SHA.upper()}"', "train.sha256: expected 64 hexadecimal"),
        ("https://example.org/train", "file:///train", "train.download.1.url: expected an"),
        ('"crlf-to-lf"', '"unzip"', "train.download.0.transform: known: crlf-to-lf; got 'unzip'"),
        ('["test"]', '["dev"]', "labelled.0: known: train, valid, test; got 'dev'"),
        ('["test"]', '"test"', "labelled: expected a list, got 'test'"),
        ("[valid]\n", "[valid]\ndownload = 1\n", "valid.download: expected a list, got 1"),
        ("[valid]\n", "[valid]\ndownload = [1]\n", "valid.download.0: expected a section, got 1"),
        (f'[valid]\nlines = 1\nsha256 = "{SHA}"\n', "", "valid: missing"),
        ("relations = 2\n", "relations = 2\nderived = 1\n", "derived: expected a section, got 1"),
        (
            'name = "toy"',
            'name = "../toy"',
            "name: expected a name of a-z, 0-9, _ and -, got '../toy'",
        ),
        ('name = "toy"', 'name = "Toy"', "name: expected a name of a-z"),
        ('name = "toy"', 'name = "other"', "name: expected 'toy', as its file is called"),
    ],
)
def test_a_bad_card_is_refused_by_file_and_key(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    assert old in CARD
    path = wrote(tmp_path, CARD.replace(old, new, 1))
    assert refusal(path).startswith(f"{path}: {key}")


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    assert "not a TOML file" in refusal(wrote(tmp_path, "name = toy"))
    (tmp_path / "toy.toml").write_bytes(b'name = "\xf6"')
    assert "toy.toml:1: byte 9 of the line, 0xf6, is not UTF-8" in refusal(tmp_path / "toy.toml")
    assert "cannot be read" in refusal(tmp_path / "none.toml")


def test_a_card_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = wrote(tmp_path, CARD)
    for where in (path, str(path)):
        found = find_card(where)
        assert found is not None
        assert found.path == path
    named = find_card("umls")
    assert named is not None
    assert named.path == card_folder() / "umls.toml"


def test_a_folder_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "umls").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_card(tmp_path) is None
    assert find_card("./umls") is None
    assert find_card(Path("umls")) is None
    assert find_card("umls") is not None


@pytest.mark.parametrize("where", ["wn18", Path("wn18")])
def test_neither_card_nor_folder_is_refused_with_what_is_known(where: str | Path) -> None:
    with pytest.raises(
        InputError, match=r"neither a data set, a file nor a folder.*known: countries_s1, fb13"
    ):
        find_card(where)


def test_a_path_where_nothing_is_is_no_name_of_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text("")
    for where in ("peple.csv", "./peple.csv", Path("peple.csv")):
        with pytest.raises(
            InputError, match=r"peple.csv': no such file or folder; did you mean 'people.csv'\?$"
        ):
            find_card(where)
    with pytest.raises(InputError, match=r"/peple.csv': no .*; did you mean '.*/people.csv'\?$"):
        find_card(tmp_path / "peple.csv")
    with pytest.raises(InputError, match=r"'../umls': no such file or folder$"):
        find_card("../umls")
    with pytest.raises(InputError, match="no such file or folder; 'nowhere/at' is no folder that"):
        find_card("nowhere/at/all")
    with pytest.raises(InputError, match=r"'https://x/y.csv': URLs are not read; download the"):
        find_card("https://x/y.csv")


def test_an_unknown_name_is_refused_with_one_like_it() -> None:
    with pytest.raises(InputError, match=r"'ulms': neither .*; did you mean umls"):
        find_card("ulms")


def test_an_installed_package_carries_its_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dans" / "data" / "cards").mkdir(parents=True)
    (tmp_path / "datasets").mkdir()
    path = wrote(tmp_path / "dans" / "data" / "cards", CARD)
    monkeypatch.setattr(dans.data.cards, "__file__", str(tmp_path / "dans" / "data" / "cards.py"))
    assert cards() == {"toy": path}
