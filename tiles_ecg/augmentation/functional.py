"""The arithmetic of the augmentations: pure functions of a batch and of one set of parameters per window.

Shapes: signal (B, C, T) float, beat (B, T) bool, parameters (B,) unless said otherwise. Nothing here draws a number,
changes its input, loops over windows or waits for the device.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Fill = Literal["line", "hold", "zero"]


def take_points(signal: Tensor, beat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Moves time points: point t of a window becomes its former point `index[:, t]`, in all leads and in the beats.

    Args:
        signal: (B, C, T).
        beat: (B, T).
        index: (B, T') int64, 0 <= index < T.

    Returns:
        Signal (B, C, T') and beat (B, T').
    """
    everywhere = index.unsqueeze(1).expand(-1, signal.shape[1], -1)  # (B, T') -> (B, C, T')
    return signal.gather(2, everywhere), beat.gather(1, index)


def permute_index(cut: Tensor, key: Tensor, n_points: int) -> Tensor:
    """Index map that cuts each window into K segments and puts them in ascending order of their keys.

    Um et al., Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural
    Networks, ICMI 2017 ("permutation"); here with random, unequal segments.

    Args:
        cut: (B, K - 1) int64, in any order; a segment starts at every cut. Cuts at 0 or T leave empty segments.
        key: (B, K), the new place of each segment, by rank.
        n_points: T.

    Returns:
        (B, T) int64, a permutation of 0..T-1 in each row.
    """
    edge = torch.nn.functional.pad(cut.sort(dim=1).values, (1, 0))  # (B, K), the start of every segment
    length = torch.nn.functional.pad(edge, (0, 1), value=n_points).diff(dim=1)
    order = key.argsort(dim=1)
    start, length = edge.gather(1, order), length.gather(1, order)
    stop = length.cumsum(dim=1)  # in the new order
    point = torch.arange(n_points, device=cut.device).expand(len(cut), -1).contiguous()
    segment = torch.searchsorted(stop, point, right=True)  # (B, T)
    return point + (start - stop + length).gather(1, segment)


def warp_path(weight: Tensor, strength: float, n_points: int) -> Tensor:
    """Smooth increasing map of time with both ends in place, from a cosine series of its local speed.

    The speed is 1 + strength * sum_k weight_k cos(pi k t / (T - 1)), so it stays within 1 - strength and 1 + strength.

    Args:
        weight: (B, K), the sum of absolute weights at most 1 in each row.
        strength: Largest change of speed, 0 <= strength < 1.
        n_points: T, at least 2.

    Returns:
        (B, T): where on the old time axis, in time points, each new point lies; from 0 to T - 1.
    """
    point = torch.arange(n_points, device=weight.device, dtype=weight.dtype)
    harmonic = torch.arange(1, weight.shape[1] + 1, device=weight.device, dtype=weight.dtype).unsqueeze(1)  # (K, 1)
    sine = torch.sin(math.pi * harmonic * point / (n_points - 1)) / harmonic  # (K, T)
    path = point + strength * (n_points - 1) / math.pi * (weight @ sine)
    return path.clamp(0, n_points - 1)


def warp(signal: Tensor, beat: Tensor, path: Tensor) -> tuple[Tensor, Tensor]:
    """Reads each window at the moments of `path`, and puts every beat on the new point nearest to it.

    Values between time points come from cubic convolution (Keys, IEEE Trans. ASSP 29(6), 1981, a = -1/2): a straight
    line would blunt R-peaks at 100 Hz.

    Args:
        signal: (B, C, T).
        beat: (B, T).
        path: (B, T), ascending within 0 and T - 1.
    """
    n_leads, last = signal.shape[1], signal.shape[2] - 1
    point = path.floor()
    f = (path - point).unsqueeze(1)  # (B, 1, T)
    weights = (
        ((2 - f) * f - 1) * f / 2,
        ((3 * f - 5) * f * f + 2) / 2,
        ((4 - 3 * f) * f + 1) * f / 2,
        (f - 1) * f * f / 2,
    )
    warped = torch.zeros_like(signal)
    for offset, weight in enumerate(weights, start=-1):
        neighbour = (point.long() + offset).clamp(0, last)
        warped = warped + weight * signal.gather(2, neighbour.unsqueeze(1).expand(-1, n_leads, -1))
    n_before = beat.cumsum(dim=1)  # beats up to and including each old point
    halfway = ((path[:, 1:] + path[:, :-1]) / 2).floor().long()  # (B, T - 1)
    n_moved = torch.cat([torch.zeros_like(n_before[:, :1]), n_before.gather(1, halfway), n_before[:, -1:]], dim=1)
    return warped, n_moved.diff(dim=1) > 0


def mask_around_beats(beat: Tensor, start: int, stop: int) -> Tensor:
    """Marks the points from `start` to `stop`, both included, counted from each beat.

    What lies outside the window is left out, never wrapped around. A window without a beat has an empty mask, so
    `mask.any(dim=1)` tells which windows a mask really changes.

    Args:
        beat: (B, T) bool.
        start: First point relative to the beat, negative before it.
        stop: Last point relative to the beat, >= start.

    Returns:
        (B, T) bool.
    """
    n_points = beat.shape[1]
    lead_in, lead_out = max(stop + 1, 0), max(-start, 0)
    n_before = torch.nn.functional.pad(beat, (lead_in, lead_out)).cumsum(dim=1, dtype=torch.int32)
    n_late = n_before[:, lead_in - start : lead_in - start + n_points]  # beats up to point - start
    n_early = n_before[:, lead_in - stop - 1 : lead_in - stop - 1 + n_points]  # beats before point - stop
    return n_late > n_early


