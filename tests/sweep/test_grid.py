"""A sweep from its command line on: folders, failures, exit statuses, resumption. Quick tasks stand for training."""

import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console
from tiles_ecg.folder_lock import alone_in
from tiles_ecg.run_record import RunPreempted, RunRecord, read_status
from tiles_ecg.sweep.plan import read_plan

Task = Callable[[DictConfig], None]


@dataclass
class Ending:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def quick(cfg: DictConfig) -> None:
    """In the place of training."""
    folder = Path(cfg.run_dir)
    with RunRecord(folder, "tiles-evaluate", max_steps=9) as record:
        record.note(9, {"val/loss": 1.0})
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "last.ckpt").touch()
        (folder / f"resume-{str(cfg.resume).lower()}").touch()


class Mistake(Exception):
    is_user_error = True


def failing(*seeds: int, error: BaseException | None = None, inside: bool = True, key: str = "protocol.seed") -> Task:
    """A task that fails for some seeds, within its record or before it."""

    def task(cfg: DictConfig) -> None:
        if OmegaConf.select(cfg, key) in seeds:
            if not inside:
                raise error or RuntimeError("a bug")
            with RunRecord(Path(cfg.run_dir), "tiles-evaluate"):
                raise error or RuntimeError("a bug")
        quick(cfg)

    return task


Sweep = Callable[..., Ending]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Runs `tiles-evaluate -m ... hydra.sweep.dir=S`, which composes quickly, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-evaluate"])

    def run(
        *argv: str,
        task: Task = quick,
        folder: str | None = "S",
        program: str = "evaluate",
        flags: Sequence[str] = ("-m",),
    ) -> Ending:
        status = 0
        own = [f"hydra.sweep.dir={folder}"] if folder else []
        try:
            console.run(task, program, [*flags, *argv, *own])
        except SystemExit as end:
            status = int(end.code or 0)
        return Ending(status, *capsys.readouterr())

    return run


def states(folder: Path) -> dict[str, str]:
    return {job.name: read_status(folder / job.name).state for job in read_plan(folder).jobs}


