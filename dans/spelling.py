"""The names that an unknown name was probably meant to be."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

#: Names compared letter by letter: those that share most pairs of letters. ``difflib`` alone takes
#: seconds for 100,000 names.
COMPARED = 64

#: Letters of a name that is compared with others; the time grows with their square.
LONGEST = 200


def did_you_mean(name: str, known: Iterable[str], show: Callable[[str], str] = str) -> str:
    """The end of a sentence that refuses a name: the known name spelt most like it, if any is.

    Example:
        >>> did_you_mean("stepz", ["steps", "lr"])
        '; did you mean steps?'
    """
    near = get_close_matches(name[:LONGEST], list(known), n=1)
    return f"; did you mean {show(near[0])}?" if near else ""


def nearest(name: str, names: Sequence[str], most: int = 3) -> list[str]:
    """The names spelt most like another one, the nearest first.

    Those that differ in case alone come first, then those that it begins or is part of, the
    shortest first, then those that ``difflib`` finds alike.

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
    around = (
        (other != wanted, not other.startswith(wanted), len(other), i)
        for i, other in enumerate(folded)
        if wanted in other
    )
    found = [i for *_, i in heapq.nsmallest(most, around)]
    if len(found) < most and len(wanted) <= LONGEST:
        pairs = {wanted[i : i + 2] for i in range(len(wanted))}
        # Lengths break ties: of two names that share as many pairs, the shorter has less beside.
        shared = [sum([pair in other for pair in pairs]) - len(other) / 1000 for other in folded]
        likely: dict[str, list[int]] = {}
        for i in heapq.nlargest(COMPARED, range(len(names)), key=shared.__getitem__):
            likely.setdefault(folded[i], []).append(i)
        alike = get_close_matches(wanted, list(likely), most)
        found += [i for other in alike for i in likely[other] if i not in found]
    return [names[i] for i in found[:most]]
