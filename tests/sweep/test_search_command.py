"""The command of a search: its space, its refusals, its end and its resumption, through Hydra's launchers."""

import math
import shlex
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console
from tiles_ecg.config import config_directory
from tiles_ecg.folder_lock import alone_in
from tiles_ecg.run_record import RunRecord, read_status
from tiles_ecg.sweep.plan import SweepPlan, read_plan, write_plan
from tiles_ecg.sweep.search_command import written

Command = Callable[..., int]
SEARCH = ("hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "encoder=resnet8,resnet10")


def bowl(cfg: DictConfig) -> float:
    """Least at a learning rate of 1e-3 with `resnet8`: 0."""
    return (math.log10(cfg.optimizer.lr) + 3) ** 2 + (0.0 if len(cfg.encoder.widths) == 8 else 1.0)


def quick(cfg: DictConfig) -> None:
    """In the place of training."""
    with RunRecord(Path(cfg.run_dir), "tiles-train") as record:
        record.note(1, {"best/val/loss": bowl(cfg), "val/loss": 7.0})


def failing(cfg: DictConfig) -> None:
    with RunRecord(Path(cfg.run_dir), "tiles-train"):
        raise RuntimeError("out of luck")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `tiles-train` with a task in the place of training; its exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-train"])

    def run(*argv: str, task: Callable[[DictConfig], None] = quick, name: str = "train") -> int:
        try:
            console.run(task, name, list(argv))
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def test_names_for_the_folders_of_trials_are_refused(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("-m", *SEARCH, "hydra.sweep.subdir=${seed}") == 2
    assert "hydra.sweep.subdir=${seed}: folders of jobs are named by what differs" in capsys.readouterr().err


def test_a_command_searches_the_space_that_it_and_the_config_give(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = ["+hydra.sweeper.params.seed='1,2'", "+hydra.sweeper.params.encoder='resnet18,resnet8'"]
    assert command("-m", *SEARCH, *params, "hydra.sweep.dir=S", "hydra.sweeper.n_trials=3") == 0
    plan = read_plan(tmp_path / "S")
    assert len(plan.jobs) == 3
    assert list(plan.jobs[0].varied) == ["seed", "optimizer.lr", "encoder"]
    assert {job.varied["encoder"] for job in plan.jobs} <= {"resnet8", "resnet10"}
    assert {read_status(tmp_path / "S" / job.name).state for job in plan.jobs} == {"finished"}
    values = [read_status(tmp_path / "S" / job.name).metrics["best/val/loss"] for job in plan.jobs]
    best = plan.jobs[values.index(min(values))]
    assert plan.search["best"] == best.name
    told = capsys.readouterr().err
    assert f"search: best is {best.name}: val/loss = {min(values):.5g} with " in told
    assert f"the same again: tiles-train {plan.search['overrides']}" in told


def test_a_search_goes_on_by_its_folder_alone_with_more_trials(command: Command, tmp_path: Path) -> None:
    assert command("-m", *SEARCH, "hydra.sweep.dir=S", "hydra.sweeper.n_trials=1") == 0
    (tmp_path / "S").rename(tmp_path / "moved")
    assert command("-m", "resume=moved", "hydra.sweeper.n_trials=2") == 0
    jobs = read_plan(tmp_path / "moved").jobs
    assert [read_status(tmp_path / "moved" / job.name).attempt for job in jobs] == [1, 1]


def test_a_search_whose_jobs_fail_ends_with_status_1_and_says_how_to_go_on(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("-m", *SEARCH, "hydra.sweep.dir=S", "hydra.sweeper.n_trials=9", task=failing) == 1
    told = capsys.readouterr().err
    assert "search: no trial has a value of val/loss, so that no more are begun" in told
    assert "resume=S" in told
    assert len(read_plan(tmp_path / "S").jobs) == 3
    assert command("-m", "resume=S", "hydra.sweeper.n_trials=4") == 0
    assert [read_status(tmp_path / "S" / job.name).attempt for job in read_plan(tmp_path / "S").jobs] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("hydra/sweeper=optuna",), "there is nothing to search in"),
        ((*SEARCH, "hydra.sweeper.monitor=test/auroc"), "monitor = test/auroc: a search must not see the people"),
        ((*SEARCH, "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials = 0: Input should be greater than 0"),
        ((*SEARCH, "hydra.sweeper.direction=down"), "direction = down: Input should be 'minimize' or 'maximize'"),
        ((*SEARCH, "hydra/sweeper/sampler=grid"), "optimizer.lr: a grid has no intervals"),
        ((*SEARCH, "hydra.sweeper.storage=nosql://x"), "storage = nosql://x: cannot be opened"),
        (
            (*SEARCH, "hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=-1"),
            "hydra.sweeper.pruner: ",
        ),
        (("hydra/sweeper=optuna", "optimizer.lr=interval(1,0.1)"), "the lower end of an interval comes first"),
    ],
)
def test_a_search_that_cannot_be_ends_with_status_2_and_leaves_nothing(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...], told: str
) -> None:
    assert command("-m", *overrides, "hydra.sweep.dir=S") == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "S").exists()


