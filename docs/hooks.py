"""What MkDocs gets beside mkdocs.yml: pages of the API, and files that stand elsewhere.

A page of the API is made for every public module, and the tables of a recipe's options are made
from the classes that take them. The contributor's page, the changelog and the
list of data sets are those of the repository, and so are the pictures of results; links to them
point into the repository, where they work too, and are turned to their places on the site.
"""

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

import recipe_options
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

#: Files of the repository, and where they stand on the site.
PLACES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "datasets/README.md": "datasets.md",
    **{
        path.relative_to(ROOT).as_posix(): f"images/{path.name}"
        for path in sorted((ROOT / "scripts" / "results").glob("*.png"))
    },
}

#: A link or a picture: what stands before its address, and the address as far as its anchor.
LINK = re.compile(r"(\]\()([^)#:\s]+)(?=[)#])")


def modules() -> dict[str, str]:
    """Public modules by name, with their pages.

    ``dans.samplers.uniform`` stands at ``api/dans/samplers/uniform.md``, a package at the
    ``index.md`` of its folder.
    """
    found = {}
    for package in ("dans", "baselines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = (*parts[:-1], "index")
            if not any(part.startswith("_") for part in parts):
                name = ".".join(parts).removesuffix(".index")
                found[name] = "/".join(("api", *parts)) + ".md"
    return found


def content(name: str, page: str) -> str:
    """What is on the page of a module; of a package, what it defines itself, and its modules."""
    if not page.endswith("/index.md"):
        return f"---\ntitle: {name}\n---\n\n::: {name}\n"
    source = ROOT / Path(page).relative_to("api").with_name("__init__.py")
    own = []
    for node in ast.parse(source.read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        own += [getattr(part, "id", getattr(part, "name", "_")) for part in targets]
    members = [name for name in own if not name.startswith("_")] or "false"
    below = [
        f"- [`{other}`]({posixpath.relpath(place, posixpath.dirname(page))})"
        for other, place in modules().items()
        if other.rpartition(".")[0] == name
    ]
    head = ["---", f"title: {name}", "---", "", f"::: {name}", "    options:"]
    return "\n".join([*head, f"      members: {members}", "", *below, ""])


def api() -> list[Any]:
    """The pages of the API as a tree, for the navigation."""
    tree: dict[str, Any] = {}
    for page in modules().values():
        *folders, file = Path(page).parts[1:]
        here = tree
        for folder in folders:
            here = here.setdefault(folder, {})
        here[file.removesuffix(".md")] = page

    def listed(node: dict[str, Any]) -> list[Any]:
        first = [node["index"]] if "index" in node else []
        rest = sorted((name, child) for name, child in node.items() if name != "index")
        return first + [
            {name: listed(child) if isinstance(child, dict) else child} for name, child in rest
        ]

    return listed(tree)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API into the navigation."""
    for entry in config.nav or []:
        if isinstance(entry, dict) and "API" in entry:
            entry["API"] = ["api/index.md", *api()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the API, and the files that stand elsewhere."""
    every = "".join(f"- [`{name}`]({page[4:]})\n" for name, page in modules().items())
    files.append(File.generated(config, "api/index.md", content=f"# API\n\n{every}"))
    for name, page in modules().items():
        files.append(File.generated(config, page, content=content(name, page)))
    for source, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made, and turn links into the repository to the places on the site."""
    if page.file.src_uri == "options.md":
        markdown = markdown.replace("<!-- options -->", recipe_options.tables(modules()))
    moved = {place: source for source, place in PLACES.items()}
    source = moved.get(page.file.src_uri, f"docs/pages/{page.file.src_uri}")
    folder = posixpath.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        place = PLACES.get(target)
        if place is None and target.startswith("docs/pages/"):
            place = target.removeprefix("docs/pages/")
        if place is None:
            return match[0]
        return match[1] + posixpath.relpath(place, folder or ".")

    return LINK.sub(turned, markdown)
