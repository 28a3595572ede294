"""Triples of no meaning, few enough for a training in milliseconds."""

from pathlib import Path

#: The lines of each split.
FACTS = {
    "train": [f"e{i % 7}\tr{i % 3}\te{(i * i + 3) % 7}" for i in range(30)],
    "valid": ["e0\tr0\te4", "e1\tr1\te5"],
    "test": ["e2\tr0\te6", "e3\tr2\te1"],
}

#: A recipe for them, or for other triples.
RECIPE = """
data = "{data}"
graph = {{ hold_out_share = 1.0 }}
encoder = {{ name = "rgcn", dim = 8 }}
decoder = "distmult"
loss = "logistic"
[[sampler]]
name = "uniform"
k = 3
[train]
steps = 4
batch = 10
validate_every = 2
threads = 1
"""

#: A recipe that continues from such a run with DANS.
TRAIN_DANS = """
init_from = "{start}"
loss = "logistic"
[[sampler]]
name = "dans"
preset = "dans"
k = 2
[[sampler]]
name = "uniform"
k = 2
[train]
steps = 2
batch = 10
validate_every = 2
threads = 1
"""


def lay(folder: Path) -> None:
    """Write them into a folder, which is made."""
    folder.mkdir(parents=True)
    for split, lines in FACTS.items():
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
