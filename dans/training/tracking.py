"""Where a run's numbers go beside its own ``metrics.jsonl``."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Tracker(ABC):
    """Follows a run: told what it is, and then every record, as flat numbers.

    Nothing is opened before ``begin``, and no library of a tracker is imported before that.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def begin(self, config: Mapping[str, Any], step: int) -> None:
        """The run begins, or goes on.

        Args:
            config: what ``RunConfig.plain`` says of it.
            step: the step it goes on from; records of later ones are to be forgotten. −1 for a run
                that begins.
        """

    @abstractmethod
    def record(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a step, by names such as ``valid/both/mrr``."""

    @abstractmethod
    def close(self) -> None:
        """Write what is buffered; the run ends or stops."""


class TensorBoard(Tracker):
    """Events under ``tensorboard`` in the folder of the run."""

    def begin(self, config: Mapping[str, Any], step: int) -> None:
        """Open the file of events; the import takes longer than that of ``dans``."""
        from torch.utils.tensorboard import SummaryWriter

        self.events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)

    def record(self, step: int, numbers: Mapping[str, float]) -> None:
        """A scalar each."""
        for name, value in numbers.items():
            self.events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush."""
        self.events.close()


#: Those that can be chosen, by name.
TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard}

#: Those that every run has.
ALWAYS = ("tensorboard",)


def flat(numbers: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """Nested numbers by path; what is no number is left out.

    Example:
        >>> dict(flat({"both": {"mrr": 0.5}, "note": "kept"}, "valid"))
        {'valid/both/mrr': 0.5}
    """
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}/{key}")
        elif isinstance(value, (int, float)):
            yield f"{prefix}/{key}", float(value)
