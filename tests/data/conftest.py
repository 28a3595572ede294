import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dans.data.cards import DatasetCard, cards
from dans.data.graph import KnowledgeGraph

#: Gives a published data set, or skips the test where its files are not at hand.
Shipped = Callable[[str], KnowledgeGraph]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANS_CACHE", str(tmp_path_factory.mktemp("cache")))


@functools.cache
def _load(name: str) -> KnowledgeGraph:
    return KnowledgeGraph.load(name)


def at_hand(name: str) -> bool:
    folders = os.environ.get("DANS_DATASETS", "").split(os.pathsep)
    return any(Path(folder, name).is_dir() for folder in folders if folder)


@pytest.fixture
def shipped() -> Shipped:
    def give(name: str) -> KnowledgeGraph:
        derived = DatasetCard.read(cards()[name]).derived
        origin = derived.parent if derived else name
        if not at_hand(origin):
            pytest.skip(f"no folder named in DANS_DATASETS holds {origin}")
        return _load(name)

    return give
