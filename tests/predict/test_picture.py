"""Pictures hold what the explanation names, and their labels stay apart."""

from itertools import combinations
from pathlib import Path

import pytest

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.predict.explain import Explanation, Support
from dans.predict.explain import Path as Steps
from dans.predict.picture import LETTERS, LINES, Layout, _relation, _wrapped, draw


def explanation(*, basis: str = "gradient") -> Explanation:
    long = "/award/award_nominee/award_nominations./award/award_nomination/award"
    first, last = ("h", long, "m"), ("t", "r$1$", "m")
    own, other = ("h", "near", "x"), ("t", "near", "y" * 90)
    paths = (Steps((first, last), (1.0, 2.0), (True, False), -1.0),)
    carried = tuple(Support(triple, 1.0) for triple in (first, own, other))
    return Explanation(("h", "r", "t"), 2.0, paths, True, carried, basis, None, ())  # type: ignore[arg-type]


def test_arrows_are_the_paths_and_the_carrying_triples() -> None:
    layout = Layout.of(explanation())
    assert sorted(arrow.role for arrow in layout.arrows) == [
        "both",
        "carries",
        "carries",
        "explained",
        "path",
    ]
    assert layout.roles == ["explained", "path", "carries", "both"]
    head, tail = layout.boxes[:2]
    assert (head.lines, tail.lines, head.end, tail.end) == (("h",), ("t",), True, True)
    assert all(head.x < box.x < tail.x for box in layout.boxes[2:])
    assert len({(box.x, box.y) for box in layout.boxes}) == len(layout.boxes) == 5
    # An arrow begins and ends at its boxes.
    (dashed,) = (arrow for arrow in layout.arrows if arrow.role == "explained")
    assert head.x < dashed.curve[0][0] < head.x + head.width
    # Similar triples of a lookup model are no part of it.
    assert Layout.of(explanation(basis="similarity")).roles == ["explained", "path"]


def test_labels_stay_apart() -> None:
    layout = Layout.of(explanation())
    for one, two in combinations(layout.arrows, 2):
        far = abs(one.at[0] - two.at[0]) > 60 or abs(one.at[1] - two.at[1]) > 10
        assert far


def test_long_names_are_cut() -> None:
    lines = _relation("/award/award_nominee/award_nominations./award/award_nomination/award")
    assert len(lines) <= LINES
    assert "".join(lines).endswith("award_nomination/award")
    assert max(map(len, _wrapped("y" * 500))) <= LETTERS
    assert "".join(_wrapped("two words")) == "two words"


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_files_are_written_or_refused(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"why.{suffix}"
    explanation().draw(path)
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    with pytest.raises(InputError, match=r"ends in \.png, \.svg or \.pdf"):
        draw(explanation(), tmp_path / "why.gif")
    with pytest.raises(InputError, match="folder"):
        draw(explanation(), tmp_path / "none" / "why.png")


def test_head_and_tail_may_be_one(kg: KnowledgeGraph) -> None:
    loop = Explanation(("a", "r", "a"), 0.0, (), True, (), "gradient", None, ())
    layout = Layout.of(loop)
    assert len(layout.boxes) == 1
    assert layout.arrows[0].at[1] < layout.boxes[0].y
