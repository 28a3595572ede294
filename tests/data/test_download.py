import errno
import gzip
import io
import logging
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

import dans.data.cards
from dans.data import download
from dans.data.cards import DatasetCard, cards
from dans.data.download import cache_folder, fetch, sha256, whereabouts
from dans.data.readers import SPLITS, Split
from dans.errors import InputError
from tests.suites.mirror import Mirror, digest, serving

TEXTS: dict[Split, bytes] = {
    "train": b"ada\tknows\tbob\nbob\tlikes\ttea\n",
    "valid": b"ada\tlikes\ttea\ncat\tlikes\tbob\n",
    "test": b"bob\tknows\tcat\nbob\tknows\tada\n",
}


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no folders, no cards but the test's own, and retries without waiting."""
    monkeypatch.setenv("DANS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DANS_DATASETS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "cards").mkdir()
    monkeypatch.setattr(dans.data.cards, "card_folder", lambda: tmp_path / "cards")


def card(tmp_path: Path, extra: str = "", name: str = "toy", **splits: str) -> DatasetCard:
    """The card of the texts above; ``splits`` adds lines to the section of a split."""
    text = f'name = "{name}"\ntitle = "t"\nsource = "s"\npaper = "p"\nlicence = "l"\n'
    text += f"entities = 4\nrelations = 2\n{extra}\n"
    for split in SPLITS:
        text += (
            f'[{split}]\nlines = 2\nsha256 = "{digest(TEXTS[split])}"\n{splits.get(split, "")}\n'
        )
    path = tmp_path / "cards" / f"{name}.toml"
    path.write_text(text)
    return DatasetCard.read(path)


def shelve(folder: Path, name: str = "toy", suffix: str = ".tsv", *splits: Split) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for split in splits or SPLITS:
        data = TEXTS[split]
        packed = gzip.compress(data) if suffix.endswith(".gz") else data
        (folder / name / f"{split}{suffix}").write_bytes(packed)
    return folder


#: Puts the toy into a folder that DANS_DATASETS names; arguments as those of `shelve`.
Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    def give(*args: Any) -> Path:
        monkeypatch.setenv("DANS_DATASETS", str(tmp_path / "data"))
        return shelve(tmp_path / "data", *args)

    return give


def contents(files: dict[Split, Path]) -> dict[Split, bytes]:
    return {
        split: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for split, path in files.items()
    }


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as mirror:
        yield mirror


def offered(mirror: Mirror) -> dict[str, str]:
    """Every split of the toy as a plain download."""
    return {
        split: f"download = [{mirror.offer(f'/{split}.txt', TEXTS[split])}]" for split in SPLITS
    }


@pytest.mark.parametrize("suffix", [".tsv", ".txt", ".tsv.gz", ".txt.gz"])
def test_files_are_found_in_the_folders_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    (tmp_path / "empty").mkdir()
    folder = shelve(tmp_path / "data", "toy", suffix)
    monkeypatch.setenv("DANS_DATASETS", f"{tmp_path / 'empty'}{os.pathsep}{folder}")
    files = fetch(card(tmp_path))
    assert files == {split: folder / "toy" / f"{split}{suffix}" for split in SPLITS}
    assert whereabouts(card(tmp_path)) == str(folder)
    assert not cache_folder().exists()


def test_the_first_folder_that_has_a_file_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shelve(tmp_path / "first", "toy", ".tsv", "train")
    second = shelve(tmp_path / "second")
    monkeypatch.setenv("DANS_DATASETS", f"{first}{os.pathsep}{second}")
    files = fetch(card(tmp_path))
    assert files["train"].is_relative_to(first)
    assert files["valid"].is_relative_to(second)


def test_another_file_in_a_folder_is_an_error_with_both_digests(
    tmp_path: Path, put: Put, mirror: Mirror
) -> None:
    other = TEXTS["valid"] + b"\n"
    path = put() / "toy" / "valid.tsv"
    path.write_bytes(other)
    with pytest.raises(InputError) as caught:
        fetch(card(tmp_path, **offered(mirror)))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert digest(other) in message
    assert digest(TEXTS["valid"]) in message
    assert path.exists()
    assert not mirror.requested
    assert whereabouts(card(tmp_path)) == message


def test_a_folder_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANS_DATASETS", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"DANS_DATASETS: .*nowhere: no such folder"):
        fetch(card(tmp_path))


def test_two_files_for_one_split_are_an_error(tmp_path: Path, put: Put) -> None:
    put()
    put("toy", ".txt.gz", "test")
    with pytest.raises(InputError, match=r"test\.tsv and test\.txt\.gz both"):
        fetch(card(tmp_path))


def test_a_damaged_archive_in_a_folder_is_an_error(tmp_path: Path, put: Put) -> None:
    path = put("toy", ".tsv.gz") / "toy" / "train.tsv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"train.tsv.gz: cannot be read"):
        fetch(card(tmp_path))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A distribution that carries the toy and cannot be imported."""
    shelve(folder / "carrier", "toy", ".txt")
    (folder / "carrier" / "__init__.py").write_text("raise RuntimeError('imported')")
    metadata = folder / "carrier-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.2\n")
    listed = "".join(f"carrier/toy/{split}.txt,,\n" for split in SPLITS)
    (metadata / "RECORD").write_text(listed)
    monkeypatch.syspath_prepend(folder)
    return {
        split: f'installed = {{ distribution = "carrier", file = "carrier/toy/{split}.txt" }}'
        for split in SPLITS
    }


def test_files_are_read_from_a_distribution_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = card(tmp_path, **install(tmp_path / "site", monkeypatch))
    assert whereabouts(toy) == "carrier 1.2"
    assert contents(fetch(toy)) == TEXTS


def test_folders_come_before_distributions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Put
) -> None:
    toy = card(tmp_path, **install(tmp_path / "site", monkeypatch))
    folder = put("toy", ".tsv", "valid")
    files = fetch(toy)
    assert files["valid"].is_relative_to(folder)
    assert files["train"].is_relative_to(tmp_path / "site")


def test_a_distribution_with_other_files_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: Mirror
) -> None:
    sections = install(tmp_path / "site", monkeypatch)
    (tmp_path / "site" / "carrier" / "toy" / "test.txt").write_bytes(b"another\trelease\there\n")
    downloads = offered(mirror)
    toy = card(tmp_path, **{split: f"{sections[split]}\n{downloads[split]}" for split in SPLITS})
    assert contents(fetch(toy)) == TEXTS
    assert mirror.requested == ["/test.txt"]


@pytest.mark.parametrize("name", ["umls", "nations", "kinship"])
def test_pykeen_carries_three_sets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        distribution("pykeen")
    except PackageNotFoundError:
        pytest.skip("PyKEEN is not installed")
    monkeypatch.undo()
    path = cards()[name]
    monkeypatch.delenv("DANS_DATASETS", raising=False)
    monkeypatch.setenv("DANS_CACHE", os.devnull)
    found = DatasetCard.read(path)
    assert whereabouts(found).startswith("pykeen ")
    for split, file in fetch(found).items():
        assert "pykeen" in file.parts
        assert sha256(file) == found.splits[split].sha256


def test_downloads_are_verified_and_kept(tmp_path: Path, mirror: Mirror) -> None:
    toy = card(tmp_path, **offered(mirror))
    assert whereabouts(toy) == "download"
    assert not mirror.requested
    files = fetch(toy)
    assert contents(files) == TEXTS
    assert files["train"] == tmp_path / "cache" / "toy" / "train.tsv"
    assert whereabouts(toy) == "cache"
    assert fetch(toy) == files
    assert mirror.requested == ["/train.txt", "/valid.txt", "/test.txt"]


def test_the_cache_comes_before_the_folders(tmp_path: Path, mirror: Mirror, put: Put) -> None:
    toy = card(tmp_path, **offered(mirror))
    files = fetch(toy)
    put()
    assert fetch(toy) == files


def test_a_damaged_cache_is_replaced_with_a_warning(
    tmp_path: Path, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    toy = card(tmp_path, **offered(mirror))
    path = fetch(toy)["valid"]
    path.write_bytes(TEXTS["train"])
    with caplog.at_level(logging.WARNING):
        assert contents(fetch(toy)) == TEXTS
    assert str(path) in caplog.text
    assert mirror.requested[3:] == ["/valid.txt"]


def test_a_failing_server_is_tried_again(tmp_path: Path, mirror: Mirror) -> None:
    toy = card(tmp_path, **offered(mirror))
    mirror.failures = 1
    assert contents(fetch(toy)) == TEXTS
    assert mirror.requested[:2] == ["/train.txt", "/train.txt"]


def test_the_next_address_is_tried_when_one_fails(tmp_path: Path, mirror: Mirror) -> None:
    sections = offered(mirror)
    gone = f'{{ url = "{mirror.url}/gone", sha256 = "{digest(b"")}" }}'
    sections["train"] = sections["train"].replace("[", f"[{gone}, ")
    assert contents(fetch(card(tmp_path, **sections))) == TEXTS
    assert "/gone" in mirror.requested


def test_a_download_with_a_wrong_checksum_is_deleted_and_reported(
    tmp_path: Path, mirror: Mirror
) -> None:
    sections = offered(mirror)
    bad = mirror.offer("/bad.txt", b"something else\n", claimed=TEXTS["train"])
    sections["train"] = f"download = [{bad}]"
    with pytest.raises(InputError) as caught:
        fetch(card(tmp_path, **sections))
    message = str(caught.value)
    assert "toy: the train split" in message
    assert f"{mirror.url}/bad.txt" in message
    assert digest(b"something else\n") in message
    assert digest(TEXTS["train"]) in message
    assert "\n" not in message
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_download_that_is_not_the_split_is_reported(tmp_path: Path, mirror: Mirror) -> None:
    sections = offered(mirror)
    sections["train"] = f"download = [{mirror.offer('/other.txt', TEXTS['test'])}]"
    with pytest.raises(InputError, match=f"other.txt gives {digest(TEXTS['test'])}"):
        fetch(card(tmp_path, **sections))
    assert not (tmp_path / "cache" / "toy").exists()


def test_no_connection_is_one_sentence(tmp_path: Path, mirror: Mirror) -> None:
    sections = offered(mirror)
    mirror.server.socket.close()
    with pytest.raises(
        InputError, match=r"train\.txt failed \(no connection\); put it at toy/train"
    ):
        fetch(card(tmp_path, **sections))


def test_no_address_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"its card names no address; put it at toy/train.tsv in"):
        fetch(card(tmp_path))


def test_line_ends_are_changed_where_the_card_says_so(tmp_path: Path, mirror: Mirror) -> None:
    dos = {split: text.replace(b"\n", b"\r\n") for split, text in TEXTS.items()}
    sections = {
        split: "download = [" + mirror.offer(f"/{split}", data, ', transform = "crlf-to-lf"') + "]"
        for split, data in dos.items()
    }
    assert contents(fetch(card(tmp_path, **sections))) == TEXTS


def packed(prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for split, data in TEXTS.items():
            info = tarfile.TarInfo(f"{prefix}{split}.txt")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        decoy = tarfile.TarInfo("../train.txt")
        decoy.size = 5
        archive.addfile(decoy, io.BytesIO(b"decoy"))
    return buffer.getvalue()


@pytest.mark.parametrize("prefix", ["", "./"])
def test_members_are_read_from_one_archive_and_never_unpacked(
    tmp_path: Path, mirror: Mirror, prefix: str
) -> None:
    data = packed(prefix)
    sections = {
        split: "download = [" + mirror.offer("/toy.tar.gz", data, f', member = "{split}.txt"') + "]"
        for split in SPLITS
    }
    assert contents(fetch(card(tmp_path, **sections))) == TEXTS
    assert mirror.requested == ["/toy.tar.gz"]
    assert not list(tmp_path.rglob("*.txt"))


@pytest.mark.parametrize(
    ("data", "why"), [(packed(), "the archive has no member train.tsv"), (b"plain", "not a gzip")]
)
def test_an_archive_without_the_member_is_reported(
    tmp_path: Path, mirror: Mirror, data: bytes, why: str
) -> None:
    address = mirror.offer("/toy.tar.gz", data, ', member = "train.tsv"')
    with pytest.raises(InputError, match=why):
        fetch(card(tmp_path, train=f"download = [{address}]"))


DERIVED: dict[Split, bytes] = {"valid": b"ada\tlikes\ttea\n", "test": b"bob\tknows\tada\n"}


def child(tmp_path: Path, valid: bytes = DERIVED["valid"], parent: str = "toy") -> DatasetCard:
    made = card(tmp_path, f'derived = {{ from = "{parent}", rule = "drop-unseen" }}', "child").path
    text = made.read_text()
    text = text.replace(digest(TEXTS["valid"]), digest(valid))
    text = text.replace(digest(TEXTS["test"]), digest(DERIVED["test"]))
    made.write_text(text)
    return DatasetCard.read(made)


def test_derived_sets_drop_lines_with_an_unseen_entity(tmp_path: Path, put: Put) -> None:
    folder = put("toy", ".tsv.gz")
    card(tmp_path)
    derived = child(tmp_path)
    assert whereabouts(derived) == f"derived from toy ({folder})"
    files = fetch(derived)
    assert contents(files) == {"train": TEXTS["train"], **DERIVED}
    assert files["train"] == folder / "toy" / "train.tsv.gz"
    assert files["valid"] == tmp_path / "cache" / "child" / "valid.tsv"


def test_derived_sets_download_their_parent(tmp_path: Path, mirror: Mirror) -> None:
    card(tmp_path, **offered(mirror))
    derived = child(tmp_path)
    assert whereabouts(derived) == "derived from toy (download)"
    assert contents(fetch(derived)) == {"train": TEXTS["train"], **DERIVED}


def test_sets_that_are_derived_from_each_other_are_an_error(tmp_path: Path) -> None:
    one = card(tmp_path, 'derived = { from = "two", rule = "drop-unseen" }', "one")
    card(tmp_path, 'derived = { from = "one", rule = "drop-unseen" }', "two")
    why = r"{}\.toml: derived\.from: expected a data set that is not derived itself, got {}"
    with pytest.raises(InputError, match=why.format("one", "two")):
        fetch(one)
    with pytest.raises(InputError, match=why.format("three", "three")):
        fetch(card(tmp_path, 'derived = { from = "three", rule = "drop-unseen" }', "three"))
    assert "not derived itself, got two" in whereabouts(one)


def test_a_derived_set_that_misses_its_checksum_is_an_error(tmp_path: Path, put: Put) -> None:
    put()
    card(tmp_path)
    with pytest.raises(InputError, match=r"child\.toml: valid\.sha256 = .* gives"):
        fetch(child(tmp_path, valid=b"other"))
    assert not (tmp_path / "cache" / "child" / "valid.tsv").exists()


def test_a_cache_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Put
) -> None:
    monkeypatch.setenv("DANS_CACHE", str(put() / "toy" / "train.tsv"))
    card(tmp_path)
    with pytest.raises(InputError, match=r"cannot be written: .*; DANS_CACHE names another folder"):
        fetch(child(tmp_path))


def test_a_derived_set_without_a_parent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"derived\.from: no such data set; known: child"):
        fetch(child(tmp_path, parent="nobody"))


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DANS_CACHE")
    assert "dans" in cache_folder().parts


def from_mirror(tmp_path: Path, mirror: Mirror, options: str = "") -> DatasetCard:
    """The toy, with train at an address whose bytes are those of no file."""
    source = f'{{ url = "{mirror.url}/body", sha256 = "{digest(b"")}"{options} }}'
    return card(tmp_path, **{**offered(mirror), "train": f"download = [{source}]"})


def test_a_body_that_does_not_end_is_cut(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MOST_BYTES", 3 * 2**20)
    sent = []

    def endless(write: Callable[[bytes], object]) -> None:
        while True:
            write(b"x" * 2**16)
            sent.append(2**16)

    mirror.streams["/body"] = endless
    for options, most in (("", 3 * 2**20), (", bytes = 1000", 1000)):
        with pytest.raises(InputError, match=f"more than {most} bytes"):
            fetch(from_mirror(tmp_path, mirror, options))
    assert not cache_folder().exists()
    assert mirror.requested == ["/body"] * 2, "not tried again"
    assert sum(sent) < 2**25


def test_a_body_that_stops_or_trickles_is_given_up(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SILENCE", 0.5)
    wait = threading.Event()

    def trickling(write: Callable[[bytes], object]) -> None:
        while not wait.wait(0.1):
            write(b"x")

    def dripping(write: Callable[[bytes], object]) -> None:
        write(b"x" * 2**20)
        for _ in range(50):
            if not wait.wait(0.1):
                write(b"x")

    bodies = [
        ("less than 1024 bytes", trickling),
        ("less than 1024 bytes", dripping),
        ("broke off", lambda _: wait.wait(10)),
    ]
    try:
        for reason, body in bodies:
            mirror.streams["/body"] = body
            with pytest.raises(InputError, match=reason):
                fetch(from_mirror(tmp_path, mirror))
    finally:
        wait.set()
    assert not cache_folder().exists()


def test_a_long_download_says_how_far_it_is_where_there_is_no_terminal(
    tmp_path: Path,
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(download, "EVERY", 0.0)
    with caplog.at_level(logging.INFO):
        fetch(card(tmp_path, **offered(mirror)))
    size = len(TEXTS["train"])
    assert f"{mirror.url}/train.txt: {size} B so far" in caplog.text


def test_what_killed_downloads_left_is_removed(tmp_path: Path, mirror: Mirror) -> None:
    left = [
        cache_folder() / "downloads" / "abc-toy.txt.4000000000.part",
        cache_folder() / "toy" / "train.tsv.4000000000.part",
    ]
    alive = cache_folder() / "downloads" / f"other.{os.getpid()}.part"
    for path in (*left, alive):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    fetch(card(tmp_path, **offered(mirror)))
    assert not any(path.exists() for path in left)
    assert alive.exists()


def test_a_full_disk_is_named(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Iterator[bytes]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield b""

    monkeypatch.setattr(download, "_received", full)
    with pytest.raises(InputError, match=r"No space left on device"):
        fetch(card(tmp_path, **offered(mirror)))
