"""Warnings about the names and the shape of a graph: what often means that a file was misread."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dans.data.readers import Split
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
    entities: Sequence[str],
    relations: Sequence[str],
    lines: Mapping[Split, Tensor],
    files: Mapping[Split, Path] | None = None,
) -> Iterator[str]:
    """A sentence for each thing that looks like a mistake in the names or columns of a data set.

    Args:
        entities: their names.
        relations: their names.
        lines: (·, 3) all lines of each split, by which a name is found.
        files: where they are from; of a table, messages name the line.
    """
    for split, triples in lines.items():
        for head, relation, tail in triples[:1].tolist():
            first = [entities[head], relations[relation], entities[tail]]
            pairs = zip(first, HEADERS, strict=True)
            if sum(name.strip().casefold() in words for name, words in pairs) >= 2:
                names = ", ".join(map(shown, first))
                place = _place(split, 0, files)
                yield f"{place}: {names} looks like a header; remove that line"
    if len(relations) > len(entities):
        yield (
            f"{len(relations):,} relations and {len(entities):,} entities: see that the columns "
            "are head, relation, tail, in this order"
        )
    for kind, listed, columns in (("entities", entities, [0, 2]), ("relations", relations, [1])):

        def with_place(i: int, listed: Sequence[str] = listed, at: list[int] = columns) -> str:
            for split, triples in lines.items():
                rows = (triples[:, at] == i).any(1).nonzero()
                if len(rows):
                    return f"{shown(listed[i])} ({_place(split, int(rows[0]), files)})"
            return shown(listed[i])

        yield from _alike(kind, listed, with_place)
        for what, test, remedy in TESTS:
            found = [i for i, name in enumerate(listed) if test(name)]
            if found:
                share = f"{len(found):,} of {len(listed):,} {kind}"
                yield f"{share} {what}, such as {with_place(found[0])}; {remedy}"


def shape_notes(relations: Sequence[str], train: Tensor) -> Iterator[str]:
    """A sentence for each thing about a graph that is no mistake, but limits what can be learnt."""
    if len(relations) == 1:
        yield f"the graph has one relation, {shown(relations[0])}"
    counts = torch.bincount(train[:, 1], minlength=len(relations)) if len(train) else torch.zeros(0)
    single = (counts == 1).nonzero().flatten().tolist()
    if single and len(relations) > 1:
        some = "relation has" if len(single) == 1 else "relations have"
        yield f"{len(single):,} {some} one training triple, such as {shown(relations[single[0]])}"


def _alike(kind: str, names: Sequence[str], with_place: Callable[[int], str]) -> Iterator[str]:
    """Names that differ in what a reader does not see."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(_plain(name), []).append(i)
    found = [group for group in groups.values() if len(group) > 1]
    if found:
        some = " and ".join(map(with_place, found[0][:2]))
        yield (
            f"{sum(map(len, found)):,} of {len(names):,} {kind} look like another one, such as "
            f"{some}; names that differ in case, spaces or Unicode form are different names"
        )


def _plain(name: str) -> str:
    """A name as a reader sees it: without case, invisible characters and repeated spaces."""
    if name.isascii() and name.isprintable():
        return " ".join(name.split()).lower()
    normal = unicodedata.normalize("NFKC", name)
    seen = "".join(c for c in normal if not _is_invisible(c))
    return " ".join(seen.split()).casefold()


def _place(split: Split, row: int, files: Mapping[Split, Path] | None) -> str:
    """File and line of a triple; without a file, or where comments are counted too, its number."""
    path = (files or {}).get(split)
    if path is not None and ".nt" not in path.suffixes[-2:]:
        return f"{path}:{row + 1}"
    return f"{path or split}, triple {row + 1}"


def _invisible(name: str) -> bool:
    if name.isascii() and name.isprintable():
        return False
    return any(map(_is_invisible, name))


def _is_invisible(character: str) -> bool:
    # Variation selectors and the grapheme joiner are marks by category.
    mark = "\ufe00" <= character <= "\ufe0f" or character == "\u034f"
    return mark or unicodedata.category(character) in INVISIBLE


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
