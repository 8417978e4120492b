"""W&B runs: their mode, their id, and what an offline run really holds."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.config import ConfigError
from tiles_ecg.logger.wandb_folder import run_id
from tiles_ecg.logger.wandb_mode import Mode, resolve_mode
from tiles_ecg.logger.wandb_run import STEP, WandbRun
from tiles_ecg.objective.simclr import SimCLR

Run = Callable[..., Path]


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def inspected(folder: Path) -> list[dict[str, Any]]:
    """What `wandb leet inspect` reads from each run file of a folder, the earliest first."""
    wandb = str(Path(sys.executable).with_name("wandb"))
    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        ended = subprocess.run(
            [wandb, "leet", "inspect", "--summary", "--json", str(file)], capture_output=True, text=True, check=True
        )
        found.append(json.loads(ended.stdout))
    return found


def test_auto_is_offline_without_a_key() -> None:
    assert resolve_mode("auto") == "offline"


def test_auto_is_online_with_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert resolve_mode("auto") == "online"


def test_auto_is_online_with_a_key_in_the_netrc_file(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
    assert resolve_mode("auto") == "online"


def test_a_key_of_another_host_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine example.org login user password secret")
    assert resolve_mode("auto") == "offline"


@pytest.mark.parametrize("asked", ["online", "offline", "disabled"])
def test_auto_is_what_wandb_mode_says(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("WANDB_MODE", asked)
    assert resolve_mode("auto") == asked


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_a_mode_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert resolve_mode(mode) == mode


def test_online_without_a_key_is_a_mistake_and_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.mode = online: there is no API key"):
        WandbRun(str(tmp_path), "test", mode="online")


def test_the_id_of_a_folder_is_made_once_and_anew_only_for_a_run_that_begins_anew(tmp_path: Path) -> None:
    first = run_id(tmp_path / "a")
    assert run_id(tmp_path / "a") == run_id(tmp_path / "a", is_anew=True) == first
    assert run_id(tmp_path / "b") != first
    (tmp_path / "a" / "wandb" / f"offline-run-20260101_000000-{first}").mkdir(parents=True)
    assert run_id(tmp_path / "a") == first
    assert run_id(tmp_path / "a", is_anew=True) != first


class FakeRun:
    """A W&B run that keeps what it is told."""

    offline = False
    url = "https://wandb.example/run"

    def __init__(self, step: int = 0, **given: Any) -> None:
        self.given = given
        self.id = given["id"]
        self.dir = given["dir"]
        self.tags = tuple(given["tags"])
        self.step = step
        self.resumed = step > 0
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **given: self.calls.append((name, *args, given))

    def named(self, name: str) -> list[Any]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[FakeRun]]:
    """Has `wandb.init` begin fake runs, of which the service knows so many steps; lists them."""
    import wandb

    begun: list[FakeRun] = []

    def fake(step: int = 0) -> list[FakeRun]:
        def init(**given: Any) -> FakeRun:
            begun.append(FakeRun(step, **given))
            return begun[-1]

        monkeypatch.setattr(wandb, "init", init)
        return begun

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    return fake


def test_nothing_begins_before_something_is_logged(tmp_path: Path, online: Any) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.end("failed", {})
    assert begun == []
    assert list(tmp_path.iterdir()) == []


def test_rows_carry_the_trainers_step_and_are_sent_when_it_is_over(tmp_path: Path, online: Any) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(0)
    logger.log_metrics({"train/loss": torch.tensor(0.5)}, 3)
    logger.log_metrics({"val/loss": 2.0}, 3)
    assert begun[0].named("log") == []
    logger.log_metrics({"train/loss": 0.25}, 4)
    logger.end("finished", {"best/val/loss": 2.0})
    rows = [({"train/loss": 0.5, "val/loss": 2.0, STEP: 3}, {"step": 3}), ({"train/loss": 0.25, STEP: 4}, {"step": 4})]
    assert begun[0].named("log") == rows
    assert begun[0].summary == {"best/val/loss": 2.0, "state": "finished"}
    assert begun[0].named("finish") == [({"exit_code": 0},)]


def test_a_resumed_online_run_goes_on_after_the_last_step_that_the_service_has(tmp_path: Path, online: Any) -> None:
    begun = online(6)
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(3)
    for step in range(3, 9):
        logger.log_metrics({"train/loss": float(step)}, step)
    logger.end("finished", {})
    assert [given["step"] for _, given in begun[0].named("log")] == [6, 7, 8]
    assert begun[0].given["resume"] == "allow"


def test_rows_of_before_the_checkpoint_that_were_never_sent_come_from_the_csv(tmp_path: Path, online: Any) -> None:
    begun = online(3)
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/loss\n2,2.0,\n3,3.0,0.3\n4,4.0,\n5,5.0,\n")
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(5)
    logger.log_metrics({"train/loss": 5.5}, 5)
    logger.end("finished", {})
    rows = [
        {"train/loss": 3.0, "val/loss": 0.3, STEP: 3},
        {"train/loss": 4.0, STEP: 4},
        {"train/loss": 5.5, STEP: 5},
    ]
    assert [row for row, _ in begun[0].named("log")] == rows


@pytest.mark.parametrize(
    ("state", "exit_code", "is_preempting"),
    [
        ("finished", 0, False),
        ("pruned", 0, False),
        ("failed", 1, False),
        ("interrupted", 255, False),
        ("preempted", 143, True),
    ],
)
def test_a_run_ends_as_it_ended(tmp_path: Path, online: Any, state: Any, exit_code: int, is_preempting: bool) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test", tags=["mine"])
    logger.log_metrics({"a": 1.0}, 0)
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logger.end(state, {"a": 1.0})
    run = begun[0]
    assert run.named("finish") == [({"exit_code": exit_code},)]
    assert bool(run.named("mark_preempting")) == is_preempting
    assert run.tags == (("mine", "pruned") if state == "pruned" else ("mine",))
    assert run.summary == {"a": 1.0, "state": state} | (
        {"error": "ZeroDivisionError: by nothing"} if state == "failed" else {}
    )
    is_cut = state in ("failed", "interrupted")  # perhaps in the middle of the step, which is then made again
    assert len(run.named("log")) == (0 if is_cut else 1)


def test_a_failure_of_wandb_hides_nothing_and_the_run_is_finished_all_the_same(
    tmp_path: Path, online: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.log_metrics({"a": 1.0}, 0)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no disk")

    begun[0].log = broken  # type: ignore[method-assign]
    logger.end("finished", {})
    assert "its summary is not complete (RuntimeError: no disk)" in caplog.text
    assert begun[0].named("finish") == [({"exit_code": 0},)]


def test_the_encoder_is_left_as_an_artifact_and_declared_as_input_by_the_next(
    tiles_train: Run, finetune: Run, online: Any, monkeypatch: pytest.MonkeyPatch, tone_store: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    begun = online()
    crop = ("augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "callback.online_probe=null")
    first = tiles_train(
        "first", f"dataset.store={tone_store}", "dataset.window_s=2.0", "trainer.max_steps=2", "logger=wandb", *crop
    )
    finetune("second", "encoder=pretrained", f"encoder.path={first}", "audit.accept=[pretraining]", "logger=wandb")
    one, other = begun
    left = {given["aliases"][0]: artifact for artifact, given in one.named("log_artifact") if artifact.type == "model"}
    ((used, _),) = other.named("use_artifact")
    assert left["last"].name == used.name == f"encoder-{one.id}"
    assert left["last"].digest == used.digest
    lineage = other.config["lineage"]["first"]
    assert (lineage["run_id"], lineage["artifact"], lineage["step"]) == (one.id, used.name, 2)
    assert "lineage" not in one.config
    assert (one.given["job_type"], other.given["job_type"]) == ("pretrain", "finetune")
    assert {"objective:finetune", "encoder:pretrained", "task:synthetic_stress"} < set(other.tags)
    assert [artifact.name for artifact, _ in other.named("log_artifact") if artifact.type == "checkpoint"] == [
        f"checkpoint-{other.id}"
    ]


def test_without_artifacts_none_are_left(tiles_train: Run, online: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    begun = online()
    tiles_train("run", "trainer.max_steps=2", "logger=wandb", "logger.artifacts=false")
    assert begun[0].named("log_artifact") == []


def test_a_service_that_does_not_answer_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    modes = []

    def init(**given: Any) -> FakeRun:
        modes.append(given["mode"])
        if given["mode"] == "online":
            raise wandb.errors.CommError("timed out")
        return FakeRun(**given)

    monkeypatch.setattr(wandb, "init", init)
    WandbRun(str(tmp_path), "test").log_hyperparams({"seed": 0})
    assert modes == ["online", "offline"]
    assert "W&B did not answer (timed out); logging offline" in caplog.text


def test_a_process_that_is_not_the_first_begins_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    WandbRun(str(tmp_path), "test", mode="offline")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_offline_run_holds_config_and_metrics_and_goes_on_under_its_id(tiles_train: Run) -> None:
    folder = tiles_train("run", "logger=default", "trainer.max_steps=4")
    tiles_train("run", "logger=default", "trainer.max_steps=6", "resume=true")
    first, second = inspected(folder)
    assert first["config"]["encoder"]["widths"] == [8, 16]
    assert first["exit_code"] == second["exit_code"] == 0
    assert first["run_id"] == second["run_id"] == run_id(folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert second["summary"]["trainer/global_step"] == saved["global_step"] - 1 == 5
    text = (folder / "metrics.csv").read_text().splitlines()
    row = dict(zip(text[0].split(","), text[-1].split(","), strict=True))
    for name in ("train/loss", "val/loss", "probe/heart_rate_r2"):
        assert second["summary"][name] == pytest.approx(float(row[name]))


def records(folder: Path) -> list[dict[str, Any]]:
    """All records of the run files of a folder, attempt after attempt."""
    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        found += [json.loads(line) for line in ended.stdout.splitlines()]
    return found


@pytest.mark.slow
def test_over_the_attempts_of_an_offline_run_steps_only_go_up(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 8:
            raise ZeroDivisionError
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(ZeroDivisionError):
        tiles_train("run", "logger=default")
    monkeypatch.setattr(SimCLR, "training_step", whole)
    folder = tiles_train("run", "logger=default", "resume=true")
    rows = [record["history"] for record in records(folder) if record["type"] == "history"]
    assert [row["step"]["num"] for row in rows] == list(range(10))
    kept = (folder / "metrics.csv").read_text().splitlines()
    losses = [float(line.split(",")[kept[0].split(",").index("train/loss")]) for line in kept[1:]]
    assert [row["item"]["train/loss"] for row in rows] == pytest.approx(losses)
    assert len({record["run"]["run_id"] for record in records(folder) if record["type"] == "run"}) == 1


@pytest.mark.slow
def test_an_offline_run_declares_the_artifact_that_it_goes_on_from(
    tiles_train: Run, finetune: Run, tone_store: Path
) -> None:
    crop = ("augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "callback.online_probe=null")
    short = ("trainer.max_steps=2", "logger=wandb")
    first = tiles_train("first", f"dataset.store={tone_store}", "dataset.window_s=2.0", *short, *crop)
    second = finetune("second", "encoder=pretrained", f"encoder.path={first}", "audit.accept=[pretraining]", *short)
    left = [record["artifact"] for record in records(first) if record["type"] == "artifact"]
    declared = [record["artifact"] for record in records(second) if record["type"] == "artifact"]
    (used,) = (one for one in declared if one.get("use_after_commit"))
    (last,) = (one for one in left if "last" in one["aliases"])
    assert (used["name"], used["digest"]) == (last["name"], last["digest"])
    assert used["name"] == f"encoder-{run_id(first)}"
    assert {one["name"] for one in declared if not one.get("use_after_commit") and one["type"] == "model"} == {
        f"encoder-{run_id(second)}"
    }
    for one in (*left, *declared):
        for entry in one["manifest"]["contents"]:
            assert (first if one in left else second) in Path(entry["local_path"]).parents
    tables = [file.name for file in second.glob("wandb/*/files/media/table/tables/*.json")]
    assert {name.startswith("test_classes") for name in tables} == {True, False}


@pytest.mark.slow
def test_a_run_that_raises_is_finished_as_failed_and_the_next_is_its_own(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import wandb

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    whole = SimCLR.training_step
    monkeypatch.setattr(SimCLR, "training_step", broken)
    with pytest.raises(ZeroDivisionError):
        tiles_train("failed", "logger=default")
    assert wandb.run is None
    monkeypatch.setattr(SimCLR, "training_step", whole)
    tiles_train("fine", "logger=default", "trainer.max_steps=2")
    (failed,), (fine,) = inspected(tmp_path / "failed"), inspected(tmp_path / "fine")
    assert (failed["exit_code"], fine["exit_code"]) == (1, 0)
    assert (failed["summary"]["state"], fine["summary"]["state"]) == ("failed", "finished")
    assert failed["summary"]["error"].startswith("ZeroDivisionError")
    assert failed["run_id"] != fine["run_id"]


@pytest.mark.slow
def test_the_command_leaves_no_process_behind_and_nothing_in_the_home_folder(
    small_store: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    proc = Path("/proc")
    if not proc.is_dir():
        pytest.skip("this system has no /proc to look for processes in")
    home = tmp_path_factory.mktemp("home")
    tiny = ("dataset.batch_size=16", "dataset.val_share=0.34", "encoder.widths=[8,16]", "encoder.strides=[2,4]")
    command = [str(Path(sys.executable).with_name("tiles-train")), *tiny, "logger=wandb", "trainer.max_steps=2"]
    command += [f"dataset.store={small_store}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.accelerator=cpu"]
    unset = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    with subprocess.Popen(
        command, env=environment | {"HOME": str(home), "WANDB_MODE": "offline"}, stderr=subprocess.PIPE, text=True
    ) as run:
        told = run.communicate()[1]
    assert run.returncode == 0, told
    assert list(home.rglob("*wandb*")) == []
    lines = [file.read_bytes().split(b"\0") for file in proc.glob("[0-9]*/cmdline") if file.parent.exists()]
    assert [line for line in lines if b"wandb-core" in line[0] and str(run.pid).encode() in line] == []
