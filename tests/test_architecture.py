"""The borders: imports point downhill, DGL stays in its room, scripts stay thin."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Which layer a module is on; the longest matching prefix decides. Imports point strictly downhill,
#: or stay within one prefix.
LAYERS = {
    "dans.errors": 0,
    "dans.seeding": 1,
    "dans.memory": 2,
    "dans.compiled": 2,
    "dans.config": 3,
    "dans.registry": 4,
    "dans.data": 5,
    "dans.models": 6,
    "dans.samplers": 7,
    "dans.objectives": 8,
    "dans.evaluation": 9,
    "dans.training": 10,
    "dans.runs": 11,
    "baselines": 12,
    "dans.analysis": 13,
    "dans.predict": 14,
    "dans.report": 15,
    "dans.tuning": 16,
    "dans.adapters": 17,
    "dans.interface": 18,
    "dans.cli": 19,
    "dans.__main__": 20,
    "scripts": 20,
}
#: Below everything: what every module may raise.
GROUND = "dans.errors"

#: The one module that imports DGL, and those that may import it from there.
DGL_MODULE = "dans.data._dgl"
DGL_USERS = ("dans.data.graph", "dans.data.neighbor_sampling", "dans.adapters")

#: Modules whose tests stand elsewhere than a file or a package of the same name.
TESTED_BY = {
    "dans.runs.build": "runs/test_train.py",
    "dans.analysis.inspection": "runs/test_train.py",
    "dans.evaluation.competitors": "evaluation/test_evaluator.py",
    "dans.predict.output_formats": "predict/test_answers.py",
    "dans.report.formatting": "report/test_page.py",
    "dans.predict.queries": "predict/test_predictor.py",
    "dans.__main__": "cli/test_cli.py",
    "dans.interface.run": "interface/test_training.py",
    "dans.interface.joined_runs": "predict/test_ensemble.py",
    "dans.data.triple_tables": "data/test_sources.py",
    "dans.data.rdf": "data/test_sources.py",
    "dans.data.id_files": "data/test_sources.py",
    "dans.data.objects": "data/test_sources.py",
    "dans.config.recipes": "config/test_schema.py",
    "dans.config.old_names": "config/test_schema.py",
    "dans.training.checkpoint_store": "training/test_run_folder.py",
}


def files(*rooms: str) -> list[Path]:
    """Every Python file in some folders of the repository, in a stable order."""
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def named(path: Path) -> str:
    """A file's name relative to the repository, for messages and test ids."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """``dans/models/__init__.py`` to ``dans.models``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at any depth; ``from a import b`` yields ``a`` and ``a.b``."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name: str) -> str | None:
    """The longest prefix of a module's name in the table of layers."""
    parts = name.split(".")
    prefixes = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in LAYERS), None)


def uphill(source: str, target: str) -> bool:
    """May ``source`` not import ``target``?

    Both are names of modules; a target outside the table is somebody else's library.
    """
    here, there = room(source), room(target)
    if here is None or there is None or here == there:
        return False
    return there != GROUND and LAYERS[there] >= LAYERS[here]


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout.strip()


def test_the_table_of_layers_tells_uphill_from_downhill() -> None:
    forbidden = [
        ("dans.models.batch", "dans.samplers.base"),
        ("dans.models.decoders", "dans.samplers.dans.sampler"),
        ("dans.data.graph", "dans.models"),
        ("dans.training.trainer", "baselines"),
        ("dans.training.run_folder", "dans.analysis.diversity"),
        ("dans.errors", "dans.registry"),
        ("dans.models.batch", "dans.objectives.losses"),
    ]
    allowed = [
        ("dans.models.rgcn", "dans.data.message_graph"),
        ("dans.training.trainer", "dans.evaluation.evaluator"),
        ("dans.samplers.mixture", "dans.samplers.base"),
        ("baselines.softmax", "dans.objectives.base"),
        ("dans.registry", "dans.errors"),
        ("dans.models.batch", "torch"),
    ]
    assert [pair for pair in forbidden + allowed if uphill(*pair)] == forbidden


def test_imports_point_downhill() -> None:
    assert not [
        f"{named(path)} must not import {name}"
        for path in files("dans", "baselines", "scripts")
        for name in sorted(set(imports(path)))
        if uphill(module(path), name)
    ]


def test_every_module_has_a_layer() -> None:
    modules = [module(path) for path in files("dans", "baselines")]
    assert not [name for name in modules if name != "dans" and room(name) is None]


def test_no_module_is_loose_at_the_top() -> None:
    loose = {path.stem for path in (ROOT / "dans").glob("*.py")}
    assert loose == {"__init__", "__main__", "errors", "registry", "seeding", "memory", "compiled"}


