"""Pictures show every group and every sampler."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from dans.analysis.diversity import GENERATED, TRUTH, Group, measure, project
from dans.analysis.plots import (
    PALETTE,
    POINTS,
    calibration_picture,
    diversity_picture,
    draw_hardness,
    plain,
    sampler_picture,
)
from dans.analysis.sampler_statistics import Inspection
from dans.errors import visible
from dans.evaluation.reliability import Calibrated, Density, Reliability
from scripts.benchmarks.theory import draw_shifts


def assert_drawn(path: Path, colours: Iterable[str], *, near: float) -> None:
    picture = torch.from_numpy(imread(path).copy())[..., :3]
    assert min(picture.shape[:2]) > 600
    for colour in colours:
        wanted = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        assert ((picture - wanted).abs().amax(-1) < near).sum() > 50, colour


def test_picture_shows_every_group(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = [TRUTH, "entity pathway", "relation pathway", "uniform", "another"]
    names += [f"{name}{GENERATED}" for name in names[1:3]]
    groups = {
        name: Group(torch.randn(12, 4) + 5 * i, torch.arange(12), ())
        for i, name in enumerate(names)
    }
    path = tmp_path / "tsne.png"
    text = {"title": "toy · likes", "caption": "what was measured " * 40}
    diversity_picture(path, groups, project(groups), measure(groups), **text)
    # Markers are translucent: near the colour is enough.
    assert_drawn(path, (POINTS[name][0] for name in names[:3]), near=0.25)


def test_every_sampler_has_a_name_a_point_and_a_row(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = {
        f"sampler {i}": Inspection(
            {"false_negatives": {"any": 0.15}, "harder": 0.1 * (i % 4)},
            torch.randn(500).sort().values + i,
        )
        for i in range(9)
    }
    path = tmp_path / "samplers.png"
    assert sampler_picture(path, found, title="toy") == path
    assert_drawn(path, PALETTE, near=0.02)


def test_any_name_is_drawn_letter_by_letter(tmp_path: Path) -> None:
    names = (r"$\frac{", "$x$", r"a\$b$c", "\x1b[31mred\n", "50 % _^{", "$$", "\x00\x07")
    numbers = {"false_negatives": {"any": 0.15}, "harder": 0.5}
    density = Density([1.0] * 4, [1.0] * 4, 0.1)
    run = Calibrated(
        {"raw": Reliability([4], [0.5], [0.5])},
        dict.fromkeys(("all", "true", "false"), density),
    )
    shift = {"relations": [{"side": "tail", "queries": 3, "train‖test": 0.1}]}
    path = tmp_path / "picture.png"
    groups = {kind: Group(torch.randn(12, 4), torch.arange(12), ()) for kind in (TRUTH, *names)}
    text = {"title": "\n".join(names), "caption": "\n".join(names)}
    diversity_picture(path, groups, project(groups), measure(groups), **text)
    found = {name: Inspection(numbers, torch.zeros(3)) for name in names}
    sampler_picture(path, found, title="\n".join(names))
    calibration_picture(path, dict.fromkeys(names, run))
    figure = Figure()
    draw_shifts(figure.subplots(), dict.fromkeys(names, shift))
    figure.savefig(path)
    for name in names:
        drawn = Text(text=plain(name))
        shown, mathematics = drawn._preprocess_math(drawn.get_text())
        assert not mathematics
        assert shown == visible(name)


def test_names_of_samplers_do_not_overlap() -> None:
    figure = Figure(figsize=(12, 5))
    axes = figure.subplots()
    numbers = {"false_negatives": {"any": 0.15}, "harder": 0.5}
    draw_hardness(axes, {f"s{i}": Inspection(numbers, torch.zeros(0)) for i in range(12)})
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    heights = sorted((box.y0, box.y1) for box in boxes)
    assert len(heights) == 12
    assert all(below[1] < above[0] for below, above in pairwise(heights))


def test_sampler_without_any_negative_that_counts_is_drawn(tmp_path: Path) -> None:
    found = {"none": Inspection({"false_negatives": {"any": 0.0}, "harder": 0.0}, torch.zeros(0))}
    assert sampler_picture(tmp_path / "samplers.png", found, title="toy").exists()
