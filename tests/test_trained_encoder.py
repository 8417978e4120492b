"""load_encoder(path)(signal, sample_rate): what a store and its windows would give, or what is wrong."""

import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.raw_signal import SignalError
from tiles_ecg.recording import Recording, Source
from tiles_ecg.trained_encoder import TrainedEncoder, load_encoder

Write = Callable[..., Path]
Signal = NDArray[np.float64]


def heart(n_s: float, sample_rate: float, seed: int = 0) -> Signal:
    """Spikes at 70 a minute on a drifting, noisy line; (T,) mV."""
    time_s = np.arange(round(n_s * sample_rate)) / sample_rate
    since_beat = (time_s * 70 / 60) % 1 * 60 / 70
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time_s))
    return 1.2 * np.exp(-(((since_beat - 0.3) / 0.02) ** 2)) + 0.1 * np.sin(time_s / 3) + noise


@pytest.fixture
def through_a_store(tmp_path: Path) -> Callable[..., NDArray[np.float32]]:
    """Embeddings by tiles-prepare, the windows of its store, and `encoder=pretrained`."""

    def run(file: Path, signal: Signal, sample_rate: float, normalise: Any, window_s: float) -> NDArray[np.float32]:
        class One:
            labels = ()

            def sources(self) -> list[Source]:
                return [Source("one")]

            def read(self, source: Source) -> Iterator[Recording]:
                stretch = np.atleast_2d(signal).astype(np.float32)[None]
                yield Recording("one", stretch, sample_rate, tuple("IVX"[: stretch.shape[1]]), "one", subject="one")

        preparation = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": window_s, "step_s": window_s}
        preparation |= {"max_flat": 0.5, "max_clipped": 0.5}
        config = {"reader": {}, "preparation": preparation}
        path = prepare(One(), Preparation(**preparation), tmp_path / "one.h5", config, n_jobs=1, show_progress=False)
        windows = Windows([path], normalise)
        encoder = PretrainedEncoder(str(file), windows.shape[0], 100.0).eval()
        encoder.check(windows)
        with torch.no_grad():
            return encoder(windows.gather(np.arange(len(windows))).signal).numpy()

    return run


@pytest.mark.parametrize(
    ("sample_rate", "normalise", "n_leads", "window_s"),
    [
        (250.0, "subject", 1, 15.0),
        (360.0, "subject_robust", 1, 10.0),
        (100.0, "window", 3, 15.0),
        (500, "none", 2, 7.5),
    ],
)
def test_it_gives_what_a_store_of_the_same_recording_gives(
    write_encoder: Write,
    through_a_store: Callable[..., NDArray[np.float32]],
    sample_rate: float,
    normalise: str,
    n_leads: int,
    window_s: float,
) -> None:
    file = write_encoder(n_leads=n_leads, preprocessing={"normalise": normalise, "max_flat": 0.5, "max_clipped": 0.5})
    signal = np.stack([heart(100, sample_rate, seed) * (1 + seed) for seed in range(n_leads)])
    signal = signal if n_leads > 1 else signal[0]
    found = load_encoder(file, window_s)(signal, sample_rate)
    expected = through_a_store(file, signal, sample_rate, normalise, window_s)
    assert found.dtype == np.float32
    assert found.shape == (int(100 // window_s), 16) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_windows_overlap_by_the_step_and_rows_are_times(write_encoder: Write) -> None:
    encoder = load_encoder(write_encoder(preprocessing={"normalise": "window"}), window_s=10, step_s=2.5)
    signal = heart(60, 250)
    windows = encoder.windows(signal, 250)
    np.testing.assert_allclose(windows.start_s, np.arange(0, 50.1, 2.5))
    apart = load_encoder(encoder.about.path, window_s=10)
    np.testing.assert_allclose(encoder(signal, 250)[::4], apart(signal, 250), rtol=1e-5, atol=1e-6)


def test_its_network_sees_the_windows_that_it_tells_of(write_encoder: Write) -> None:
    file = write_encoder()
    encoder = load_encoder(file)
    windows = encoder.windows(heart(100, 250), 250)
    plain = ResNet1d(1, [4, 8], [2, 2], 3, 16)
    plain.load_state_dict(load_file(file))
    with torch.no_grad():
        expected = plain.eval()(torch.from_numpy(windows.signal)).numpy()
    np.testing.assert_allclose(encoder(heart(100, 250), 250), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(windows.signal.mean(), 0, atol=1e-5)  # by subject: over all windows together
    np.testing.assert_allclose(windows.signal.std(), 1, atol=1e-4)
    assert windows.signal.std(axis=(1, 2)).std() > 1e-4


def test_many_windows_are_embedded_as_one_by_one(write_encoder: Write) -> None:
    encoder = load_encoder(write_encoder())
    windows = np.random.default_rng(0).normal(size=(150, 1, 300)).astype(np.float32)
    alone = np.concatenate([encoder.embed(window[None]) for window in windows])
    np.testing.assert_allclose(encoder.embed(windows), alone, rtol=1e-4, atol=1e-5)
    assert encoder.embed(windows[:0]).shape == (0, 16)


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 0.0, "clipped"])
def test_a_window_that_cannot_be_used_is_a_row_of_nan_and_moves_no_other(write_encoder: Write, spoil: Any) -> None:
    file = write_encoder(preprocessing={"normalise": "window", "max_flat": 0.5, "max_clipped": 0.5})
    signal = heart(60, 250)
    spoilt = signal.copy()
    there = slice(16 * 250, 29 * 250)  # of the second of four windows
    spoilt[there] = np.clip(1e3 * np.sin(np.arange(13 * 250) / 100), -1, 1) if spoil == "clipped" else spoil
    encoder = load_encoder(file)
    with pytest.warns(UserWarning, match=r"1 of 4 windows cannot be used \(1 (nonfinite|flat|clipped)\): NaN"):
        found = encoder(spoilt, 250)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2, 3]]).all()
    np.testing.assert_allclose(found[3], encoder(signal, 250)[3], rtol=1e-3, atol=1e-4)
    assert encoder.windows(spoilt, 250).is_usable.tolist() == [True, False, True, True]


