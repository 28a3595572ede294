"""Cards that cannot be read, or that say of a data set what it is not."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.malformed.case import Case

FETCH = "fetch_datasets.py cards/toy.toml"
HERE = "cards/toy.toml: "


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


CASES = [
    Case("no such card", "fetch_datasets.py umsl", "'umsl'", "did you mean umls?", "known: "),
    Case(
        "a folder called .toml",
        "fetch_datasets.py cards/x.toml",
        "cards/x.toml: cannot be read",
        files={"cards/x.toml/y": ""},
    ),
    toy(
        "a key of two lines", "= 7", '= 7\n"a\\nb\\u001b[31m" = 5', "a\\nb\\x1b[31m: unknown option"
    ),
    toy("key twice", 'title = "toy"', 'title = "toy"\ntitle = "toy"', "not a TOML file", "line"),
    toy("no entities", "entities = 7", "entities = 0", "entities: expected at least 1, got 0"),
    Case(
        "labelled, but has no labels",
        FETCH,
        "valid.tsv:1: found 3 columns, expected 4",
        "label",
        change=swap("relations = 3", 'relations = 3\nlabelled = ["valid"]'),
    ),
    toy("more entities than there are", "entities = 7", "entities = 8", "entities = 8", "hold 7"),
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
