"""Names are looked up in dicts, options are checked against constructors."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from baselines.assembly import SAMPLERS
from dans.errors import InputError
from dans.registry import build, choose, file_options, hints


class Part:
    """A constructor with one option."""

    def __init__(self, size: int, *, bias: bool = True) -> None:
        if size < 0:
            raise InputError(f"size: expected 0 or more, got {size}")
        self.size, self.bias = size, bias


TABLE = {"part": Part}


def test_arguments_of_the_caller_that_the_constructor_lacks_are_left_out() -> None:
    part = build(TABLE, "part", given={"bias": False}, size=3, colour="red")
    assert (part.size, part.bias) == (3, False)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("prat", {}, "x.name: unknown name 'prat'; known: part; did you mean 'part'"),
        ("part", {"biass": 1}, "x.biass: unknown option of part; known: bias"),
        ("part", {"size": 4}, "x.size: unknown option of part; known: bias"),
    ],
)
def test_mistakes_are_named(name: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(TABLE, name, where="x", given=given, size=3)


def test_every_text_that_a_sampler_takes_is_known_to_be_a_file() -> None:
    for kind in SAMPLERS.values():
        texts = [name for name, hint in hints(kind).items() if hint in (str, str | None)]
        assert texts == file_options(kind)
    assert file_options(SAMPLERS["listed"]) == ["file"]


class Loose(Part):
    """A constructor that passes on whatever it is given."""

    def __init__(self, *args: int, **kwargs: bool) -> None:
        super().__init__(*args, **kwargs)


class Plain(torch.nn.Module):
    """The constructor of torch's modules, which takes anything and uses nothing."""


def test_arguments_come_by_the_names_of_a_constructor_alone() -> None:
    assert build({"plain": Plain}, "plain", size=3)
    with pytest.raises(InputError, match=r"loose cannot be built: .*; it is given .* not \*args"):
        build({"loose": Loose}, "loose", where="x", size=3)
    with pytest.raises(InputError, match=r"x\.args: unknown option of loose; known: none"):
        build({"loose": Loose}, "loose", where="x", given={"args": 1}, size=3)


def test_refusals_of_the_constructor_carry_the_section() -> None:
    with pytest.raises(InputError, match=r"x.size: expected 0 or more, got -1"):
        build(TABLE, "part", where="x", size=-1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bias": "False"}, "x.bias: expected true or false, got 'False'"),
        ({"bias": 1}, "x.bias: expected true or false, got 1"),
        ({"size": "3"}, "x.size: expected a whole number, got '3'"),
        ({"size": True}, "x.size: expected a whole number, got True"),
        ({"size": 1.5}, "x.size: expected a whole number, got 1.5"),
    ],
)
def test_options_are_of_the_kind_that_is_declared(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(TABLE, "part", where="x", given={"size": 1, **given})


class Filed:
    """A constructor whose options are paths."""

    def __init__(
        self,
        file: Path,
        other: Path | None = None,
        more: tuple[Path, ...] = (),
        by: Callable[[str], str] = str,
    ) -> None:
        self.paths, self.by = (file, other, *more), by


def test_an_option_that_is_declared_as_a_path_is_one() -> None:
    given = {"file": "a.txt", "other": Path("b"), "more": ["c", "d"], "by": str.upper}
    filed = build({"filed": Filed}, "filed", given=given)
    assert filed.paths == tuple(map(Path, ("a.txt", "b", "c", "d")))
    assert given["file"] == "a.txt"
    assert build({"filed": Filed}, "filed", given={"file": "a", "other": None}).paths[1] is None
    for value in (5, ["a"]):
        with pytest.raises(InputError, match=r"x\.file: expected a path, got"):
            build({"filed": Filed}, "filed", where="x", given={"file": value})


def test_missing_option_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"x\.size: missing; part needs it"):
        build(TABLE, "part", where="x")


def test_choose_returns_the_value() -> None:
    assert choose(TABLE, "part", where="x") is Part


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": float("nan")}, "x.rate: must be a finite number, got nan"),
        ({"rate": float("inf")}, "x.rate: must be a finite number, got inf"),
        ({"rate": 10**400}, r"x.rate: expected a whole number below 2\^63"),
        ({"size": 2**63}, r"x.size: expected a whole number below 2\^63"),
        ({"side": "a\0b"}, "x.side: expected a string without NUL"),
        ({"side": "y" * 9999}, "x: all cannot be built: y{9}"),
    ],
)
def test_options_that_no_constructor_can_use_are_refused(
    given: dict[str, object], message: str
) -> None:
    def every(size: int = 1, rate: float = 0.5, side: str = "a") -> object:
        if len(side) > 9:
            raise RuntimeError(f"{side[:9]}: DefaultCPUAllocator: can't allocate memory\nand more")
        return object()

    with pytest.raises(InputError, match=message) as caught:
        build({"all": every}, "all", where="x", given=given)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_defects_of_a_constructor_keep_their_traceback() -> None:
    def broken() -> object:
        raise RuntimeError("a defect of ours")

    with pytest.raises(RuntimeError, match="a defect of ours"):
        build({"broken": broken}, "broken")
