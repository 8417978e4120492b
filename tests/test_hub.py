"""from_pretrained: local first, then the hub; never the network here."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.model_folder import write_model
from tiles_ecg.trained_encoder import TrainedEncoder, load_encoder

Write = Callable[..., Path]


@pytest.fixture
def folder(write_encoder: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    about, weights = read_encoder_file(write_encoder())
    monkeypatch.chdir(tmp_path)
    return write_model(tmp_path / "jane" / "small", about, weights, "# Jane's card\n")


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a stand-in of huggingface_hub was asked for; it has `ann/small`, which is Jane's."""
    asked: list[dict[str, Any]] = []
    module = ModuleType("huggingface_hub")

    def snapshot_download(repository: str, **options: Any) -> str:
        asked.append({"repository": repository, **options})
        if repository != "ann/small":
            raise RuntimeError("404 Client Error:\nRepository Not Found")
        return str(folder)

    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


def test_a_local_folder_loads_without_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # importing it fails
    for model in (folder, str(folder), "jane/small"):
        assert TrainedEncoder.from_pretrained(model).about.step == 7


@pytest.mark.parametrize("path", ["./gone", "../gone", "/gone/model", "a/b/c"])
def test_a_path_that_is_not_there_is_no_name_on_the_hub(hub: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(EncoderFileError, match="no such file or folder; give a run folder"):
        TrainedEncoder.from_pretrained(path)
    assert not hub


def test_what_is_not_here_is_downloaded(hub: list[dict[str, Any]]) -> None:
    encoder = TrainedEncoder.from_pretrained("ann/small", revision="v1", window_s=5.0)
    assert encoder.preparation.window_s == 5.0
    (asked,) = hub
    assert (asked["repository"], asked["revision"]) == ("ann/small", "v1")
    assert sorted(asked["allow_patterns"]) == ["README.md", "config.json", "model.safetensors"]


def test_a_failed_download_says_why(hub: list[dict[str, Any]]) -> None:
    with pytest.raises(EncoderFileError, match=r"ann/gone: no such file or folder here, .*404 .*Repository Not Found"):
        TrainedEncoder.from_pretrained("ann/gone")


def test_without_huggingface_hub_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EncoderFileError, match=r"ann/small: no such file or folder here; .*install huggingface_hub"):
        TrainedEncoder.from_pretrained("ann/small")


def test_a_path_that_cannot_be_a_name_of_the_hub_is_looked_for_here_only(hub: list[dict[str, Any]]) -> None:
    with pytest.raises(EncoderFileError, match="no such file or folder"):
        TrainedEncoder.from_pretrained("/no/such/model")
    assert hub == []


def test_what_is_saved_loads_as_it_was_with_its_card(folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(folder)
    saved = encoder.save_pretrained(tmp_path / "copy")
    assert (saved / "README.md").read_text() == "# Jane's card\n"
    signal = np.random.default_rng(0).normal(size=4000)
    assert np.array_equal(TrainedEncoder.from_pretrained(saved)(signal, 100), encoder(signal, 100))
    with pytest.raises(EncoderFileError, match="is there"):
        encoder.save_pretrained(saved)


def test_what_a_run_left_is_saved_with_a_new_card(write_encoder: Write, tmp_path: Path) -> None:
    saved = load_encoder(write_encoder()).save_pretrained(tmp_path / "saved")
    assert "from tiles_ecg.trained_encoder import load_encoder" in (saved / "README.md").read_text()
