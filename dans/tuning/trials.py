"""The trials of a study, and the files that list them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.config.schema import RunConfig
from dans.config.writing import write_atomically
from dans.tuning.spaces import Choices, Part, written

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Trial:
    """One trial and its validation metrics so far."""

    number: int
    #: ``complete``, ``pruned`` or ``running``
    state: str
    #: best selection metric, that of the best checkpoint; None before the first validation
    value: float | None
    #: step of that validation
    step: int | None
    #: why the trial was stopped early
    reason: str
    #: its options, as a recipe takes them
    params: dict[str, Any]
    #: selection metric of each validation, by step
    metrics: dict[int, float]

    @classmethod
    def of(
        cls, frozen: "optuna.trial.FrozenTrial", space: Mapping[str, Part], *, least: bool
    ) -> "Trial":
        """From Optuna's trial; ``least``: a smaller metric is better."""
        metrics = dict(sorted(frozen.intermediate_values.items()))
        step = (min if least else max)(metrics, key=metrics.__getitem__, default=None)
        given = frozen.params
        return cls(
            number=frozen.number,
            state=frozen.state.name.lower(),
            value=None if step is None else metrics[step],
            step=step,
            reason=frozen.user_attrs.get("reason", ""),
            params={
                key: part.values[given[key]] if isinstance(part, Choices) else given[key]
                for key, part in space.items()
            },
            metrics=metrics,
        )

    def __str__(self) -> str:
        """Number, options and metric on one line."""
        given = ", ".join(f"{key}={written(value)}" for key, value in self.params.items())
        metric = "" if self.value is None else f"{self.value:.4f} at step {self.step}"
        return f"trial {self.number}: {given}: {'; '.join(filter(None, (metric, self.reason)))}"


def best_of(trials: Sequence[Trial], *, least: bool) -> Trial | None:
    """The best complete trial, the first of equal ones; None without any."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return (min if least else max)(complete, key=lambda trial: trial.value or 0.0, default=None)


def write_results(
    folder: Path, plan: Mapping[str, Any], digest: str, trials: Sequence[Trial], best: Trial | None
) -> None:
    """Write ``study.json``, with everything, and ``trials.csv``, with one row each.

    ``digest`` is that of the triples.
    """
    content = {
        "plan": plan,
        "digest": digest,
        "best": None if best is None else best.number,
        "trials": [asdict(trial) for trial in trials],
    }
    write_atomically(folder / "study.json", f"{json.dumps(content, indent=2)}\n".encode())
    names = ["number", "state", "value", "step", "reason"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*names, *(trials[0].params if trials else ())])
    for trial in trials:
        table.writerow([*(getattr(trial, name) for name in names), *trial.params.values()])
    write_atomically(folder / "trials.csv", text.getvalue().encode())


def write_best(path: Path, best: Trial, config: RunConfig, *, trials: int) -> None:
    """Write the best trial as a recipe."""
    import tomli_w

    comment = (
        f"# Trial {best.number} of {trials}: validation {config.train.select} {best.value:.4f} "
        f"at step {best.step}."
    )
    write_atomically(path, f"{comment}\n\n{tomli_w.dumps(config.plain())}".encode())
