"""Bad input ends in one sentence, with status 2, and leaves everything as it was."""

import os
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.malformed import (
    assignments,
    cards,
    checkpoints,
    folders,
    options,
    predictions,
    readers,
    recipes,
    searches,
)
from tests.malformed.case import Case, World, marks, put
from tests.malformed.world import make_world
from tests.processes import run

#: By class.
CORPUS: dict[str, list[Case]] = {
    "readers": readers.CASES,
    "cards": cards.CASES,
    "recipes": recipes.CASES,
    "assignments": assignments.CASES,
    "options": options.CASES,
    "checkpoints": checkpoints.CASES,
    "run folders": folders.CASES,
    "predictions": predictions.CASES,
    "reports and searches": searches.CASES,
}

EVERY = [
    pytest.param(one, id=f"{kind}: {one.name}") for kind, cases in CORPUS.items() for one in cases
]


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world as it should be."""
    return World(make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture
def world(good: World) -> Iterator[Path]:
    """The world, for a case to spoil; it is made good again."""
    yield good.path
    good.restore(marks(str(good.path)))


@pytest.mark.parametrize("one", EVERY)
def test_a_mistake_is_one_sentence_and_changes_nothing(one: Case, world: Path) -> None:
    put(world, one.files)
    if one.change:
        one.change(world)
    before = marks(str(world))
    env = os.environ | {"DANS_DATASETS": "data", "DANS_CACHE": "cache"}
    script, *arguments = shlex.split(one.command)
    done = run(script, *arguments, cwd=world, env=env, given=one.given, timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
    *warnings, sentence = done.stderr.splitlines()
    assert sentence.startswith("error: "), done.stderr
    assert sentence.isprintable()
    assert len(warnings) == one.warned, done.stderr
    assert done.stdout == "" or one.warned
    missing = [word for word in one.words if word not in done.stderr]
    assert not missing, done.stderr
    assert len(done.stderr) < 1500
    assert marks(str(world)) == before


def test_no_case_of_the_corpus_stands_twice() -> None:
    for kind, cases in CORPUS.items():
        twice = [name for name, n in Counter(case.name for case in cases).items() if n > 1]
        assert not twice, f"{kind}: {twice}"
    commands = Counter(
        (case.command, *sorted(case.files.items(), key=str), case.change, case.given)
        for cases in CORPUS.values()
        for case in cases
    )
    assert max(commands.values()) == 1, commands.most_common(3)
