"""Two small runs of one graph with hostile names."""

from pathlib import Path

import pytest

from dans.report.gather import Page, gather
from dans.report.page import render
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure, train
from tests.suites.toy import RECIPE, TRAIN_DANS

#: Names that break careless markup, scripts, templates and lines.
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


def triples() -> dict[str, list[str]]:
    """Lines of three splits, eight entities and three relations."""
    lines = [
        f"{HOSTILE[i % 8]}\t<r{i % 3}>&\t{HOSTILE[(i * i + 3 * (i % 5) + 1) % 8]}"
        for i in range(48)
    ]
    return {"train": lines[:36], "valid": lines[36:42], "test": lines[42:]}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run with uniform negatives, and one with DANS that continued from it; both evaluated."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "triples").mkdir()
    for split, lines in triples().items():
        (folder / "triples" / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "plain.toml").write_text(RECIPE.format(data=folder / "triples"))
    train(configure(folder / "plain.toml", []), folder / "plain")
    longer = TRAIN_DANS.replace("steps = 2", "steps = 4")
    (folder / "dans.toml").write_text(longer.format(start=folder / "plain"))
    train(configure(folder / "dans.toml", []), folder / "dans")
    found = [folder / "plain", folder / "dans"]
    for run in found:
        evaluate(run)
    return found


@pytest.fixture(scope="session")
def page(runs: list[Path]) -> Page:
    """The report of both."""
    return gather(runs, triples=12)


@pytest.fixture(scope="session")
def html(page: Page) -> str:
    """The HTML of the report."""
    return render(page)
