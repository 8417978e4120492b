"""Models of the package: found by name from anywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tiles_ecg.encoder import shipped
from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.model_folder import write_model

Write = Callable[..., Path]


@pytest.fixture
def ships(write_encoder: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A digest: that of the one model, `tiles-ecg/tiny`."""
    about, weights = read_encoder_file(write_encoder())
    write_model(tmp_path / "model" / "tiny", about, weights, "")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return about.digest


def test_a_name_is_enough_wherever_one_works(ships: str) -> None:
    assert read_encoder_file("tiles-ecg/tiny")[0].digest == ships
    assert PretrainedEncoder("tiles-ecg/tiny", 1, 250.0).about.digest == ships


def test_an_unknown_name_lists_those_there_are(ships: str) -> None:
    with pytest.raises(EncoderFileError, match=r"tiles-ecg/large: no model of that name .*; there are tiles-ecg/tiny"):
        read_encoder_file("tiles-ecg/large")


@pytest.mark.parametrize(
    "name", ["tiles-ecg/", "tiles-ecg/..", "tiles-ecg/../model/tiny", "tiles-ecg/tiny/config.json"]
)
def test_a_name_does_not_lead_elsewhere(ships: str, name: str) -> None:
    with pytest.raises(EncoderFileError, match="no model of that name"):
        shipped.shipped_folder(name)


def test_a_file_of_that_name_comes_first(ships: str, write_encoder: Write) -> None:
    file = write_encoder("tiles-ecg/tiny", step=99)
    assert file.is_file()
    assert read_encoder_file("tiles-ecg/tiny")[0].step == 99


def test_every_model_of_the_package_loads() -> None:
    for name in shipped.shipped_names():
        assert read_encoder_file(name)[0].licence, f"{name} has no licence"
