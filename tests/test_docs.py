"""What the pages show runs, what they name is there, and the site builds without a warning."""

import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from msgspec import structs

from dans.cli import main
from dans.cli import parsing as cli
from dans.cli.train_command import configured
from dans.config.recipes import COMMANDS as KINDS
from dans.config.schema import GraphConfig, PhaseConfig, RunConfig, TrainConfig
from dans.data.cards import DatasetCard
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.interface.planning import Choice, Stage, is_recipe, plan
from dans.models.decoders import DECODERS
from dans.registry import options
from dans.runs.build import build_trainer
from dans.runs.train import configure
from dans.samplers import SAMPLERS
from tests.processes import run
from tests.suites.toy import lay

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "datasets" / "README.md",
    *sorted((DOCS / "pages").rglob("*.md")),
]

#: A training of no consequence.
BRIEF = ["--set", "train.steps=2", "--set", "train.validate_every=2", "--set", "train.batch=500"]

#: What makes a command short, by its name: put behind its own arguments, so that it has the last
#: word. Everything else on the line is run as it is written.
SHORTER = {
    "baseline": BRIEF,
    "check": [],
    "compare": [],
    "evaluate": [],
    "explain": [],
    "export": [],
    "fetch": [],
    "inspect": ["--triples", "50"],
    "plot-diversity": [],
    "plot_theory.py": [],
    "predict": [],
    "pretrain": [*BRIEF, "--set", "encoder.dim=8"],
    "report": ["--triples", "20"],
    "split": [],
    "reproduce": [*BRIEF, "--seeds", "1"],
    "tabulate": [],
    "train": BRIEF,
    "tune": [*BRIEF, "--trials", "2"],
}

#: The run that stands in for any other of its kind: its command and recipe.
STANDS_IN = {
    "pretrain": ["pretrain", "umls-distmult"],
    "dans": ["train", "umls-distmult"],
    "baselines": ["baseline", "umls-distmult-sce"],
}

#: Commands that train one run, and the kind of it.
TRAINS = {command: kind for kind, command in KINDS.items()}

#: The command of each script that is one.
SHIMS = {
    path.name: found[1]
    for path in (ROOT / "scripts").glob("*.py")
    if (found := re.search(r'run_script\("([\w-]+)"', path.read_text("utf-8")))
}


