"""Figure of windows as ECG: traces on a grid of seconds and millivolts, in the proportions of paper, R-peaks marked."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tiles_ecg.evaluation.gallery import Gallery
from tiles_ecg.summary.figure_style import (
    DPI,
    GREY,
    INK,
    NORMAL,
    SMALL,
    STRONG,
    WIDTH,
    Figure,
    NotDrawn,
    new_sheet,
    safe,
    to_png,
)

LINE_S = 8.0
"""Longest line; longer windows are broken."""
MOST_LINES = 3
LEFT, RIGHT = 44, 8
"""Pixels beside the grid."""
TITLE, FOOT = 36, 24
"""Pixels above a window and below each of its lines."""
NEAR = 9
"""Pixels above the foot of a line, within which no millivolts are marked."""
MV_PER_S = 2.5
"""Millivolts as tall as a second is wide: 10 mm/mV at 25 mm/s."""
LEAST_MV, MOST_MV = 1.2, 3.0
"""Height of a line; what needs more is drawn at half the height, as far as twice as much."""
HEIGHT = 90
"""Pixels of a line in another unit than mV."""
PAPER = "#f0c4c4"
N_COLOURS = 16
PEAK = STRONG[0]


@dataclass(frozen=True)
class Line:
    """A piece of a window, as it is drawn.

    Attributes:
        time_s: (t,) from the start of the window.
        signal: (t,).
        is_peak: (t,) bool.
        length_s: Of the full line, which the last piece need not fill.
        range: Lowest and highest value shown.
        height: Pixels.
    """

    time_s: NDArray[np.float64]
    signal: NDArray[np.float32]
    is_peak: NDArray[np.bool_]
    length_s: float
    range: tuple[float, float]
    height: int


def draw_windows(gallery: Gallery) -> list[Figure]:
    """The best and the worst windows, a figure each."""
    if not len(gallery.signal):
        raise NotDrawn(f"no example of {gallery.method.title} has a finite score")
    figures = []
    for is_best in (True, False):
        chosen = np.flatnonzero(gallery.is_best == is_best)
        if len(chosen):
            figures.append(_draw(gallery, chosen, "Best" if is_best else "Worst"))
    return figures


def _draw(gallery: Gallery, chosen: NDArray[np.int64], word: str) -> Figure:
    windows = [_lines(gallery, number) for number in chosen.tolist()]
    n_pixels = sum(TITLE + sum(line.height + FOOT for line in lines) for lines in windows) + 4
    sheet = new_sheet(n_pixels / DPI, is_laid_out=False)
    below = n_pixels
    for lines, number in zip(windows, chosen.tolist(), strict=True):
        below -= TITLE
        _title(sheet, gallery, number, (below + 9) / n_pixels)
        for line in lines:
            below -= line.height
            box = (LEFT / (WIDTH * DPI), below / n_pixels, 1 - (LEFT + RIGHT) / (WIDTH * DPI), line.height / n_pixels)
            _trace(sheet.add_axes(box), line, _is_mv(gallery))
            below -= FOOT
    caption = (
        f"{gallery.method.title}; of each example the window in its middle. {_scale(gallery)}, as in the store, not "
        f"normalised; triangles: R-peaks as detected.{_left_out(gallery)}"
    )
    return Figure(f"{word} predicted windows", caption, to_png(sheet, N_COLOURS))


def _lines(gallery: Gallery, number: int) -> list[Line]:
    signal, beat = gallery.signal[number, 0], gallery.beat[number]
    time_s = np.arange(len(signal)) / gallery.sample_rate
    window_s = len(signal) / gallery.sample_rate
    n_lines = int(np.clip(np.ceil(window_s / LINE_S), 1, MOST_LINES))
    length_s = min(window_s / n_lines, LINE_S)
    parts = [(time_s >= at * length_s) & (time_s < (at + 1) * length_s) for at in range(n_lines)]
    ranges = [_range(signal[part], _is_mv(gallery)) for part in parts]
    pixels_a_second = (WIDTH * DPI - LEFT - RIGHT) / length_s
    gain = pixels_a_second / MV_PER_S / (2 if max(high - low for low, high in ranges) > MOST_MV else 1)
    return [
        Line(
            time_s[part], signal[part], beat[part], length_s, (low, high),
            round((high - low) * gain) if _is_mv(gallery) else HEIGHT,
        )
        for part, (low, high) in zip(parts, ranges, strict=True)
    ]  # fmt: skip


def _range(signal: NDArray[np.float32], is_mv: bool) -> tuple[float, float]:
    """What of the values to show: all but the wildest; in mV at least, and at most, what is readable."""
    known = signal[np.isfinite(signal)]
    if not len(known):
        return -0.6, 0.6
    low, high = float(known.min()), float(known.max())
    margin = 0.12 * (high - low)
    low, high = low - margin, high + margin
    if not is_mv:
        return (low, high) if high > low else (low - 1, high + 1)
    middle = float(np.median(known))
    missing = LEAST_MV - (high - low)
    if missing > 0:
        return low - missing / 2, high + missing / 2
    if high - low > 2 * MOST_MV:
        share = float(np.clip((middle - low) / (high - low), 0.25, 0.75))
        return middle - share * 2 * MOST_MV, middle + (1 - share) * 2 * MOST_MV
    return low, high


def _trace(axis: Axes, line: Line, is_mv: bool) -> None:
    low, high = line.range
    first_s, last_s = float(line.time_s[0]), float(line.time_s[0]) + line.length_s
    axis.set_xlim(first_s, last_s)
    axis.set_ylim(low, high)
    axis.plot(*_bars(_multiples(first_s, last_s, 0.2), low, high), color=PAPER, linewidth=0.6, snap=True, zorder=1)
    if is_mv:
        y, x = _bars(_multiples(low, high, 0.5), first_s, last_s)
        axis.plot(x, y, color=PAPER, linewidth=0.6, snap=True, zorder=1)
        whole = _multiples(low, high, 1.0)
        whole = whole[(whole - low) * line.height > NEAR * (high - low)]  # else they run into the first second
        axis.set_yticks(whole, [f"{round(mv)} mV" for mv in whole])
    else:
        axis.yaxis.set_major_locator(MaxNLocator(2))
        axis.yaxis.set_major_formatter("{x:.3g}")
    seconds = _multiples(first_s, last_s - 0.2, 1.0)
    axis.set_xticks(seconds, [f"{round(t)} s" for t in seconds])
    axis.plot(line.time_s, line.signal, color=INK, linewidth=0.9, zorder=4)
    peaks = line.time_s[line.is_peak]
    axis.plot(peaks, np.full(len(peaks), high), "v", color=PEAK, markersize=5, zorder=5, clip_on=False)
    axis.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=GREY, pad=2)
    axis.spines[:].set_color(PAPER)


def _bars(at: NDArray[np.float64], low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vertical lines as one broken one: x and y."""
    return np.repeat(at, 3), np.tile([low, high, np.nan], len(at))


