"""Mistyped overrides are explained, and every job of a sweep is checked before the first."""

from pathlib import Path

import pytest

from tiles_ecg.config import ConfigError, config_directory, register_resolvers
from tiles_ecg.console_overrides import check_command

register_resolvers()


def told(*overrides: str, name: str = "train", is_multirun: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_command(name, overrides, is_multirun)
    return caught.value.problems


OPTIONS = sorted(path.stem for path in (config_directory() / "encoder").glob("*.yaml"))
ENCODERS = f"choose one of {', '.join(OPTIONS)}"


MISTYPED = {  # all within one command, so that they are also told together
    "encodr=resnet8": "there is no encodr; did you mean encoder?",
    "+encodr=resnet8": "nothing reads encodr; did you mean encoder?",
    "++encodr=resnet8": "nothing reads encodr; did you mean encoder?",
    "+projector=mlp": "without +, since every run has this part; write projector=mlp",
    "reader=tiles": "not a part of tiles-train; it belongs to tiles-prepare",
    "+reader=synthetic": "not a part of tiles-train; it belongs to tiles-prepare",
    "trainer.max_stps=3": "there is no trainer.max_stps; did you mean trainer.max_steps?",
    "encoder.widht=3": "there is no encoder.widht; did you mean encoder.widths?",
    "lr=1e-3": "there is no lr; did you mean optimizer.lr?",
    "+seed=3": "exists already; write seed=3",
    "~trainer.foo": "there is nothing to delete",
    "+callback.foo=3": "nothing reads callback.foo; did you mean callback.progress?",
    "augmentation/step=crop": "say where it goes; write +augmentation/step@KEY=OPTION with the dotted key of the place",
}
OTHERS = {
    "encoder=resnt8": f"encoder = resnt8: no such option; {ENCODERS} (did you mean resnet8?)",
    "trainer=null": "trainer = null: every run needs this part; choose one of ddp, default, finetune, gpu, multi_node",
    "~objective": "~objective: every run needs this part; choose one of ",
}


def test_mistyped_overrides_are_explained_together_without_the_advice_to_append() -> None:
    found = told(*MISTYPED, *OTHERS)
    lines = [f"{override}: {right}" for override, right in MISTYPED.items()] + list(OTHERS.values())
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)
        assert "use +" not in line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("~encoder", f"~encoder: every run needs this part; {ENCODERS}"),  # Hydra itself would let these two pass
        ("+encodr=resnet8", "+encodr=resnet8: nothing reads encodr; did you mean encoder?"),
        ("resnet10", "resnet10: not an override; write KEY=VALUE (did you mean encoder=resnet10?)"),
        ("a=[1", "a=[1: cannot be read; a value with any of , = [ ] { } ( ) : or quotes is quoted twice: \"a='[1'\""),
        (
            "encoder=resnet8,resnet10",
            "encoder = resnet8,resnet10: several values; put -m first to run each of them",
        ),
        (
            "encoder.widths=8,16",
            "encoder.widths = 8,16: several values; put -m first to run each of them, "
            "or write encoder.widths=[8,16] for a list",
        ),
        (
            "encoder=[resnet8,resnet10]",  # Hydra itself fails on it when the job starts
            f"encoder = [resnet8,resnet10]: a run has one of each part; {ENCODERS}",
        ),
        ("hydra.run.dr=x", "Could not override 'hydra.run.dr': Key 'dr' not in 'RunDir'"),
    ],
)
def test_an_override_that_cannot_be_meant_is_explained(override: str, line: str) -> None:
    assert told(override) == [line]


@pytest.mark.parametrize(
    "overrides",
    [
        ["encoder=resnet10", "encoder.dropout=0.1"],
        ["experiment=demo"],
        ["+factor=1e-4", "optimizer.lr=${factor}"],
        ["+optimizer.amsgrad=true"],
        ["~callback.progress"],
        ["+augmentation/step@augmentation.steps.more=scale", "augmentation.steps.more.p=0.1"],
        ["callback.online_probe=null"],
        ["hydra.run.dir=somewhere"],
        ["encoder.widths.0=8"],
    ],
)
def test_what_hydra_allows_and_something_reads_is_allowed(overrides: list[str]) -> None:
    check_command("train", overrides, is_multirun=False)


def test_what_cannot_work_together_is_told_at_once_before_anything_is_built() -> None:
    found = told(
        "dataset.val_share=1",
        "augmentation.steps.permute.n_segments=[10,2]",
        "encoder.strides=[1,2]",
        "optimizer.lr=inf",
        "scheduler.warmup_share=1.0",
        "trainer.precision=64-true",
    )
    starts = (
        "dataset.val_share = 1: out of range; EcgDataModule takes a number >= 0 and < 1",
        "augmentation.steps.permute.n_segments = [10, 2]: does not fit; Permutation takes a list of 2",
        "encoder.widths = [16, 16, 32, 32, 64, 64, 128, 128]: 8 blocks, but encoder.strides = [1, 2] has 2",
        "optimizer.lr = inf: not finite; choose a number > 0",
        "scheduler.warmup_share = 1.0: out of range; WarmupCosine takes a number >= 0 and < 1",
        "trainer.precision = 64-true: not a choice; choose one of 32-true, bf16-mixed, 16-mixed",
    )
    for line, start in zip(found, starts, strict=True):
        assert line.startswith(start)


