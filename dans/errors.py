"""The error that users read, the checks of options that raise it, and the names it suggests."""

import heapq
import math
import operator
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: The name of this package on the package index, where ``dans`` is somebody else's.
DISTRIBUTION = "dans-kg"

#: The folder that holds the package: a checkout, if it has our pyproject.toml.
PARENT = Path(__file__).resolve().parents[1]

#: The first whole number that needs more than 64 bits: neither files nor torch hold it.
LARGEST = 2**63

#: The sizes of numbers that an option takes, 0 aside: their products fit into 32-bit floats.
SMALL, LARGE = 1e-30, 1e15

#: The least that scores are divided by.
LEAST_DIVISOR = 1e-6

#: The most that an option counts: of what is held at once, and of what is done in a row.
MOST, MOST_ROUNDS = 2**20, 10_000

#: Characters of an error message at most.
LONGEST = 1200

#: ``difflib`` compares names of at most so many characters, and at most so many of them: the time
#: grows with the square of the length, and is seconds for 100,000 names.
LONGEST_NAME, COMPARED = 200, 64

#: Characters of a name that text for people shows.
LONGEST_SHOWN = 160


class InputError(ValueError):
    r"""Something the user gave cannot be used: a file, a line, a key, a name, an option.

    The message is one sentence with the place, the value and what is accepted. Commands print it
    and exit with status 2. Whatever it quotes, it is one printable line of bounded length.

    Example:
        >>> print(InputError("own.toml: a\nb: unknown option"))
        own.toml: a\nb: unknown option
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(bounded(visible(sentence)))


class DivergedError(FloatingPointError):
    """Training reached values that are not finite, or far too large."""


class Terminated(KeyboardInterrupt):
    """SIGTERM ended the process: handled like Ctrl-C."""


def visible(text: str) -> str:
    r"""Text on one line, with control characters escaped.

    Example:
        >>> visible("green\ttea \x1b[2J")
        'green\\ttea \\x1b[2J'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shortened(name: str) -> str:
    r"""A name for people: on one line, cut after `LONGEST_SHOWN` characters.

    Example:
        >>> shortened("green\ttea"), len(shortened("x" * 1000))
        ('green\\ttea', 161)
    """
    cut = name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…"
    return visible(cut)


def bounded(text: str, most: int = LONGEST) -> str:
    """Text without its middle where it is longer than ``most``.

    Example:
        >>> bounded("x" * 500 + "y", most=5)
        'xx…xy'
    """
    end = len(text) - (most - 1) // 2
    return text if len(text) <= most else f"{text[: most // 2]}…{text[end:]}"


def shown(value: object, most: int = 100) -> str:
    """The ``repr`` of a value for an error message, cut after ``most`` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python prints neither whole numbers of thousands of digits nor very deep nesting.
        return f"a very large {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}…"


def one_of(option: str, value: object, accepted: Sequence[object]) -> None:
    """Refuse a value that is not among those accepted."""
    if value not in accepted:
        raise InputError(f"{option}: known: {', '.join(map(str, accepted))}; got {shown(value)}")


def textual(option: str, value: object) -> None:
    """Refuse a name that is no text."""
    if not isinstance(value, str):
        raise InputError(f"{option}: expected a name, got {shown(value)}")


def folder_or_file(option: str, value: object) -> Path:
    """The path that an option names; what is none is refused."""
    if not isinstance(value, (str, PathLike)) or not isinstance(os.fspath(value), str):
        raise InputError(f"{option}: expected a path, got {shown(value)}")
    return Path(value)


def listed(option: str, values: Iterable[T], what: str) -> list[T]:
    """The members of an option that is a list; one by itself, as a name is, is refused."""
    one = isinstance(values, (str, bytes, PathLike, Mapping)) or getattr(values, "ndim", 1) == 0
    if one or not isinstance(values, Iterable):
        raise InputError(f"{option}: expected a list of {what}, got {shown(values)}")
    return list(values)


def finite(option: str, value: float) -> None:
    """Refuse NaN and infinities, and what is no number."""
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if math.isnan(number) and not isinstance(value, float):
        raise InputError(f"{option}: expected a number, got {shown(value)}")
    if not math.isfinite(number):
        raise InputError(f"{option}: must be a finite number, got {value}")


def number(option: str, value: float) -> None:
    """Refuse what is no finite number, and what is too large or too small for 32-bit floats."""
    finite(option, value)
    if abs(value) > LARGE or 0 < abs(value) < SMALL:
        raise InputError(f"{option}: must be 0 or between {SMALL:g} and {LARGE:g}, got {value}")


def above_zero(option: str, value: float, least: float = SMALL) -> None:
    """Refuse what is not a number above 0; a divisor needs a larger ``least``."""
    finite(option, value)
    if value <= 0:
        raise InputError(f"{option}: must be above 0, got {value}")
    if not least <= value <= LARGE:
        raise InputError(f"{option}: must be between {least:g} and {LARGE:g}, got {value}")


def not_negative(option: str, value: float, *, most: float = LARGE) -> None:
    """Refuse what is not a number of at least 0, and what is above ``most``."""
    finite(option, value)
    if value < 0:
        raise InputError(f"{option}: must not be negative, got {value}")
    number(option, value)
    if value > most:
        raise InputError(f"{option}: expected at most {most:g}, got {value}")


def boolean(option: str, value: object) -> None:
    """Refuse what is neither True nor False, such as ``"no"``, which Python counts as true."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"{option}: expected True or False, got {shown(value)}")


