"""Tables are aligned as a terminal shows them."""

from dans.evaluation.evaluator import EvaluationReport
from dans.evaluation.text_table import aligned


def test_a_letter_counts_as_the_columns_it_takes() -> None:
    wide, combining = "\u5317\u4eac", "e\u0301t"
    rows = [[1, wide, "-"], [10, combining, "x"], [None, "abcd", ""]]
    assert aligned(rows, left=(1, 2)) == [
        f" 1  {wide}  -",
        f"10  {combining}    x",
        " –  abcd",
    ]


def test_a_report_has_a_row_for_each_side_and_each_kind_of_answer() -> None:
    sides = ({"mrr": 0.5, "queries": n} for n in (12, 6, 6))
    answers = {"answers": {"new": {"mrr": 1.0, "queries": 2}}}
    report = EvaluationReport("test", {}, *sides, tie_rate=0.0, details=answers)
    assert str(report).split("\n") == [
        "test      mrr  queries",
        "both   0.5000       12",
        "heads  0.5000        6",
        "tails  0.5000        6",
        "new    1.0000        2",
    ]
