"""What a user installs: all of the library, and nothing but the library."""

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

import dans
from dans.errors import DISTRIBUTION

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source archive, both made from the working tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def sources(folder: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}


def test_wheel_holds_all_of_the_library_and_nothing_else(contents: set[str], wheel: Path) -> None:
    assert sources("dans") | sources("baselines") <= contents
    assert {"dans/py.typed", "baselines/py.typed"} <= contents
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    assert {PurePosixPath(name).parts[0] for name in contents} == {"dans", "baselines", info}
    suffixes = {PurePosixPath(name).suffix for name in contents if not name.startswith(info)}
    assert suffixes == {".c", ".css", ".j2", ".js", ".py", ".toml", ".typed"}
    assert [name for name in contents if name.endswith(".dist-info/licenses/LICENSE")]


def test_wheel_holds_cards_recipes_and_what_a_report_is_made_of(contents: set[str]) -> None:
    cards = {f"dans/data/cards/{path.name}" for path in (ROOT / "datasets").glob("*.toml")}
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dans").rglob("*.toml")}
    assert cards
    assert "dans/recipes/bases/umls-distmult.toml" in recipes
    assert {name for name in contents if name.endswith(".toml")} == cards | recipes
    folder = "dans/report/templates"
    parts = {f"{folder}/{path.name}" for path in (ROOT / folder).iterdir()}
    assert f"{folder}/page.html.j2" in parts
    assert parts <= contents


def test_wheel_says_its_version_and_its_pythons(metadata: Message) -> None:
    assert metadata["Name"] == DISTRIBUTION
    assert metadata["Version"] == dans.__version__
    assert set(metadata["Requires-Python"].split(",")) == {">=3.10", "<3.13"}


def test_each_python_gets_one_dgl_and_later_ones_pip_s_sentence(metadata: Message) -> None:
    from packaging.requirements import Requirement

    needs = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    plain = {"extra": ""}
    releases = {"3.10": ["1.1.3"], "3.11": ["1.1.3"], "3.12": ["2.1.0"], "3.13": []}
    for python, release in releases.items():
        chosen = [
            str(need.specifier)
            for need in needs
            if need.name == "dgl"
            and (need.marker is None or need.marker.evaluate(plain | {"python_version": python}))
        ]
        # Where there is no DGL, pip would speak of that instead of Requires-Python.
        assert chosen == [f"=={number}" for number in release]


USE = """
import baselines
import dans.predict
from baselines.softmax import SoftmaxCrossEntropy
from dans.samplers import Uniform

negatives: Uniform = Uniform(k=3)
by_query: bool = SoftmaxCrossEntropy.by_query
"""


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel, and what it says it needs."""
    python = tmp_path_factory.mktemp("wheel") / "empty" / "bin" / "python"
    venv.create(python.parent.parent)
    (library,) = python.parent.parent.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needs = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])
    lend("pip", library)
    for package in required(needs):
        lend(package, library)
    install = ["install", "-q", "--no-compile", "--no-deps", "--no-index"]
    output_of(python, "-m", "pip", "--disable-pip-version-check", *install, wheel)
    return python


def required(needs: Iterable[str]) -> set[str]:
    """The distributions that requirements lead to, their own requirements among them."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    left = [(Requirement(text), frozenset[str]()) for text in needs]
    seen = set()
    while left:
        need, extras = left.pop()
        marked = need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if not marked or (str(need), extras) in seen:
            continue
        seen.add((str(need), extras))
        found.add(need.name)
        own = distribution(need.name).requires or []
        left += [(Requirement(text), frozenset(need.extras)) for text in own]
    return found


