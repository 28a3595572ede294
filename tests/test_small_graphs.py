"""Every sampler and loss setting trains on graphs of 10 and 100 triples and of one relation."""

import logging
import random
from pathlib import Path

import pytest

from baselines.assembly import train
from dans.config.recipes import RECIPES, find_recipe
from dans.runs.train import configure

#: Triples, relations, entities.
SIZES = [(10, 2, 4), (100, 1, 25)]

SHORT = ["train.steps=3", "train.validate_every=3", "train.threads=1"]


def lay(folder: Path, triples: int, relations: int, entities: int) -> None:
    """A random graph, with a tenth of it for validation and test."""
    draw, train = random.Random(0), set[tuple[str, str, str]]()
    while len(train) < triples:
        head, tail = (f"e{draw.randrange(entities)}" for _ in range(2))
        train.add((head, f"r{draw.randrange(relations)}", tail))
    lines = ["\t".join(triple) + "\n" for triple in sorted(train)]
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"{split}.tsv").write_text("".join(lines[:: 1 if split == "train" else 10]))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_defaults_of_every_setting_hold_on_small_graphs(
    size: tuple[int, int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    lay(tmp_path / "triples", *size)
    before = configure(
        find_recipe("umls-distmult", "pretrain"), [f"data={tmp_path}/triples", *SHORT]
    )
    train(before, tmp_path / "base")
    for kind, folder in (("dans", "samplers"), ("baselines", "losses")):
        for setting in sorted((RECIPES / folder).glob("*.toml")):
            # Those that start from a run of a loss, by name.
            if "-from-" in setting.stem:
                continue
            start = "init_from={}/base" if kind == "dans" else "data={}/triples"
            recipe = find_recipe("umls-distmult", kind, setting.stem)
            report = train(
                configure(recipe, [start.format(tmp_path), *SHORT]), tmp_path / kind / setting.stem
            )
            assert report is not None, setting.stem
            assert "got no gradient" not in caplog.text, setting.stem
