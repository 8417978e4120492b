"""A run follows its trial: it is given up where Optuna's own pruner says so, and otherwise it is as without."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState, create_trial

from tiles_ecg.callback.pruning import Pruning
from tiles_ecg.config import ConfigError
from tiles_ecg.objective.simclr import SimCLR
from tiles_ecg.run_record import read_status
from tiles_ecg.sweep.search_study import open_storage

Run = Callable[..., Path]
EVERY = "trainer.val_check_interval=2"
STEPS = (2, 4, 6, 8, 10)
OTHERS = ([5.0, 4.0, 3.0, 2.0, 1.0], [6.0, 3.0, 3.0, 1.5, 1.0], [4.0, 4.5, 2.5, 2.0, 0.5])
MEDIAN = "{_target_:optuna.pruners.MedianPruner,n_startup_trials:2,n_warmup_steps:0}"


def study_with_others(storage: str | None = None) -> tuple[optuna.Study, int]:
    """A study with complete trials, and the number of one more that is running."""
    study = optuna.create_study(
        storage=open_storage(storage) if storage else None,
        study_name="search",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    for values in OTHERS:
        study.add_trial(create_trial(value=min(values), intermediate_values=dict(zip(STEPS, values, strict=True))))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    return study, len(OTHERS)


def decided_by_optuna(values: Sequence[float]) -> list[bool]:
    """What a trial of Optuna's own is told after each value."""
    study, number = study_with_others()
    trial = optuna.trial.Trial(study, study.get_trials()[number]._trial_id)
    told = []
    for step, value in zip(STEPS, values, strict=True):
        trial.report(value, step)
        told.append(trial.should_prune())
    return told


def followed(tmp_path: Path, pruner: str = MEDIAN, number: int = len(OTHERS)) -> tuple[str, ...]:
    """The overrides that make a run follow a trial."""
    own = {"storage": tmp_path / "study.journal", "study": "search", "trial": number, "pruner": pruner}
    return ("+callback@callback.pruning=pruning", *(f"callback.pruning.{key}={value}" for key, value in own.items()))