def test_wheel_has_all_it_needs_in_an_empty_environment_and_brings_its_types(
    python: Path, tmp_path: Path
) -> None:
    # Whether each requirement is there, in a version that it accepts.
    output_of(python, "-m", "pip", "--disable-pip-version-check", "check")
    output_of(python, "-c", USE, cwd=tmp_path)
    where = output_of(python, "-c", "import dans; print(dans.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    # One command, and what it reads: cards, recipes and expected results.
    command = python.with_name("dans")
    assert output_of(command, "--version", cwd=tmp_path) == f"dans {dans.__version__}\n"
    assert "umls" in output_of(command, "fetch", "--list", cwd=tmp_path)
    with pytest.raises(AssertionError, match=r"known: .*umls-distmult"):
        output_of(command, "reproduce", "pretrain", "--match", "nothing", cwd=tmp_path)
    # One mistake beside what is right: what is found is found by the types in the wheel.
    checked = USE + "Uniform(k='three')\n"
    # Reading the types of torch and others takes half a minute, and they are not asked for.
    follow = "follow_imports = {}"
    lines = ["[mypy]", follow.format("skip"), "[mypy-dans.*,baselines.*]", follow.format("normal")]
    (tmp_path / "mypy.ini").write_text("\n".join(lines))
    mypy = [sys.executable, "-m", "mypy", "--python-executable", python]
    with pytest.raises(AssertionError, match="Found 1 error") as found:
        output_of(*mypy, "-c", checked, cwd=tmp_path)
    assert 'Argument "k" to "Uniform"' in str(found.value)


def lend(name: str, library: Path) -> None:
    """Link a package that is installed here into another library, which is as it were installed.

    Installing torch, SciPy, TensorBoard and the others takes a gigabyte, and most of a minute.
    """
    package = distribution(name)
    for top in {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}:
        # Some share a folder, which is linked whole.
        if not (library / top).exists():
            (library / top).symlink_to(Path(str(package.locate_file(top))))


def output_of(*command: str | Path, cwd: str | Path | None = None) -> str:
    """What a command prints, which has to end well."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_source_archive_can_be_built_and_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {
            PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()
        }
    rooms = ("dans", "baselines", "scripts", "tests")
    assert set().union(*map(sources, rooms)) <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile"} <= names
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "pages").rglob("*.*")}
    assert pages | {"docs/mkdocs.yml", "datasets/README.md"} <= names
    assert not [name for name in names if name.endswith((".gz", ".tsv", ".pt", ".safetensors"))]


def test_source_archive_brings_all_that_tests_and_pages_read(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    # Both files are collected, for which every page is read; what pages name is looked for.
    files = ["tests/test_docs.py", "tests/test_architecture.py"]
    chosen = ["-k", "test_links_of_a_page or test_files_that_a_page_names"]
    run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *files, *chosen]
    assert " passed" in output_of(*run, cwd=root)


SIX_LINES = """
import dans
kg = dans.load("own.csv")
run = dans.train(kg, decoder="complex", sampler="dans", steps=4, pretrain_steps=4, dim=8, out="run")
print(run.evaluate("test"), run.predict(head="e0", relation="r1", top=3), sep="\\n")
run.report("report.html")
run.export("vectors")
"""

FOUR_COMMANDS = """
dans train own.csv --decoder complex --sampler dans --steps 4 --pretrain-steps 4 --dim 8 --out run
dans predict run --head e0 --relation r1 --top 3
dans report run --out report.html
dans export run --out vectors
"""

#: What the command that a wheel installs does, for one call after the other.
IN_TURN = """
import json, sys
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="dans")
for sys.argv[1:] in json.loads(sys.argv[1]):
    command.load()()
"""


@pytest.mark.parametrize("by", ["python", "command"])
def test_the_wheel_alone_takes_a_csv_to_a_report_answers_and_vectors(
    by: str, python: Path, tmp_path: Path
) -> None:
    rows = {f"e{i % 9},r{i % 3},e{(i * i + 3) % 9}" for i in range(90)}
    (tmp_path / "own.csv").write_text("\n".join(["from,how,to", *sorted(rows)]) + "\n")
    if by == "python":
        assert len(SIX_LINES.split("\n")) == 1 + 6 + 1
        printed = output_of(python, "-c", SIX_LINES, cwd=tmp_path)
    else:
        # In one process, as four would import torch four times.
        commands = [line.split() for line in FOUR_COMMANDS.strip().split("\n")]
        assert [words[0] for words in commands] == ["dans"] * 4
        calls = [words[1:] for words in commands]
        printed = output_of(python, "-c", IN_TURN, json.dumps(calls), cwd=tmp_path)
    answers = re.findall(r"^ *([123]) +(e\d) +-?\d", printed, re.MULTILINE)
    assert [rank for rank, _ in answers] == ["1", "2", "3"]
    assert "<html" in (tmp_path / "report.html").read_text("utf-8")
    names = json.loads((tmp_path / "vectors" / "names.json").read_text("utf-8"))["entities"]
    assert len(np.load(tmp_path / "vectors" / "entities.npy")) == len(names) == 9
