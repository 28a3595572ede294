"""What a study has found: its trials in plain words, and the files that tell of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.config.schema import RunConfig
from dans.training.files import write_atomically
from dans.tuning.spaces import Choices, Part, written

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Trial:
    """One trial, as it stands."""

    number: int
    #: ``complete``, ``pruned`` or ``running``
    state: str
    #: its best figure on validation, which its best checkpoint has; None before the first
    value: float | None
    #: the step of that
    step: int | None
    #: why it was ended early
    reason: str
    #: its options, as a recipe takes them
    params: dict[str, Any]
    #: by step, the figure of each validation
    figures: dict[int, float]

    @classmethod
    def of(
        cls, frozen: "optuna.trial.FrozenTrial", space: Mapping[str, Part], *, least: bool
    ) -> "Trial":
        """A trial of Optuna's.

        Args:
            frozen: the trial.
            space: what its options come from.
            least: is the smallest figure the best?
        """
        figures = dict(sorted(frozen.intermediate_values.items()))
        step = (min if least else max)(figures, key=figures.__getitem__, default=None)
        given = frozen.params
        return cls(
            number=frozen.number,
            state=frozen.state.name.lower(),
            value=None if step is None else figures[step],
            step=step,
            reason=frozen.user_attrs.get("reason", ""),
            params={
                key: part.values[given[key]] if isinstance(part, Choices) else given[key]
                for key, part in space.items()
            },
            figures=figures,
        )

    def __str__(self) -> str:
        """Its number, options and figure, in a line."""
        given = ", ".join(f"{key}={written(value)}" for key, value in self.params.items())
        figure = "" if self.value is None else f"{self.value:.4f} at step {self.step}"
        return f"trial {self.number}: {given}: {'; '.join(filter(None, (figure, self.reason)))}"


def best_of(trials: Sequence[Trial], *, least: bool) -> Trial | None:
    """The best of those that came to their end, the first of equals; None where none did."""
    whole = [trial for trial in trials if trial.state == "complete"]
    return (min if least else max)(whole, key=lambda trial: trial.value or 0.0, default=None)


def write_results(
    folder: Path, plan: Mapping[str, Any], trials: Sequence[Trial], best: Trial | None
) -> None:
    """Write ``study.json``, with everything, and ``trials.csv``, with a row each."""
    content = {
        "plan": plan,
        "best": None if best is None else best.number,
        "trials": [asdict(trial) for trial in trials],
    }
    write(folder / "study.json", json.dumps(content, indent=2) + "\n")
    names = ["number", "state", "value", "step", "reason"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*names, *(trials[0].params if trials else ())])
    for trial in trials:
        table.writerow([*(getattr(trial, name) for name in names), *trial.params.values()])
    write(folder / "trials.csv", text.getvalue())


def write_best(path: Path, best: Trial, config: RunConfig, *, trials: int) -> None:
    """Write the best trial as a recipe."""
    comment = (
        f"# Trial {best.number} of {trials}: validation {config.train.select} {best.value:.4f} "
        f"at step {best.step}."
    )
    import tomli_w

    write(path, f"{comment}\n\n{tomli_w.dumps(config.plain())}")


def write(path: Path, text: str) -> None:
    """Replace a text file, whole or not at all."""
    write_atomically(path, text.encode("utf-8"))
