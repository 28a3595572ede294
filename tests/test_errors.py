"""What an option may not be."""

import pytest

from dans.errors import LONGEST, InputError, above_zero, finite, not_negative, one_of


@pytest.mark.parametrize("check", [finite, above_zero, not_negative])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(check: object, value: float) -> None:
    with pytest.raises(InputError, match=f"weight: must be a finite number, got {value}"):
        check("weight", value)  # type: ignore[operator]


def test_bounds_are_told_apart() -> None:
    for value in (-1.0, 0.0, 1e-9, 10**9):
        finite("weight", value)
    above_zero("weight", 1e-9)
    not_negative("weight", 0)
    with pytest.raises(InputError, match="weight: must be above 0, got 0"):
        above_zero("weight", 0)
    with pytest.raises(InputError, match=r"weight: must not be negative, got -0\.1"):
        not_negative("weight", -0.1)


def test_a_choice_is_one_of_those_there_are() -> None:
    one_of("film", "b", ("a", "b"))
    with pytest.raises(InputError, match="film: known: a, b; got 'c'"):
        one_of("film", "c", ("a", "b"))
    with pytest.raises(InputError, match="power: known: 1, 2; got 3"):
        one_of("power", 3, (1, 2))


@pytest.mark.parametrize(
    "quoted", ["a\nb", "\x1b[31m", "\0", "\udc80", "x" * 9000, "\u2028", "\x1b" * 9000]
)
def test_a_sentence_is_one_printable_line_whatever_it_quotes(quoted: str) -> None:
    sentence = str(InputError(f"own.toml: {quoted}: unknown option"))
    assert sentence.isprintable()
    assert len(sentence) <= LONGEST
    assert sentence.startswith("own.toml: ")
    assert sentence.endswith(": unknown option")
    assert str(InputError(sentence)) == sentence
