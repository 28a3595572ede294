"""The checks of options, the form of messages, and the names that they suggest."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pytest

from dans import errors
from dans.cli.parsing import parser
from dans.errors import (
    InputError,
    above_zero,
    boolean,
    did_you_mean,
    finite,
    install_command,
    nearest,
    not_negative,
    one_of,
)

ROOT = Path(__file__).parents[1]

NAMES = ["aspirin", "Heparin", "heparinoid", "spirit", "insulin", "blood_pressure", "語", "a"]


@pytest.mark.parametrize("check", [finite, above_zero, not_negative])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(
    check: Callable[[str, float], None], value: float
) -> None:
    with pytest.raises(InputError, match=f"weight: must be a finite number, got {value}"):
        check("weight", value)


def test_bounds_are_told_apart() -> None:
    for value in (-1.0, 0.0, 1e-9, 10**9):
        finite("weight", value)
    above_zero("weight", 1e-9)
    not_negative("weight", 0)
    with pytest.raises(InputError, match="weight: must be above 0, got 0"):
        above_zero("weight", 0)
    with pytest.raises(InputError, match=r"weight: must not be negative, got -0\.1"):
        not_negative("weight", -0.1)


def test_a_choice_is_one_of_those_accepted() -> None:
    one_of("film", "b", ("a", "b"))
    with pytest.raises(InputError, match="power: known: 1, 2; got 3"):
        one_of("power", 3, (1, 2))


def test_text_is_neither_true_nor_false() -> None:
    boolean("new_only", np.True_)
    for value in ("no", "", None, [], 2):
        with pytest.raises(InputError, match="new_only: expected True or False, got"):
            boolean("new_only", value)


@pytest.mark.parametrize(
    "quoted", ["a\nb", "\x1b[31m", "\0", "\udc80", "x" * 9000, "\u2028", "\x1b" * 9000]
)
def test_a_message_is_one_printable_line_whatever_it_quotes(quoted: str) -> None:
    message = str(InputError(f"own.toml: {quoted}: unknown option"))
    assert message.isprintable()
    assert len(message) <= errors.LONGEST
    assert message.startswith("own.toml: ")
    assert message.endswith(": unknown option")
    assert str(InputError(message)) == message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("aspirn", "aspirin"), ("apsirin", "aspirin"), ("ASPIRIN", "aspirin")),
        *(("insuline", "insulin"), ("blood pressure", "blood_pressure")),
        *(("pressure", "blood_pressure"), ("A", "a"), ("語", "語")),
    ],
)
def test_the_nearest_name_comes_first(name: str, expected: str) -> None:
    assert nearest(name, NAMES)[0] == expected


def test_case_then_beginnings_then_parts_then_likeness() -> None:
    names = ["cell_line", "stem_cell", "Cell", "call", "cell_membrane"]
    assert nearest("cell", names, 5) == ["Cell", "cell_line", "cell_membrane", "stem_cell", "call"]


def test_each_name_is_offered_once_and_no_more_than_the_limit() -> None:
    assert nearest("heparin", NAMES, 2) == ["Heparin", "heparinoid"]
    assert nearest("heparin", NAMES, 9).count("Heparin") == 1


@pytest.mark.parametrize("name", ["", "xyzzy", "\ud800", "?" * 1000])
def test_no_name_is_offered_where_none_is_near(name: str) -> None:
    assert nearest(name, NAMES) == nearest(name, []) == []
    assert did_you_mean(name, NAMES) == ""


@pytest.mark.parametrize("name", ["SELF-LOOP", "Self_Loop", "self_lop"])
def test_neither_case_nor_hyphens_keep_a_name_from_being_offered(name: str) -> None:
    assert did_you_mean(name, ["dans", "self-loop"]) == "; did you mean self-loop?"
    assert did_you_mean("self_loop_", ["self-loop", "self_loop"]) == "; did you mean self_loop?"


def test_a_common_prefix_does_not_hide_the_rest() -> None:
    names = [f"http://example.org/resource/{i:05}" for i in range(2000)]
    names += ["http://example.org/resource/Berlin"]
    assert nearest("http://example.org/resource/Berlni", names)[0] == names[-1]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that difflib compares."""
    found: list[str] = []

    def counting(name: str, names: Sequence[str], most: int) -> list[str]:
        found.extend(names)
        return get_close_matches(name, names, most)

    monkeypatch.setattr(errors, "get_close_matches", counting)
    return found


def test_a_very_long_name_is_not_compared(compared: list[str]) -> None:
    names = [f"{i}" * 300 for i in range(100)]
    assert nearest("12" * 1_000_000, names) == []
    assert not compared
    assert nearest("12" * 100, names)[0] == "12" * 300


@pytest.mark.slow
def test_of_a_hundred_thousand_names_few_are_compared(compared: list[str]) -> None:
    names = [f"entity_{i * 7919 % 100_003}_of_{i % 97}" for i in range(100_000)]
    assert nearest("entitty_4711_of_50", names)
    assert 0 < len(compared) <= errors.COMPARED


def test_an_extra_is_installed_from_where_the_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "PARENT", tmp_path)
    assert install_command("plots") == "pip install 'dans-kg[plots]'"
    (tmp_path / "pyproject.toml").write_text('name = "not-ours"\n', "utf-8")
    assert install_command("plots") == "pip install 'dans-kg[plots]'"
    (tmp_path / "pyproject.toml").write_text('name = "dans-kg"\n', "utf-8")
    assert install_command("plots") == f"pip install -e '{tmp_path}[plots]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("tune") == "pip install -e '.[tune]'"


def test_no_text_names_somebody_else_s_package() -> None:
    texts = [path for room in ("dans", "baselines", "scripts", "docs") for path in files(room)]
    texts += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]
    assert len(texts) > 100
    for path in texts:
        assert not re.search(r"install ['\"]?dans\b(?!-kg)", path.read_text("utf-8")), path
    assert f'name = "{errors.DISTRIBUTION}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def files(room: str) -> list[Path]:
    return [path for path in (ROOT / room).rglob("*") if path.suffix in (".md", ".py", ".toml")]


def test_help_names_the_extra_that_is_to_be_had_here() -> None:
    shown = parser("Draws. Needs the extra: pip install 'dans-kg[plots]'.").format_help()
    assert f"Needs the extra: {install_command('plots')}." in shown
    assert "dans-kg[" not in shown
