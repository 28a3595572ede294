"""Shared by all tests: a graph small enough to check by hand."""

import pytest

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError


@pytest.fixture
def kg() -> KnowledgeGraph:
    """Eight people and things; in train, ``knows`` is symmetric and ``owns`` one-to-many.

    ``gus`` occurs in test alone. (ada, owns, ?) and (?, knows, bob) have two answers each in test,
    so that equal queries are met.
    """
    return KnowledgeGraph.of(
        name="toy",
        train=[
            ("ada", "knows", "bob"),
            ("bob", "knows", "ada"),
            ("bob", "knows", "cy"),
            ("cy", "knows", "bob"),
            ("ada", "knows", "cy"),
            ("cy", "knows", "ada"),
            ("ada", "owns", "tea"),
            ("ada", "owns", "pot"),
            ("bob", "owns", "cup"),
            ("cy", "owns", "map"),
            ("tea", "near", "pot"),
            ("pot", "near", "cup"),
            ("cup", "near", "map"),
            ("map", "near", "ada"),
        ],
        valid=[("ada", "owns", "cup"), ("map", "near", "tea"), ("tea", "near", "cup")],
        test=[
            ("ada", "owns", "map"),
            ("ada", "owns", "bob"),
            ("gus", "knows", "bob"),
            ("map", "knows", "bob"),
            ("pot", "near", "map"),
        ],
    )


@pytest.fixture
def umls() -> None:
    """Skips where the data set is not here."""
    try:
        KnowledgeGraph.load("umls")
    except InputError as error:
        pytest.skip(f"UMLS is not here: {error}")
