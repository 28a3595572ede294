"""The small good world that every malformed input spoils; see ``tests.malformed.case``."""

import hashlib
import os
from pathlib import Path

from tests.processes import succeed
from tests.suites.labelled import CARD, triples

TRIPLES = {
    "train": "".join(f"e{i % 7}\tr{i % 3}\te{(i * i + 3) % 7}\n" for i in range(30)),
    "valid": "e0\tr0\te4\ne1\tr1\te5\n",
    "test": "e2\tr0\te6\ne3\tr2\te1\n",
}

RECIPE = """data = "triples"
loss = "logistic"

[encoder]
name = "lookup"
dim = 8

[decoder]
name = "distmult"

[[sampler]]
name = "uniform"
k = 3

[train]
steps = 2
batch = 10
validate_every = 2
threads = 1
"""


def card(texts: dict[str, str], head: str) -> str:
    """A card of some splits."""
    parts = [head]
    for split, text in texts.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        parts.append(f'\n[{split}]\nlines = {text.count(chr(10))}\nsha256 = "{digest}"\n')
    return "".join(parts)


def toy_card() -> str:
    """The card of the world's own triples."""
    head = 'name = "toy"\ntitle = "toy"\nsource = "made here"\npaper = "none"\nlicence = "none"\n'
    return card(TRIPLES, f"{head}entities = 7\nrelations = 3\n")


def labelled_texts() -> dict[str, str]:
    """The splits of the labelled set, as text."""
    return {
        split: "".join(
            f"{text}\n" if split == "train" else f"{text}\t{1 if holds else -1}\n"
            for text, holds in lines
        )
        for split, lines in triples().items()
    }


def make_world(world: Path) -> Path:
    """Fill a folder."""
    of_labelled = CARD.format(name="labelled", labelled='"valid", "test"')
    labelled = labelled_texts()
    folders = {"triples": TRIPLES, "data/toy": TRIPLES, "data/labelled": labelled}
    for folder, texts in folders.items():
        (world / folder).mkdir(parents=True)
        for split, text in texts.items():
            (world / folder / f"{split}.tsv").write_text(text)
    (world / "cards").mkdir()
    (world / "cards" / "toy.toml").write_text(toy_card())
    (world / "labelled.toml").write_text(card(labelled, of_labelled))
    (world / "own.toml").write_text(RECIPE)
    env = os.environ | {"DANS_DATASETS": "data", "DANS_CACHE": "cache"}
    for arguments in (
        ("pretrain_rgcn.py", "--recipe", "own.toml", "--out", "run"),
        (
            "pretrain_rgcn.py",
            "--recipe",
            "own.toml",
            "--out",
            "evaluated",
            "--set",
            "data=labelled.toml",
            "--set",
            "train.steps=60",
            "--set",
            "train.lr=0.1",
        ),
        ("evaluate.py", "evaluated"),
    ):
        succeed(*arguments, cwd=world, env=env)
    return world
