"""What is written as TOML reads back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dans.plain import parse_toml
from dans.toml import to_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_plain_data_comes_back(plain: dict[str, object]) -> None:
    assert parse_toml(to_toml(plain), "here") == plain


def test_what_toml_has_no_word_for_is_no_value() -> None:
    with pytest.raises(TypeError, match="TOML has no NoneType"):
        to_toml({"loss": None})
