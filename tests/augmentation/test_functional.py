"""The arithmetic, against loops, NumPy, SciPy and signals whose answer is known."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import signal as dsp
from torch import Tensor

from tiles_ecg.augmentation import functional as F


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random_beats(n_windows: int, n_points: int, share: float = 0.02) -> Tensor:
    return torch.rand(n_windows, n_points) < share


def test_take_points_moves_all_leads_and_the_beats_by_one_map() -> None:
    signal, beat, index = torch.randn(4, 3, 50), random_beats(4, 50, 0.2), torch.randint(50, (4, 30))
    moved, beats = F.take_points(signal, beat, index)
    for window in range(4):
        for point in range(30):
            source = int(index[window, point])
            assert torch.equal(moved[window, :, point], signal[window, :, source])
            assert beats[window, point] == beat[window, source]


def test_permute_index_equals_cutting_and_joining_in_a_loop() -> None:
    cut, key = torch.randint(0, 61, (40, 6)), torch.rand(40, 7)
    cut[0, 3:] = 60  # unused cuts
    index = F.permute_index(cut, key, 60)
    for window in range(40):
        edges = [0, *sorted(cut[window].tolist()), 60]
        segments = [list(range(a, b)) for a, b in pairwise(edges)]
        order = np.argsort(key[window].numpy())
        assert index[window].tolist() == [point for place in order for point in segments[place]]


def test_permute_index_without_cuts_is_the_identity() -> None:
    index = F.permute_index(torch.full((3, 4), 50), torch.rand(3, 5), 50)
    assert torch.equal(index, torch.arange(50).expand(3, -1))


def test_warp_path_equals_its_series_and_keeps_both_ends() -> None:
    weight = torch.tensor([[0.5, -0.3, 0.2], [0.0, 0.0, 0.0]])
    path = F.warp_path(weight, 0.4, 101)
    for point in range(101):
        series = sum(float(w) * np.sin(np.pi * k * point / 100) / k for k, w in enumerate(weight[0], start=1))
        assert float(path[0, point]) == pytest.approx(point + 0.4 * 100 / np.pi * series, abs=1e-3)
    assert torch.equal(path[1], torch.arange(101.0))
    assert path[0, 0] == 0
    assert float(path[0, -1]) == pytest.approx(100, abs=1e-3)


def test_warp_path_runs_forward_within_the_allowed_speed() -> None:
    weight = torch.randn(50, 5)
    path = F.warp_path(weight / weight.abs().sum(dim=1, keepdim=True), 0.6, 1000)
    speed = path.diff(dim=1)
    assert speed.min() > 0.4 - 1e-3
    assert speed.max() < 1.6 + 1e-3


def test_warp_along_the_identity_changes_nothing() -> None:
    signal, beat = torch.randn(3, 2, 80), random_beats(3, 80, 0.2)
    warped, beats = F.warp(signal, beat, torch.arange(80.0).expand(3, -1))
    assert torch.equal(warped, signal)
    assert torch.equal(beats, beat)


def test_warp_reads_a_parabola_exactly() -> None:
    time = torch.arange(100.0)
    path = F.warp_path(torch.tensor([[0.3, 0.4, -0.3]]), 0.5, 100)
    parabola = (0.01 * time**2 - 0.3 * time + 1).view(1, 1, -1)
    warped, _ = F.warp(parabola, torch.zeros(1, 100, dtype=torch.bool), path)
    expected = 0.01 * path**2 - 0.3 * path + 1
    inner = (path > 1) & (path < 98)  # cubic convolution needs two neighbours on either side
    torch.testing.assert_close(warped[0][inner], expected[inner], atol=1e-4, rtol=1e-4)


def test_warp_puts_each_beat_on_the_nearest_new_point() -> None:
    beat = random_beats(30, 400)
    weight = torch.randn(30, 4)
    path = F.warp_path(weight / weight.abs().sum(dim=1, keepdim=True), 0.7, 400)
    _, moved = F.warp(torch.zeros(30, 1, 400), beat, path)
    for window in range(30):
        nearest = {int((path[window] - old).abs().argmin()) for old in beat[window].nonzero().flatten()}
        assert set(moved[window].nonzero().flatten().tolist()) == nearest


@pytest.mark.parametrize(("start", "stop"), [(-20, -5), (-5, 5), (-5, 40), (0, 0), (7, 12), (-300, 300)])
def test_mask_around_beats_equals_a_loop_and_never_wraps_around(start: int, stop: int) -> None:
    beat = random_beats(10, 200)
    beat[0] = False
    beat[1, [0, 199]] = True
    expected = torch.zeros_like(beat)
    for window, peak in beat.nonzero().tolist():
        for point in range(peak + start, peak + stop + 1):
            if 0 <= point < 200:
                expected[window, point] = True
    mask = F.mask_around_beats(beat, start, stop)
    assert torch.equal(mask, expected)
    assert not mask[0].any()


def test_mask_spans_equals_a_loop() -> None:
    start, length = torch.randint(0, 80, (10, 3)), torch.randint(0, 20, (10, 3))
    expected = torch.zeros(10, 100, dtype=torch.bool)
    for window in range(10):
        for first, n in zip(start[window], length[window], strict=True):
            expected[window, int(first) : int(first + n)] = True
    assert torch.equal(F.mask_spans(start, length, 100), expected)


def random_mask() -> Tensor:
    mask = F.mask_spans(torch.randint(0, 95, (20, 4)), torch.randint(0, 15, (20, 4)), 100)
    mask[0, :7], mask[1, 90:], mask[2] = True, True, False
    return mask


def test_line_equals_linear_interpolation_by_numpy() -> None:
    signal, mask = torch.randn(20, 2, 100), random_mask()
    filled = F.fill_masked(signal, mask, "line")
    for window in range(20):
        kept, lost = (~mask[window]).nonzero().flatten().numpy(), mask[window].nonzero().flatten().numpy()
        for lead in range(2):
            expected = signal[window, lead].numpy().copy()
            expected[lost] = np.interp(lost, kept, expected[kept])
            np.testing.assert_allclose(filled[window, lead].numpy(), expected, atol=1e-6)


def test_hold_repeats_the_last_value_before_a_span() -> None:
    signal, mask = torch.randn(20, 2, 100), random_mask()
    filled = F.fill_masked(signal, mask, "hold")
    for window in range(20):
        value = signal[window, :, int((~mask[window]).nonzero()[0])]  # the first kept one, for a span at the start
        for point in range(100):
            value = value if mask[window, point] else signal[window, :, point]
            assert torch.equal(filled[window, :, point], value)


def test_zero_writes_zeros_and_nothing_else() -> None:
    signal, mask = torch.randn(20, 2, 100), random_mask()
    assert torch.equal(F.fill_masked(signal, mask, "zero"), signal * ~mask.unsqueeze(1))


@pytest.mark.parametrize("fill", ["line", "hold", "zero"])
def test_a_wholly_masked_window_becomes_zero(fill: F.Fill) -> None:
    filled = F.fill_masked(torch.randn(1, 2, 30), torch.ones(1, 30, dtype=torch.bool), fill)
    assert torch.equal(filled, torch.zeros(1, 2, 30))


def test_added_noise_has_the_wanted_ratio_of_powers_in_every_lead() -> None:
    signal, noise = 3 * torch.randn(8, 2, 500) + 5, 40 * torch.rand(8, 2, 500)
    snr_db = torch.linspace(-6, 40, 8)
    added = (F.add_noise(signal, noise, snr_db) - signal).double().numpy()
    ratio = signal.double().numpy().var(axis=2) / (added**2).mean(axis=2)
    np.testing.assert_allclose(10 * np.log10(ratio), np.repeat(snr_db.numpy()[:, None], 2, axis=1), atol=0.01)


def test_noise_leaves_a_flat_lead_alone_and_silence_adds_nothing() -> None:
    flat, wavy = torch.full((1, 1, 100), 0.5), torch.randn(1, 1, 100)
    assert torch.equal(F.add_noise(flat, torch.randn(1, 1, 100), torch.zeros(1)), flat)
    assert torch.equal(F.add_noise(wavy, torch.zeros(1, 1, 100), torch.zeros(1)), wavy)


def test_waves_equal_numpy_sines_and_fold_above_half_the_sample_rate() -> None:
    frequency_hz, phase = torch.tensor([[1.5], [60.0]]), torch.tensor([[0.3], [0.0]])
    waves = F.make_waves(frequency_hz, phase, 200, 100.0)
    time_s = np.arange(200) / 100
    np.testing.assert_allclose(waves[0, 0].numpy(), np.sin(2 * np.pi * 1.5 * time_s + 0.3), atol=1e-5)
    np.testing.assert_allclose(waves[1, 0].numpy(), -np.sin(2 * np.pi * 40 * time_s), atol=1e-3)


def test_modulation_equals_its_equation() -> None:
    signal, wave, depth = torch.randn(3, 2, 50), torch.rand(3, 50), torch.tensor([0.0, 0.2, 0.5])
    modulated = F.modulate(signal, wave, depth)
    for window in range(3):
        for lead in range(2):
            expected = signal[window, lead] * (1 + float(depth[window]) * wave[window])
            torch.testing.assert_close(modulated[window, lead], expected)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_filters_have_the_gain_of_a_butterworth_filter_run_twice(order: int) -> None:
    mode = np.arange(1, 500, 20)  # cosines that mirror into themselves: each keeps its shape
    wave = np.cos(np.pi * mode[:, None] * (np.arange(1000) + 0.5) / 1000)
    signal = torch.from_numpy(wave).float().unsqueeze(1)
    cutoff_hz = torch.linspace(5, 30, len(mode))
    for kind, apply in (("low", F.low_pass), ("high", F.high_pass)):
        filtered = apply(signal, cutoff_hz, order, 100.0)
        for window, k in enumerate(mode):
            b, a = dsp.butter(order, float(cutoff_hz[window]), kind, analog=True)
            gain = abs(dsp.freqs(b, a, [k * 100 / 2000])[1][0]) ** 2
            np.testing.assert_allclose(filtered[window, 0].numpy(), gain * wave[window], atol=2e-5)


def test_low_pass_agrees_with_scipy_filtfilt_far_below_half_the_sample_rate() -> None:
    signal = torch.randn(1, 1, 2000)
    sos = dsp.butter(2, 5.0, fs=500.0, output="sos")
    expected = dsp.sosfiltfilt(sos, signal[0, 0].double().numpy())
    filtered = F.low_pass(signal, torch.tensor([5.0]), 2, 500.0)[0, 0].numpy()
    np.testing.assert_allclose(filtered[200:-200], expected[200:-200], atol=0.01 * np.abs(expected).max())
