"""Loaded by ``-p tests.plugin``, so that the examples of every module are run alike."""

from typing import Any

import pytest

import dans  # noqa: F401  (sets OpenMP's wait policy before torch is loaded)

pytest.register_assert_rewrite("tests.suites")


@pytest.fixture(autouse=True)
def _torch_in_examples(doctest_namespace: dict[str, Any]) -> None:
    """Examples say ``torch`` without importing it, and draw the same numbers in any order."""
    import torch

    torch.manual_seed(0)
    doctest_namespace["torch"] = torch