def counted(option: str, value: int, *, least: int = 1, most: int = MOST) -> None:
    """Refuse what is no whole number, and a count below ``least`` or above ``most``."""
    try:
        operator.index(value)
    except TypeError:
        raise InputError(f"{option}: expected a whole number, got {shown(value)}") from None
    if isinstance(value, bool):
        raise InputError(f"{option}: expected a whole number, got {value}")
    if value < least:
        raise InputError(f"{option}: expected at least {least}, got {value}")
    if value > most:
        raise InputError(f"{option}: expected at most {most}, got {value}")


def install_command(extra: str) -> str:
    """The command that installs an extra where the user stands.

    In a checkout it installs the checkout, editable; elsewhere the distribution by its name.

    Example:
        >>> install_command("plots").endswith("[plots]'")
        True
    """
    project = PARENT / "pyproject.toml"
    # A copy of the package in somebody else's project is no checkout.
    if not project.is_file() or f'name = "{DISTRIBUTION}"' not in project.read_text("utf-8"):
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    folder = "." if PARENT.samefile(Path()) else str(PARENT)
    return f"pip install -e {shlex.quote(f'{folder}[{extra}]')}"


def did_you_mean(name: str, known: Iterable[str], show: Callable[[str], str] = str) -> str:
    """The end of a message about an unknown name: the closest known name, if one is close.

    Case does not count, nor whether words are joined by a hyphen or an underscore.

    Example:
        >>> did_you_mean("DistMult", ["complex", "distmult"])
        '; did you mean distmult?'
    """
    short, names = name[:LONGEST_NAME], list(known)
    near = get_close_matches(_folded(short), [_folded(one) for one in names], n=1)
    alike = [one for one in names if _folded(one) in near]
    closest = get_close_matches(short, alike, n=1, cutoff=0.0)
    return f"; did you mean {show(closest[0])}?" if closest else ""


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def nearest(name: str, names: Sequence[str], most: int = 3) -> list[str]:
    """The names closest in spelling to an unknown one, the closest first.

    Names that differ in case alone come first, then those that start with it or contain it, the
    shortest first, then close matches of ``difflib``.

    Example:
        >>> nearest("PEP", ["pepsin", "pep", "salt"])
        ['pep', 'pepsin']
    """
    wanted = name.casefold()
    if not wanted:
        return []
    folded = [other.casefold() for other in names]
    containing = (
        (other != wanted, not other.startswith(wanted), len(other), i)
        for i, other in enumerate(folded)
        if wanted in other
    )
    found = [i for *_, i in heapq.nsmallest(most, containing)]
    if len(found) < most and len(wanted) <= LONGEST_NAME:
        # difflib compares only the names that share the most pairs of letters; shorter ones first.
        pairs = {wanted[i : i + 2] for i in range(len(wanted))}
        shared = [sum([pair in other for pair in pairs]) - len(other) / 1000 for other in folded]
        likely: dict[str, list[int]] = {}
        for i in heapq.nlargest(COMPARED, range(len(names)), key=shared.__getitem__):
            likely.setdefault(folded[i], []).append(i)
        close = get_close_matches(wanted, list(likely), most)
        found += [i for other in close for i in likely[other] if i not in found]
    return [names[i] for i in found[:most]]