def test_every_job_has_a_folder_named_by_what_varies_and_the_plan_lists_them(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("encoder=resnet8,resnet10", "protocol.seed=0,1", "dataset.min_quality=0.1")
    assert done.status == 0
    names = [
        "encoder=resnet8,protocol.seed=0",
        "encoder=resnet8,protocol.seed=1",
        "encoder=resnet10,protocol.seed=0",
        "encoder=resnet10,protocol.seed=1",
    ]
    assert states(tmp_path / "S") == dict.fromkeys(names, "finished")
    plan = read_plan(tmp_path / "S")
    assert plan.program == "tiles-evaluate"
    assert plan.overrides[:3] == ("encoder=resnet8,resnet10", "protocol.seed=0,1", "dataset.min_quality=0.1")
    assert plan.jobs[1].overrides == ("encoder=resnet8", "protocol.seed=1", "dataset.min_quality=0.1")
    assert (tmp_path / "S" / "multirun.yaml").is_file()
    assert "sweep: 4 finished; tiles-report S shows them" in done.err


def test_two_sweeps_and_all_their_jobs_begun_in_the_same_second_have_folders_of_their_own(
    sweep: Sweep, tmp_path: Path
) -> None:
    for _ in range(2):
        assert sweep("protocol.seed=0,1", folder=None).status == 0
    runs = {path.parent for path in (tmp_path / "outputs").rglob("status.json")}
    assert len(runs) == 4
    assert len({run.parent for run in runs}) == 2


@pytest.mark.parametrize("inside", [True, False])
def test_a_failing_job_in_the_middle_is_marked_and_the_exit_status_says_so(
    sweep: Sweep, tmp_path: Path, inside: bool
) -> None:
    done = sweep("protocol.seed=0,1,2", task=failing(1, inside=inside))
    assert done.status == 1
    assert states(tmp_path / "S") == {
        "protocol.seed=0": "finished",
        "protocol.seed=1": "failed",
        "protocol.seed=2": "finished",
    }
    status = read_status(tmp_path / "S" / "protocol.seed=1")
    assert (status.error, status.program, status.attempt) == ("RuntimeError: a bug", "tiles-evaluate", 1)
    assert "job protocol.seed=1: failed: RuntimeError: a bug" in done.err
    assert 'raise error or RuntimeError("a bug")' in done.err
    assert done.err.endswith(
        "sweep: 2 finished, 1 failed (protocol.seed=1); tiles-report S shows them; "
        "go on with: tiles-evaluate -m resume=S\n"
    )


def test_mistakes_alone_end_with_status_2_and_without_a_traceback(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("protocol.seed=0,1,2", task=failing(0, 2, error=Mistake("a.h5: cut short"), inside=False))
    assert done.status == 2
    assert "Traceback" not in done.err
    assert read_status(tmp_path / "S" / "protocol.seed=0").is_mistake
    assert sweep("protocol.seed=0,1", task=failing(1, error=RuntimeError()), folder="T").status == 1


def test_a_job_that_is_asked_to_end_ends_the_sweep_and_the_next_stay_planned(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("protocol.seed=0,1,2", task=failing(1, error=RunPreempted(143)))
    assert done.status == 143
    assert states(tmp_path / "S") == {
        "protocol.seed=0": "finished",
        "protocol.seed=1": "preempted",
        "protocol.seed=2": "planned",
    }
    assert "go on with: tiles-evaluate -m resume=S" in done.err


def test_ctrl_c_ends_the_sweep(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("protocol.seed=0,1,2", task=failing(1, error=KeyboardInterrupt())).status == 130
    assert states(tmp_path / "S") == {
        "protocol.seed=0": "finished",
        "protocol.seed=1": "interrupted",
        "protocol.seed=2": "planned",
    }


def test_what_only_a_job_can_fill_in_is_left_to_the_jobs(sweep: Sweep, tmp_path: Path) -> None:
    named = "hydra.help.header=${task.name}"
    assert sweep("task=synthetic_af,synthetic_stress", named).status == 0
    assert states(tmp_path / "S") == {"task=synthetic_af": "finished", "task=synthetic_stress": "finished"}
    assert named in read_plan(tmp_path / "S").overrides


def test_names_for_the_folders_of_jobs_are_refused(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("protocol.seed=0,1", "hydra.sweep.subdir=${protocol.seed}")
    assert done.status == 2
    assert "hydra.sweep.subdir=${protocol.seed}: folders of jobs are named by what differs between them" in done.err
    assert not (tmp_path / "S").exists()


def test_a_folder_that_holds_a_sweep_is_refused_without_resume(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1")
    before = (tmp_path / "S" / "sweep.json").read_bytes()
    done = sweep("protocol.seed=2,3")
    assert done.status == 2
    assert "S: holds a sweep already; give resume=true to go on with it, or another folder" in done.err
    assert (tmp_path / "S" / "sweep.json").read_bytes() == before


def test_a_sweep_that_another_process_works_on_is_refused_and_its_plan_stays(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("protocol.seed=0").status == 0
    plan = (tmp_path / "S" / "sweep.json").read_text()
    with alone_in(tmp_path / "S", "hydra.sweep.dir"):
        ending = sweep("protocol.seed=0,1", "resume=true")
        assert (ending.status, (tmp_path / "S" / "sweep.json").read_text()) == (2, plan)
        assert f"another process is at work in it (host {socket.gethostname()} pid {os.getpid()})" in ending.err
        assert "over" in sweep("--dry-run", "protocol.seed=0", "resume=true").out  # which takes no lock
    assert sweep("protocol.seed=0,1", "resume=true").status == 0


def test_resume_runs_what_is_not_over_and_nothing_else(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1,2", task=failing(1))
    (tmp_path / "S" / "protocol.seed=1" / "checkpoints").mkdir()
    (tmp_path / "S" / "protocol.seed=1" / "checkpoints" / "last.ckpt").touch()
    done = sweep("resume=S", folder=None)
    assert done.status == 0
    assert "resume: going on in S" in done.err
    assert [read_status(tmp_path / "S" / f"protocol.seed={seed}").attempt for seed in range(3)] == [1, 2, 1]
    assert (tmp_path / "S" / "protocol.seed=1" / "resume-true").exists()
    assert sweep("resume=S", folder=None).err.splitlines()[-1] == "sweep: 3 finished; tiles-report S shows them"


def test_a_failed_job_without_a_checkpoint_begins_anew(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1", task=failing(1))
    sweep("resume=S", folder=None)
    assert (tmp_path / "S" / "protocol.seed=1" / "resume-false").exists()


def test_resume_true_finds_the_latest_sweep_of_the_same_overrides_in_any_order(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1", "dataset.min_quality=0.1", task=failing(1), folder=None)
    sweep("protocol.seed=0,1", folder=None)
    done = sweep("dataset.min_quality=0.1", "protocol.seed=0,1", "resume=true", "hydra/launcher=basic", folder=None)
    assert done.status == 0
    (folder,) = {Path(found) for found in re.findall(r"resume: going on in (\S+)", done.err)}
    assert states(tmp_path / folder) == {"protocol.seed=0": "finished", "protocol.seed=1": "finished"}
    assert read_status(tmp_path / folder / "protocol.seed=1").attempt == 2
    done = sweep("protocol.seed=5,6", "resume=true", folder=None)
    assert done.status == 0
    assert "resume: no sweep of this command below outputs/; starting anew" in done.err


def test_the_folder_of_a_sweep_resumes_without_m_too(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1", task=failing(1))
    console.run(quick, "evaluate", ["resume=S"])
    assert states(tmp_path / "S") == {"protocol.seed=0": "finished", "protocol.seed=1": "finished"}


def test_jobs_can_be_added_and_those_not_named_stay(sweep: Sweep, tmp_path: Path) -> None:
    sweep("encoder=resnet8", "protocol.seed=0,1", task=failing(1))
    assert sweep("resume=S", "protocol.seed=2,3", folder=None).status == 0
    assert [*states(tmp_path / "S").values()] == ["finished", "failed", "finished", "finished"]
    assert sweep("resume=S", folder=None).status == 0
    assert set(states(tmp_path / "S").values()) == {"finished"}
    sweep("resume=S", "encoder=resnet8,resnet10", "protocol.seed=0", folder=None)
    assert [*states(tmp_path / "S")][-1] == "encoder=resnet10"
    assert len(states(tmp_path / "S")) == 5


def test_a_job_that_is_not_what_it_was_is_refused(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1", "dataset.min_quality=0.1", task=failing(1))
    before = (tmp_path / "S" / "sweep.json").read_bytes()
    done = sweep("resume=S", "dataset.min_quality=0.2", folder=None)
    assert done.status == 2
    message = "job protocol.seed=0 was dataset.min_quality=0.1, is dataset.min_quality=0.2; give what it was, or start"
    assert message in done.err
    assert (tmp_path / "S" / "sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("resume=nowhere",), "resume = nowhere: there is no such folder; give the folder of a sweep"),
        (("protocol.seed=0,0",), "protocol.seed=0: this job is there 2 times; give each value once"),
        (("dataset.min_quality=interval(0,1)",), "a grid has no values within an interval"),
        (
            ("resume=run",),
            "run: has no sweep.json; give the folder of a sweep, or true for the latest; a single run is",
        ),
    ],
)
def test_what_cannot_be_meant_ends_with_a_message_and_status_2(
    sweep: Sweep, tmp_path: Path, argv: tuple[str, ...], message: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    done = sweep(*argv, folder=None)
    assert done.status == 2
    assert message in done.err
    assert not (tmp_path / "outputs").exists()


def test_a_damaged_plan_is_told(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1")
    (tmp_path / "S" / "sweep.json").write_text("{")
    assert "sweep.json: damaged" in sweep("resume=S", folder=None).err


def test_a_sweep_of_another_program_is_refused(sweep: Sweep, tmp_path: Path) -> None:
    sweep("protocol.seed=0,1")
    found = json.loads((tmp_path / "S" / "sweep.json").read_text())
    (tmp_path / "S" / "sweep.json").write_text(json.dumps(found | {"program": "tiles-train"}))
    assert "is a sweep of tiles-train; go on with it by that command" in sweep("resume=S", folder=None).err


def test_environment_and_signal_handlers_of_one_job_are_not_those_of_the_next(sweep: Sweep) -> None:
    import os
    import signal

    seen = []

    def task(cfg: DictConfig) -> None:
        seen.append((os.environ.get("LEFT_OVER"), signal.getsignal(signal.SIGTERM)))
        os.environ["LEFT_OVER"] = "1"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        quick(cfg)

    sweep("protocol.seed=0,1", task=task)
    assert seen[0] == seen[1]
    assert seen[0][0] is None


STAGES = (
    "protocol.seed=0,1",
    "audit.accept=[pretraining]",
    "+hydra.sweeper.stages.first.encoder=resnet10",
    "+hydra.sweeper.stages.second.encoders='[run_of(first)]'",
)


def test_a_job_of_a_later_stage_is_marked_failed_where_the_earlier_one_failed(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep(*STAGES, task=failing(1))
    assert done.status == 1
    assert states(tmp_path / "S") == {
        "first-protocol.seed=0": "finished", "first-protocol.seed=1": "failed",
        "second-protocol.seed=0": "finished", "second-protocol.seed=1": "failed",
    }  # fmt: skip
    assert read_status(tmp_path / "S" / "second-protocol.seed=1").error == (
        "SweepError: job second-protocol.seed=1 goes on from job first-protocol.seed=1, which failed "
        "(RuntimeError: a bug); once that is finished, resume=true runs this one"
    )
    assert sweep("resume=S", folder=None).status == 0
    assert set(states(tmp_path / "S").values()) == {"finished"}


def test_a_stage_waits_for_one_that_did_not_come_to_its_end(sweep: Sweep, tmp_path: Path) -> None:
    sweep(*STAGES, task=failing(1, error=RunPreempted(143)))
    with RunRecord(tmp_path / "S" / "first-protocol.seed=1", "tiles-evaluate"):
        done = sweep("resume=S", folder=None)
    assert [*states(tmp_path / "S").values()][2:] == ["finished", "planned"]
    assert "which is running; once that is finished" in done.err


PRETRAIN_FINETUNE = ("experiment=pretrain_finetune", "task=synthetic_stress", "seed=0")


def test_a_stage_that_would_be_judged_on_what_an_earlier_one_learns_from_is_refused_before_it_starts(
    sweep: Sweep, tmp_path: Path
) -> None:
    done = sweep(*PRETRAIN_FINETUNE, "dataset.fold=0,1", program="train")
    assert done.status == 2
    assert "stage pretrain would learn from the recordings that stage finetune is judged on" in done.err
    assert not (tmp_path / "S").exists()


@pytest.mark.parametrize("flags", [("-m",), ()])
def test_a_value_that_only_a_stage_knows_is_told_where_to_go(sweep: Sweep, flags: tuple[str, ...]) -> None:
    done = sweep(*PRETRAIN_FINETUNE, "dataset.fold=0", program="train", flags=flags)
    where = "hydra.sweeper.stages.finetune.dataset.fold=0"
    assert done.err.endswith(f": dataset.fold=0: only stage finetune knows it; write {where}\n")


def test_a_mistyped_key_of_a_preset_is_told_though_a_value_of_the_command_varies(sweep: Sweep) -> None:
    done = sweep("experiment=encoder_size", "seed=0,1", "trainer.max_stps=3", program="train", flags=())
    assert done.err.endswith(": trainer.max_stps=3: there is no trainer.max_stps; did you mean trainer.max_steps?\n")
