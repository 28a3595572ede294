"""Warnings about the names and the shape of a graph: what often means that a file was misread."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from dans.errors import shown

#: Words that columns are named by, in lower case.
HEADERS = (
    {"head", "h", "subject", "subj", "s", "source", "src", "from", "entity1", "e1", "node1"},
    {"relation", "r", "rel", "predicate", "pred", "p", "property", "edge", "type", "label"},
    {"tail", "t", "object", "obj", "o", "target", "dst", "to", "entity2", "e2", "node2"},
)

#: Characters that are not seen: controls, format characters (zero width, direction marks),
#: separators of lines and paragraphs, surrogates.
INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Cs")


def name_warnings(
    entities: Sequence[str], relations: Sequence[str], train: Tensor
) -> Iterator[str]:
    """A sentence for each thing that looks like a mistake in the names or columns of a data set.

    ``train``: (·, 3) all its lines, by which a name is found.
    """
    if len(train):
        head, relation, tail = train[0].tolist()
        first = [entities[head], relations[relation], entities[tail]]
        if (
            sum(
                name.strip().casefold() in words for name, words in zip(first, HEADERS, strict=True)
            )
            >= 2
        ):
            names = ", ".join(map(shown, first))
            yield f"train, line 1: {names} looks like a header; remove that line"
    if len(relations) > len(entities):
        yield (
            f"{len(relations):,} relations and {len(entities):,} entities: see that the columns "
            "are head, relation, tail, in this order"
        )
    for kind, listed, rows in (
        ("entities", entities, train[:, [0, 2]]),
        ("relations", relations, train[:, 1:2]),
    ):
        yield from _alike(kind, listed, rows)
        for what, test, remedy in TESTS:
            found = [i for i, name in enumerate(listed) if test(name)]
            if found:
                example = shown(listed[found[0]]) + _line(found[0], rows)
                share = f"{len(found):,} of {len(listed):,} {kind}"
                yield f"{share} {what}, such as {example}; {remedy}"


def shape_notes(relations: Sequence[str], train: Tensor) -> Iterator[str]:
    """A sentence for each thing about a graph that is no mistake, but limits what can be learnt."""
    if len(relations) == 1:
        yield f"the graph has one relation, {shown(relations[0])}"
    counts = torch.bincount(train[:, 1], minlength=len(relations)) if len(train) else torch.zeros(0)
    single = (counts == 1).nonzero().flatten().tolist()
    if single and len(relations) > 1:
        some = "relation has" if len(single) == 1 else "relations have"
        yield f"{len(single):,} {some} one training triple, such as {shown(relations[single[0]])}"


def _alike(kind: str, names: Sequence[str], rows: Tensor) -> Iterator[str]:
    """Names that differ in what a reader does not see."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(_plain(name), []).append(i)
    found = [group for group in groups.values() if len(group) > 1]
    if found:
        some = " and ".join(shown(names[i]) + _line(i, rows) for i in found[0][:2])
        yield (
            f"{sum(map(len, found)):,} of {len(names):,} {kind} look like another one, such as "
            f"{some}; names that differ in case, spaces or Unicode form are different names"
        )


def _plain(name: str) -> str:
    """A name as a reader sees it: without case, invisible characters and repeated spaces."""
    if name.isascii():
        return " ".join(name.split()).lower()
    normal = unicodedata.normalize("NFKC", name)
    seen = "".join(c for c in normal if unicodedata.category(c) not in INVISIBLE)
    return " ".join(seen.split()).casefold()


def _line(i: int, rows: Tensor) -> str:
    """Where a name stands first in train, in words."""
    lines = (rows == i).any(1).nonzero()
    return f" (train, line {int(lines[0]) + 1})" if len(lines) else ""


def _invisible(name: str) -> bool:
    if name.isascii() and name.isprintable():
        return False
    return any(unicodedata.category(character) in INVISIBLE for character in name)


def _quoted(name: str) -> bool:
    return len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"


#: What else a name can look like, and what to do about it.
TESTS: Iterable[tuple[str, Callable[[str], bool], str]] = (
    ("start or end with a space", lambda name: name != name.strip(), "remove it from the file"),
    ("have invisible characters", _invisible, "remove them from the file"),
    ("stand in quotes", _quoted, "quotes are part of a name here: remove them, or keep literals"),
    (
        "are typed or tagged literals",
        lambda name: name.startswith('"') and not _quoted(name),
        "values such as dates and labels are seldom worth an entity",
    ),
    (
        "are blank nodes",
        lambda name: name.startswith("_:"),
        "a blank node means the same in every file here",
    ),
)
