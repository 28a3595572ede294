"""Escaping: text never becomes markup, and data never ends its script."""

import json
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from dans.report.page import digest, environment
from dans.report.svg import LONGEST
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


def rendered(template: str, **values: object) -> str:
    """A template from text, in the environment of the page's own."""
    return environment().from_string(template).render(**values)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_stays_text_and_attributes_stay_attributes(text: str) -> None:
    found = read(rendered('<p title="{{ text }}">{{ text }}</p>', text=text))
    assert found.tags == ["p"]
    assert found.text == text
    assert found.attributes == [("title", text)]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_data_survives_its_script_and_never_ends_it(text: str) -> None:
    data = rendered("{{ data | tojson }}", data={text: [text]})
    assert not set("<>&") & set(data)
    script = f'<script type="application/json">{data}</script>'
    assert json.loads(read(script).text) == {text: [text]}


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        rendered("{{ data | tojson }}", data=[float("nan")])


def test_what_a_template_lacks_is_refused() -> None:
    with pytest.raises(UndefinedError, match="mistaken"):
        rendered("{{ mistaken }}")


def test_endless_names_are_cut() -> None:
    name = environment().get_template("macros.html.j2").module.name  # type: ignore[attr-defined]
    assert len(read(name("n" * 10_000)).text) == LONGEST + 1


def test_digest_is_that_of_a_policy() -> None:
    assert digest("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
