"""One word for one thing: the private vocabulary of 0.1 does not come back."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

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
    r"[Ll]isten(s|ed|ing|ers?)?": "uses the graph",
    r"[Hh]eard": "seen so far, aggregated",
    r"beats": "is better",
    r"doors?": "command",
    r"clouds?": "embedding plot",
    r"nobody's": "has no entity id",
    r"(goes|go|going|went) on": "resumes, continues",
    r"hangs? on": "depends on",
    r"(is|are|was|were|been?)[ _]told(?![ _](apart|from|otherwise))": "is given, is set",
    r"(is|are|was|were|been?)[ _]asked(?![ _](for|to|whether))": "is queried, is evaluated",
    r"(?<!by )[Cc]hance(?! of| that)": "randomness, random state, probability",
    r"(?<!\.)[Dd]ump(s|ed|ing)?": "negatives log",
    r"[0-9]+ moves?": "updates",
    r"on the way(?! (to|from))": "on the command line",
    r"(dans|distmult|complex|rotate)-kept": "self-loop",
    r"(name ?= ?\"|--sampler[ =]|\.name=)kept": "self_loop",
    r"((?<=[\"'`])start(?= ?=)|start(?= ?= ?\"[a-z]+/))": "init_from",
}

#: Names that are not given to a variable, an argument, an attribute or a function, each in its
#: private sense; in sentences these words are ordinary English.
NAMES = {
    r"told": "predicted, messages, seen",
    r"asked": "queries, requested",
    r"traps?": "audit, leakage",
    r"moves?": "update",
    r"ways?": "pathway",
    r"spreads?": "diversity, standard_deviation",
}

#: Any of them: most texts have none, and are read once instead of once for each.
ANY_WORD, ANY_NAME = (
    re.compile(rf"(?<![A-Za-z])({'|'.join(words)})(?![A-Za-z])") for words in (WORDS, NAMES)
)

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
    for word, instead in WORDS.items() if ANY_WORD.search(text) else ():
        for match in re.finditer(rf"(?<![A-Za-z]){word}(?![A-Za-z])", text):
            number = text.count("\n", 0, match.start()) + 1
            found.append((number, f"{match.group()}: write {instead}"))
    return sorted(found)


def old_names(text: str) -> list[tuple[int, str]]:
    """Lines of a module that define an old name, by number, and what to write instead.

    The name of a test is a sentence, and is not looked at.

    >>> old_names("def f(asked): ...")
    [(1, 'asked: write queries, requested')]
    """
    found = []
    for node in ast.walk(ast.parse(text)) if ANY_NAME.search(text) else ():
        match node:
            case ast.FunctionDef(name=name) if not name.startswith("test_"):
                pass
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                pass
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                pass
            case _:
                continue
        for word, instead in NAMES.items():
            if any(re.fullmatch(word, part) for part in name.split("_")):
                found.append((node.lineno, f"{name}: write {instead}"))
    return found


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("def count_rivals(): ...", "rivals"),
        ("who is told of it", "is told"),
        ("each query is asked once", "is asked"),
        ("where chance comes from", "chance"),
        ("a dump of negatives", "dump"),
        ("listened", "listened"),
        ("'start = \"run\"'", "start"),
        ('start = "pretrain/umls"', "start"),
        ("umls-distmult-kept", "distmult-kept"),
        ("can be set on the way:", "on the way"),
    ],
)
def test_an_old_word_is_found_in_names_and_prose(line: str, word: str) -> None:
    assert [what.partition(": write ")[0] for _, what in old_words(line)] == [word]


@pytest.mark.parametrize(
    "line",
    [
        "a factor of the discriminator's loss, satisfactory",
        "true and false lines are told apart; unless told otherwise",
        "the entity asked for; the user is asked for a name",
        "equal by chance; the chance of a tie",
        "json.dumps(moved), start=1",
        "a sampler moves with its device; both ways; the files are kept",
    ],
)
def test_ordinary_english_is_no_old_word(line: str) -> None:
    assert old_words(line) == []


def test_an_old_name_is_found_where_it_is_defined() -> None:
    for code in ("told = 1", "def move(): ...", "self.entity_way = 1", "from a import b as move_b"):
        assert len(old_names(code)) == 1, code
    for code in ("moved = 1", "def test_which_way_it_moves(): ...", "json.dump(ways)", "start = 0"):
        assert old_names(code) == [], code


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
    offenders += [
        f"{name}:{line}: {what}"
        for name, text in texts().items()
        if name.endswith(".py")
        for line, what in old_names(text)
    ]
    assert not offenders, "\n".join(offenders)


def test_no_mark_of_a_merge_is_left() -> None:
    read = texts() | {"CHANGELOG.md": (ROOT / "CHANGELOG.md").read_text("utf-8")}
    assert not [name for name, text in read.items() if re.search(r"(?m)^(<{7}|>{7})( |$)", text)]
