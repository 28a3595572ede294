"""The picture is drawn and shows every group."""

from pathlib import Path

import torch
from matplotlib.image import imread

from dans.analysis.diversity import TRUTH, Group, measure, project
from dans.analysis.plots import COLOURS, diversity_picture


def test_picture_shows_every_group(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = [TRUTH, "entity way", "relation way", "uniform", "another"]
    groups = {
        name: Group(torch.randn(12, 4) + 5 * i, torch.arange(12), ())
        for i, name in enumerate(names)
    }
    path = tmp_path / "tsne.png"
    diversity_picture(path, groups, project(groups), measure(groups), title="toy · likes")
    picture = torch.from_numpy(imread(path).copy())[..., :3]
    assert min(picture.shape[:2]) > 600
    for colour in ("#000000", COLOURS["entity way"], COLOURS["relation way"]):
        wanted = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        # Markers are translucent: near the colour is enough.
        near = ((picture - wanted).abs().amax(-1) < 0.25).sum()
        assert near > 50, colour
