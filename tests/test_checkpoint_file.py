"""Files of checkpoints: whole at every moment, and no change in them goes unnoticed."""

import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from tiles_ecg import checkpoint_file
from tiles_ecg.checkpoint_file import (
    CheckpointError,
    DamagedCheckpointError,
    put_beside,
    put_in_place,
    read_checkpoint,
    remove_scratch,
    save_encoder,
    snapshot,
    write_scratch,
)


def state(step: int) -> dict[str, Any]:
    weights = OrderedDict({"encoder.weight": torch.full((3, 2), float(step)), "head": torch.arange(5.0)})
    about = {"prefix": "encoder.", "architecture": {"_target_": "x"}, "preprocessing": {"unit": "mV"}, "stores": ["a"]}
    return {"global_step": step, "state_dict": weights, "encoder": about, "loops": {"seen": [step, (1, "a", None)]}}


def saved(folder: Path, step: int, name: str = "last.ckpt") -> Path:
    write_scratch(state(step), folder / name)
    put_in_place(folder / name)
    return folder / name


def assert_same(found: Any, expected: Any) -> None:
    assert json.dumps(found, default=torch.Tensor.tolist) == json.dumps(expected, default=torch.Tensor.tolist)


def test_what_was_written_is_read_and_the_encoder_beside_it_is_of_the_same_state(tmp_path: Path) -> None:
    path = saved(tmp_path, 7)
    assert_same(read_checkpoint(path), state(7))
    assert torch.equal(load_file(tmp_path / "last.safetensors")["weight"], state(7)["state_dict"]["encoder.weight"])
    with safe_open(tmp_path / "last.safetensors", "pt") as file:
        about = file.metadata()
    assert {key: json.loads(about[key]) for key in ("step", "encoder", "stores", "preprocessing")} == {
        "step": 7, "encoder": {"_target_": "x"}, "stores": ["a"], "preprocessing": {"unit": "mV"},
    }  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == ["last.ckpt", "last.safetensors"]


def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path, 7)
    whole, draw, noticed = path.read_bytes(), np.random.default_rng(0), 0
    for position in draw.choice(len(whole), 300, replace=False).tolist():
        content = bytearray(whole)
        content[position] ^= int(draw.integers(1, 256))
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except DamagedCheckpointError:
            noticed += 1
        else:
            assert_same(found, state(7))
    assert noticed > 100


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.95, 0.999])
def test_a_truncated_checkpoint_is_noticed(tmp_path: Path, keep: float) -> None:
    path = saved(tmp_path, 7)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DamagedCheckpointError, match=r"last\.ckpt: damaged \("):
        read_checkpoint(path)


@pytest.mark.parametrize("start", [0.0, 0.3, 0.9])
def test_zeros_where_a_power_cut_left_them_are_noticed(tmp_path: Path, start: float) -> None:
    path = saved(tmp_path, 7)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: int(start * size)].ljust(size, b"\0"))
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_what_is_no_checkpoint_or_cannot_be_opened_is_told(tmp_path: Path) -> None:
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(DamagedCheckpointError, match="global_step"):
        read_checkpoint(tmp_path / "other.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps({"global_step": 1}))
    with pytest.raises(DamagedCheckpointError, match="not a zip file"):
        read_checkpoint(tmp_path / "pickle.ckpt")
    for wrong in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be opened") as error:
            read_checkpoint(wrong)
        assert type(error.value) is CheckpointError  # it is not damaged


def test_the_former_last_is_kept_as_the_previous_and_no_other(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        saved(tmp_path, step)
    for step in (1, 2):
        saved(tmp_path, step, "best.ckpt")
    steps = {path.name: read_checkpoint(path)["global_step"] for path in tmp_path.glob("*.ckpt")}
    assert steps == {"last.ckpt": 3, "previous.ckpt": 2, "best.ckpt": 2}


@pytest.mark.parametrize("has_links", [True, False])
def test_wherever_it_is_killed_a_whole_last_checkpoint_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    saved(tmp_path, 1)
    calls, at = 0, -1

    def counted(whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return whole(*given)

        return call

    def no_links(*_: Any) -> None:
        raise OSError("not supported")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    for module, name in ((os, "replace"), (os, "link"), (checkpoint_file, "_sync"), (torch, "save")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    for step in range(2, 20):
        before = read_checkpoint(tmp_path / "last.ckpt")["global_step"]
        calls, at = 0, step
        try:
            saved(tmp_path, step)
        except KeyboardInterrupt:
            assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == before
            continue
        break
    assert step > 6
    at = -1
    for last in (50, 51):  # whatever the kills left behind is in nobody's way
        saved(tmp_path, last)
    steps = {path.name: read_checkpoint(path)["global_step"] for path in tmp_path.glob("*.ckpt")}
    assert steps == {"last.ckpt": 51, "previous.ckpt": 50}


def test_a_file_put_beside_itself_stays(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    for _ in range(2):
        put_beside(first, second)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert second.read_text() == "x"


def test_scratch_files_are_removed(tmp_path: Path) -> None:
    write_scratch(state(1), tmp_path / "last.ckpt")
    assert sorted(os.listdir(tmp_path)) == ["last.ckpt.tmp", "last.safetensors.tmp"]
    remove_scratch(tmp_path / "last.ckpt")
    assert os.listdir(tmp_path) == []


def test_a_snapshot_does_not_change_with_the_state(tmp_path: Path) -> None:
    network = nn.BatchNorm1d(2)
    live = {"state_dict": network.state_dict(), "list": [1, {"a": torch.ones(2)}], "pair": (torch.zeros(1), "b")}
    copied = snapshot(live)
    with torch.no_grad():
        network.weight.add_(1)
    live["list"][1]["a"].add_(1)
    live["list"].append(2)
    assert torch.equal(copied["state_dict"]["weight"], torch.ones(2))
    assert_same(copied["list"], [1, {"a": torch.ones(2)}])
    assert copied["pair"] == (torch.zeros(1), "b")
    assert copied["state_dict"]._metadata == network.state_dict()._metadata  # type: ignore[attr-defined]


def test_an_encoder_file_is_whole_or_absent_and_as_readable_as_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_encoder(tmp_path / "a.safetensors", nn.Linear(2, 2), {"step": 1})
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "ordinary"]
    before = (tmp_path / "a.safetensors").read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        save_encoder(tmp_path / "a.safetensors", nn.Linear(2, 2), {"step": 2})
    assert (tmp_path / "a.safetensors").read_bytes() == before
