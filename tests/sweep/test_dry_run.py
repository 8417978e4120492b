"""`--dry-run` tells what would be done, and does nothing."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tiles_ecg import console
from tiles_ecg.run_record import RunRecord
from tiles_ecg.sweep.plan import Job, SweepPlan, write_plan


def dry(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    console.run(print, "train", ["--dry-run", *argv])
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-train"])


def test_the_jobs_their_folders_and_steps_are_told_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = dry(capsys, "-m", "seed=0,1", "trainer.max_steps=1000", "hydra.sweep.dir=S")
    assert lines == [
        "S/seed=0  seed=0  begins",
        "S/seed=1  seed=1  begins",
        "2 jobs to run, 2,000 steps in all; nothing was started",
    ]
    assert list(tmp_path.iterdir()) == []


def test_without_m_it_is_one_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = dry(capsys, "trainer.max_steps=7", "hydra.run.dir=R")
    assert lines == ["R  -  begins", "1 job to run, 7 steps in all; nothing was started"]
    assert list(tmp_path.iterdir()) == []


def test_with_resume_the_state_of_each_job_is_told_and_what_would_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [Job(f"seed={n}", (f"seed={n}", "trainer.max_steps=100"), {"seed": str(n)}) for n in range(5)]
    overrides = ("seed=0,1,2,3,4", "trainer.max_steps=100")
    write_plan(tmp_path / "S", SweepPlan("tiles-train", overrides, tuple(jobs), "2026-01-01T00:00:00+00:00"))
    for number, is_saved in enumerate([True, True, False]):
        folder = tmp_path / "S" / f"seed={number}"
        with contextlib.suppress(TimeoutError), RunRecord(folder, "tiles-train") as record:
            record.note(40, {})
            if number:
                raise TimeoutError
        if is_saved:
            (folder / "checkpoints").mkdir()
            (folder / "checkpoints" / "last.ckpt").touch()
    with RunRecord(tmp_path / "S" / "seed=3", "tiles-train"):
        lines = dry(capsys, "resume=S")
    assert lines == [
        "S/seed=0  seed=0  over (finished at step 40 of 100)",
        "S/seed=1  seed=1  goes on (failed at step 40 of 100)",
        "S/seed=2  seed=2  begins anew (failed at step 40 of 100)",
        "S/seed=3  seed=3  at work elsewhere (running)",
        "S/seed=4  seed=4  begins",
        "3 jobs to run, 260 steps in all; nothing was started",
    ]


def killed(folder: Path) -> None:
    """Leave what a killed run leaves: a checkpoint, and a status that says running, and no lock."""
    with RunRecord(folder, "tiles-train"):
        written = (folder / "status.json").read_text()
    (folder / "status.json").write_text(written)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()


def test_of_a_killed_job_it_is_not_known_how_many_steps_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job("run", ("trainer.max_steps=100",))
    write_plan(tmp_path / "S", SweepPlan("tiles-train", job.overrides, (job,), "2026-01-01T00:00:00+00:00"))
    killed(tmp_path / "S" / "run")
    assert dry(capsys, "resume=S") == [
        "S/run  -  goes on (stopped)",
        "1 job to run, at most 100 steps in all; nothing was started",
    ]


def test_of_a_search_it_is_told_what_is_over_and_how_much_there_may_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=5", "seed=0,1", "trainer.max_steps=100")
    told = "optuna: up to 5 trials in S"
    assert dry(capsys, "-m", *asked, "hydra.sweep.dir=S") == [f"{told}, at most 500 steps in all; nothing was started"]
    jobs = tuple(Job(f"trial-00{number}", asked[2:]) for number in range(2))
    search = {"study": "S"}
    write_plan(tmp_path / "S", SweepPlan("tiles-train", asked, jobs, "2026-01-01T00:00:00+00:00", search))
    with RunRecord(tmp_path / "S" / "trial-000", "tiles-train"):
        pass
    killed(tmp_path / "S" / "trial-001")
    assert dry(capsys, "resume=S") == [f"{told} (1 finished, 1 stopped), at most 400 steps in all; nothing was started"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "there is nothing to search in"),
        (("seed=0,1", "hydra.sweeper.n_trials=x"), "hydra.sweeper.n_trials = x: Input should be a valid integer"),
        (("seed=0,1", "hydra.sweeper.monitor=test/auroc"), "must not see the people that are judged on"),
    ],
)
def test_a_search_that_would_not_start_is_refused(
    overrides: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        dry(capsys, "-m", "hydra/sweeper=optuna", *overrides)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_mistakes_are_told_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        dry(capsys, "-m", "seed=0,1", "encodr=resnet8")
    assert end.value.code == 2
    with pytest.raises(SystemExit):
        dry(capsys, "--cfg", "job")
    assert "--dry-run --cfg: these exclude each other" in capsys.readouterr().err


def test_torch_is_not_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from tiles_ecg import train; train.main(); print(sorted({'torch', 'lightning'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", program, "--dry-run", "-m", "seed=0,1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
