"""Unknown names get the nearest spellings, and few are compared."""

from collections.abc import Sequence
from difflib import get_close_matches

import pytest

from dans import spelling
from dans.spelling import nearest

NAMES = ["aspirin", "Heparin", "heparinoid", "spirit", "insulin", "blood_pressure", "語", "a"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aspirn", "aspirin"),
        ("apsirin", "aspirin"),
        ("asspirin", "aspirin"),
        ("ASPIRIN", "aspirin"),
        ("HEPARIN", "Heparin"),
        ("insuline", "insulin"),
        ("blood pressure", "blood_pressure"),
        ("pressure", "blood_pressure"),
        ("blood", "blood_pressure"),
        ("A", "a"),
        ("語", "語"),
    ],
)
def test_the_nearest_name_comes_first(name: str, expected: str) -> None:
    assert nearest(name, NAMES)[0] == expected


def test_case_then_beginnings_then_parts_then_likeness() -> None:
    names = ["cell_line", "stem_cell", "Cell", "call", "cell_membrane"]
    assert nearest("cell", names, 5) == ["Cell", "cell_line", "cell_membrane", "stem_cell", "call"]


def test_each_name_is_offered_once_and_no_more_than_asked() -> None:
    found = nearest("heparin", NAMES, 2)
    assert found == ["Heparin", "heparinoid"]
    assert nearest("heparin", NAMES, 9).count("Heparin") == 1


@pytest.mark.parametrize("name", ["", "xyzzy", "\ud800", "?" * 1000])
def test_nothing_near_is_nothing_offered(name: str) -> None:
    assert nearest(name, NAMES) == []
    assert nearest(name, []) == []


def test_what_all_names_begin_with_does_not_hide_the_rest() -> None:
    names = [f"http://example.org/resource/{i:05}" for i in range(2000)]
    names += ["http://example.org/resource/Berlin"]
    assert nearest("http://example.org/resource/Berlni", names)[0] == names[-1]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are compared letter by letter."""
    found: list[str] = []

    def counting(name: str, names: Sequence[str], most: int) -> list[str]:
        found.extend(names)
        return get_close_matches(name, names, most)

    monkeypatch.setattr(spelling, "get_close_matches", counting)
    return found


def test_a_very_long_name_is_compared_with_none(compared: list[str]) -> None:
    names = [f"{i}" * 300 for i in range(100)]
    assert nearest("12" * 1_000_000, names) == []
    assert not compared
    assert nearest("12" * 100, names)[0] == "12" * 300


@pytest.mark.slow
def test_of_a_hundred_thousand_names_few_are_compared(compared: list[str]) -> None:
    names = [f"entity_{i * 7919 % 100_003}_of_{i % 97}" for i in range(100_000)]
    assert nearest("entitty_4711_of_50", names)
    assert 0 < len(compared) <= spelling.COMPARED