def test_a_folder_for_results_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert told(f"hydra.run.dir={tmp_path}/file/run") == [
        f"hydra.run.dir = {tmp_path}/file/run: {tmp_path}/file is a file; name a folder, which need not exist"
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.access", lambda path, _: Path(path) == tmp_path)
    (tmp_path / "sealed").mkdir()
    assert told("hydra.sweep.dir=sealed/a/b", "seed=0,1", is_multirun=True) == [
        f"hydra.sweep.dir = {tmp_path}/sealed/a/b: nothing may be written in {tmp_path}/sealed; name another folder"
    ]


def test_an_added_argument_is_checked_by_the_signature_of_its_component() -> None:
    assert told("+encoder.widht=3") == ["encoder.widht = 3: ResNet1d takes no such argument; did you mean widths?"]


def test_every_job_of_a_sweep_is_checked_and_a_mistake_names_its_first_job() -> None:
    sweep = ["store=a.h5", "n_jobs=1,0", "preparation.max_flat=0.3,3,0.5"]
    assert told(*sweep, name="prepare", is_multirun=True) == [
        "preparation.max_flat = 3: out of range; Preparation takes a number from 0 to 1 "
        "[job n_jobs=1,preparation.max_flat=3, and 1 more]",
        "n_jobs = 0: out of range; choose a whole number > 0 or null "
        "[job n_jobs=0,preparation.max_flat=0.3, and 2 more]",
    ]


def test_a_mistake_of_all_jobs_is_told_without_their_numbers() -> None:
    assert told("store=a.h5,b.h5", "n_jobs=0", name="prepare", is_multirun=True) == [
        "n_jobs = 0: out of range; choose a whole number > 0 or null"
    ]


def test_a_mistyped_option_within_a_sweep_is_told() -> None:
    (line,) = told("encoder=resnet8,resnt10", is_multirun=True)
    assert line.startswith(f"encoder = resnt10: no such option; {ENCODERS} (did you mean resnet10?)")


def test_of_a_sweep_too_large_to_check_each_value_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiles_ecg.console_command.MAX_JOBS", 3)
    sweep = ["store=a.h5,b.h5", "n_jobs=range(1,4)", "preparation.max_flat=0.1,2"]
    (line,) = told(*sweep, name="prepare", is_multirun=True)
    assert line.startswith("preparation.max_flat = 2: out of range; Preparation takes a number from 0 to 1 [job store=")


def test_a_sweep_that_is_asked_for_by_hydra_mode_is_a_sweep() -> None:
    (line,) = told("hydra.mode=MULTIRUN", "store=a.h5", "n_jobs=1,0", name="prepare")
    assert line.startswith("n_jobs = 0: out of range")


@pytest.mark.parametrize(
    ("override", "right"),
    [
        ("+hydra.sweeper.params.seed=0,1", "hydra.sweeper.params.seed = 0,1: on a command line, write seed=0,1"),
        (
            "hydra.sweeper.stages.b.seed=0,1",
            "hydra.sweeper.stages.b.seed = 0,1: Hydra's own keys have one value; as a text it is quoted twice: "
            "\"hydra.sweeper.stages.b.seed='0,1'\"",
        ),
    ],
)
def test_several_values_of_a_key_of_hydras_own_are_told_where_to_go(override: str, right: str) -> None:
    assert told(override, is_multirun=True) == [right]


def test_the_space_of_a_search_may_be_given_below_hydra_sweeper_params() -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed")
    space = "+hydra.sweeper.params.optimizer.lr='interval(1e-4,1e-2)'"
    found = check_command("train", ["hydra/sweeper=optuna", space], is_multirun=True)
    assert [job.name for job in found.jobs] == ["optimizer.lr=0.0001", "optimizer.lr=0.01"]


def test_the_ends_of_an_interval_are_checked() -> None:
    sweeper = ["hydra/sweeper=basic", "store=a.h5"]
    (line,) = told(*sweeper, "preparation.max_flat=interval(0.1, 1.5)", name="prepare", is_multirun=True)
    assert line.startswith("preparation.max_flat = 1.5: out of range")


def test_a_config_that_is_only_shown_may_lack_values() -> None:
    check_command("prepare", [], is_multirun=False, is_run=False)
    assert told(name="prepare") == ["store = ???: missing; give it as store=FILE.h5"]


@pytest.mark.parametrize(
    ("override", "extra"),
    [
        ("hydra/launcher=joblib", "sweep"),
        ("hydra/launcher=submitit_slurm", "slurm"),
        ("hydra/launcher=slurm", "slurm"),
        ("hydra/sweeper=optuna", "sweep"),
    ],
)
def test_an_option_whose_package_is_not_installed_is_told_with_the_extra_that_brings_it(
    override: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiles_ecg.console_mistakes._is_installed", lambda module: False)
    shown = override.replace("=", " = ")
    assert told(override, "seed=0,1", is_multirun=True) == [
        f"{shown}: is not installed; pip install 'tiles_ecg[{extra}]'"
    ]
