from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from tiles_ecg.augmentation.recorded_noise import RecordedNoise, read_noise


def write(root: Path, name: str, rate: int, signal: np.ndarray) -> None:
    lead = [f"noise{k}" for k in range(signal.shape[1])]
    wfdb.wrsamp(name, rate, ["mV"] * len(lead), lead, signal, fmt=["16"] * len(lead), write_dir=str(root))


def test_a_five_hertz_wave_is_still_one_after_resampling(tmp_path: Path) -> None:
    time_s = np.arange(360 * 20) / 360
    write(tmp_path, "bw", 360, np.stack([np.sin(2 * np.pi * 5 * time_s), np.cos(2 * np.pi * 5 * time_s)], axis=1))
    noise = read_noise(tmp_path, ["bw"], 100.0)
    assert noise.shape == (2, 2000)
    assert noise.dtype == np.float32
    expected = np.sin(2 * np.pi * 5 * np.arange(2000) / 100)
    np.testing.assert_allclose(noise[0, 50:-50], expected[50:-50], atol=0.01)


def test_added_noise_is_a_stretch_of_a_record_at_the_drawn_ratio(tmp_path: Path) -> None:
    write(tmp_path, "bw", 100, np.random.default_rng(0).standard_normal((3000, 2)))
    torch.manual_seed(0)
    signal = torch.randn(20, 3, 1000)
    step = RecordedNoise(str(tmp_path), ["bw"], (0.0, 24.0), 100.0, 1.0)
    noise = step(signal, torch.zeros(20, 1000, dtype=torch.bool))[0] - signal
    snr_db = 10 * (signal.var(dim=2) / noise.var(dim=2)).log10()
    assert snr_db.min() > -0.05
    assert snr_db.max() < 24.05
    places = set()
    for window in range(20):
        for lead in range(3):
            match = [np.correlate(channel, noise[window, lead].numpy(), "valid") for channel in step.noise.numpy()]
            channel, place = np.unravel_index(np.argmax(match), (2, 2001))
            piece = step.noise[channel, place : place + 1000]
            assert np.corrcoef(piece.numpy(), noise[window, lead].numpy())[0, 1] > 0.999
            places.add((channel, place))
    assert len(places) > 50


def test_the_real_records_are_read(real_data: Path) -> None:
    noise = read_noise(real_data / "nstdb", ["bw", "em", "ma"], 100.0)
    assert noise.shape == (6, 180556)
    assert np.isfinite(noise).all()
    assert (noise.std(axis=1) > 0).all()


def test_a_missing_folder_or_record_is_named(tmp_path: Path, noise_root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"root = .*nowhere is no folder.*bw, em"):
        RecordedNoise(str(tmp_path / "nowhere"), ["bw", "em"], (0.0, 24.0), 100.0, 0.5)
    with pytest.raises(FileNotFoundError, match=r"em2.hea is missing"):
        RecordedNoise(str(noise_root), ["bw", "em2"], (0.0, 24.0), 100.0, 0.5)
    with pytest.raises(ValueError, match="records is empty"):
        RecordedNoise(str(noise_root), [], (0.0, 24.0), 100.0, 0.5)


def test_a_record_cut_short_is_named(tmp_path: Path) -> None:
    write(tmp_path, "bw", 100, np.random.default_rng(0).standard_normal((3000, 2)))
    whole = (tmp_path / "bw.dat").read_bytes()
    (tmp_path / "bw.dat").write_bytes(whole[: len(whole) // 2 - 1])
    with pytest.raises(ValueError, match=r"bw cannot be read .*is it cut short\?"):
        read_noise(tmp_path, ["bw"], 100.0)


def test_records_shorter_than_the_window_are_refused(noise_root: Path) -> None:
    step = RecordedNoise(str(noise_root), ["bw"], (0.0, 24.0), 100.0, 0.5)
    with pytest.raises(ValueError, match=r"lasts 30.0 s, less than the window \(40.0 s\)"):
        step(torch.zeros(1, 1, 4000), torch.zeros(1, 4000, dtype=torch.bool))
