"""What a run tells others: every number, under one name, at its step."""

from pathlib import Path

from dans.training.run import Run
from tests.training.test_run import CONFIG


def test_numbers_reach_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Run(tmp_path)
    run.track((), CONFIG, -1)
    run.record(7, "valid", {"both": {"mrr": 0.5}, "seconds": 2.0})
    run.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["valid/both/mrr", "valid/seconds"]
    assert events.Scalars("valid/both/mrr")[0].step == 7
