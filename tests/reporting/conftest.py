"""Two small runs of one graph, whose names do their worst."""

from pathlib import Path

import pytest

from dans.assembly import configure, train
from dans.judging import judge
from dans.reporting.gather import Page, gather
from dans.reporting.page import render

#: Names that break out of markup, scripts, templates and lines, where one is careless.
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"onmouseover="document.title=\'owned\'"',
    "&lt;b&gt;&amp;",
    "$title ${style} {{x}} %s",
    "\u202eesrever",
    "x" * 600,
    "</bdi></td><!--",
)

RECIPE = """
data = "{data}"
encoder = {{ name = "rgcn", dim = 8 }}
decoder = "distmult"
loss = "logistic"
[[sampler]]
name = "uniform"
k = 3
[train]
steps = 4
batch = 12
validate_every = 2
threads = 1
"""

DANS = """
start = "{start}"
loss = "logistic"
[[sampler]]
name = "dans"
preset = "dans"
k = 2
[[sampler]]
name = "uniform"
k = 2
[train]
steps = 4
batch = 12
validate_every = 2
threads = 1
"""


def facts() -> dict[str, list[str]]:
    """Lines of three splits, eight entities and three relations."""
    lines = [
        f"{HOSTILE[i % 8]}\t<r{i % 3}>&\t{HOSTILE[(i * i + 3 * (i % 5) + 1) % 8]}"
        for i in range(48)
    ]
    return {"train": lines[:36], "valid": lines[36:42], "test": lines[42:]}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run with uniform negatives, and one with DANS that went on from it; both judged."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "facts").mkdir()
    for split, lines in facts().items():
        (folder / "facts" / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "plain.toml").write_text(RECIPE.format(data=folder / "facts"))
    train(configure(folder / "plain.toml", []), folder / "plain")
    (folder / "dans.toml").write_text(DANS.format(start=folder / "plain"))
    train(configure(folder / "dans.toml", []), folder / "dans")
    found = [folder / "plain", folder / "dans"]
    for run in found:
        judge(run)
    return found


@pytest.fixture(scope="session")
def page(runs: list[Path]) -> Page:
    """What is said of both."""
    return gather(runs, facts=12)


@pytest.fixture(scope="session")
def html(page: Page) -> str:
    """And how."""
    return render(page)
