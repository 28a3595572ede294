"""What was gathered as one HTML page that needs nothing else, and fetches nothing."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from dans.errors import InputError
from dans.report import sections
from dans.report.figures import Figures
from dans.report.gather import Page
from dans.report.markup import Html, data, digest, join, tag
from dans.report.svg import symbols
from dans.training.files import write_atomically


def render(page: Page) -> str:
    """The page.

    Its policy lets a browser load nothing and run nothing but the one script that it carries.
    """
    style, script, frame = (asset(name) for name in ("page.css", "page.js", "page.html"))
    figures = Figures()
    parts = [part for part in sections.every(page, figures) if part.body]
    policy = (
        f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(frame).substitute(
        policy=tag("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        title=join([sections.title(page)]),
        style=style,
        script=script,
        hover=data(figures.hover),
        symbols=symbols(),
        header=sections.header(page),
        contents=contents(parts),
        main=join(section(part) for part in parts),
    )


def destination(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Where a report of some runs goes: beside a single one, or here for several.

    Args:
        folders: of the runs.
        out: where it shall go instead.

    Raises:
        InputError: that is no name of a page, or in no folder.
    """
    if out is None:
        return folders[0] / "report.html" if len(folders) == 1 else Path("report.html")
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out: expected a name that ends in .html, got {out}")
    if not out.parent.is_dir():
        raise InputError(f"--out: expected a folder that is there, got {out.parent}")
    return out


def write(path: Path, page: str) -> Path:
    """Write a page, whole or not at all."""
    write_atomically(path, page.encode("utf-8"))
    return path


def asset(name: str) -> str:
    """A file of this package, as text."""
    return files("dans.report").joinpath(name).read_text("utf-8")


def contents(parts: list[sections.Section]) -> Html:
    """Where the sections are."""
    links = [tag("li", None, tag("a", {"href": f"#{part.key}"}, part.title)) for part in parts]
    return tag("nav", {"aria-label": "Contents"}, tag("ul", None, *links))


def section(part: sections.Section) -> Html:
    """One of them."""
    heading = tag("h2", {"id": f"{part.key}-title"}, part.title)
    about = {"id": part.key, "aria-labelledby": f"{part.key}-title"}
    return tag("section", about, heading, part.body)
