"""One word for one thing: the private vocabulary of 0.1 does not come back."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What is not written, and what is written instead. Parts of snake_case names count as words.
WORDS = {
    r"[Rr]ivals?": "negative, competitor or baseline",
    r"[Ff]acts?": "triple",
    r"[Qq]uestions?": "query",
    r"[Cc]ritics?": "discriminator",
    r"[Ff]akes?": "generated negative",
    r"[Vv]erdicts?": "classification report",
    r"[Jj]udg(e|es|ed|ing)": "evaluate",
    r"kept (entity|entities)": "uncorrupted entity",
    r"ask_(tails|heads)": "tail_query, head_query",
    r"match_all": "score_all",
    r"at_rest": "eval_mode",
    r"listens": "uses the graph",
    r"beats": "is better",
    r"doors?": "command",
    r"clouds?": "embedding plot",
    r"nobody's": "has no entity id",
    r"(goes|go|going|went) on": "resumes, continues",
    r"hangs? on": "depends on",
}

#: Where old names are data: the table that maps them, and the history.
EXEMPT = (
    "dans/config/old_names.py",
    "tests/config/test_schema.py",
    "tests/report/test_curves.py",
    "tests/test_words.py",
    "CHANGELOG.md",
)

#: What is read: code, pages, recipes and pictures.
READ = ("*.py", "*.md", "*.toml", "*.j2", "*.svg", "Makefile")


def texts() -> dict[str, str]:
    """The text of every tracked file that is read, by its path."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *READ], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    names = [name for name in listed if name and name not in EXEMPT]
    if not names:  # a source archive is no checkout
        names = [
            path.relative_to(ROOT).as_posix()
            for folder in ("dans", "baselines", "docs/pages")
            for path in (ROOT / folder).rglob("*")
            if path.suffix in (".py", ".md") and path.relative_to(ROOT).as_posix() not in EXEMPT
        ]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}


def old_words(text: str) -> list[tuple[int, str]]:
    """Lines with an old word, by number, and what to write instead.

    >>> old_words("a rival")
    [(1, 'rival: write negative, competitor or baseline')]
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        for word, instead in WORDS.items():
            for match in re.finditer(rf"(?<![A-Za-z]){word}(?![A-Za-z])", line):
                found.append((number, f"{match.group()}: write {instead}"))
    return found


def test_an_old_word_is_found_in_names_and_prose() -> None:
    assert old_words("def count_rivals(): ...") == [
        (1, "rivals: write negative, competitor or baseline")
    ]
    assert old_words("a factor of the discriminator's loss, satisfactory") == []


def test_no_docstring_points_elsewhere_instead_of_saying_what_a_thing_is() -> None:
    empty = [
        f"{path.relative_to(ROOT)}:{node.body[0].lineno}"
        for folder in ("dans", "baselines")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and (ast.get_docstring(node) or "").startswith("See ")
    ]
    assert not empty, "\n".join(empty)


def test_no_two_modules_have_one_name() -> None:
    names = Counter(
        path.name
        for folder in ("dans", "baselines", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in ("__init__.py", "base.py")
    )
    assert not [name for name, count in names.items() if count > 1]


def test_the_words_of_the_field_are_used() -> None:
    offenders = [
        f"{name}:{line}: {what}" for name, text in texts().items() for line, what in old_words(text)
    ]
    assert not offenders, "\n".join(offenders)
