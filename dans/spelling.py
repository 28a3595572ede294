"""What a name that nobody knows was probably meant to be."""

import heapq
from collections.abc import Sequence
from difflib import SequenceMatcher

#: Names compared letter by letter: those that share most pairs of letters.
COMPARED = 64

#: Pairs of letters looked for: the rarest, as far as so many of the names tell. Those of a prefix
#: that all share would find nothing.
PAIRS, SAMPLED = 16, 500

#: Longer names are compared with none: the time grows with the square of the length.
LONGEST = 200

#: How alike two spellings are at least, as ``difflib`` counts it.
ALIKE = 0.6


def nearest(name: str, names: Sequence[str], most: int = 3) -> list[str]:
    """The names spelt most like another one, the nearest first.

    Those that differ in case alone come first, then those that it begins or is part of, the
    shortest first, then those with like letters in a like order. A tenth of a second for 100,000
    names: only the few that share most pairs of letters are compared letter by letter.

    Args:
        name: as it was written.
        names: those there are.
        most: how many to return.

    Example:
        >>> nearest("aspirn", ["heparin", "Aspirin", "spirit"])
        ['Aspirin', 'spirit']
        >>> nearest("PEP", ["pepsin", "pep", "salt"])
        ['pep', 'pepsin']
    """
    wanted = name.casefold()
    if not wanted:
        return []
    folded = [other.casefold() for other in names]
    found = [
        (other != wanted, not other.startswith(wanted), len(other), i)
        for i, other in enumerate(folded)
        if wanted in other
    ]
    chosen = [place for *_, place in heapq.nsmallest(most, found)]
    if len(chosen) < most and len(wanted) <= LONGEST:
        chosen += _alike(wanted, folded, most - len(chosen), frozenset(chosen))
    return [names[i] for i in chosen]


def _alike(wanted: str, folded: Sequence[str], most: int, taken: frozenset[int]) -> list[int]:
    """The places of the names most like another one, but for some."""
    ended = [f"\n{other}\n" for other in folded]
    some = ended[:: len(ended) // SAMPLED + 1]
    letters = zip(f"\n{wanted}", f"{wanted}\n", strict=True)
    common = {pair: sum(pair in other for other in some) for pair in map("".join, letters)}
    pairs = heapq.nsmallest(PAIRS, common, key=common.__getitem__)
    # Lengths break ties: of two names that share as much, the shorter one has less beside it.
    shared = [sum([pair in other for pair in pairs]) - len(other) / 1000 for other in ended]
    # The word that is looked for is set second: difflib keeps what it counts of that one.
    matcher = SequenceMatcher(a="", b=wanted, autojunk=False)
    scored = []
    for i in heapq.nlargest(COMPARED, range(len(folded)), key=shared.__getitem__):
        if i not in taken:
            matcher.set_seq1(folded[i])
            if matcher.quick_ratio() >= ALIKE and (ratio := matcher.ratio()) >= ALIKE:
                scored.append((-ratio, i))
    return [i for _, i in heapq.nsmallest(most, scored)]
