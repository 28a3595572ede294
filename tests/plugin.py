"""Loaded by ``-p tests.plugin``, so that the examples of every module are run alike."""

import os
from typing import Any

import pytest

import dans  # noqa: F401  (sets OpenMP's wait policy before torch is loaded)

pytest.register_assert_rewrite("tests.suites")

# What a test writes need not outlive a power cut, and waiting for the disk was half the time of a
# short run. Tests of what is flushed, and when, put a function of their own in its place.
os.fsync = lambda file: None


@pytest.fixture(autouse=True)
def _torch_in_examples(doctest_namespace: dict[str, Any]) -> None:
    """Examples say ``torch`` without importing it, and draw the same numbers in any order."""
    import torch

    torch.manual_seed(0)
    doctest_namespace["torch"] = torch
