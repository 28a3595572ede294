"""Warnings about the names and the shape of a graph: what often means that a file was misread."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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


def header_words(row: Sequence[str]) -> int:
    """How many of three names are words of a header in their place."""
    pairs = zip(row, HEADERS, strict=True)
    return sum(name.strip().casefold() in words for name, words in pairs)


def is_named_again(relation: str, entity_again: bool, relation_again: bool) -> bool:
    """Whether a first line is a triple, since its names occur again, as those of a header do not.

    Words of headers are names too: ``e1``, ``type``, ``e2``. A column ``type`` may well hold the
    relation ``type``, so that an entity has to occur again as well.
    """
    if relation.strip().casefold() in HEADERS[1]:
        return entity_again and relation_again
    return entity_again or relation_again


#: The options that say how a table is read, by the commands that have them and in Python: other
#: commands read tables too, and take a folder that ``dans split`` wrote.
COLUMNS, DELIMITER, HEADER = (
    f"--{option} of dans train and split ({in_python} of dans.load)"
    for option, in_python in (
        ("columns", "columns="),
        ("delimiter", "delimiter="),
        ("header", "header=True"),
    )
)

#: Characters that are not seen: controls, format characters (zero width, direction marks),
#: separators of lines and paragraphs, surrogates.
INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Cs")


@dataclass(frozen=True)
class Origin:
    """Where the rows of a split are from: a file, or a name of an object in memory."""

    name: str
    #: the line of each row; without them a row is named by its own number
    numbers: Sequence[int] = ()
    #: whether quotes around a cell were understood, as of CSV
    quotes: bool = False

    def place(self, row: int) -> str:
        """Where a row stands."""
        # After literals were left out, say, rows have no lines.
        if row < len(self.numbers):
            return f"{self.name}:{self.numbers[row]}"
        return f"{self.name}, triple {row + 1}"


#: With so many times more relations than heads, or than tails, columns look swapped.
SWAPPED = 10


def name_warnings(
    entities: Sequence[str],
    relations: Sequence[str],
    lines: Mapping[Split, Tensor],
    origins: Mapping[Split, Origin] | None = None,
) -> list[str]:
    """A sentence for each thing that looks like a mistake in the names or columns of a data set.

    Args:
        entities: their names.
        relations: their names.
        lines: (·, 3) all lines of each split, by which a name is found.
        origins: where they are from, so that messages name the file and the line.
    """
    origins = {split: Origin(split) for split in lines} | dict(origins or {})
    understood = all(origins[split].quotes for split, rows in lines.items() if len(rows))
    found = list(_header_lines(entities, relations, lines, origins))
    heads, used, tails = (
        int(torch.bincount(column).count_nonzero()) for column in lines["train"].unbind(1)
    )
    if len(relations) > len(entities) or used > SWAPPED * min(heads, tails):
        found.append(
            f"{len(relations):,} relations and {len(entities):,} entities, of train {heads:,} heads"
            f" and {tails:,} tails: see that the columns are head, relation, tail, in this order; "
            f"{COLUMNS} chooses others"
        )
    for kind, listed, columns in (("entities", entities, [0, 2]), ("relations", relations, [1])):

        def with_place(i: int, listed: Sequence[str] = listed, at: list[int] = columns) -> str:
            for split, triples in lines.items():
                rows = (triples[:, at] == i).any(1).nonzero()
                if len(rows):
                    return f"{shown(listed[i])} ({origins[split].place(int(rows[0]))})"
            return shown(listed[i])

        text = "\n".join(listed)
        # A name with a line end is not plain.
        plain = text.count("\n") < len(listed) and _is_plain(text.replace("\n", ""))
        found += _alike(kind, listed, text if plain else "", with_place)
        for what, test, marks, remedy in TESTS:
            if test is _stray_quote and understood:
                continue
            # Millions of names take seconds; that none has such a mark is found at once.
            if plain and not any(mark in text for mark in marks):
                continue
            such = [i for i, name in enumerate(listed) if test(name)]
            if such:
                share = f"{len(such):,} of {len(listed):,} {kind}"
                found.append(f"{share} {what}, such as {with_place(such[0])}; {remedy}")
        if kind == "relations":
            found += _few(relations, lines["train"], with_place, origins["train"])
    return found


def _header_lines(
    entities: Sequence[str],
    relations: Sequence[str],
    lines: Mapping[Split, Tensor],
    origins: Mapping[Split, Origin],
) -> Iterator[str]:
    for split, triples in lines.items():
        for head, relation, tail in triples[:1].tolist():
            first = [entities[head], relations[relation], entities[tail]]
            if header_words(first) >= 2:
                others = triples[1:]
                if split != "train":
                    # A short split need not name anything again: train does.
                    others = torch.cat((others, lines["train"]))
                entity_again = torch.isin(others[:, [0, 2]], triples[0, [0, 2]]).any()
                if is_named_again(
                    first[1], bool(entity_again), bool((others[:, 1] == relation).any())
                ):
                    continue
                names = ", ".join(map(shown, first))
                place = origins[split].place(0)
                yield f"{place}: {names} looks like a header; remove that line, or say {HEADER}"


def _few(
    relations: Sequence[str], train: Tensor, with_place: Callable[[int], str], origin: Origin
) -> Iterator[str]:
    """What is no mistake, but limits what can be learnt of relations."""
    if len(relations) == 1:
        yield (
            f"the graph has one relation, {with_place(0)}; that is a plain graph, unless another "
            "column holds the relations"
        )
        return
    single = (torch.bincount(train[:, 1], minlength=len(relations)) == 1).nonzero().flatten()
    if len(single):
        some = "relation has" if len(single) == 1 else "relations have"
        yield (
            f"{len(single):,} {some} one training triple, such as {with_place(int(single[0]))}; "
            "little can be learnt of it: merge it with another one, or leave it out"
            f"{_header_hint(train, origin)}"
        )


def _header_hint(train: Tensor, origin: Origin) -> str:
    """Whether nothing in line 1 of a file occurs again: it may be a header of unknown words."""
    if not len(train) or not len(origin.numbers) or origin.numbers[0] != 1:
        return ""
    head, relation, tail = train[0].tolist()
    entities = train[:, [0, 2]]
    again = [(entities == name).sum() > 1 for name in (head, tail)]
    if any(again) or (train[:, 1] == relation).sum() > 1:
        return ""
    return f"; {origin.name}:1 may be a header: {HEADER}"


def _is_plain(text: str) -> bool:
    """Is there nothing but printable ASCII?"""
    return text.isascii() and text.isprintable()


def _alike(
    kind: str, names: Sequence[str], plain: str, with_place: Callable[[int], str]
) -> Iterator[str]:
    """Names that differ in what a reader does not see.

    ``plain`` has all names, a line each, where they are printable ASCII.
    """
    if plain and " " not in plain and len(set(plain.lower().split("\n"))) == len(names):
        return
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(_plain(name), []).append(i)
    found = [group for group in groups.values() if len(group) > 1]
    if found:
        some = " and ".join(map(with_place, found[0][:2]))
        yield (
            f"{sum(map(len, found)):,} of {len(names):,} {kind} look like another one, such as "
            f"{some}; names that differ in case, spaces or Unicode form are different names: spell "
            "them alike if they mean the same"
        )


def _plain(name: str) -> str:
    """A name as a reader sees it: without case, invisible characters and repeated spaces."""
    if _is_plain(name):
        return " ".join(name.split()).lower()
    normal = unicodedata.normalize("NFKC", name)
    seen = "".join(c for c in normal if not _is_invisible(c))
    return " ".join(seen.split()).casefold()


def _invisible(name: str) -> bool:
    if _is_plain(name):
        return False
    return any(map(_is_invisible, name))


def _is_invisible(character: str) -> bool:
    # Variation selectors and the grapheme joiner are marks by category.
    mark = "\ufe00" <= character <= "\ufe0f" or character == "\u034f"
    return mark or unicodedata.category(character) in INVISIBLE


def _quoted(name: str) -> bool:
    return len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"


def _stray_quote(name: str) -> bool:
    # Of an even number each has its other half, as in a nickname or a title; two together are one
    # that a table has escaped.
    single = name.count('"') % 2 == 1 or name.startswith('""') or name.endswith('""')
    return single and name.startswith('"') != name.endswith('"') and not _LITERAL.match(name)


_LITERAL = re.compile(r'".*"(@[a-z-]+[a-z0-9-]*|\^\^<.*>)\Z', re.DOTALL | re.IGNORECASE)

#: What else a name can look like; how to find it; what any such name has, if it is printable ASCII;
#: what to do about it.
TESTS: Iterable[tuple[str, Callable[[str], bool], str, str]] = (
    (
        "start or end with a space",
        lambda name: name != name.strip(),
        " ",
        "remove it from the file",
    ),
    ("have invisible characters", _invisible, "", "remove them from the file"),
    (
        "stand in quotes",
        _quoted,
        "\"'",
        "quotes are part of a name here: remove them, or separate a quoted table by commas; of "
        "RDF, literals='drop' leaves them out",
    ),
    (
        "start or end with a stray quote",
        _stray_quote,
        '"',
        "a line may have been cut inside of quotes: separate a quoted table by commas",
    ),
    (
        "are typed or tagged literals",
        lambda name: bool(_LITERAL.match(name)),
        '"',
        "values such as dates and labels are seldom worth an entity: literals='drop' leaves them "
        "out",
    ),
    (
        "are blank nodes",
        lambda name: name.startswith("_:"),
        "_",
        "a blank node means the same in every file here; blank_nodes='drop' leaves them out",
    ),
)
