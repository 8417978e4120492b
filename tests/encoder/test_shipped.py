"""Models of the package: found by name from anywhere."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.encoder import shipped
from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.model_folder import CARD, write_model
from tiles_ecg.trained_encoder import TrainedEncoder, load_encoder

Write = Callable[..., Path]
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "shipped-encoder" / "results.csv"


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


SHIPPED = ["tiles-ecg/resnet8", "tiles-ecg/resnet8_long"]
MOST_BYTES = 3_000_000  # of a folder: it is part of every installation


def test_these_models_come_with_the_package() -> None:
    assert shipped.shipped_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_of_the_package_says_what_it_is_and_how_good(name: str) -> None:
    folder = shipped.shipped_folder(name)
    about, _ = read_encoder_file(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    assert (about.name, about.licence, about.protocol) == (folder.name, "MIT", "")
    assert about.labelled == ()
    assert len(about.sources) > 3000  # the recordings that it saw, by which it is not judged on them unnoticed
    card = (folder / CARD).read_text()
    for said in (about.digest, f'load_encoder("{name}")', "## How good it is", "Not a medical device", "saw the rec"):
        assert said in card
    assert "does not say of which weights" not in card
    with EXPERIMENT.open(newline="") as file:
        judged = {row["weights"] for row in csv.DictReader(file) if row["encoder"] == folder.name}
    assert judged == {about.digest}


@pytest.mark.parametrize("name", SHIPPED)
def test_three_lines_embed_a_table_of_samples(name: str, tmp_path: Path) -> None:
    seconds = np.arange(0, 45, 1 / 250)
    phase = (seconds + 0.4) % 0.8 - 0.4  # 75 beats a minute
    beats = np.exp(-(phase**2) / 2 / 0.01**2) + 0.2 * np.exp(-((phase - 0.25) ** 2) / 2 / 0.05**2)
    beats += np.random.default_rng(0).normal(0, 0.01, len(seconds))
    np.savetxt(tmp_path / "night.csv", np.stack([seconds, beats], 1), delimiter=",", header="s,ecg", comments="")
    ecg = np.genfromtxt(tmp_path / "night.csv", delimiter=",", names=True)["ecg"]
    encoder = load_encoder(name, window_s=10)
    embedding = encoder(ecg, 250)
    assert embedding.shape == (4, 256)
    np.testing.assert_allclose(TrainedEncoder.from_pretrained(name, window_s=10)(ecg, 250), embedding)
    alike = np.corrcoef(embedding)
    faster = np.corrcoef(embedding[0], encoder(ecg[::2], 250)[0])[0, 1]  # the same at 150 a minute
    assert faster < 0.5 < 0.8 < alike.min()


@pytest.mark.parametrize("page", ["README.md", "docs/trained-encoders.md"])
def test_every_model_that_a_page_names_is_there(page: str) -> None:
    text = (Path(__file__).parents[2] / page).read_text()
    named = set(re.findall(r"tiles-ecg/[a-z0-9_]+", text))
    assert named
    assert named <= set(SHIPPED)
