"""The log of the negatives that a run trained on."""

import gzip
import re
from pathlib import Path

import torch

from dans.config.writing import naming, opened_to_append
from dans.data.graph import KnowledgeGraph
from dans.models.batch import Negatives, Positives
from dans.samplers.corruption import replaced
from dans.samplers.listed import CORE, RECORDED
from dans.samplers.nearest import identify

#: Negatives turned into text at once.
LINES = 2**16

#: Names of its parts; other files in the folder are left alone.
PART = r"step-([0-9]{6,18})\.tsv\.gz"

#: Of zlib: negatives hardly compress, so more effort buys little.
EFFORT = 1


class NegativesLog:
    """Writes the negatives of every step to ``step-<N>.tsv.gz``, one file after each checkpoint.

    A line is the triple, the corrupted side and the negative, by name; then the step, whether the
    negative counted in the loss, and whether it was generated. A generated negative has no entity
    id: the line has the entity nearest to it, other than the true one. The sampler ``listed`` reads
    the folder as it is.

    Every step is a gzip member of its own, so that a file can be read while it grows and a kill
    damages at most the last member. A run that resumes from a checkpoint writes the file after it
    anew, and ends with the same bytes as one never stopped.
    """

    def __init__(self, folder: Path, kg: KnowledgeGraph) -> None:
        self.folder = folder
        self.kg = kg
        self.step = 0
        self.part = self.folder / "step-000000.tsv.gz"

    def begin(self, step: int) -> None:
        """Start a file after a step, and remove those of later steps."""
        for path in self.folder.glob("step-*.tsv.gz"):
            part = re.fullmatch(PART, path.name)
            if part and int(part[1]) >= step:
                path.unlink()
        self.step = step
        self.part = self.folder / f"step-{step:06}.tsv.gz"

    @torch.no_grad()
    def __call__(self, positives: Positives, negatives: Negatives) -> None:
        """Write the negatives of the next step."""
        self.step += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        new = not self.part.exists()
        size = max(1, LINES // max(1, negatives.corrupt_head.shape[1]))
        # No time and no name in gzip's header: equal runs write equal files.
        with (
            naming(self.part),
            opened_to_append(self.part) as file,
            gzip.GzipFile("", "wb", compresslevel=EFFORT, fileobj=file, mtime=0) as packed,
        ):
            if new:
                packed.write(("\t".join((*CORE, *RECORDED)) + "\n").encode())
            for start in range(0, len(positives), size):
                lines = self.lines(positives, negatives, slice(start, start + size))
                packed.write(lines.encode())

    def lines(self, positives: Positives, negatives: Negatives, part: slice) -> str:
        """The lines of some triples of a batch."""
        entities, relations = self.kg.entities.names, self.kg.relations.names
        rows = torch.arange(len(positives), device=negatives.corrupt_head.device)[part].unsqueeze(1)
        true = replaced(positives, rows, negatives.corrupt_head[part])
        ids, generated = identify(negatives, positives, part, exclude=true)
        valid = torch.ones_like(generated) if negatives.valid is None else negatives.valid[part]
        columns = (negatives.corrupt_head[part], ids, valid, generated)
        triples = positives.triples[part].tolist()
        table = zip(triples, *(column.tolist() for column in columns), strict=True)
        return "".join(
            f"{entities[head]}\t{relations[relation]}\t{entities[tail]}\t"
            f"{'head' if side else 'tail'}\t{entities[negative]}\t{self.step}\t"
            f"{counts:d}\t{made:d}\n"
            for (head, relation, tail), *row in table
            for side, negative, counts, made in zip(*row, strict=True)
        )
