"""Trackers that are others' services: MLflow, and Weights & Biases.

Each needs a library that an extra of its name brings, imported when a run begins. Where one fails,
a sentence says so, and the training continues without it: see ``Dispensable``.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dans.training.files import write_atomically
from dans.training.tracker import Record, Tracker, options

log = logging.getLogger(__name__)

#: What MLflow calls an experiment and W&B a project, where their environment variables do not say.
PROJECT = "dans"


#: What a run of MLflow says of the folder it is of.
TAG = "dans_folder"


class MLflow(Tracker):
    """A run of MLflow: options as parameters, numbers by step.

    It is kept where ``MLFLOW_TRACKING_URI`` says, or else in MLflow's own default on this machine,
    in the experiment that ``MLFLOW_EXPERIMENT_NAME`` says, or else in ``dans``. Its id stands in
    ``mlflow.json``, and a run that continues continues there. MLflow forgets nothing; what it was
    told of steps after the checkpoint is what those steps will give again, and is not told twice.
    """

    needs = "mlflow"

    def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Find the run, or make one; tell it what it has missed."""
        from mlflow import MlflowClient

        self.client = MlflowClient()
        #: (name, step) of what it has been told
        self.told: set[tuple[str, int]] = set()
        self.run = _kept_id(self.folder / "mlflow.json")
        if not (self.run and self.goes_on(self.run)):
            self.run = self.made(config)
            _keep_id(self.folder / "mlflow.json", self.run)
        for record in past:
            self.record(record)

    def goes_on(self, run: str) -> bool:
        """Open a run again, if MLflow still has it."""
        from mlflow import MlflowException

        try:
            found = self.client.get_run(run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        if found.info.lifecycle_stage != "active":
            return False
        self.client.update_run(run, status="RUNNING")
        for name in found.data.metrics:
            self.told |= {(name, one.step) for one in self.client.get_metric_history(run, name)}
        return True

    def made(self, config: Mapping[str, Any]) -> str:
        """A new run, its parameters told."""
        from mlflow.entities import Param

        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment)
        # MLflow's limits: 500 characters in older releases, a hundred at a time.
        params = [Param(name, str(value)[:500]) for name, value in options(config)]
        run = self.orphan(number, {param.key: param.value for param in params})
        if not run:
            tags = {TAG: self.tag}
            run = self.client.create_run(number, run_name=str(self.folder), tags=tags).info.run_id
        for start in range(0, len(params), 100):
            self.client.log_batch(run, params=params[start : start + 100])
        return run

    @property
    def tag(self) -> str:
        """The folder, in characters that MLflow's filters take."""
        return hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()

    def orphan(self, experiment: str, params: Mapping[str, str]) -> str:
        """A run of this folder that a kill left before its id was kept; empty: there is none."""
        asked = f"tags.{TAG} = '{self.tag}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([experiment], asked):
            if not run.data.metrics and run.data.params.items() <= params.items():
                return str(run.info.run_id)
        return ""

    def record(self, record: Record) -> None:
        """A metric each; those it has been told are left out."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        named = {spelt(name): value for name, value in record.named().items()}
        new = [
            Metric(name, value, now, record.step)
            for name, value in named.items()
            if (name, record.step) not in self.told
        ]
        if new:
            self.client.log_batch(self.run, metrics=new)
            self.told |= {(one.key, one.step) for one in new}

    def close(self, *, finished: bool) -> None:
        """Say how it ended."""
        self.client.set_terminated(self.run, status="FINISHED" if finished else "KILLED")


def spelt(name: str) -> str:
    """A name in the characters that MLflow takes.

    Example:
        >>> spelt("valid/both/hits@10")
        'valid/both/hits_at_10'
    """
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"), flags=re.ASCII)


class WandB(Tracker):
    """A run of Weights & Biases.

    Nothing is sent unless ``WANDB_MODE`` says ``online``: it is written under ``wandb`` in the
    folder of the run (or where ``WANDB_DIR`` says), for ``wandb sync``. The project is that of
    ``WANDB_PROJECT``, or else ``dans``. The run's id stands in ``wandb.json``, and a run that goes
    on has the same. Each file written offline has the run's records from the first, so the newest
    one is enough.
    """

    needs = "wandb"

    def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Open the run; tell it what it has missed."""
        import wandb

        known = self.folder / "wandb.json"
        mode = os.environ.get("WANDB_MODE")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=str(self.folder),
            id=_kept_id(known) or None,
            resume="allow",
            dir=os.environ.get("WANDB_DIR", str(self.folder)),
            config=dict(config),
            mode=None if mode else "offline",
            settings=wandb.Settings(
                console="off", silent=mode != "online", reinit="create_new", symlink=False
            ),
        )
        _keep_id(known, self.run.id)
        for record in past:
            self.record(record)

    def record(self, record: Record) -> None:
        """All at their step; W&B takes steps in their order alone."""
        if record.step >= self.run.step:
            self.run.log(record.named(), step=record.step)

    def close(self, *, finished: bool) -> None:
        """Wait until all is written, or sent."""
        self.run.finish(exit_code=0 if finished else 1)


class Dispensable(Tracker):
    """A tracker that may fail: a sentence says so, and it is told no more.

    Args:
        name: what the sentence calls it.
        tracker: the one that may fail.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        super().__init__(tracker.folder)
        self.name, self.tracker = name, tracker
        self.works = True

    def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Begin, or fail."""
        try:
            self.tracker.begin(config, past)
        except Exception as error:
            self.fail(error)

    def record(self, record: Record) -> None:
        """Tell it, if it still works."""
        if self.works:
            try:
                self.tracker.record(record)
            except Exception as error:
                self.fail(error)

    def close(self, *, finished: bool) -> None:
        """Close it, if it still works."""
        if self.works:
            try:
                self.tracker.close(finished=finished)
            except Exception as error:
                self.fail(error)

    def fail(self, error: Exception) -> None:
        """Say so, once."""
        self.works = False
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.filename:
            reason = f"{error.filename}: {error.strerror}"
        log.warning("track: %s failed, and training continues without it: %s", self.name, reason)


def _kept_id(path: Path) -> str:
    """The id that a run is known by elsewhere; empty where it is known nowhere."""
    return str(json.loads(path.read_text("utf-8"))["id"]) if path.exists() else ""


def _keep_id(path: Path, known: str) -> None:
    write_atomically(path, (json.dumps({"id": known}) + "\n").encode("utf-8"))