def intermediate(tmp_path: Path, number: int = len(OTHERS)) -> dict[int, float]:
    study = optuna.load_study(study_name="search", storage=open_storage(str(tmp_path / "study.journal")))
    return dict(study.get_trials()[number].intermediate_values)


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Has validations log these values as val/loss, one each."""

    def log(values: Sequence[float]) -> None:
        left: Iterator[float] = iter(values)

        def on_validation_epoch_end(self: SimCLR) -> None:
            self._validated = []
            self.log("val/loss", next(left))

        monkeypatch.setattr(SimCLR, "on_validation_epoch_end", on_validation_epoch_end)

    return log


@pytest.mark.parametrize("values", [(4.0, 3.0, 2.0, 1.0, 9.0), (5.5, 4.2, 2.9, 2.8, 0.1), (9.0, 1.0, 1.0, 1.0, 1.0)])
def test_a_run_is_given_up_where_optuna_itself_would(
    tiles_train: Run, tmp_path: Path, logs: Callable[[Sequence[float]], None], values: Sequence[float]
) -> None:
    study_with_others(str(tmp_path / "study.journal"))
    logs(values)
    status = read_status(tiles_train("run", *followed(tmp_path), EVERY))
    decided = decided_by_optuna(values)[:-1]  # nothing is left to give up after the last step
    at = decided.index(True) if any(decided) else len(STEPS) - 1
    assert (status.state, status.step) == ("pruned" if any(decided) else "finished", STEPS[at])
    assert intermediate(tmp_path) == pytest.approx(dict(zip(STEPS[: at + 1], values, strict=False)))
    assert status.metrics["best/val/loss"] == pytest.approx(min(values[: at + 1]))


def test_no_number_is_neither_reported_nor_a_reason_to_end(
    tiles_train: Run, tmp_path: Path, logs: Callable[[Sequence[float]], None]
) -> None:
    study_with_others(str(tmp_path / "study.journal"))
    logs((4.0, float("nan"), 2.0, 1.5, float("nan")))
    status = read_status(tiles_train("run", *followed(tmp_path), EVERY))
    assert status.state == "finished"
    assert list(intermediate(tmp_path)) == [2, 6, 8]
    assert status.metrics["best/val/loss"] == 1.5


def test_a_run_that_is_not_given_up_is_bit_for_bit_the_same_as_without(tiles_train: Run, tmp_path: Path) -> None:
    study_with_others(str(tmp_path / "study.journal"))
    plain, watched = tiles_train("plain", EVERY), tiles_train("watched", *followed(tmp_path, "null"), EVERY)
    first, second = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (plain, watched))
    for name, weights in first["state_dict"].items():
        assert torch.equal(weights, second["state_dict"][name])
    assert str(first["optimizer_states"]) == str(second["optimizer_states"])
    assert (plain / "metrics.csv").read_text() == (watched / "metrics.csv").read_text()
    assert read_status(plain).metrics == read_status(watched).metrics


class Killed(BaseException):
    """As a run ends with kill -9."""


def kill(*_: Any) -> None:
    raise Killed


def kill_while(place: str, patch: pytest.MonkeyPatch) -> None:
    """Have the next run end at that place."""
    if place == "saving":
        follow = Pruning.on_validation_end
        patch.setattr(
            Pruning, "on_validation_end", lambda self, t, m: kill() if t.global_step == 4 else follow(self, t, m)
        )
    elif place == "training":
        step = SimCLR.training_step
        patch.setattr(SimCLR, "training_step", lambda self, b, i: kill() if self.global_step == 5 else step(self, b, i))
    else:
        patch.setattr(optuna.trial.Trial, {"reporting": "report", "deciding": "should_prune"}[place], kill)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["saving", "reporting", "deciding", "training"])
def test_a_killed_and_resumed_run_reports_each_step_once_and_is_given_up_where_it_would_have_been(
    tiles_train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    values = dict(zip(STEPS, (4.0, 3.5, 2.9, 2.8, 0.1), strict=True))
    decided = decided_by_optuna(list(values.values()))
    report, reported = optuna.trial.Trial.report, list[int]()

    def on_validation_epoch_end(self: SimCLR) -> None:
        self._validated = []
        self.log("val/loss", values[self.trainer.global_step])

    def counted(self: optuna.trial.Trial, value: float, step: int) -> None:
        reported.append(step)
        report(self, value, step)

    monkeypatch.setattr(SimCLR, "on_validation_epoch_end", on_validation_epoch_end)
    monkeypatch.setattr(optuna.trial.Trial, "report", counted)
    study_with_others(str(tmp_path / "study.journal"))
    overrides = (*followed(tmp_path), EVERY, "callback.checkpoint.every_n_train_steps=2")
    with monkeypatch.context() as patch:
        kill_while(place, patch)
        with pytest.raises(Killed):
            tiles_train("run", *overrides)
    status = read_status(tiles_train("run", *overrides, "resume=true"))
    assert (status.state, status.step) == ("pruned", STEPS[decided.index(True)])
    assert reported == list(STEPS[: decided.index(True) + 1])
    assert status.metrics["best/val/loss"] == pytest.approx(2.8)


def test_a_fine_tuning_that_is_given_up_is_never_judged(finetune: Run, tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=open_storage(str(tmp_path / "study.journal")), study_name="search", direction="maximize"
    )
    for _ in range(2):
        study.add_trial(create_trial(value=2.0, intermediate_values={4: 2.0, 8: 2.0}))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    own = (
        *followed(tmp_path, number=2),
        "callback.pruning.monitor=val/selection",
        "callback.pruning.direction=maximize",
    )
    folder = finetune("run", *own)
    assert read_status(folder).state == "pruned"
    assert not (folder / "predictions").exists()
    assert json.loads((folder / "protocol.json").read_text())["finished"] is False


def test_a_trial_that_the_search_is_done_with_is_neither_reported_nor_ended(tiles_train: Run, tmp_path: Path) -> None:
    study, number = study_with_others(str(tmp_path / "study.journal"))
    study.tell(number, 3.0)
    folder = tiles_train("run", *followed(tmp_path), EVERY)
    assert read_status(folder).state == "finished"
    assert intermediate(tmp_path) == {}


def test_a_metric_that_no_validation_logs_is_a_mistake() -> None:
    objective: Any = SimCLR
    with pytest.raises(ConfigError, match=r"hydra.sweeper.monitor = train/loss: no validation logs it; choose one of"):
        Pruning("file", "search", monitor="train/loss").check(None, objective)
