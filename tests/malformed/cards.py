"""Cards that cannot be read, or that say of a data set what it is not."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.malformed.case import Case, Content

FETCH = "fetch_datasets.py cards/toy.toml"
HERE = "cards/toy.toml: "
SHA = "0" * 64
ASKED = f'url = "https://x.org/toy.txt", sha256 = "{SHA}"'


def swap(old: str, new: str) -> Callable[[Path], None]:
    """Put something else into the card, once."""

    def change(world: Path) -> None:
        path = world / "cards/toy.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def toy(name: str, old: str, new: str, *words: str) -> Case:
    return Case(name, FETCH, HERE, *words, change=swap(old, new))


def add(name: str, text: str, *words: str) -> Case:
    """A further line in the section of train."""
    return toy(name, "[train]\n", f"[train]\n{text}\n", *words)


def hidden(world: Path) -> None:
    """No files to be found, so that the card's addresses are tried."""
    for path in (world / "data/toy").iterdir():
        path.unlink()


def named(card: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(world: Path) -> None:
        hidden(world)
        card(world)

    return change


def truth(split: str, text: str) -> Callable[[Path], None]:
    """Another file, which the card names by its digest."""

    def change(world: Path) -> None:
        file, path = world / f"data/toy/{split}.tsv", world / "cards/toy.toml"
        before = hashlib.sha256(file.read_bytes()).hexdigest()
        file.write_text(text)
        after = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(path.read_text().replace(before, after))

    return change


def whole(name: str, content: Content, *words: str) -> Case:
    return Case(name, FETCH, "cards/toy.toml", *words, files={"cards/toy.toml": content})


CASES = [
    Case("no such card", "fetch_datasets.py umsl", "'umsl'", "did you mean umls?", "known: "),
    Case("a name that climbs", "fetch_datasets.py ../umls", "'../umls'", "known: "),
    Case("no such file", "fetch_datasets.py cards/tiy.toml", "cards/tiy.toml: cannot be read"),
    Case(
        "a folder called .toml",
        "fetch_datasets.py cards/x.toml",
        "cards/x.toml: cannot be read",
        files={"cards/x.toml/y": ""},
    ),
    whole("empty card", b"", "name: missing"),
    whole("a card of brackets", "name = " + "[" * 9999, "not a TOML file"),
    toy(
        "a key of two lines", "= 7", '= 7\n"a\\nb\\u001b[31m" = 5', "a\\nb\\x1b[31m: unknown option"
    ),
    toy("key twice", 'title = "toy"', 'title = "toy"\ntitle = "toy"', "not a TOML file", "line"),
    toy("digest missing", "sha256", "#", "train.sha256: missing"),
    toy("split missing", "[valid]", "[other]", "other: unknown option", "known: name, title"),
    toy("name of another file", 'name = "toy"', 'name = "tea"', "name: expected 'toy'", "'tea'"),
    toy("name that climbs", 'name = "toy"', 'name = "../toy"', "name: expected a name of a-z"),
    toy("no entities", "entities = 7", "entities = 0", "entities: expected at least 1, got 0"),
    toy("digest too short", 'sha256 = "', 'sha256 = "ab"#', "train.sha256: expected 64 hex"),
    Case(
        "labelled, but has no labels",
        FETCH,
        "valid.tsv:1: found 3 columns, expected 4",
        "label",
        change=swap("relations = 3", 'relations = 3\nlabelled = ["valid"]'),
    ),
    add(
        "download of texts", 'download = ["https://x.org"]', "train.download.0: expected a section"
    ),
    add(
        "address of a file",
        f"download = [{{ {ASKED.replace('https', 'file')} }}]",
        "train.download.0.url: expected an address that starts with https://",
    ),
    add(
        "unknown transform",
        f'download = [{{ {ASKED}, transform = "rot13" }}]',
        "train.download.0.transform: known: crlf-to-lf; got 'rot13'",
    ),
    add(
        "member that climbs",
        f'download = [{{ {ASKED}, member = "../train.txt" }}]',
        "train.download.0.member: expected a",
    ),
    add(
        "file of a distribution that climbs",
        'installed = { distribution = "pykeen", file = "../../etc/passwd" }',
        "train.installed.file: expected a",
    ),
    toy(
        "derived by an unknown rule",
        "relations = 3",
        'relations = 3\nderived = { from = "umls", rule = "magic" }',
        "derived.rule: known: drop-unseen; got 'magic'",
    ),
    Case(
        "derived from no data set",
        FETCH,
        "derived.from: no such data set",
        "known: ",
        change=named(
            swap(
                "relations = 3", 'relations = 3\nderived = { from = "umsl", rule = "drop-unseen" }'
            )
        ),
    ),
    toy("more entities than there are", "entities = 7", "entities = 8", "entities = 8", "hold 7"),
    toy("other lines than there are", "lines = 30", "lines = 31", "train.lines = 31", "hold 30"),
    Case(
        "a file of another digest",
        FETCH,
        "data/toy/test.tsv: not the file",
        "expected",
        files={"data/toy/test.tsv": "e2\tr0\te6\n"},
    ),
    Case(
        "a file that the card names, and is none",
        FETCH,
        "data/toy/test.tsv:1: found 2 columns",
        change=truth("test", "e2\tr0\n"),
    ),
    Case(
        "a file in no folder, and no address",
        FETCH,
        "toy: the train split is not on this machine",
        "DANS_DATASETS",
        change=hidden,
    ),
    Case(
        "all lines of train denied",
        "inspect_sampler.py --dataset labelled.toml --sampler uniform",
        "train",
        "expected at least one line labelled 1",
        change=lambda world: deny(world),
    ),
    Case(
        "listed, a card that is none",
        "fetch_datasets.py --list cards/toy.toml",
        HERE,
        "not a TOML file",
        files={"cards/toy.toml": "{}"},
    ),
]


def deny(world: Path) -> None:
    """Label train too, and every line of it false."""
    card, path = world / "labelled.toml", world / "data/labelled/train.tsv"
    before = path.read_bytes()
    after = before.replace(b"\n", b"\t-1\n")
    path.write_bytes(after)
    text = card.read_text().replace('labelled = ["valid"', 'labelled = ["train", "valid"')
    old, new = (hashlib.sha256(data).hexdigest() for data in (before, after))
    card.write_text(text.replace(old, new))
