"""Loaded by ``-p tests.plugin``, so that the examples of every module are run alike."""

import contextlib
import importlib
import os
from typing import Any

import pytest

import dans  # noqa: F401  (sets OpenMP's wait policy before torch is loaded)

pytest.register_assert_rewrite("tests.suites")

# What a test writes need not outlive a power cut, and waiting for the disk was half the time of a
# short run. Tests of what is flushed, and when, put a function of their own in its place.
os.fsync = lambda file: None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of several workers, each rewrites the assertions of its share of the test modules.

    All of them collect all tests, in one order, and what one of them has rewritten the others find
    in Python's cache. So each imports the modules in an order that begins with its own share.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    files = sorted((session.config.rootpath / "tests").rglob("test_*.py"))
    if not number or session.config.args != session.config.getini("testpaths"):
        return
    first = len(files) * number // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for file in files[first:] + files[:first]:
        name = ".".join(file.relative_to(session.config.rootpath).with_suffix("").parts)
        # Collecting it says what is wrong with it.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(name)


def pytest_collection_finish() -> None:
    """Without a GPU, seeds are the CPU's alone.

    torch keeps those of GPUs that are not in use yet, each with the lines of code that led to it.
    They were a tenth of the time of most tests.
    """
    import torch

    if not torch.cuda.is_available():
        for device in (torch.cuda, torch.xpu, torch.mtia):
            device.manual_seed_all = lambda seed: None


@pytest.fixture(autouse=True)
def _torch_in_examples(doctest_namespace: dict[str, Any]) -> None:
    """Examples say ``torch`` without importing it, and draw the same numbers in any order."""
    import torch

    torch.manual_seed(0)
    doctest_namespace["torch"] = torch
