"""The console entry: exit statuses, messages, and help, as a shell sees them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console
from tiles_ecg.config import config_directory

APP = """
import os, sys
from tiles_ecg import console

def task(cfg):
    print("ran with", console.overrides())
    print("loaded", sorted({"torch", "lightning", "h5py", "scipy"} & set(sys.modules)))
    if "ENDING" in os.environ:
        raise RuntimeError("an index is off by one")

if __name__ == "__main__":
    console.run(task, "train")
"""


class Broken(Exception):
    is_user_error = True


@dataclass
class Ending:
    """How a program ended, and what it printed."""

    status: int
    out: str
    err: str


Shell = Callable[..., Ending]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a small program in a folder of its own."""
    (tmp_path / "app.py").write_text(APP)

    def run(*argv: str, **environment: str) -> Ending:
        command = [sys.executable, "app.py", *argv]
        environment = {**os.environ, **environment}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return Ending(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The same within this process, for what does not depend on a fresh one."""

    def run(*argv: str, task: Callable[[DictConfig], Any] = print, name: str = "prepare") -> Ending:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["app.py"])
        status = 0
        try:
            console.run(task, name, argv)
        except SystemExit as end:
            status = int(end.code or 0)
        return Ending(status, *capsys.readouterr())

    return run


def fail(cfg: DictConfig) -> None:
    raise Broken("tiles.h5: cut short; prepare it anew")


def interrupt(cfg: DictConfig) -> None:
    raise KeyboardInterrupt


def test_a_task_runs_on_a_checked_config_with_nothing_heavy_imported(shell: Shell, tmp_path: Path) -> None:
    done = shell("seed=3", "hydra.run.dir=out")
    assert done.status == 0, done.err
    assert done.out.splitlines() == ["ran with ['seed=3']", "loaded []"]
    assert (tmp_path / "out").is_dir()


def test_a_mistyped_override_ends_with_one_line_and_status_2_and_leaves_no_folder(shell: Shell, tmp_path: Path) -> None:
    done = shell("encodr=resnet8")
    assert done.status == 2
    assert done.err == "app.py: encodr=resnet8: there is no encodr; did you mean encoder?\n"
    assert done.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


def test_a_mistake_that_the_task_finds_ends_with_its_message_and_status_2(inside: Shell) -> None:
    assert inside("store=a.h5", task=fail) == Ending(2, "", "app.py: tiles.h5: cut short; prepare it anew\n")


def test_hydra_full_error_shows_the_traceback_of_a_mistake_too(inside: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = inside("store=a.h5", task=fail)
    assert done.status == 2
    assert "Traceback" in done.err


def test_any_other_exception_keeps_its_traceback_and_ends_with_status_1(shell: Shell) -> None:
    done = shell(ENDING="bug")
    assert done.status == 1
    assert 'raise RuntimeError("an index is off by one")' in done.err
    assert done.err.count("Traceback") == 1
    assert "hydra/" not in done.err


def test_an_interruption_ends_with_one_line_and_status_130(inside: Shell) -> None:
    assert inside("store=a.h5", task=interrupt) == Ending(130, "", "app.py: interrupted\n")


def test_what_a_component_says_of_its_own_arguments_is_a_mistake_with_its_key(inside: Shell) -> None:
    def build(cfg: DictConfig) -> None:
        instantiate({"encoder": {"_target_": "tiles_ecg.encoder.resnet.ResNet1d", **arguments}})

    arguments = {"n_leads": 1, "widths": [4, 4], "strides": [1], "kernel_size": 3, "embedding_dim": 8}
    done = inside("store=a.h5", task=build)
    assert done.status == 2
    assert done.err.startswith("app.py: encoder: 2 widths but 1 strides")


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("augmentation.amplitude.Scaling", {"factor": [2.0, 0.5], "p": 1.0}, "lowest value above its highest"),
        (
            "augmentation.recorded_noise.RecordedNoise",
            {"root": "nowhere", "records": ["bw"], "snr_db": [0.0, 1.0], "sample_rate": 100.0, "p": 1.0},
            "root = nowhere is no folder",
        ),
    ],
)
def test_what_a_component_finds_by_functions_of_ours_is_a_mistake_too(
    inside: Shell, target: str, arguments: dict[str, Any], message: str
) -> None:
    def build(cfg: DictConfig) -> None:
        instantiate({"step": {"_target_": f"tiles_ecg.{target}", **arguments}})

    done = inside("store=a.h5", task=build)
    assert done.status == 2
    assert done.err.startswith("app.py: step: ")
    assert message in done.err
    assert "Traceback" not in done.err


def test_an_error_from_deeper_within_a_component_keeps_its_traceback(inside: Shell) -> None:
    def build(cfg: DictConfig) -> None:
        instantiate({"_target_": "builtins.int", "_args_": ["x"]})

    with pytest.raises(InstantiationException):
        inside("store=a.h5", task=build)


def test_a_sweep_goes_on_after_a_mistake_of_one_job_and_ends_with_status_2(inside: Shell) -> None:
    seen = []

    def task(cfg: DictConfig) -> None:
        seen.append((cfg.n_jobs, console.overrides()))
        fail(cfg)

    done = inside("-m", "n_jobs=1,2", "store=a.h5", "hydra.sweep.dir=out", task=task)
    assert done.status == 2
    assert seen == [(1, ["n_jobs=1", "store=a.h5"]), (2, ["n_jobs=2", "store=a.h5"])]
    assert "job n_jobs=2: failed: Broken: tiles.h5: cut short; prepare it anew" in done.err
    assert "Traceback" not in done.err


def test_a_sweep_with_another_failure_ends_with_status_1(inside: Shell) -> None:
    def task(cfg: DictConfig) -> None:
        raise Broken("a mistake") if cfg.n_jobs == 1 else RuntimeError("a bug")

    done = inside("-m", "n_jobs=1,2", "store=a.h5", "hydra.sweep.dir=out", task=task)
    assert done.status == 1


def test_a_sweep_with_a_wrong_job_does_not_start(inside: Shell) -> None:
    done = inside("n_jobs=1,0", "store=a.h5", "-m")
    assert done.status == 2
    assert done.out == ""
    assert "n_jobs = 0: out of range; choose a whole number > 0 or null [job n_jobs=0]" in done.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a=1", "-m", "b=2"], "b=2: a flag stands between the overrides; put flags first: app.py -m a=1 b=2"),
        (["--trainer.max_steps=4"], "--trainer.max_steps=4: overrides have no dashes; write trainer.max_steps=4"),
        (["--mutlirun"], "--mutlirun: no such flag; did you mean --multirun?"),
        (["-m", "--cfg", "job"], "--multirun --cfg: these exclude each other; give one of them"),
        (["--resolve"], "--resolve: goes with --cfg only; write --cfg job --resolve"),
    ],
)
def test_misplaced_flags_are_explained(inside: Shell, argv: list[str], message: str) -> None:
    assert inside(*argv) == Ending(2, "", f"app.py: {message}\n")


def test_resume_true_hands_the_folder_of_the_earlier_run_to_hydra(inside: Shell, tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "a" / "b"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/last.ckpt"):
        (run / name).touch()
    (run / "command.json").write_text('["seed=3"]')
    seen = []
    done = inside(
        "seed=3", "resume=true", name="train", task=lambda cfg: seen.append((cfg.run_dir, console.overrides()))
    )
    assert (done.status, done.err) == (0, "resume: going on in outputs/a/b\n")
    assert seen == [(str(run), ["seed=3"])]


def test_the_config_can_be_shown_even_where_values_are_missing(inside: Shell) -> None:
    done = inside("--cfg", "job", "preparation.window_s=10")
    assert done.status == 0
    assert "window_s: 10" in done.out
    assert "store: ???" in done.out


def test_completion_answers(inside: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "tiles-train encoder=resnet1")
    monkeypatch.setenv("COMP_POINT", "27")
    assert inside("-sc", "query=bash", name="train").out.split() == ["encoder=resnet10", "encoder=resnet18"]


@pytest.mark.parametrize("name", ["train", "prepare"])
def test_the_help_page_fits_a_terminal_and_names_existing_keys_with_their_defaults(inside: Shell, name: str) -> None:
    lines = inside("--help", name=name).out.splitlines()
    assert lines[0].startswith(f"tiles-{name}: ")
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        cfg = OmegaConf.to_container(compose(name))
    start, end = (next(i for i, line in enumerate(lines) if line.startswith(word)) for word in ("Keys used", "Results"))
    named = [re.split(r"\s{2,}", line.strip()) for line in lines[start + 1 : end] if line.strip()]
    defaults = {words[0]: words[1] for words in named if len(words) == 3}
    assert len(defaults) >= 10
    for key, default in defaults.items():
        value: Any = cfg
        for part in key.split("."):
            value = value[part]
        assert value == default or value == yaml.safe_load(default), key


def test_the_installed_command_shows_its_help() -> None:
    command = Path(sys.executable).with_name("tiles-train")
    if not command.exists():
        pytest.skip("tiles-train is not installed beside this Python")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Common commands" in done.stdout
