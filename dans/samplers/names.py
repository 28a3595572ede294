"""Names that stand for ids."""

from typing import Protocol


class Names(Protocol):
    """Names and their ids, as a graph has them for its entities and its relations."""

    def index(self, name: str) -> int:
        """The id of a name; refuses an unknown one with near spellings."""

    def __getitem__(self, i: int, /) -> str:
        """The name of an id."""

    def __len__(self) -> int:
        """How many names."""
