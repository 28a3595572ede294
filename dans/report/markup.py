"""HTML from parts, in which text can never become markup."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

#: Elements that hold nothing and are not closed.
VOID = ("br", "meta", "line", "circle", "path", "use", "rect", "polyline")

#: Characters of a name that are shown at the most.
LONGEST = 160


class Html(str):
    """Text that is markup already; every other string is escaped by ``tag``."""

    __slots__ = ()


def tag(name: str, attributes: Mapping[str, object] | None = None, *children: object) -> Html:
    """One element.

    Args:
        name: of the element.
        attributes: by name; None and False are left out, True stands without a value.
        children: markup as it is, everything else as text; None is left out.

    Example:
        >>> tag("p", {"class": "note", "hidden": False}, "a < b, ", tag("b", None, "so"))
        '<p class="note">a &lt; b, <b>so</b></p>'
    """
    given = "".join(
        f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'
        for key, value in (attributes or {}).items()
        if value is not None and value is not False
    )
    if name in VOID and not children:
        return Html(f"<{name}{given}/>" if name not in ("br", "meta") else f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    """Parts one after the other, text escaped."""
    return Html(
        "".join(
            child if isinstance(child, Html) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )


def named(name: str) -> Html:
    """A name as data has it: apart from the direction of the text around, and cut where endless."""
    cut = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    return tag("bdi", None, cut)


def data(content: Any) -> Html:
    r"""Plain data as JSON that can stand within a ``script`` element, whatever it holds.

    Example:
        >>> data(["</script><script>"])
        '["\\u003c/script\\u003e\\u003cscript\\u003e"]'
    """
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def digest(text: str) -> str:
    """A content security policy's name of an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
