"""Triples of any source divided by a seed, as a folder of text files that can be trained on."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dans.config.writing import whole_folder
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.data.known_triples import triple_keys
from dans.data.query_index import first_rows
from dans.data.readers import first_without_line
from dans.data.sources import load
from dans.data.splitting import InverseLeakage, split_entities, split_triples
from dans.data.tensor_file import writing
from dans.errors import InputError, shown

log = logging.getLogger(__name__)

#: The folder, in that of an inductive split, of what training must not see.
UNSEEN = "unseen"

#: What a README says of the files of an inductive split.
INDUCTIVE = f"""\
Train on this folder: it has no triple of the entities that are held out. `{UNSEEN}/extra.txt` has
triples of theirs that are given at prediction time, `{UNSEEN}/test.txt` those to be predicted.
"""


def by_triples(
    data: str | Path,
    out: Path,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    *,
    seed: int = 0,
    inverse_leakage: InverseLeakage = "allow",
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Divide all triples of a source into train, valid and test, by `split_triples`.

    Args:
        data: what `load` takes; its own splits, if it has any, are put together first.
        out: a new folder, for ``train.txt``, ``valid.txt``, ``test.txt`` and ``README.md``.
        shares: of the triples.
        seed: of the order.
        inverse_leakage: as in `split_triples`.
        reading: how a table of triples is read, as by `load`: columns, delimiter, header, labelled.

    Returns:
        The rule, its numbers and counts, which stand in ``README.md``.
    """
    check_new(out)
    kg, triples = whole(data, **(reading or {}))
    sizes = kg.num_entities, kg.num_relations
    parts = split_triples(
        triples, sizes, shares, seed=seed, inverse_leakage=inverse_leakage, where=kg.name
    )
    about = {
        "rule": "triples drawn, each entity and relation with a triple in train",
        "seed": seed,
        "shares": dict(zip(SPLITS, shares, strict=True)),
        "inverse_leakage": inverse_leakage,
        "triples": {split: len(part) for split, part in parts.items()},
    }
    files = {f"{split}.txt": part for split, part in parts.items()}
    return write(out, kg, files, {"data": kg.name, **about}, "")


def by_entities(
    data: str | Path,
    out: Path,
    held_out: float = 0.1,
    *,
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Divide all triples of a source such that training never sees a share of the entities.

    The rule is that of `split_entities`, whose arguments are ``held_out`` and the options. ``out``
    gets ``train.txt`` and ``valid.txt``; ``unseen/extra.txt`` and ``unseen/test.txt``, apart,
    because a run trained on a folder knows the entities of all its splits; and ``README.md``. All
    else is as in `by_triples`.
    """
    check_new(out)
    kg, triples = whole(data, **(reading or {}))
    sizes = kg.num_entities, kg.num_relations
    parts, about = split_entities(triples, sizes, held_out, where=kg.name, **options)
    aside = ("extra", "test")
    files = {
        f"{UNSEEN}/{name}.txt" if name in aside else f"{name}.txt": part
        for name, part in parts.items()
    }
    return write(out, kg, files, {"data": kg.name, **about}, INDUCTIVE)


def whole(data: str | Path, **reading: Any) -> tuple[KnowledgeGraph, Tensor]:
    """A source, and the distinct triples of all its splits, (·, 3), in order.

    Lines that are labelled false are no triples: they are counted in a warning.
    """
    if Path(data).is_file():
        reading = {"split": (1.0, 0.0, 0.0), **reading}
    kg = load(data, **reading)
    if false := sum(int((~kg.lines(split)[1]).sum()) for split in SPLITS):
        log.warning("%s: %d lines are labelled false; they are left out", kg.name, false)
    triples = torch.cat([kg.split(split) for split in SPLITS])
    keys = triple_keys(triples, kg.num_entities, kg.num_relations)
    return kg, triples[first_rows(keys)]


def check_new(out: Path) -> None:
    """Refuse a folder with anything in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; name a new folder")


def write(
    out: Path, kg: KnowledgeGraph, files: Mapping[str, Tensor], about: dict[str, Any], text: str
) -> dict[str, Any]:
    """Write (·, 3) ids as lines of names into files of a new folder, which is there whole or not.

    Raises:
        InputError: a name has a tab or a line end in it.
    """
    for names in (kg.entities.names, kg.relations.names):
        if (wrong := first_without_line(names)) is not None:
            no_file = "a name with a tab or a line end has no text file; rename it first"
            raise InputError(f"{shown(wrong)}: {no_file}")
    with writing(out), whole_folder(out) as folder:
        for path, triples in files.items():
            if len(triples):
                (folder / path).parent.mkdir(exist_ok=True)
                with (folder / path).open("w", encoding="utf-8", newline="\n") as file:
                    for head, relation, tail in triples.tolist():
                        names = kg.entities[head], kg.relations[relation], kg.entities[tail]
                        file.write("\t".join(names) + "\n")
        head = f"# Triples of {kg.name}, divided by dans split\n\n{text}{chr(10) * bool(text)}"
        table = json.dumps(about, indent=2)
        (folder / "README.md").write_text(f"{head}```json\n{table}\n```\n", "utf-8")
    return about
