"""Model folders: complete or absent, read back as written, and each thing that is wrong with one is told."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tiles_ecg.encoder.encoder_file import EncoderFile, EncoderFileError, read_encoder_file
from tiles_ecg.model_folder import CARD, CONFIG, WEIGHTS, write_model

Write = Callable[..., Path]
Change = Callable[[dict], object]


@pytest.fixture
def about(write_encoder: Write) -> EncoderFile:
    seen = {"labelled": ["0123"], "sources": "5a 6b", "labelled_sources": "6b"}
    return replace(read_encoder_file(write_encoder(**seen, protocol="ab12"))[0], name="small", licence="MIT")


@pytest.fixture
def model(write_encoder: Write, about: EncoderFile, tmp_path: Path) -> Path:
    return write_model(tmp_path / "models" / "small", about, read_encoder_file(about.path)[1], "# A card\n")


def test_it_reads_back_what_was_written(model: Path, about: EncoderFile) -> None:
    found, weights = read_encoder_file(model)
    assert replace(found, path=about.path) == about
    assert found.path == model / WEIGHTS
    assert (model / CARD).read_text() == "# A card\n"
    for name, value in read_encoder_file(about.path)[1].items():
        assert torch.equal(weights[name], value)


def test_it_holds_three_files_and_the_tensors_of_the_network_alone(model: Path, about: EncoderFile) -> None:
    assert sorted(path.name for path in model.iterdir()) == sorted([CARD, CONFIG, WEIGHTS])
    assert os.listdir(model.parent) == ["small"]
    plain = safetensors.torch.load_file(model / WEIGHTS)
    assert set(plain) == set(read_encoder_file(about.path)[1])
    config = json.loads((model / CONFIG).read_text())
    assert config["architecture"] == about.architecture
    stores = {"stores": ["0123"], "labelled": ["0123"], "sources": "5a 6b", "labelled_sources": "6b"}
    assert config["training"] == {**stores, "protocol": "ab12", "step": 7}
    assert config["weights_digest"] == about.digest


def test_its_weights_alone_say_what_they_are(model: Path, about: EncoderFile, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((model / WEIGHTS).read_bytes())
    assert replace(read_encoder_file(alone)[0], path=about.path) == about


def test_one_that_is_there_is_replaced_only_if_asked(model: Path, about: EncoderFile) -> None:
    weights = read_encoder_file(about.path)[1]
    with pytest.raises(EncoderFileError, match=r"small: is there; choose another folder, or replace it by --overwrite"):
        write_model(model, about, weights, "other")
    write_model(model, about, weights, "other", overwrite=True)
    assert (model / CARD).read_text() == "other"
    assert os.listdir(model.parent) == ["small"]


def test_a_folder_with_other_things_in_it_is_never_replaced(model: Path, about: EncoderFile) -> None:
    (model / "thesis.tex").write_text("years of work")
    with pytest.raises(EncoderFileError, match=r"holds what is no part of a model \(thesis.tex\)"):
        write_model(model, about, {}, "", overwrite=True)
    assert (model / "thesis.tex").exists()


def test_a_failure_while_writing_leaves_what_was_there(
    model: Path, about: EncoderFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (model / WEIGHTS).read_bytes()
    rename = os.rename

    def fails_for_the_new(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails_for_the_new)
    with pytest.raises(EncoderFileError, match=r"small: cannot be written.*No space left"):
        write_model(model, about, {"x": torch.zeros(1)}, "", overwrite=True)
    assert (model / WEIGHTS).read_bytes() == before
    assert os.listdir(model.parent) == ["small"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.update(format="bert"), "config.json: describes a model of another program"),
        (lambda config: config.update(format_version="9"), "model format version 9, this package reads version 1"),
        (lambda config: config.update(weights_digest="00"), "not the weights that config.json describes"),
        (lambda config: config.update(training=None), "training = None; it must say stores"),
        (lambda config: config.update(licence=3), "licence = 3 in its description; it must be a text"),
        (lambda config: config.pop("architecture"), "does not say what network"),
        (lambda config: config["preprocessing"].update(sample_rate=-1), "sample_rate = -1"),
    ],
)
def test_a_changed_description_is_told(model: Path, change: Change, message: str) -> None:
    config = json.loads((model / CONFIG).read_text())
    change(config)
    (model / CONFIG).write_text(json.dumps(config))
    with pytest.raises(EncoderFileError, match=message):
        read_encoder_file(model)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\x00"])
def test_a_config_that_is_no_description_is_told(model: Path, text: str) -> None:
    (model / CONFIG).write_text(text)
    with pytest.raises(EncoderFileError, match=r"config.json: (damaged, no JSON|describes a model of another program)"):
        read_encoder_file(model)


@pytest.mark.parametrize(("part", "other"), [(CONFIG, WEIGHTS), (WEIGHTS, CONFIG)])
def test_a_missing_part_is_told(model: Path, part: str, other: str) -> None:
    (model / part).unlink()
    with pytest.raises(EncoderFileError, match=f"small: no {part} beside {other}; copy or download the whole folder"):
        read_encoder_file(model)


@pytest.mark.parametrize("n_bytes", [0, 5, 100, 3000])
def test_cut_weights_are_told(model: Path, n_bytes: int) -> None:
    whole = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(whole[:n_bytes])
    with pytest.raises(EncoderFileError, match=r"model.safetensors: damaged, or no safetensors file"):
        read_encoder_file(model)


def test_a_changed_weight_is_told(model: Path) -> None:
    whole = bytearray((model / WEIGHTS).read_bytes())
    whole[-1] ^= 1
    (model / WEIGHTS).write_bytes(bytes(whole))
    with pytest.raises(EncoderFileError, match=r"model.safetensors: not the weights that config.json describes"):
        read_encoder_file(model)


def test_the_hub_s_own_tools_take_the_card(model: Path, about: EncoderFile) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    from tiles_ecg.model_card import model_card

    (model / CARD).write_text(model_card(replace(about, name='odd: "name"'), 16))
    data = hub.ModelCard.load(model / CARD).data
    assert (data.license, data.library_name, data.model_name) == ("mit", "tiles_ecg", "odd: name")
    assert "ecg" in data.tags
