"""Text never becomes markup, and data never ends its script."""

import html
import json
from html.parser import HTMLParser

import pytest

from dans.report.markup import LONGEST, Html, data, digest, join, named, tag
from tests.report.conftest import HOSTILE


class Reader(HTMLParser):
    """What a browser would make of some markup."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += attributes

    def handle_data(self, text: str) -> None:
        self.text += text


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_stays_text_and_attributes_stay_attributes(text: str) -> None:
    found = read(tag("p", {"title": text}, text))
    assert found.tags == ["p"]
    assert found.text == text
    assert found.attributes == [("title", text)]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_data_survives_its_script_and_never_ends_it(text: str) -> None:
    script = tag("script", {"type": "application/json"}, data({text: [text]}))
    assert not set("<>&") & set(data({text: [text]}))
    assert json.loads(read(script).text) == {text: [text]}


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        data([float("nan")])


def test_markup_is_taken_as_it_is_and_none_left_out() -> None:
    assert join([Html("<b>"), "<b>", None, 3]) == "<b>&lt;b&gt;3"
    assert tag("td", {"colspan": 2, "hidden": True, "id": None}) == '<td colspan="2" hidden></td>'


def test_endless_names_are_cut() -> None:
    assert len(html.unescape(read(named("n" * 10_000)).text)) == LONGEST + 1


def test_digest_is_that_of_a_policy() -> None:
    assert digest("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
