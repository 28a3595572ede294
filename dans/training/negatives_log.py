"""The negatives a run trained on, written down."""

import gzip
import re
from pathlib import Path

import torch

from dans.data.graph import KnowledgeGraph
from dans.models.batch import Negatives, Positives
from dans.samplers.corruption import replaced
from dans.samplers.listed import CORE, RECORDED
from dans.samplers.nearest import identify
from dans.training.files import named

#: Negatives turned into text at once.
LINES = 2**16

#: How a part is named; what else lies in the folder has no entity id of ours.
PART = r"step-([0-9]{6,18})\.tsv\.gz"

#: Of zlib: negatives hardly compress, so more effort buys little.
EFFORT = 1


class NegativesLog:
    """Writes every step's negatives to ``step-<N>.tsv.gz``, a part for what follows a checkpoint.

    A line is the triple, the side replaced and the negative, by name; then the step, whether the
    negative counted in the loss, and whether it was generated. A generated negative is nobody, so
    the entity nearest to it stands in its place, other than the one replaced: a triple is no
    negative of itself. The sampler ``listed`` reads the folder as it is.

    Every step is a gzip member of its own, so a part can be read while it grows, and a kill spoils
    no more than its last member. A run that continues from a checkpoint starts the part anew, and
    ends with the same files as one never stopped: they hold no clock and no file names.

    Args:
        folder: where the parts go; made when the first is written.
        kg: the names.
    """

    def __init__(self, folder: Path, kg: KnowledgeGraph) -> None:
        self.folder = folder
        self.kg = kg
        self.step = 0
        self.part = self.folder / "step-000000.tsv.gz"

    def begin(self, step: int) -> None:
        """Start a part after a step; what was written of later steps is forgotten."""
        for path in self.folder.glob("step-*.tsv.gz"):
            part = re.fullmatch(PART, path.name)
            if part and int(part[1]) >= step:
                path.unlink()
        self.step = step
        self.part = self.folder / f"step-{step:06}.tsv.gz"

    @torch.no_grad()
    def __call__(self, positives: Positives, negatives: Negatives) -> None:
        """Write down the negatives of the next step."""
        self.step += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        new = not self.part.exists()
        size = max(1, LINES // max(1, negatives.replaces_head.shape[1]))
        # The time and the name in gzip's header would tell two equal runs apart.
        try:
            with (
                self.part.open("ab") as file,
                gzip.GzipFile("", "wb", compresslevel=EFFORT, fileobj=file, mtime=0) as packed,
            ):
                if new:
                    packed.write(("\t".join((*CORE, *RECORDED)) + "\n").encode())
                for start in range(0, len(positives), size):
                    packed.write(
                        self.lines(positives, negatives, slice(start, start + size)).encode()
                    )
        except OSError as error:
            raise named(error, self.part) from error

    def lines(self, positives: Positives, negatives: Negatives, part: slice) -> str:
        """The lines of some triples of a batch."""
        entities, relations = self.kg.entities.names, self.kg.relations.names
        rows = torch.arange(len(positives), device=negatives.replaces_head.device)[part].unsqueeze(
            1
        )
        true = replaced(positives, rows, negatives.replaces_head[part])
        ids, generated = identify(negatives, positives.entities, part, exclude=true)
        valid = torch.ones_like(generated) if negatives.valid is None else negatives.valid[part]
        columns = (negatives.replaces_head[part], ids, valid, generated)
        triples = positives.triples[part].tolist()
        table = zip(triples, *(column.tolist() for column in columns), strict=True)
        return "".join(
            f"{entities[head]}\t{relations[relation]}\t{entities[tail]}\t"
            f"{'head' if side else 'tail'}\t{entities[negative]}\t{self.step}\t"
            f"{counts:d}\t{made:d}\n"
            for (head, relation, tail), *row in table
            for side, negative, counts, made in zip(*row, strict=True)
        )
