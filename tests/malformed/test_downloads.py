"""Downloads and archives that are not what their card says: reported, and nothing left of them."""

import io
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dans.data.cards import DatasetCard
from dans.data.download import fetch as find
from dans.errors import InputError
from tests.malformed.case import tree
from tests.malformed.world import TRIPLES, toy_card
from tests.processes import run
from tests.suites.mirror import Mirror, digest, serving

TRAIN = TRIPLES["train"].encode()


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with serving() as mirror:
        yield mirror


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A .tar.gz archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as file:
        for info, data in members:
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, data: bytes = TRAIN, kind: bytes = tarfile.REGTYPE, to: str = "") -> bytes:
    """An archive of one member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return archive((info, data if kind == tarfile.REGTYPE else b""))


def renamed() -> bytes:
    """A member whose extended header gives it a name that climbs."""
    info = tarfile.TarInfo("train.txt")
    info.pax_headers = {"path": "../../../escaped.txt"}
    return archive((info, TRAIN))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../escaped.txt", "out")
        file.writestr("train.txt", TRAIN)
    return buffer.getvalue()


GOOD = member("train.txt")
NO_MEMBER = "the archive has no member train.txt"

#: What is downloaded whole, with the checksum its card names, and is of no use; and why.
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "failed ("),
    "a zip": (zipped(), "failed (not a gzip"),
    "an empty archive": (archive(), NO_MEMBER),
    "an archive with flipped bits": (GOOD[:60] + bytes([GOOD[60] ^ 255]) + GOOD[61:], "failed ("),
    "another member": (member("test.txt"), NO_MEMBER),
    "an absolute name": (member("/train.txt"), NO_MEMBER),
    "a name that climbs": (member("../train.txt"), NO_MEMBER),
    "a name that climbs in its extended header": (renamed(), NO_MEMBER),
    "a folder": (member("train.txt", kind=tarfile.DIRTYPE), NO_MEMBER),
    "a link to a file of the system": (
        member("train.txt", kind=tarfile.SYMTYPE, to="/etc/passwd"),
        NO_MEMBER,
    ),
    "a hard link": (member("train.txt", kind=tarfile.LNKTYPE, to="/etc/passwd"), NO_MEMBER),
    "a device": (member("train.txt", kind=tarfile.CHRTYPE), NO_MEMBER),
    "a member of other bytes": (member("train.txt", b"e0\tr0\te1\n"), "train.sha256 = "),
    "an empty member": (member("train.txt", b""), "train.sha256 = "),
}

#: What is downloaded by its right checksum, as it is, and is another split.
PLAIN: dict[str, tuple[bytes, str]] = {
    "the lines of another split": (TRIPLES["test"].encode(), "train.sha256 = "),
    "CRLF for LF": (TRAIN.replace(b"\n", b"\r\n"), "train.sha256 = "),
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A card, and its files but for train."""
    here = tmp_path / "here"
    (here / "data/toy").mkdir(parents=True)
    (here / "cards").mkdir()
    for split in ("valid", "test"):
        (here / f"data/toy/{split}.tsv").write_text(TRIPLES[split])
    return here


def wait_for_nothing() -> None:
    """Ask an address again at once."""
    time.sleep = lambda seconds: None


def fetch(here: Path, download: str) -> str:
    """The script's one sentence on a card that names a download for train."""
    card = toy_card().replace("[train]\n", f"[train]\ndownload = [{download}]\n")
    (here / "cards/toy.toml").write_text(card)
    env = os.environ | {"DANS_DATASETS": "data", "DANS_CACHE": "cache", "NO_PROXY": "127.0.0.1"}
    done = run("fetch_datasets.py", "cards/toy.toml", cwd=here, env=env, before=wait_for_nothing)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", [*ARCHIVES, *PLAIN])
def test_what_is_of_no_use_is_reported_and_goes_nowhere(
    name: str, here: Path, mirror: Mirror
) -> None:
    packed = name in ARCHIVES
    data, why = ARCHIVES[name] if packed else PLAIN[name]
    option = ', member = "train.txt"' if packed else ""
    before = tree(here.parent)
    sentence = fetch(here, mirror.offer("/toy.tar.gz", data, option))
    assert f"{mirror.url}/toy.tar.gz" in sentence
    assert why in sentence
    assert len(sentence) < 1000
    after = tree(here.parent)
    # An archive whose checksum is right is kept whole, for the other splits.
    kept = {f"here/cache/downloads/{digest(data)}-toy.tar.gz": data} if packed else {}
    new = {path: content for path, content in after.items() if path not in before}
    assert {path: content for path, content in new.items() if content != b"folder"} == (
        kept | {"here/cards/toy.toml": after["here/cards/toy.toml"]}
    )


@pytest.mark.parametrize(
    "path", ["/..", "/../../escaped.txt", "/%2e%2e/escaped", "/x?y=../../z", "/a\\..\\b", "/"]
)
def test_an_address_names_no_file_outside_the_cache(
    path: str, here: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANS_CACHE", str(here / "cache"))
    monkeypatch.setenv("DANS_DATASETS", str(here / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    download = mirror.offer(path, b"something", ', member = "train.txt"').replace("\\", "\\\\")
    card = toy_card().replace("[train]\n", f"[train]\ndownload = [{download}]\n")
    (here / "cards/toy.toml").write_text(card)
    before = tree(here.parent)
    with pytest.raises(InputError, match="the train split is not on this machine"):
        find(DatasetCard.read(here / "cards/toy.toml"))
    after = tree(here.parent)
    assert {name: after[name] for name in after if not name.startswith("here/cache")} == before


def test_an_address_steers_no_terminal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANS_CACHE", str(here / "cache"))
    monkeypatch.setenv("DANS_DATASETS", str(here / "data"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    address = f'{{ url = "https://x.invalid/\\u0000\\u001b[31m", sha256 = "{"0" * 64}" }}'
    card = toy_card().replace("[train]\n", f"[train]\ndownload = [{address}]\n")
    (here / "cards/toy.toml").write_text(card)
    with pytest.raises(InputError) as refused:
        find(DatasetCard.read(here / "cards/toy.toml"))
    assert "https://x.invalid/\\x00\\x1b[31m failed" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.slow
def test_an_interrupted_download_leaves_nothing_behind(here: Path, mirror: Mirror) -> None:
    cut = mirror.offer("/toy.txt", TRAIN[:40], claimed=TRAIN)
    assert digest(TRAIN) in fetch(here, cut)
    assert not (here / "cache").exists()