def test_a_folder_with_a_sweep_is_refused(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plan(tmp_path / "S", SweepPlan("tiles-train", ("seed=0,1",), (), "2026-01-01T00:00:00+00:00"))
    assert command("-m", *SEARCH, "hydra.sweep.dir=S") == 2
    assert "holds a sweep already" in capsys.readouterr().err
    assert command("-m", *SEARCH, "hydra.sweep.dir=S", "resume=true") == 2
    assert "is a plain sweep of tiles-train" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["objective.temperature=0.1,0.5", "augmentation=tiles,crop"])
def test_a_loss_whose_scale_the_search_changes_is_told_of(
    command: Command, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    given = ("hydra/sweeper=optuna", key, "hydra.sweep.dir=S")
    assert command("-m", *given, "hydra.sweeper.n_trials=1") == 0
    assert f"search: {key.partition('=')[0]}: val/loss is on another scale with each value" in capsys.readouterr().err


def test_a_search_that_another_process_works_on_is_refused(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("-m", *SEARCH, "hydra.sweep.dir=S", "hydra.sweeper.n_trials=1") == 0
    with alone_in(tmp_path / "S", "hydra.sweep.dir"):
        assert command("-m", "resume=S", "hydra.sweeper.n_trials=2") == 2
    assert "another process is at work in it" in capsys.readouterr().err
    assert len(read_plan(tmp_path / "S").jobs) == 1


def test_a_search_that_is_interrupted_says_how_to_go_on(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(cfg: DictConfig) -> None:
        with RunRecord(Path(cfg.run_dir), "tiles-train"):
            raise KeyboardInterrupt

    assert command("-m", *SEARCH, "hydra.sweep.dir=S", "hydra.sweeper.n_trials=2", task=interrupted) == 130
    assert "go on with: tiles-train -m resume=S" in capsys.readouterr().err
    assert command("-m", "resume=S") == 0
    assert [read_status(tmp_path / "S" / job.name).attempt for job in read_plan(tmp_path / "S").jobs] == [2, 1]


def test_an_evaluation_is_no_place_to_search(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("hydra/sweeper=optuna", "task=synthetic_af", "protocol.seed=0,1", "hydra.sweep.dir=S")
    assert command("-m", *given, name="evaluate") == 2
    assert "tiles-evaluate judges on people that a search must not choose by" in capsys.readouterr().err


def test_the_jobs_are_told_the_pruner_with_its_settings(command: Command, tmp_path: Path) -> None:
    seen: list[DictConfig] = []

    def keep(cfg: DictConfig) -> None:
        seen.append(cfg)
        quick(cfg)

    hyperband = ("hydra/sweeper/pruner=hyperband", "trainer.max_steps=900", "trainer.val_check_interval=100")
    assert command("-m", *SEARCH, *hyperband, "hydra.sweep.dir=S", "hydra.sweeper.n_trials=2", task=keep) == 0
    told = OmegaConf.to_container(seen[1].callback.pruning, resolve=True)
    assert told == {
        "_target_": "tiles_ecg.callback.pruning.Pruning",
        "storage": str(tmp_path / "S" / "study.journal"),
        "study": "S",
        "trial": 1,
        "monitor": "val/loss",
        "direction": "minimize",
        "pruner": {
            "_target_": "optuna.pruners.HyperbandPruner", "min_resource": 100, "max_resource": 900,
            "reduction_factor": 3,
        },
    }  # fmt: skip
    assert list(seen[1].callback)[-1] == "pruning"


def test_the_experiment_is_a_search_by_itself_and_takes_other_samplers(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def probed(cfg: DictConfig) -> None:
        with RunRecord(Path(cfg.run_dir), "tiles-train") as record:
            record.note(1, {f"best/{cfg.callback.pruning.monitor}": -bowl(cfg)})

    def probed_alone(cfg: DictConfig) -> None:
        Path(cfg.run_dir, "alone").touch()

    random = ("hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=S")
    assert command("experiment=search", *random, task=probed) == 0
    assert list(read_plan(tmp_path / "S").jobs[0].varied) == [
        "optimizer.lr", "optimizer.weight_decay", "objective.temperature"
    ]  # fmt: skip
    assert command("resume=S", "hydra.sweeper.n_trials=2", task=probed) == 0
    assert read_plan(tmp_path / "S").search["monitor"] == "probe/heart_rate_r2"
    assert len(read_plan(tmp_path / "S").jobs) == 2
    (again,) = [line for line in capsys.readouterr().err.splitlines()[-3:] if line.startswith("the same again: ")]
    assert command(*shlex.split(again)[4:], "hydra.run.dir=again", task=probed_alone) == 0
    assert (tmp_path / "again" / "alone").exists()  # one run, and no search


@pytest.mark.parametrize("group", ["sampler", "pruner"])
def test_every_option_is_made_by_the_optuna_that_is_installed_without_a_warning(
    group: str, recwarn: pytest.WarningsRecorder
) -> None:
    from hydra.utils import instantiate

    files = sorted((config_directory() / "hydra" / "sweeper" / group).glob("*.yaml"))
    assert len(files) == 3
    for file in files:
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            chosen = [f"hydra/sweeper/{group}={file.stem}"]
            cfg = compose("train", ["hydra/sweeper=optuna", *chosen], return_hydra_config=True)
        made = instantiate(cfg.hydra.sweeper[group], _convert_="all")
        kinds = optuna.samplers.BaseSampler if group == "sampler" else optuna.pruners.BasePruner
        assert isinstance(made() if group == "sampler" else made, kinds)
    assert not [warning for warning in recwarn if "optuna" in str(warning.filename)]


def test_plain_values_are_written_as_hydra_reads_them() -> None:
    value = {"a": 1, "b": None, "c": [True, 0.5], "d": {"e": "it's, [odd]"}, "f": 1e-05}
    (read,) = OverridesParser.create().parse_overrides([f"key={written(value)}"])
    assert read.value() == value


TINY = (
    "dataset.batch_size=16", "dataset.val_share=0.34", "encoder.widths=[8,16]", "encoder.strides=[2,4]",
    "encoder.embedding_dim=32", "trainer.accelerator=cpu", "trainer.max_steps=8", "trainer.val_check_interval=2",
    "callback.checkpoint.every_n_train_steps=4", "callback.online_probe.n_windows=40", "callback.pictures=null",
    "logger=csv", "hydra/sweeper=optuna", "hydra.sweep.dir=S", "optimizer.lr=tag(log,interval(1e-3,1e-2))",
    "objective.temperature=0.1,0.5",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [(), ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")], ids=["basic", "joblib"]
)
def test_a_real_search_trains_compares_and_leaves_no_trial_open(
    small_store: Path, command: Command, tmp_path: Path, launcher: tuple[str, ...]
) -> None:
    from tiles_ecg.train import train

    n_jobs = 2 if launcher else 1
    own = (f"dataset.store={small_store}", "hydra.sweeper.n_trials=3", f"hydra.sweeper.n_jobs={n_jobs}")
    assert command("-m", *TINY, *own, *launcher, "hydra.sweeper.pruner.n_startup_trials=1", task=train) == 0
    study = optuna.load_study(
        study_name="S",
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "S" / "study.journal"))
        ),
    )
    assert len(study.trials) == 3
    for job, trial in zip(read_plan(tmp_path / "S").jobs, study.trials, strict=True):
        status = read_status(tmp_path / "S" / job.name)
        assert (tmp_path / "S" / job.name / "checkpoints").is_dir()
        assert {"finished": "COMPLETE", "pruned": "PRUNED"}[status.state] == trial.state.name
        if status.state == "finished":
            assert sorted(trial.intermediate_values) == [2, 4, 6, 8]
            assert trial.value == min(trial.intermediate_values.values()) == status.metrics["best/val/loss"]
    assert read_plan(tmp_path / "S").search["value"] == repr(study.best_value)