def _multiples(low: float, high: float, step: float) -> NDArray[np.float64]:
    """Of a step, within a range."""
    return np.asarray(np.arange(np.ceil(low / step - 1e-6), np.floor(high / step + 1e-6) + 1) * step, np.float64)


def _title(sheet: Sheet, gallery: Gallery, number: int, y: float) -> None:
    text = f"truth: {safe(gallery.truth[number], 36)}    predicted: {safe(gallery.said[number], 44)}"
    sheet.text(LEFT / (WIDTH * DPI), y, text, fontsize=NORMAL, color=INK, va="bottom")
    right = 1 - RIGHT / (WIDTH * DPI)
    sheet.text(
        right, y, safe(gallery.example_id[number], 36, is_id=True), fontsize=SMALL, color=GREY, ha="right", va="bottom"
    )


def _is_mv(gallery: Gallery) -> bool:
    return gallery.unit == "mV"


def _scale(gallery: Gallery) -> str:
    if _is_mv(gallery):
        return f"Squares of 0.2 s and 0.5 mV in the proportions of ECG paper (half as high above {MOST_MV:g} mV)"
    return f"Lines every 0.2 s, each window at its own height ({gallery.unit or 'no unit'})"


def _left_out(gallery: Gallery) -> str:
    n_leads, n_points = gallery.signal.shape[1:]
    parts = [f" The first of {n_leads} leads."] if n_leads > 1 else []
    if n_points / gallery.sample_rate > LINE_S * MOST_LINES:
        parts.append(f" The first {LINE_S * MOST_LINES:g} s of each window.")
    return "".join(parts)
