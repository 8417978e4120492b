"""Preemption: a signal ends a run with a checkpoint of the step it came in, and Slurm is asked to start it again."""

import csv
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tiles_ecg.callback import preemption
from tiles_ecg.callback.preemption import SIGNALS
from tiles_ecg.objective.finetune import FineTune
from tiles_ecg.objective.simclr import SimCLR
from tiles_ecg.run_record import read_status

Run = Callable[..., Path]
Signalled = Callable[..., None]


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Outside Slurm, and with the handlers of before put back."""
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def signal_in(monkeypatch: pytest.MonkeyPatch) -> Signalled:
    """Have signals come in the middle of a step or of a validation; none: no more."""
    whole = {hook: getattr(SimCLR, hook) for hook in ("training_step", "validation_step")}

    def come(step: int | None = None, *numbers: int, hook: str = "training_step") -> None:
        def called(self: SimCLR, batch: Any, batch_idx: int) -> Any:
            for number in numbers if self.global_step == step and self.trainer.training == (hook[0] == "t") else ():
                signal.raise_signal(number)
            return whole[hook](self, batch, batch_idx)

        monkeypatch.setattr(SimCLR, hook, called)

    return come


def ends(run: Run, *overrides: str) -> int:
    with pytest.raises(SystemExit) as end:
        run("run", *overrides)
    return int(end.value.code)  # type: ignore[arg-type]


def step_of(folder: Path, name: str = "last") -> int:
    return int(torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"])


def rows(folder: Path) -> list[int]:
    return [int(row["step"]) for row in csv.DictReader((folder / "metrics.csv").open())]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint_of_it(
    tiles_train: Run, signal_in: Signalled, capsys: pytest.CaptureFixture[str], tmp_path: Path, number: int
) -> None:
    signal_in(4, number)
    assert ends(tiles_train) == 143
    folder = tmp_path / "run"
    assert step_of(folder) == 5
    assert step_of(folder, "previous") == 3
    assert rows(folder) == [0, 1, 2, 3, 4]
    status = read_status(folder)
    assert (status.state, status.step) == ("preempted", 5)
    told = f"{signal.Signals(number).name}: saved {folder}/checkpoints/last.ckpt after step 5; go on with resume=true"
    assert told in capsys.readouterr().err


def test_a_preempted_run_resumed_ends_like_an_uninterrupted_one(
    tiles_train: Run, signal_in: Signalled, tmp_path: Path
) -> None:
    whole = tiles_train("whole")
    for step in (1, 3, 6):  # with 3 a validation falls on the step
        signal_in(step, signal.SIGTERM)
        ends(tiles_train, "resume=true")
        assert step_of(tmp_path / "run") == step + 1
    signal_in()
    resumed = tiles_train("run", "resume=true")
    assert read_status(resumed).attempt == 4
    ours, theirs = (torch.load(at / "checkpoints" / "last.ckpt", weights_only=True) for at in (resumed, whole))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops"):
        torch.testing.assert_close(ours[part], theirs[part], rtol=0, atol=0)
    assert (resumed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_a_validation_under_way_is_done_first_and_is_in_the_metrics(
    tiles_train: Run, signal_in: Signalled, tmp_path: Path
) -> None:
    signal_in(4, signal.SIGUSR1, hook="validation_step")
    assert ends(tiles_train) == 143
    assert step_of(tmp_path / "run") == step_of(tmp_path / "run", "best") == 4
    assert [row["val/loss"] != "" for row in csv.DictReader((tmp_path / "run/metrics.csv").open())][-1]


def test_gradients_that_are_being_gathered_are_applied_first(
    tiles_train: Run, signal_in: Signalled, tmp_path: Path
) -> None:
    twice = "+trainer.accumulate_grad_batches=2"
    whole = tiles_train("whole", twice)
    signal_in(4, signal.SIGTERM)
    assert ends(tiles_train, twice) == 143
    assert step_of(tmp_path / "run") == 5
    signal_in()
    tiles_train("run", twice, "resume=true")
    ours, theirs = (torch.load(tmp_path / at / "checkpoints/last.ckpt", weights_only=True) for at in ("run", "whole"))
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=0, atol=0)
    assert (tmp_path / "run/metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_the_same_signal_passed_on_by_several_is_one_and_a_later_one_ends_the_run_at_once(
    tiles_train: Run, signal_in: Signalled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signal_in(4, signal.SIGTERM, signal.SIGCONT, signal.SIGTERM, signal.SIGUSR1)
    assert ends(tiles_train) == 143
    assert step_of(tmp_path / "run") == 5
    monkeypatch.setattr(preemption, "SAME_S", -1.0)
    signal_in(7, signal.SIGTERM, signal.SIGTERM)
    assert ends(tiles_train, "resume=true") == 143
    assert step_of(tmp_path / "run") == 6
    assert read_status(tmp_path / "run").state == "preempted"


def test_a_signal_in_the_last_step_lets_the_run_finish_but_not_the_sweep_that_it_is_of(
    finetune: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = FineTune.training_step

    def training_step(self: FineTune, batch: Any, batch_idx: int) -> Tensor:
        if self.global_step == 3:
            signal.raise_signal(signal.SIGTERM)
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(FineTune, "training_step", training_step)
    assert ends(finetune, "trainer.max_steps=4", "seed=0,1", "hydra.sweep.dir=sweep", "-m") == 143
    assert len(list((tmp_path / "sweep").rglob("predictions/*.npz"))) == 1
    assert "SIGTERM: the run is complete, and nothing follows it" in capsys.readouterr().err
    (folder,) = (found.parent for found in (tmp_path / "sweep").rglob("status.json"))
    assert read_status(folder).state == "preempted"
    monkeypatch.setattr(FineTune, "training_step", whole)


def test_when_the_run_has_ended_signals_do_what_they_did_before(tiles_train: Run) -> None:
    def mine(*_: Any) -> None: ...

    signal.signal(signal.SIGUSR2, mine)
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    tiles_train("run", "trainer.max_steps=2")
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def test_when_the_run_has_failed_signals_do_what_they_did_before(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> Tensor:
        raise ZeroDivisionError

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with pytest.raises(ZeroDivisionError):
        tiles_train("run")
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def test_a_handler_of_before_is_called_when_the_checkpoint_is_written_and_its_end_is_a_preemption(
    tiles_train: Run, signal_in: Signalled, tmp_path: Path
) -> None:
    seen = []

    def of_submitit(number: int, frame: Any) -> None:
        seen.append((number, step_of(tmp_path / "run")))
        raise SystemExit(-1)

    signal.signal(signal.SIGUSR2, of_submitit)
    signal_in(4, signal.SIGUSR2)
    assert ends(tiles_train) == 143
    assert seen == [(signal.SIGUSR2, 5)]
    assert read_status(tmp_path / "run").state == "preempted"
    signal.signal(signal.SIGUSR2, of_submitit)
    signal_in(6, signal.SIGUSR2)
    assert ends(tiles_train, "resume=true", "callback.preemption.requeue=false") == 143
    assert len(seen) == 1


def test_a_handler_of_before_that_refuses_to_requeue_leaves_a_preempted_run_and_is_told(
    tiles_train: Run, signal_in: Signalled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def of_submitit(number: int, frame: Any) -> None:
        raise RuntimeError("Job not requeued because: timed-out too many times.")

    signal.signal(signal.SIGUSR2, of_submitit)
    signal_in(4, signal.SIGUSR2)
    assert ends(tiles_train) == 143
    assert (step_of(tmp_path / "run"), read_status(tmp_path / "run").state) == (5, "preempted")
    assert "SIGUSR2: RuntimeError: Job not requeued because: timed-out too many times." in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_slurm_is_asked_to_requeue_the_job(
    tiles_train: Run, signal_in: Signalled, scontrol: Any, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    asked = scontrol()
    signal_in(4, number)
    assert ends(tiles_train) == 143
    assert asked == [["requeue", "12"]]
    assert "Slurm job 12 is requeued" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "is_requeued"),
    [
        ("JobId=12 JobState=COMPLETING PreemptTime=None", False),
        ("JobId=12 JobState=PREEMPTED Reason=Preempted", True),
    ],
)
def test_after_sigterm_only_a_job_that_slurm_preempted_is_requeued(
    tiles_train: Run, signal_in: Signalled, scontrol: Any, answer: str, is_requeued: bool
) -> None:
    asked = scontrol(answer)
    signal_in(4, signal.SIGTERM)
    assert ends(tiles_train) == 143
    assert asked == [["show", "job", "12"]] + [["requeue", "12"]] * is_requeued


def test_where_slurm_cannot_requeue_this_is_told_and_the_checkpoint_is_there(
    tiles_train: Run, signal_in: Signalled, scontrol: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    scontrol("Job is not requeueable", status=1)
    signal_in(4, signal.SIGUSR1)
    assert ends(tiles_train) == 143
    told = capsys.readouterr().err
    assert "Slurm job 12 is not requeued (Job is not requeueable); submit it again to go on" in told
    assert step_of(tmp_path / "run") == 5


def test_without_requeue_slurm_is_not_asked(tiles_train: Run, signal_in: Signalled, scontrol: Any) -> None:
    asked = scontrol()
    signal_in(4, signal.SIGUSR1)
    assert ends(tiles_train, "callback.preemption.requeue=false") == 143
    assert asked == []


def test_without_a_checkpoint_callback_the_run_still_ends_and_says_so(
    tiles_train: Run, signal_in: Signalled, capsys: pytest.CaptureFixture[str]
) -> None:
    signal_in(4, signal.SIGTERM)
    assert ends(tiles_train, "callback.checkpoint=null") == 143
    assert "SIGTERM: nothing is saved" in capsys.readouterr().err