@dataclass(frozen=True)
class Block:
    """A block of code on a page, and the line it starts on."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{named(self.page)}:{self.line}"


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    found = re.finditer(r"^[ ]*```([^\n]*)\n(.*?)^[ ]*```[ ]*$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(page, text[: match.start()].count("\n") + 1, match[1].strip(), match[2])
        for match in found
    ]


def shape(answers: str) -> list[list[str]]:
    """The words around the rows of a table of answers, any number as good as another."""
    lines = re.sub(r"\d+", "0", answers).splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith(" ")]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(
        r"^[ ]*```.*?^[ ]*```[ ]*$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )


class World:
    """A folder in which a page's blocks run one after the other, as a reader would run them."""

    def __init__(self, folder: Path, stand_ins: Callable[[str], Path]) -> None:
        self.folder = folder
        self.stand_ins = stand_ins
        self.names: dict[str, Any] = {"__name__": "page"}
        #: what the commands of the last block of them printed
        self.printed: list[str] = []
        lay(folder / "path" / "to" / "triples")
        knows = [f"person{i % 9}\tknows\tperson{(i * i + 2) % 9}" for i in range(40)]
        (folder / "my-triples.tsv").write_text("\n".join([*knows, "ada\tknows\tperson1\n"]))

    def run(self, block: Block) -> None:
        """Run a block by its language."""
        kinds = {
            "python": self.python,
            "bash": self.commands,
            "toml": self.toml,
            "json": lambda block: json.loads(block.text),
            "text": self.text,
        }
        for name in re.findall(r"runs/\w+/[\w.-]+(?:/seed\d+)?", block.text):
            self.provide(name)
        kinds[block.language](block)

    def provide(self, run: str) -> None:
        """Put a trained run where a block expects one, if it is one that could have been made."""
        _, kind, *rest = Path(run).parts
        if kind in STANDS_IN:
            assert rest[0] in cli.records(kind, "expected"), f"{run}: no recipe makes it"
            assert not rest[1:] or int(rest[1].removeprefix("seed")) < 5, f"{run}: not made here"
            place = self.folder / "runs" / kind / rest[0] / (rest[1] if rest[1:] else "seed0")
            if not place.exists():
                shutil.copytree(self.stand_ins(kind), place)

    def python(self, block: Block) -> None:
        """Execute; then every test that it defines, and every example in its docstrings."""
        before = dict(self.names)
        exec(compile("\n" * block.line + block.text, str(block.page), "exec"), self.names)
        for name, it in list(self.names.items()):
            if name in before and before[name] is it:
                continue
            if name.startswith("test_"):
                it()
            if getattr(it, "__module__", None) == "page" and it.__doc__:
                example = doctest.DocTestParser().get_doctest(
                    it.__doc__, self.names, name, str(block), block.line
                )
                found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
                assert found.failed == 0, f"{block}: the example of {name}"

    def commands(self, block: Block) -> None:
        """Run each line, or check what it would do where that is not for a test."""
        self.printed = []
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                words = shlex.split(part, comments=True)
                if words:
                    self.command(f"{block}: {line}", words)

    def command(self, where: str, words: list[str]) -> None:
        match words:
            case ["make", *targets]:
                done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True)
                assert done.returncode == 0, f"{where}: {done.stderr.decode()}"
            case ["pip", "install", "."]:
                assert (ROOT / "pyproject.toml").exists(), where
            case ["pip", "install", *flags, what]:
                assert flags in ([], ["-e"]), where
                found = re.fullmatch(r"\.\[([\w,]+)\]", what)
                assert found, where
                assert set(found[1].split(",")) <= project()["optional-dependencies"].keys(), where
            case [".venv/bin/python", "-m", module, *arguments]:
                self.tool(where, module, arguments)
            case ["printf", text, "|", ("python" | "dans") as program, *rest]:
                self.ours(where, program, rest, text.encode().decode("unicode_escape"))
            case ["printf", text, ">", file]:
                (self.folder / file).write_text(text.encode().decode("unicode_escape"))
            case [("python" | "dans") as program, *rest]:
                self.ours(where, program, rest)
            case _:
                pytest.fail(f"{where}: no test covers such a command")

    def tool(self, where: str, module: str, arguments: list[str]) -> None:
        """Whether its parser accepts the arguments."""
        assert module in ("mypy", "pytest", "ruff"), f"{where}: no test covers such a command"
        if module == "mypy":
            assert not arguments, f"{where}: its arguments are not checked"
            assert find_spec("mypy"), where
            return
        (self.folder / "test_nothing.py").write_text("def test_nothing(): pass\n")
        # Neither looks at more than this: one prints its help, the other finds one test.
        short = ["--help"] if module == "ruff" else ["--collect-only", "-q", "test_nothing.py"]
        command = [sys.executable, "-m", module, *arguments, *short]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{where}: {done.stdout}{done.stderr}"

    def ours(self, where: str, program: str, words: list[str], given: str = "") -> None:
        """Run a command of ours or a script, made short as the table says."""
        name, *arguments = words
        if program == "python":
            room, script = name.split("/")
            assert room == "scripts", where
            name = SHIMS.get(script, script)
            call = [script]
        else:
            call = ["dans", name]
        assert name in SHORTER, f"{where}: not in the table of what makes it short"
        if "dans" in (name.replace("train", "dans"), *arguments[:1]):
            for seed in range(2):
                self.provide(f"runs/pretrain/umls-distmult/seed{seed}")
        own = name in TRAINS and arguments and not is_recipe(arguments[0])
        own = own and not arguments[0].startswith("-")
        if own:
            first = "--sampler" in arguments and "--init-from" not in arguments
            arguments += ["--pretrain-steps", "2"] * first
        elif name in TRAINS:
            self.train(where, name, arguments)
        else:
            # What makes it short would have the last word over it, and nobody would look at it.
            assert "--set" not in arguments, f"{where}: no test covers such an option"
        done = run(*call, *arguments, *SHORTER[name], cwd=self.folder, given=given)
        assert done.returncode == 0, f"{where}: {done.stderr}"
        self.printed.append(done.stdout)

    def train(self, where: str, name: str, arguments: list[str]) -> None:
        """Read the page's own options, before others follow; make room for a run made now."""
        parser = cli.parser(None)
        main.load(name).add_options(parser)
        parser.set_defaults(usual_recipe=STANDS_IN[TRAINS[name]][-1])
        try:
            given = parser.parse_args(arguments)
            _, where_to = configured(given)
        except InputError as error:
            pytest.fail(f"{where}: {error}")
        if not given.resume and not given.out:
            shutil.rmtree(self.folder / where_to, ignore_errors=True)

    def text(self, block: Block) -> None:
        """Answers of a run are what was printed just above, but for rows and numbers."""
        if block.text.startswith("runs/"):
            printed = [shape(text) for text in self.printed]
            assert shape(block.text) in printed, f"{block}: not what the command above it prints"

    def toml(self, block: Block) -> None:
        """Read it as the card or the recipe that it is; a recipe is built, down to its trainer."""
        if "sha256" in block.text:
            plain = tomllib.loads(block.text)
            path = self.folder / f"{plain['name']}.toml"
            shown = block.text.replace('sha256 = "…"', f'sha256 = "{"0" * 64}"')
            for split in ("valid", "test"):  # of three alike, the page shows one
                shown += f'\n[{split}]\nlines = 1\nsha256 = "{"0" * 64}"\n'
            path.write_text(shown, "utf-8")
            assert DatasetCard.read(path).name == plain["name"]
            return
        path = self.folder / "recipe.toml"
        path.write_text(block.text, "utf-8")
        if start := tomllib.loads(block.text).get("init_from"):
            self.provide(f"runs/{start}")
        config = configure(path, [])
        from baselines.assembly import OBJECTIVES

        trainer = build_trainer(config, KnowledgeGraph.load(config.data), None, OBJECTIVES)
        assert trainer.model is not None


