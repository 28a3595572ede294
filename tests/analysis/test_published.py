"""Papers' numbers stand beside ours, and are never taken for them."""

import pytest

from dans.analysis.published import beside
from dans.analysis.tables import Results
from dans.errors import InputError

BOTH = {
    "b": Results({0: {"mrr": 0.4}, 1: {"mrr": 0.5}}, {}, {0: 10.0, 1: 20.0}),
    "a": Results({0: {"mrr": 0.1}}, {}, {0: 5.0}, classified={0: {"nll": 0.62, "platt.nll": 0.58}}),
}


def test_a_paper_number_stands_beside_ours() -> None:
    table = beside(BOTH, ["mrr", "platt.nll"], {"b": {"mrr": 0.44}, "a": {"platt.nll": 0.582}})
    assert table.splitlines()[2:] == [
        "| a | .100 | .580 (.582) | 1 | 5 |",
        "| b | .450 ± .071 (.440) | – | 2 | 15 |",
    ]


def test_a_metric_that_no_recipe_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"--metrics nnl: known: mrr, nll, platt.nll"):
        beside(BOTH, ["nnl"], {})
