"""Model card: its header is YAML that the hub takes, and its text says what the encoder's file says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tiles_ecg.encoder.encoder_file import EncoderFile, read_encoder_file
from tiles_ecg.model_card import model_card

Write = Callable[..., Path]


@pytest.fixture
def about(write_encoder: Write) -> EncoderFile:
    return replace(read_encoder_file(write_encoder())[0], name="small", licence="MIT", store_paths=("data/night.h5",))


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("Our own: ask", {"license": "other", "license_name": "our-own-ask"}),
        ("", {"license": "unknown"}),
    ],
)
def test_the_header_is_what_the_hub_reads(about: EncoderFile, licence: str, expected: dict[str, str]) -> None:
    card = model_card(replace(about, licence=licence, name='a "b": c\n'), 16)
    header = yaml.safe_load(card.split("---\n")[1])
    assert {key: header[key] for key in header if key.startswith("license")} == expected
    assert header["library_name"] == "tiles_ecg"
    assert "ecg" in header["tags"]


@pytest.mark.parametrize(
    "said",
    [
        "# small",
        "windows of one lead in, embeddings of 16 numbers out",
        "embedding = encoder(signal, sample_rate)",
        "| sample rate | 100 Hz |",
        "| band | 0.5 to 40 Hz, zero-phase |",
        "| windows | 15 s unless you ask for others |",
        "over the standard deviation, of all windows of the subject |",
        "7 steps.",
        "Stores of tiles-prepare: night.",
        "Digests of the training data: `0123`.",
        "No report of this encoder was at hand",
        "**Not a medical device**",
        "## Licence\n\nMIT.",
    ],
)
def test_it_says_what_is_known(about: EncoderFile, said: str) -> None:
    assert said in model_card(about, 16)


def test_what_is_not_known_is_said_to_be(about: EncoderFile) -> None:
    foreign = replace(
        about, preprocessing={"sample_rate": 100.0, "n_leads": 1}, stores=(), source="a drawer", licence=""
    )
    card = model_card(foreign, 16)
    assert card.count("not known |") == 4
    assert "The training data are not known by digest." in card
    assert "The weights come from a drawer." in card
    assert "Not stated: ask those who made the weights" in card


def test_labels_and_protocol_are_said(about: EncoderFile) -> None:
    card = model_card(replace(about, labelled=("0123",), protocol="ab12", sources=frozenset(["5a", "6b"])), 16)
    assert "Fingerprints of 2 files that these were made from" in card
    assert "`0123` (with its labels)" in card
    assert "It learned from labels too." in card
    assert "protocol `ab12`" in card