def test_dgl_is_imported_in_one_module() -> None:
    found = {module(path): set(imports(path)) for path in files("dans", "baselines")}
    direct = {
        name for name, targets in found.items() if any(re.match(r"dgl\b", t) for t in targets)
    }
    assert direct == {DGL_MODULE}
    through = [name for name, targets in found.items() if DGL_MODULE in targets]
    assert not [name for name in through if not name.startswith(DGL_USERS)]


def test_import_never_loads_dgl() -> None:
    code = "import sys, dans, dans.samplers, dans.models.decoders; print('dgl' in sys.modules)"
    assert fresh(code) == "False"


def test_dgl_comes_up_in_silence_and_writes_nothing_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DGLBACKEND", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fresh("from dans.data._dgl import dgl; print(dgl.__version__)") == version("dgl")
    assert not list(tmp_path.iterdir())


def test_importing_the_package_alone_is_free() -> None:
    heavy = {"torch", "numpy", "dgl", "scipy", "pandas"}
    loaded = fresh("import sys, dans; print(*sys.modules)").split()
    assert not heavy.intersection(loaded)


def test_config_needs_no_torch() -> None:
    assert fresh("import sys, dans.config.schema; print('torch' in sys.modules)") == "False"


def test_openmp_waits_passively_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    show = "import dans, os; print(os.environ['OMP_WAIT_POLICY'])"
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert fresh(show) == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert fresh(show) == "ACTIVE"


def offences(check: Callable[[ast.AST], bool], *rooms: str) -> list[str]:
    """Where in some folders a piece of code is what it must not be."""
    return [
        f"{named(path)}:{getattr(node, 'lineno', 1)}: {ast.unparse(node)}"
        for path in files(*rooms)
        for node in ast.walk(tree(path))
        if check(node)
    ]


def test_randomness_has_one_source() -> None:
    def draws(node: ast.AST) -> bool:
        reached = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        return re.match(r"(np|numpy)\.random\b", reached) is not None

    elsewhere = {"random", "numpy.random", "secrets", "dgl.random"}
    assert not [
        named(path)
        for path in files("dans", "baselines")
        if not elsewhere.isdisjoint(imports(path))
    ]
    assert not offences(draws, "dans", "baselines")


def test_devices_have_one_owner() -> None:
    owners = ("dans.config.schema", "dans.seeding")
    assert not [
        named(path)
        for path in files("dans", "baselines", "scripts")
        if module(path) not in owners and "cuda" in path.read_text(encoding="utf-8").lower()
    ]


def test_the_library_neither_prints_nor_asserts() -> None:
    def does(node: ast.AST) -> bool:
        prints = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        return prints or isinstance(node, ast.Assert)

    found = offences(does, "dans", "baselines")
    assert not [place for place in found if not place.startswith("dans/cli/")]
    assert not offences(lambda node: isinstance(node, ast.Assert), "dans/cli")


def test_freezing_is_not_done_by_flipping_flags() -> None:
    def flips(node: ast.AST) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else []
        return any(isinstance(t, ast.Attribute) and t.attr == "requires_grad" for t in targets)

    assert not offences(flips, "dans", "baselines")


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"util", "utils", "misc", "common", "helpers"}
    assert not [named(path) for path in files("dans", "baselines") if path.stem in drawers]


def test_a_script_defines_no_class_and_says_how_it_is_called() -> None:
    for path in [*sorted((ROOT / "scripts").glob("*.py")), *files("scripts/examples")]:
        assert f"python {named(path)}" in (ast.get_docstring(tree(path)) or ""), named(path)
        classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
        assert not classes, named(path)


def test_a_folder_that_is_no_package_has_no_init() -> None:
    assert not [
        path for folder in ("datasets", "scripts") for path in (ROOT / folder).rglob("__init__.py")
    ]


def places(name: str) -> list[Path]:
    """Where the tests of a module may stand: in a file of its own, or in its package's."""
    if name in TESTED_BY:
        return [Path(TESTED_BY[name])]
    parts = name.removeprefix("dans.").split(".")
    found = [Path(*parts[:-1], f"test_{parts[-1].lstrip('_')}.py")]
    for end in range(1, len(parts)):
        package = f"test_{parts[end - 1]}.py"
        found += [Path(*parts[: end - 1], package), Path(*parts[:end], package)]
    return found


def test_every_module_has_its_tests() -> None:
    modules = [module(path) for path in files("dans", "baselines") if path.stem != "__init__"]
    assert not [
        f"{name}: expected {places(name)[0]}"
        for name in modules
        if not any((ROOT / "tests" / place).is_file() for place in places(name))
    ]
