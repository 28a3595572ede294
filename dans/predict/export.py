"""Embeddings of a trained run for other programs: NumPy, safetensors, TensorBoard's projector."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from dans.config.writing import whole_folder, written
from dans.data.progress import heartbeat
from dans.errors import InputError, listed, visible
from dans.registry import choose
from dans.runs.train import load
from dans.training.checkpoint_store import Which


@dataclass(frozen=True)
class Embeddings:
    """Tables of embeddings, and the names of their rows.

    ``tables`` are floats on the CPU, as the decoder takes them, and its class describes the layout
    of a row: ``entities``, (n, d), ``relations``, (m, d_r), and with reciprocal relations
    ``inverse_relations``. ``about``: run, checkpoint, data set and model they come from.
    """

    tables: Mapping[str, Tensor]
    names: Mapping[str, Sequence[str]]
    about: Mapping[str, str]

    @classmethod
    @torch.no_grad()
    def of(cls, where: Path, *, which: Which = "best") -> "Embeddings":
        """The embeddings of a trained run."""
        trained = load(where, which=which)
        kg, decoder, config = trained.kg, trained.model.decoder, trained.config
        rows = torch.arange(len(decoder.relation.weight), device=trained.entities.device)
        relations = decoder.embeddings(rows).split(kg.num_relations)
        tables = dict(zip(("relations", "inverse_relations"), relations, strict=False))
        names = {"entities": kg.entities.names, **dict.fromkeys(tables, kg.relations.names)}
        tables = {"entities": trained.entities, **tables}
        about = {"run": str(where), "checkpoint": which, "step": str(trained.step)}
        about |= {"data": kg.name, "digest": kg.digest}
        about |= {"encoder": config.encoder.name, "decoder": config.decoder.name}
        return cls({name: table.detach().cpu() for name, table in tables.items()}, names, about)


def export(
    where: Path, out: Path, *, formats: Sequence[str] = ("npy",), which: Which = "best"
) -> list[Path]:
    """Write the embeddings of a trained run into a new or empty folder, whole or not at all.

    ``formats``: names in ``FORMATS``. Returns the files written.
    """
    named = listed("formats", formats, "names")
    if not named:
        raise InputError(f"formats: expected some of {', '.join(sorted(FORMATS))}, got none")
    writers = [choose(FORMATS, name, where="format") for name in dict.fromkeys(named)]
    out = Path(os.path.abspath(out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: there already, and not empty; name a folder that is not there")
    embeddings = Embeddings.of(where, which=which)
    with whole_folder(out) as beside, heartbeat(f"{out}: writing embeddings"):
        for write in writers:
            write(beside, embeddings)
    return sorted(out.iterdir())


def write_npy(folder: Path, embeddings: Embeddings) -> None:
    """Write ``TABLE.npy`` for each table, and ``names.json``."""
    for name, table in embeddings.tables.items():
        with written(folder / f"{name}.npy") as file:
            np.save(file, table.numpy())
    content = {**embeddings.names, "about": embeddings.about}
    with written(folder / "names.json") as file:
        file.write(f"{json.dumps(content, indent=1)}\n".encode())


def write_safetensors(folder: Path, embeddings: Embeddings) -> None:
    """Write ``embeddings.safetensors``, names as JSON lists in its header."""
    rows = {f"{name}.names": json.dumps(names) for name, names in embeddings.names.items()}
    tables = {name: table.clone().contiguous() for name, table in embeddings.tables.items()}
    with written(folder / "embeddings.safetensors") as file:
        file.write(save(tables, {**rows, **embeddings.about}))


def write_projector(folder: Path, embeddings: Embeddings) -> None:
    """Write the tab-separated files that ``tensorboard --logdir`` opens, each name on one line."""
    config = []
    for name, table in embeddings.tables.items():
        with written(folder / f"{name}.tsv") as file:
            np.savetxt(file, table.numpy(), fmt="%.9g", delimiter="\t")
        lines = "".join(f"{visible(row)}\n" for row in embeddings.names[name])
        with written(folder / f"{name}.names.tsv") as file:
            file.write(lines.encode())
        paths = f'tensor_path: "{name}.tsv" metadata_path: "{name}.names.tsv"'
        config.append(f'embeddings {{ tensor_name: "{name}" {paths} }}\n')
    with written(folder / "projector_config.pbtxt") as file:
        file.write("".join(config).encode())


def write_word2vec(folder: Path, embeddings: Embeddings) -> None:
    """Write ``TABLE.word2vec.txt`` for each table: its size, then a name and its numbers a line.

    In names, white space and ``%`` are percent-encoded, so that ``urllib.parse.unquote`` gives the
    name back; gensim's ``KeyedVectors.load_word2vec_format`` reads the files.
    """
    for name, table in embeddings.tables.items():
        with written(folder / f"{name}.word2vec.txt") as file:
            file.write(f"{len(table)} {table.shape[1]}\n".encode())
            for row, numbers in zip(embeddings.names[name], table, strict=True):
                word = re.sub(r"[\s%]", lambda found: quote(found[0]), row)
                file.write(" ".join([word, *(f"{x:.9g}" for x in numbers.tolist())]).encode())
                file.write(b"\n")


#: Writers of embeddings, by the name of the format.
FORMATS: dict[str, Callable[[Path, Embeddings], None]] = {
    "npy": write_npy,
    "safetensors": write_safetensors,
    "projector": write_projector,
    "word2vec": write_word2vec,
}
