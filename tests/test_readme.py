"""What the README shows runs."""

import re
from pathlib import Path

import pytest
import torch

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_code_blocks_run(block: str) -> None:
    names: dict[str, object] = {}
    exec(block, names)
    negatives, positives = names["negatives"], names["positives"]
    assert negatives.vectors.shape == (2, 20, 16)  # type: ignore[attr-defined]
    assert negatives.scores(positives).shape == (2, 20)  # type: ignore[attr-defined]
    heads, relations, tails = names["facts"].unbind(-1)  # type: ignore[attr-defined]
    decoder, entities = names["decoder"], names["entities"]
    expected = decoder.score(entities[heads], decoder.relation(relations), entities[tails])  # type: ignore
    torch.testing.assert_close(positives.scores().squeeze(1), expected)  # type: ignore[attr-defined]


def test_commands_name_scripts_that_exist() -> None:
    scripts = set(re.findall(r"scripts/\w+\.py", README))
    assert len(scripts) >= 5
    for script in scripts:
        assert (Path(__file__).resolve().parent.parent / script).exists(), script