def project() -> dict[str, Any]:
    plain: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return plain


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trained runs of each kind, small, each made on first use."""
    home = tmp_path_factory.mktemp("runs")

    def made(kind: str) -> Path:
        command, recipe = STANDS_IN[kind]
        where = home / "runs" / kind / recipe / "seed0"
        if not where.exists():
            if kind == "dans":
                made("pretrain")
            done = run("dans", command, recipe, *SHORTER[command], cwd=home)
            assert done.returncode == 0, done.stderr
            for model in ("best", "last"):
                assert run("dans", "evaluate", where, "--model", model, cwd=home).returncode == 0
        return where

    return made


def brief(choice: Choice, kg: KnowledgeGraph | None, *, start: Path | None = None) -> list[Stage]:
    """The plan of a choice, with few steps where it names none."""
    steps, first = choice.steps, choice.pretrain_steps
    if first is None and start is None and choice.sampler is not None:
        first = 2
    choice = replace(choice, steps=2 if steps is None else steps, pretrain_steps=first)
    return plan(choice, kg, start=start)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=named)
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_ins: Callable[[str], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    world = World(tmp_path, stand_ins)
    known = patch.dict(SAMPLERS), patch.dict(DECODERS)
    with patch.dict(os.environ), known[0], known[1], patch("dans.interface.training.plan", brief):
        for block in blocks(page):
            world.run(block)
    torch.set_num_threads(threads)


def test_every_block_says_what_it_is() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    assert len(every) > 45
    for block in every:
        assert block.language in ("python", "bash", "toml", "json", "text"), str(block)
        if block.language == "text":
            assert not re.search(r"^(>>>|\$|import |from |python |pip |make )", block.text, re.M)
    fences = [len(re.findall("```|~~~", page.read_text("utf-8"))) for page in PAGES]
    assert sum(fences) == 2 * len(every), "a fence that no pattern found"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "chosen", "after"),
    [
        ("extend-sampler.md", ["--sampler", "homesick:k=5", "--pretrain-steps", "2"], "dans"),
        ("extend-decoder.md", ["--decoder", "hole"], "own.py"),
    ],
)
def test_a_program_that_ends_with_main_is_the_command_with_what_it_adds(
    page: str, chosen: list[str], after: str, tmp_path: Path
) -> None:
    World(tmp_path, lambda kind: tmp_path)
    code = [block.text for block in blocks(DOCS / "pages" / page) if block.language == "python"]
    (end,) = (i for i, text in enumerate(code) if "main()" in text)
    (tmp_path / "own.py").write_text("".join([*code[:2], code[end]]), "utf-8")
    own = str(tmp_path / "own.py")
    given = ["train", "my-triples.tsv", *chosen, "--out", "mine", *BRIEF]
    assert run("dans", *given, cwd=tmp_path).returncode == 2
    done = run(own, *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    program = own if after == "own.py" else after
    assert run(program, "evaluate", "mine", cwd=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        "python scripts/train_dans.py --set train.batch=0",
        "python scripts/train_dans.py --nosuch",
        "python scripts/tune.py --recipe umls-distmult --set train.batch=0",
        "python scripts/nosuch.py",
        "dans nosuch",
        "dans pretrain umls-distmult --nosuch",
        "python scripts/evaluate.py runs/dans/no-such-recipe/seed0",
        "pip install '.[nosuch]'",
        "make nosuch",
        ".venv/bin/python -m ruff check --nosuch .",
        ".venv/bin/python -m mypy --nosuch",
    ],
)
def test_a_command_that_fails_a_reader_fails_here(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_ins: Callable[[str], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=r"README\.md:1|runs/"):
        World(tmp_path, stand_ins).run(Block(ROOT / "README.md", 1, "bash", wrong))


def test_a_page_s_second_test_of_a_name_runs_too(tmp_path: Path) -> None:
    world = World(tmp_path, lambda kind: tmp_path)
    world.run(Block(ROOT / "README.md", 1, "python", "def test_it():\n    pass\n"))
    with pytest.raises(ZeroDivisionError):
        world.run(Block(ROOT / "README.md", 9, "python", "def test_it():\n    1 / 0\n"))


def test_answers_that_no_command_above_prints_are_found(tmp_path: Path) -> None:
    world = World(tmp_path, lambda kind: tmp_path)
    world.printed = ["runs/it: step 2\n\n(a, r, ?)\nrank  tail  score  known\n   1  b  0.2\n"]
    shown = "runs/it: step 200\n\n(a, r, ?)\nrank tail score   known\n   1  c  0.5\n   2  b  0.1\n"
    world.run(Block(ROOT / "README.md", 1, "text", shown))
    with pytest.raises(AssertionError, match="not what the command"):
        world.run(Block(ROOT / "README.md", 1, "text", shown.replace("rank", "place")))


def test_the_page_of_losses_has_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    made = importlib.import_module("recipe_options")
    page = (DOCS / "pages" / "losses.md").read_text("utf-8")
    for section in ("objective", "loss"):
        table = page[page.index(f"| `[{section}] name`") :].split("\n\n")[0]
        rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
        assert [row[0].strip("`") for row in rows] == sorted(made.CHOSEN[section])
        for name, *_, said in rows:
            kind = made.CHOSEN[section][name.strip("`")]
            taken = options(kind)
            found = dict(re.findall(r"`(\w+)(?: = ([^`]+))?`", re.sub(r"\([^)]*\)", "", said)))
            assert list(found) == [key for key in taken if key not in made.GIVEN_TO[section]]
            for key, value in found.items():
                if value:
                    assert tomllib.loads(f"it = {value}")["it"] == taken[key].default, (name, key)


def test_no_page_installs_what_is_not_published() -> None:
    for page in PAGES:
        assert "install 'dans" not in page.read_text("utf-8"), named(page)


def test_negatives_have_the_shapes_that_the_page_says() -> None:
    (block,) = (block for block in blocks(DOCS / "pages" / "python.md") if "Mixture" in block.text)
    names: dict[str, Any] = {}
    exec(block.text, names)
    negatives, positives = names["negatives"], names["positives"]
    assert negatives.embeddings.shape == (2, 20, 16)
    assert negatives.scores(positives).shape == (2, 20)
    heads, relations, tails = names["triples"].unbind(-1)
    decoder, entities = names["decoder"], names["entities"]
    expected = decoder.score(entities[heads], decoder.relation(relations), entities[tails])
    torch.testing.assert_close(positives.scores().squeeze(1), expected)


def test_files_that_a_page_names_are_there() -> None:
    places = r"(?:scripts|tests|docs|datasets|dans|baselines)/[\w./-]*\w+\.(?:py|md|toml|json|png)"
    assert not [
        f"{named(page)}: {name}"
        for page in PAGES
        for name in re.findall(places, page.read_text("utf-8"))
        if not (ROOT / name).exists() and "NAME" not in name
    ]


def there(name: str) -> bool:
    """Does a dotted name lead to a module, or to something inside one?"""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_names_of_ours_on_a_page_are_there() -> None:
    ours = r"`((?:dans|baselines)\.[\w.]+)(?:\([^`]*\))?`"
    named_there = {name: page for page in PAGES for name in re.findall(ours, prose(page))}
    assert named_there
    assert not [f"{named(page)}: {name}" for name, page in named_there.items() if not there(name)]


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


def test_links_of_a_page_lead_somewhere() -> None:
    def leads(page: Path, link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or not target.is_relative_to(ROOT):
            return False
        return not anchor or anchor in slugs(target)

    assert not [
        f"{named(page)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))
        if not link.startswith(("https://", "http://")) and not leads(page, link)
    ]


def test_marks_of_tables_are_in_pairs_and_on_one_page() -> None:
    found: list[str] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        opened, closed = (
            re.findall(rf"<!-- {slash}((?:results|speed)[\w-]*) -->", text) for slash in ("", "/")
        )
        assert opened == closed, named(page)
        found += opened
    assert len(found) == len(set(found))


def test_every_table_of_results_says_where_it_comes_from() -> None:
    """That tables are those of the records is held by ``tests/test_page_tables.py``."""
    expected = [its for kind in KINDS for its in cli.records(kind, "expected").values()]
    commits = {its["commit"] for its in expected}
    found = 0
    for page in PAGES:
        blocks = r"<!-- (results[\w-]*) -->\n(.*?)\n<!-- /\1 -->"
        for mark, block in re.findall(blocks, page.read_text("utf-8"), re.DOTALL):
            found += 1
            # Differences of numbers in the tables before them, and logs that name their file.
            if mark.endswith("-pairs") or mark in ("results-search", "results-headroom"):
                continue
            said = block.split("\n\n")[-1]
            assert said.startswith("Source: `dans reproduce"), mark
            assert "`dans tabulate --pages`" in " ".join(said.split()), mark
            named_there = re.findall(r"\b[0-9a-f]{7}\b", said)
            assert named_there or "commit: not recorded" in " ".join(said.split()), mark
            assert set(named_there) <= commits, mark
    assert found == 25


#: Its command, without two parts that take a third of the time and that no test looks at: Ruff,
#: started for each signature to lay it out, and the search index, for which pages are parsed again.
MKDOCS = """
import sys
from material.plugins.search.plugin import SearchIndex
from mkdocs.__main__ import cli
sys.modules["ruff.__main__"] = None
SearchIndex.add_entry_from_context = lambda *_: None
cli()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `make docs` but for those two parts, in a folder of its own; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = ["build", "--strict", "--config-file", str(DOCS / "mkdocs.yml")]
    done = subprocess.run(
        [sys.executable, "-c", MKDOCS, *command, "--site-dir", str(folder)],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search("warning|error", done.stdout + done.stderr, re.I), done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_a_page_for_every_public_module(site: Path) -> None:
    listed = (site / "api" / "index.html").read_text("utf-8")
    for package in ("dans", "baselines"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = (*parts[:-1], "index")
            if any(part.startswith("_") for part in parts):
                continue
            page = "/".join(parts) + ".html"
            name = ".".join(parts).removesuffix(".index")
            assert f'id="{name}"' in (site / "api" / page).read_text("utf-8"), name
            assert f'href="{page}"' in listed, name


@pytest.mark.slow
def test_the_site_says_what_an_option_means(site: Path) -> None:
    for page in ("options.html", "api/dans/config/schema.html"):
        assert "triples (or queries) per step" in (site / page).read_text("utf-8"), page
    table = (site / "options.html").read_text("utf-8")
    for config in (RunConfig, TrainConfig, GraphConfig, PhaseConfig):
        for field in structs.fields(config):
            row = re.search(f"<code>{field.name}</code></td>(.*?)</tr>", table, re.DOTALL)
            assert row, field.name
            assert not re.search(r"<td>\s*</td>", row[1]), f"{field.name}: undescribed"


@pytest.mark.slow
def test_no_two_pages_of_the_site_have_one_title(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    titles = [re.findall("<title>(.*?)</title>", path.read_text("utf-8"))[0] for path in pages]
    assert sorted(titles) == sorted(set(titles))


@pytest.mark.slow
def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text)
        assert not [tag for tag in tags if re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag)]
    sheets = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"(?:url\(|@import)[\"' ]*(?:https?:)?//", sheets)