def test_a_signal_without_a_usable_window_is_all_nan(write_encoder: Write) -> None:
    encoder = load_encoder(write_encoder())
    with pytest.warns(UserWarning, match="2 of 2 windows cannot be used"):
        assert np.isnan(encoder(np.full(3000, np.nan), 100)).all()


def test_counts_and_volts_give_the_same_where_the_training_normalised(write_encoder: Write) -> None:
    encoder = load_encoder(write_encoder())
    signal = heart(60, 250)
    expected = encoder(signal, 250)
    np.testing.assert_allclose(encoder(np.round(signal * 5000).astype(np.int32), 250, "a.u."), expected, atol=2e-3)
    np.testing.assert_allclose(encoder(signal / 1000, 250, "V"), expected, rtol=1e-4, atol=1e-5)


def test_without_normalisation_volts_are_converted_and_counts_refused(write_encoder: Write) -> None:
    encoder = load_encoder(write_encoder(preprocessing={"normalise": "none"}))
    signal = heart(60, 250)
    np.testing.assert_allclose(encoder(signal * 1000, 250, "uV"), encoder(signal, 250), rtol=1e-4, atol=1e-5)
    with pytest.raises(SignalError, match=r"unit = a.u.: this encoder was trained on mV, not normalised"):
        encoder(signal, 250, "a.u.")


@pytest.mark.parametrize(
    ("n_points", "sample_rate", "message"),
    [
        (6000, 60, "cannot hold the band up to 40 Hz that the encoder was trained on; give a signal of at least 80"),
        (1000, 250, "signal of 4 s is too short: a window has 15 s"),
        (10_000, 250.001, "cannot resample from 250.001 Hz to 100.0 Hz"),
        (0, 250, "it is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_embedded_is_refused(
    write_encoder: Write, n_points: int, sample_rate: float, message: str
) -> None:
    encoder = load_encoder(write_encoder())
    with pytest.raises(SignalError, match=re.escape(message)):
        encoder(np.random.default_rng(0).normal(size=n_points), sample_rate)


def test_what_a_file_does_not_say_is_taken_as_usual_with_a_note_each(write_encoder: Write) -> None:
    unknown = dict.fromkeys(("low_hz", "high_hz", "window_s", "normalise", "unit"))
    file = write_encoder(preprocessing=unknown)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = load_encoder(file)
    told = [str(warning.message).partition(" ")[2] for warning in caught]
    assert told == [
        "does not say its band: taken as 0.5 to 40 Hz",
        "does not say the length of its windows: taken as 15 s",
        "does not say how its input was normalised: taken as by subject",
    ]
    assert np.array_equal(
        encoder(heart(60, 250), 250), load_encoder(write_encoder("whole.safetensors"))(heart(60, 250), 250)
    )


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ({"high_hz": 60.0}, r"encoder.safetensors: band 0.5 to 60.0 Hz at 100.0 Hz: need"),
        ({"low_hz": "low"}, r"encoder.safetensors: low_hz = 'low' of its input; it must be a number"),
        ({"normalise": "magic"}, r"encoder.safetensors: normalise = magic of its input; it must be of subject"),
    ],
)
def test_a_description_that_makes_no_preparation_is_refused(
    write_encoder: Write, preprocessing: dict[str, Any], message: str
) -> None:
    with pytest.raises(EncoderFileError, match=message):
        load_encoder(write_encoder(preprocessing=preprocessing))


def test_it_says_what_it_is(write_encoder: Write) -> None:
    text = repr(load_encoder(write_encoder(), window_s=10))
    assert "1 lead -> 16, windows of 10 s every 10 s at 100 Hz, 0.5-40 Hz, normalise subject" in text


def test_its_network_does_not_learn_by_accident(write_encoder: Write) -> None:
    network = load_encoder(write_encoder()).network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_it_loads_and_embeds_without_anything_that_training_needs(write_encoder: Write) -> None:
    from tiles_ecg.model_folder import write_model

    about, weights = read_encoder_file(write_encoder())
    folder = write_model(about.path.with_name("model"), about, weights, "")
    program = f"""
        import sys
        import numpy as np
        from tiles_ecg.trained_encoder import load_encoder
        embedding = load_encoder({str(folder)!r})(np.random.default_rng(0).normal(size=4000), 250)
        assert embedding.shape == (1, 16)
        print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heavy = {"lightning", "hydra", "wandb", "matplotlib", "sklearn", "pandas", "torchmetrics", "tensorboard", "wfdb"}
    assert not heavy & set(done.stdout.split())


def test_a_class_that_is_given_parts_needs_no_file(write_encoder: Write) -> None:
    about, weights = read_encoder_file(write_encoder())
    network = ResNet1d(1, [4, 8], [2, 2], 3, 16)
    network.load_state_dict(weights)
    signal = heart(40, 250)
    assert np.array_equal(TrainedEncoder(about, network)(signal, 250), load_encoder(about.path)(signal, 250))
