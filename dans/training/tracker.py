"""What follows a run: one small interface, and the numbers it is told."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Record:
    """What a run says of itself at a step, as flat numbers."""

    step: int
    #: what happened then, such as ``valid``
    event: str
    #: by path, such as ``both/mrr``
    numbers: dict[str, float]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Record":
        """A line of ``metrics.jsonl``; what is no number is left out.

        Example:
            >>> Record.of({"step": 5, "event": "valid", "both": {"mrr": 0.5}, "note": "kept"})
            Record(step=5, event='valid', numbers={'both/mrr': 0.5})
        """
        told = {key: value for key, value in line.items() if key not in ("step", "event")}
        return cls(line["step"], str(line.get("event", "")), dict(flat(told)))

    def named(self) -> dict[str, float]:
        """The numbers, with the event in their names: ``valid/both/mrr``."""
        return {f"{self.event}/{name}": value for name, value in self.numbers.items()}


class Tracker(ABC):
    """Follows a run: told what it is and what it recorded so far, and then every record.

    Nothing is opened before ``begin``, and no library of a tracker is imported before that.

    Args:
        folder: the folder of the run.
    """

    #: the library it needs, where that is none of ours; the extra of that name brings it
    needs: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """The run begins, or continues.

        Args:
            config: what ``RunConfig.plain`` says of it.
            past: what it recorded up to where it continues from. Whatever else the tracker was told
                before is to be forgotten, where it can be.
        """

    @abstractmethod
    def record(self, record: Record) -> None:
        """Take the numbers of a step."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """Write what is buffered; the run is over, or else was stopped."""


def flat(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Nested numbers by path; what is no number is left out.

    Example:
        >>> dict(flat({"both": {"mrr": 0.5}, "note": "kept"}))
        {'both/mrr': 0.5}
    """
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", float(value)


def options(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration's options, named as ``--set`` names them.

    Example:
        >>> dict(options({"data": "umls", "sampler": [{"name": "uniform", "k": 5}]}))
        {'data': 'umls', 'sampler.0.name': 'uniform', 'sampler.0.k': 5}
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from options(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, (list, tuple)) and any(isinstance(one, Mapping) for one in config):
        for number, value in enumerate(config):
            yield from options(value, f"{path}.{number}")
    else:
        yield path, config