def mask_spans(start: Tensor, length: Tensor, n_points: int) -> Tensor:
    """Marks K spans in each window, each from `start` to `start + length - 1`.

    Args:
        start: (B, K), in time points.
        length: (B, K), in time points; 0 marks nothing.
        n_points: T.

    Returns:
        (B, T) bool.
    """
    point = torch.arange(n_points, device=start.device)
    start = start.unsqueeze(2)  # (B, K, 1)
    return ((point >= start) & (point < start + length.unsqueeze(2))).any(dim=1)


def fill_masked(signal: Tensor, mask: Tensor, fill: Fill) -> Tensor:
    """Replaces the marked points of all leads.

    Args:
        signal: (B, C, T).
        mask: (B, T) bool.
        fill: `line` joins the last point before a span to the first one after it, and holds the only one where the span
            meets an end of the window; `hold` repeats the last point before; `zero` writes 0. Where the whole window is
            marked, all write 0.

    Returns:
        (B, C, T).
    """
    if fill == "zero":
        return signal.masked_fill(mask.unsqueeze(1), 0.0)
    n_points = signal.shape[2]
    point = torch.arange(n_points, device=signal.device, dtype=torch.int32)
    before = torch.where(mask, -1, point).cummax(dim=1).values  # -1: no kept point before
    after = torch.where(mask, n_points, point).flip(1).cummin(dim=1).values.flip(1)  # T: none after
    is_lost = (before < 0) & (after >= n_points)  # (B, T)
    left = torch.where(before < 0, after, before).clamp(max=n_points - 1)
    right = torch.where((after >= n_points) | (fill == "hold"), left, after)
    share = (point - left) / (right - left).clamp(min=1)  # (B, T)
    first = signal.gather(2, left.long().unsqueeze(1).expand_as(signal))
    second = signal.gather(2, right.long().unsqueeze(1).expand_as(signal))
    filled = torch.lerp(first, second, share.unsqueeze(1).to(signal.dtype))
    return torch.where(mask.unsqueeze(1), filled.masked_fill(is_lost.unsqueeze(1), 0.0), signal)


def add_noise(signal: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Adds noise at the wanted ratio of powers, exactly: 10 log10(signal power / noise power) = snr_db in every lead.

    A power is the variance over the lead's own window, so neither offset counts; the noise is added without its mean.
    A flat lead, whose power is 0, stays as it is.

    Args:
        signal: (B, C, T).
        noise: (B, C, T), of any amplitude.
        snr_db: (B,), in decibels.
    """
    noise = noise - noise.mean(dim=2, keepdim=True)
    signal_power = signal.var(dim=2, keepdim=True, correction=0)
    noise_power = noise.square().mean(dim=2, keepdim=True)
    wanted_power = signal_power / 10 ** (snr_db.view(-1, 1, 1) / 10)
    gain = torch.where(noise_power > 0, wanted_power / noise_power, 0.0).sqrt()
    return signal + gain * noise


def make_waves(frequency_hz: Tensor, phase: Tensor, n_points: int, sample_rate: float) -> Tensor:
    """Sines sampled at `sample_rate`; one above half of it folds down, as in a recorder without an anti-alias filter.

    Args:
        frequency_hz: (...), broadcasts with `phase`.
        phase: (...), radians.
        n_points: T.
        sample_rate: Hz.

    Returns:
        (..., T), amplitude 1.
    """
    time_s = torch.arange(n_points, device=phase.device, dtype=phase.dtype) / sample_rate
    return torch.sin(2 * math.pi * frequency_hz.unsqueeze(-1) * time_s + phase.unsqueeze(-1))


def modulate(signal: Tensor, wave: Tensor, depth: Tensor) -> Tensor:
    """Lets the amplitude follow a slow wave: signal * (1 + depth * wave).

    Args:
        signal: (B, C, T).
        wave: (B, T), within -1 and 1.
        depth: (B,), 0 <= depth < 1, so that the sign never changes.
    """
    return signal * (1 + depth.view(-1, 1, 1) * wave.unsqueeze(1))


def low_pass(signal: Tensor, cutoff_hz: Tensor, order: int, sample_rate: float) -> Tensor:
    """Zero-phase Butterworth low-pass: its gain is 1 / (1 + (f / cutoff) ** (2 order)).

    That is what a filter gives that goes over the signal forward and backward. The window is
    continued by its mirror image, so no step arises where the Fourier transform closes the circle.

    Args:
        signal: (B, C, T).
        cutoff_hz: (B,), where the gain is 1/2; below sample_rate / 2.
        order: Order of the filter that goes over the signal twice.
        sample_rate: Hz.
    """
    n_points = signal.shape[2]
    spectrum = torch.fft.rfft(torch.cat([signal, signal.flip(2)], dim=2), dim=2)  # (B, C, T + 1)
    frequency_hz = torch.arange(n_points + 1, device=signal.device, dtype=signal.dtype) * (sample_rate / (2 * n_points))
    gain = 1 / (1 + (frequency_hz / cutoff_hz.view(-1, 1, 1)) ** (2 * order))
    filtered: Tensor = torch.fft.irfft(spectrum * gain, n=2 * n_points, dim=2)
    return filtered[..., :n_points]


def high_pass(signal: Tensor, cutoff_hz: Tensor, order: int, sample_rate: float) -> Tensor:
    """Zero-phase Butterworth high-pass, gain 1 / (1 + (cutoff / f) ** (2 order)): what `low_pass` takes away."""
    return signal - low_pass(signal, cutoff_hz, order, sample_rate)
