"""Candidates: how encoders are named and opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tiles_ecg.config import ConfigError
from tiles_ecg.encoder.encoder_file import EncoderFileError
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.evaluation.candidate import Candidate, Opener, all_named, candidate_of, untrained_twins

TINY = {"_target_": "tiles_ecg.encoder.resnet.ResNet1d", "n_leads": 1, "widths": [4], "strides": [2]} | {
    "kernel_size": 3,
    "embedding_dim": 8,
}
NEEDS = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 15.0, "n_leads": 1, "normalise": "window"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes an encoder file; overrides replace what it says of its input."""

    def write_file(network: dict[str, Any] = TINY, **needs: Any) -> str:
        torch.manual_seed(0)
        weights = ResNet1d(1, [4], [2], 3, 8).state_dict()
        kept = {key: value for key, value in {**NEEDS, **needs}.items() if value is not None}
        about = {"encoder": network, "preprocessing": kept, "stores": ["0"], "step": 3}
        metadata = {key: json.dumps(value) for key, value in about.items()}
        save_file(
            weights, tmp_path / "a.safetensors", metadata | {"format": "tiles_ecg encoder", "format_version": "1"}
        )
        return str(tmp_path / "a.safetensors")

    return write_file


@pytest.fixture
def opened(small_store: Path) -> Callable[[Any], Candidate]:
    """The candidate `mine` of a path or node."""
    open_windows = Opener(str(small_store), sample_rate=100.0, window_s=15.0, n_leads=1)
    return lambda what: candidate_of("mine", what, open_windows, open_windows("subject"))


def test_names_that_would_share_a_file_or_a_row_with_another_are_refused() -> None:
    for names in ({"a b": "x", "a/b": "y"}, {"untrained": "x"}, {"From scratch": "x"}, {"heart rate and HRV": "x"}):
        with pytest.raises(ConfigError, match="too like the name of another encoder or control"):
            all_named(names, {})
    with pytest.raises(ConfigError, match="too like"):
        all_named({"run": "other"}, {"path": "outputs/run"})
    assert list(all_named(["b", "c/d"], {"path": "a/run"})) == ["run", "b", "d"]
    assert all_named(None, {"_target_": "x"}) == {}


def test_a_node_with_a_path_is_opened_and_known_like_the_path_itself(
    opened: Callable[[Any], Candidate], write: Callable[..., str]
) -> None:
    path = write()
    node = {"_target_": "tiles_ecg.encoder.pretrained.PretrainedEncoder", "path": path, "n_leads": 1}
    for what in (path, {"path": path}, node):
        candidate = opened(what)
        assert candidate.about is not None  # what the leak audit asks
        assert candidate.about.stores == ("0",)
        assert candidate.windows.normalise == "window"


def test_a_model_folder_is_judged_like_the_file_it_was_made_of(
    opened: Callable[[Any], Candidate], write: Callable[..., str], tmp_path: Path
) -> None:
    from tiles_ecg.import_model import import_model

    path = write()
    first, second = opened(path), opened(str(import_model(path, tmp_path / "model")))
    assert second.about is not None
    assert first.about is not None
    assert second.about.digest == first.about.digest
    assert second.architecture == first.architecture
    assert second.about.stores == ("0",)


def test_strict_and_trusted_hold_for_the_encoder_and_for_its_untrained_twin(
    opened: Callable[[Any], Candidate], write: Callable[..., str]
) -> None:
    path = write(low_hz=5.0)
    with pytest.raises(ConfigError, match=r"band 0\.5 to 40 Hz.* encoder\.strict=false"):
        opened(path)
    assert "accepted, as encoder.strict=false" in opened({"path": path, "strict": False}).notes[0]
    foreign = write(network=TINY | {"_target_": "torch_encoders.Net"})
    with pytest.raises(EncoderFileError, match="torch_encoders"):
        opened(foreign)
    candidate = opened({"path": write(), "trusted": ["torch_encoders"]})
    assert candidate.trusted == ("torch_encoders",)
    (twin,) = untrained_twins([candidate], 1)
    assert twin.is_control


def test_an_encoder_that_does_not_say_how_its_input_was_normalised_takes_what_the_config_says(
    opened: Callable[[Any], Candidate], write: Callable[..., str]
) -> None:
    assert opened(write(normalise=None)).windows.normalise == "subject"
    with pytest.raises(EncoderFileError, match="normalise = loudly"):
        opened(write(normalise="loudly"))


@pytest.mark.parametrize("what", [3, None, {}, {"widths": [4]}])
def test_what_is_no_encoder_is_refused(opened: Callable[[Any], Candidate], what: Any) -> None:
    with pytest.raises(ConfigError, match=r"encoders\.mine = .*: give a run folder"):
        opened(what)


def test_fresh_is_refused_where_an_untrained_twin_is_judged_anyway(
    opened: Callable[[Any], Candidate], write: Callable[..., str]
) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.fresh = true"):
        opened({"path": write(), "fresh": True})
