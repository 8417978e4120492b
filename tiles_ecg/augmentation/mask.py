"""Masks: a part of every beat, or spans at random, are replaced."""

from typing import get_args

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import check_limits, check_positive, check_probability, draw_chosen, draw_uniform
from tiles_ecg.augmentation.functional import Fill, fill_masked, mask_around_beats, mask_spans
from tiles_ecg.config_types import Limits, Probability


class BeatMask(nn.Module):
    """Replaces the same part of several beats: the PR interval, the QRS complex or the QT interval.

    The part is found from the R-peaks that come with the batch; a window without one is left as it is. Behind a time
    reversal, "before the R-peak" is before it in the reversed signal: masks that are not symmetric belong ahead of it.

    Args:
        span_ms: First and last moment of the part relative to the R-peak, in ms, negative before it.
        beat_p: Share of the beats of a chosen window that are masked, each drawn for itself.
        fill: What replaces the part, see `functional.fill_masked`.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        span_ms: Limits[float],
        beat_p: Probability,
        fill: Fill,
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_limits("span_ms", span_ms)
        check_probability("beat_p", beat_p)
        check_fill(fill)
        check_positive("sample_rate", sample_rate)
        check_probability("p", p)
        self.start = round(span_ms[0] * sample_rate / 1000)
        self.stop = round(span_ms[1] * sample_rate / 1000)
        self.beat_p = beat_p
        self.fill: Fill = fill
        self.p = p

    def draw_mask(self, beat: Tensor) -> Tensor:
        """Which points of each window are replaced, (B, T) bool; `.any(dim=1)` tells which windows really change."""
        masked = torch.rand(beat.shape, device=beat.device) < self.beat_p
        masked = beat & masked & draw_chosen(beat, self.p).unsqueeze(1)
        return mask_around_beats(masked, self.start, self.stop)

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same; beats stay where they are, masked or not."""
        return fill_masked(signal, self.draw_mask(beat), self.fill), beat


class SpanMask(nn.Module):
    """Replaces spans at random places, like a moment without contact. All leads lose the same spans.

    Args:
        n_spans: Spans in a chosen window; they may overlap.
        span_s: Shortest and longest span, in seconds; the length is uniform between them.
        fill: What replaces a span, see `functional.fill_masked`.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range, or (in `forward`) the longest span is as long as the window.
    """

    def __init__(
        self,
        n_spans: PositiveInt,
        span_s: Limits[PositiveFloat],
        fill: Fill,
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_positive("n_spans", n_spans)
        check_limits("span_s", span_s, low=0.0)
        check_fill(fill)
        check_positive("sample_rate", sample_rate)
        check_probability("p", p)
        self.n_spans = n_spans
        self.span_s = span_s
        self.fill: Fill = fill
        self.sample_rate = sample_rate
        self.p = p

    def draw_mask(self, signal: Tensor) -> Tensor:
        """Which points of each window are replaced, (B, T) bool."""
        n_points = signal.shape[2]
        longest = round(self.span_s[1] * self.sample_rate)
        if longest >= n_points:
            raise ValueError(
                f"augmentation: span_s = {list(self.span_s)} s: the longest span does not fit into the window "
                f"({n_points / self.sample_rate} s); choose shorter spans"
            )
        length = (draw_uniform(signal, self.span_s, self.n_spans) * self.sample_rate).round()
        start = (draw_uniform(signal, (0.0, 1.0), self.n_spans) * (n_points - length + 1)).floor()
        return mask_spans(start, length, n_points) & draw_chosen(signal, self.p).unsqueeze(1)

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same; beats stay where they are."""
        return fill_masked(signal, self.draw_mask(signal), self.fill), beat


def check_fill(fill: str) -> None:
    """Raises ValueError unless `fill` is one of `functional.Fill`."""
    if fill not in get_args(Fill):
        raise ValueError(f"augmentation: fill = {fill!r} is unknown; choose one of {', '.join(get_args(Fill))}")
