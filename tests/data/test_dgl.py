import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOW = "import os; from dans.data._dgl import dgl; print(dgl.__file__, os.environ['DGLBACKEND'])"


def fresh(code: str, **environment: str) -> str:
    """What a new interpreter prints, without a choice of backend unless one is given."""
    inherited = {key: value for key, value in os.environ.items() if key != "DGLBACKEND"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout.strip()


def pretend(folder: Path, version: str) -> str:
    """A package named dgl that cannot be imported with its own graphbolt; where it is."""
    package = folder / "dgl"
    (package / "graphbolt").mkdir(parents=True)
    (package / "__init__.py").write_text("from . import graphbolt\n")
    (package / "graphbolt" / "__init__.py").write_text("raise ImportError('no such library')\n")
    metadata = folder / f"dgl-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dgl\nVersion: {version}\n")
    return str(folder)


def test_dgl_two_is_imported_without_graphbolt(tmp_path: Path) -> None:
    shown = fresh(SHOW, PYTHONPATH=pretend(tmp_path, "2.1.0"))
    assert shown == f"{tmp_path / 'dgl' / '__init__.py'} pytorch"


def test_dgl_one_is_imported_as_it_is(tmp_path: Path) -> None:
    code = "try:\n import dans.data._dgl\nexcept ImportError as error:\n print(error)"
    assert fresh(code, PYTHONPATH=pretend(tmp_path, "1.1.3")) == "no such library"


def test_the_backend_is_the_users_where_they_chose(tmp_path: Path) -> None:
    folder = pretend(tmp_path, "2.1.0")
    assert fresh(SHOW, PYTHONPATH=folder, DGLBACKEND="other").endswith(" other")
