"""Rhythm of windows: numbers from the intervals between their R-peaks, whole batch at once, and the loss of a guess."""

import torch
import torch.nn.functional as F
from torch import Tensor

FEATURES = (
    "mean interval (s)",
    "SDNN (s)",
    "RMSSD (s)",
    "coefficient of variation",
    "shortest interval / mean",
    "longest interval / mean",
    "pNN50",
    "beats a second",
)
"""Of the intervals between successive R-peaks, ectopic beats included."""
SHORTEST_STEP_MS = 50.0
"""Successive intervals that differ by more count for pNN50."""
FEWEST_BEATS = 3
"""A window with fewer has no rhythm; with so many it has two intervals, and one more has two differences of them."""


def beat_intervals(beat: Tensor) -> Tensor:
    """Intervals between successive R-peaks, in time points, in order.

    Args:
        beat: (B, T) bool.

    Returns:
        (B, T - 1) float32; NaN behind the last.
    """
    point = torch.arange(beat.shape[1], device=beat.device).float()
    at, _ = torch.where(beat, point, torch.nan).sort(1)  # NaN goes to the end
    return at.diff(dim=1)


def rhythm_features(beat: Tensor, sample_rate: float) -> Tensor:
    """`FEATURES` of windows.

    Args:
        beat: (B, T) bool, one at every R-peak.
        sample_rate: Hz.

    Returns:
        (B, 8) float32. All are NaN below three beats; RMSSD and pNN50 below four.

    References:
        Task Force of the ESC and NASPE, Heart rate variability, Circulation 93, 1996. There pNN50 is a percentage of
        all intervals; here it is a share of their successive differences, of which there is one fewer. Windows of 10 to
        20 s are shorter than its standards ask for: these describe the window.
    """
    n_beats = beat.sum(1).float()
    interval = beat_intervals(beat)
    step = interval.diff(dim=1)
    mean = interval.nanmean(1)
    sdnn = ((interval - mean[:, None]).square().nansum(1) / (n_beats - 2)).sqrt()
    rmssd = step.square().nanmean(1).sqrt()
    is_long = torch.where(step.isnan(), torch.nan, (step.abs() > SHORTEST_STEP_MS * sample_rate / 1000).float())
    feature = torch.stack(
        [
            mean / sample_rate,
            sdnn / sample_rate,
            rmssd / sample_rate,
            sdnn / mean,
            interval.nan_to_num(torch.inf).amin(1) / mean,
            interval.nan_to_num(-torch.inf).amax(1) / mean,
            is_long.nanmean(1),
            n_beats * sample_rate / beat.shape[1],
        ],
        dim=1,
    )
    needed = torch.full((len(FEATURES),), FEWEST_BEATS, device=beat.device)
    needed[[FEATURES.index("RMSSD (s)"), FEATURES.index("pNN50")]] += 1
    return feature.where(n_beats[:, None] >= needed, torch.nan)


SCALES = (  # is it the logarithm?, median, interquartile range
    (True, -0.20, 0.28),
    (True, -3.4, 1.4),
    (True, -3.4, 1.4),
    (True, -3.3, 1.4),
    (True, -0.06, 0.11),
    (True, 0.06, 0.09),
    (False, 0.1, 0.33),
    (True, 0.2, 0.24),
)
"""Of `FEATURES`, rounded: 10 s windows of cinc2017, mitdb, ecgiddb, qtdb and the synthetic cohort, as many of each."""
SMALLEST = 0.005
"""Below it nothing has a logarithm of its own: 5 ms, half a time point at 100 Hz, and as good as no variation."""


def rhythm_targets(feature: Tensor) -> Tensor:
    """Features on one scale, so that each is as hard to guess: (B, 8) -> (B, 8), NaN where they were."""
    is_log, median, spread = (feature.new_tensor(column) for column in zip(*SCALES, strict=True))
    return (torch.where(is_log > 0, feature.clamp_min(SMALLEST).log(), feature) - median) / spread


def huber_sum(guess: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the Huber losses (quadratic up to an error of 1) over what is defined, and the number of these values.

    Args:
        guess: (B, K).
        target: (B, K), NaN where not defined.
    """
    is_known = ~target.isnan()
    error = F.huber_loss(guess, target.nan_to_num(0.0), reduction="none")
    return error.where(is_known, 0.0).sum(), is_known.sum()


def or_nan(value: Tensor, is_known: Tensor) -> Tensor:
    """For a log: NaN where a loss of 0 only says that there was nothing to guess."""
    return value.detach().where(is_known, torch.nan)
