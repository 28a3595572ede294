"""A data set whose lines are labelled, small enough to train on in a test."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

CARD = """name = "{name}"
title = "labelled toy"
source = "made here"
paper = "none"
licence = "none"
entities = 16
relations = 2
labelled = [{labelled}]
"""

RECIPE = """
data = "{data}"
encoder = {{ name = "lookup", dim = 8 }}
decoder = {{ name = "distmult", bound = 5.0, shift = -0.5 }}
loss = "logistic"
[[sampler]]
name = "uniform"
k = 2
[train]
steps = 60
batch = 40
lr = 0.05
validate_every = 20
threads = 1
"""


def triples() -> dict[str, list[tuple[str, bool]]]:
    """Lines of three splits: r0 holds between equal parities, r1 between equal halves."""
    pairs = [
        (f"e{i}\tr{r}\te{j}", (i % 2 == j % 2, i // 8 == j // 8)[r])
        for i in range(16)
        for j in range(16)
        for r in range(2)
    ]
    # By a stride that meets all lines: the splits are mixed, and no random draw is needed.
    mixed = [pairs[(i * 211) % len(pairs)] for i in range(len(pairs))]
    return {
        "train": [line for line in mixed[:300] if line[1]],
        "valid": mixed[300:400],
        "test": mixed[400:],
    }


def labelled_recipe(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, labelled: Sequence[str] = ("valid", "test")
) -> Path:
    """A card with its files, found through ``DANS_DATASETS``, and a recipe that names the card."""
    name = "labelled"
    files = folder / "datasets" / name
    files.mkdir(parents=True)
    quoted = ", ".join(f'"{split}"' for split in labelled)
    card = CARD.format(name=name, labelled=quoted)
    for split, lines in triples().items():
        some = [
            f"{text}\t{1 if holds else -1}" if split in labelled else text
            for text, holds in lines
            if holds or split in labelled
        ]
        text = "".join(f"{line}\n" for line in some)
        (files / f"{split}.tsv").write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        card += f'[{split}]\nlines = {len(some)}\nsha256 = "{digest}"\n'
    (folder / f"{name}.toml").write_text(card)
    monkeypatch.setenv("DANS_DATASETS", str(folder / "datasets"))
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(data=folder / f"{name}.toml"))
    return recipe
