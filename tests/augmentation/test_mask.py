import numpy as np
import pytest
import torch
from torch import Tensor

from tiles_ecg.augmentation.functional import Fill
from tiles_ecg.augmentation.mask import BeatMask, SpanMask


def test_all_beats_of_all_windows_are_masked_where_they_stand(ecg: tuple[Tensor, Tensor]) -> None:
    signal, beat = ecg
    masked, beats = BeatMask((-50.0, 50.0), beat_p=1.0, fill="zero", sample_rate=100.0, p=1.0)(signal, beat)
    for window, peak in beat.nonzero().tolist():
        assert (masked[window, 0, max(peak - 5, 0) : peak + 6] == 0).all()
    n_changed = (masked != signal).sum(dim=2)
    assert (n_changed <= 11 * beat.sum(dim=1, keepdim=True)).all()
    assert torch.equal(beats, beat)


def test_the_published_qrs_mask_takes_the_r_peaks_and_leaves_the_t_waves(ecg: tuple[Tensor, Tensor]) -> None:
    signal, beat = ecg
    masked, _ = BeatMask((-50.0, 50.0), beat_p=1.0, fill="line", sample_rate=100.0, p=1.0)(signal, beat)
    assert masked.abs().max() < 0.45  # R-peaks were 1, T waves are 0.3
    t_wave = beat.roll(28, dims=1)
    assert torch.equal(masked[:, 0][t_wave], signal[:, 0][t_wave])


def test_half_of_the_beats_are_masked_each_drawn_for_itself(ecg: tuple[Tensor, Tensor]) -> None:
    beat = ecg[1].repeat(20, 1)
    torch.manual_seed(0)
    mask = BeatMask((0.0, 0.0), beat_p=0.5, fill="line", sample_rate=100.0, p=1.0).draw_mask(beat)
    assert float(mask.sum() / beat.sum()) == pytest.approx(0.5, abs=0.02)  # 5,600 beats: standard deviation 0.007
    assert mask.sum(dim=1).unique().numel() > 4


def test_a_window_without_a_beat_is_not_masked_and_can_be_told(ecg: tuple[Tensor, Tensor]) -> None:
    signal, beat = ecg[0], ecg[1].clone()
    beat[3] = False
    mask = BeatMask((-50.0, 50.0), beat_p=1.0, fill="zero", sample_rate=100.0, p=1.0)
    masked, _ = mask(signal, beat)
    assert torch.equal(masked[3], signal[3])
    assert mask.draw_mask(beat).any(dim=1).tolist() == [window != 3 for window in range(16)]


def test_spans_have_the_drawn_lengths_and_lie_anywhere() -> None:
    torch.manual_seed(0)
    mask = SpanMask(n_spans=1, span_s=(0.1, 0.5), fill="zero", sample_rate=100.0, p=1.0)
    drawn = mask.draw_mask(torch.zeros(2000, 1, 200))
    length = drawn.sum(dim=1)
    assert length.min() == 10
    assert length.max() == 50
    assert drawn.any(dim=0).all()  # the first and the last point, too
    for row in drawn[:50]:
        assert np.abs(np.diff(row.numpy().astype(int))).sum() <= 2  # one piece


def test_several_spans_cover_at_most_their_sum() -> None:
    torch.manual_seed(0)
    mask = SpanMask(n_spans=3, span_s=(0.2, 0.2), fill="zero", sample_rate=100.0, p=1.0)
    covered = mask.draw_mask(torch.zeros(200, 1, 1000)).sum(dim=1)
    assert covered.max() == 60
    assert covered.min() >= 20


def test_a_span_that_does_not_fit_into_the_window_is_refused() -> None:
    mask = SpanMask(n_spans=1, span_s=(0.1, 3.0), fill="zero", sample_rate=100.0, p=1.0)
    with pytest.raises(ValueError, match=r"span_s = \[0.1, 3.0\] s.*window \(2.0 s\)"):
        mask(torch.zeros(2, 1, 200), torch.zeros(2, 200, dtype=torch.bool))


@pytest.mark.parametrize(
    ("span_ms", "beat_p", "fill", "p", "text"),
    [
        ((50.0, -50.0), 0.5, "line", 0.5, r"span_ms = \[50.0, -50.0\].*write \[-50.0, 50.0\]"),
        ((-50.0, 50.0), 1.5, "line", 0.5, "beat_p = 1.5 is not a probability"),
        ((-50.0, 50.0), 0.5, "mean", 0.5, "fill = 'mean' is unknown; choose one of line, hold, zero"),
        ((-50.0, 50.0), 0.5, "line", -0.1, "p = -0.1"),
    ],
)
def test_an_impossible_beat_mask_is_refused(
    span_ms: tuple[float, float], beat_p: float, fill: Fill, p: float, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        BeatMask(span_ms, beat_p, fill, 100.0, p)


def test_spans_of_negative_length_or_number_are_refused() -> None:
    with pytest.raises(ValueError, match="span_s"):
        SpanMask(1, (-0.1, 0.5), "line", 100.0, 0.5)
    with pytest.raises(ValueError, match="n_spans = 0"):
        SpanMask(0, (0.1, 0.5), "line", 100.0, 0.5)
