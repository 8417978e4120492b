"""Figure of views: windows above what an encoder is shown of them, R-peaks marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tiles_ecg.summary.figure_style import GREY, STRONG, Figure, dress, new_sheet, safe, to_png

LINE_HEIGHT = 1.15
"""Inches."""
MOST_COLUMNS = 4
BEAT = STRONG[1]
ROOM = 1.08
"""Of the largest deviation, within a panel: views may be scaled."""


@dataclass(frozen=True)
class Traces:
    """Signals of some windows, at one level of augmentation.

    Attributes:
        title: `window`, or `view 1`.
        signal: (M, T), the first lead.
        beat: (M, T) whether an R-peak is there.
    """

    title: str
    signal: NDArray[np.float32]
    beat: NDArray[np.bool_]


def draw_views(lines: Sequence[Traces], names: Sequence[str], sample_rate: float, unit: str) -> Figure:
    """A column for each window, a line for each level; all panels have the window's length, a column one scale.

    Args:
        lines: The windows first, then their views.
        names: Of the windows.
        sample_rate: Hz.
        unit: Of the signal as the encoder sees it.
    """
    names = names[:MOST_COLUMNS]
    sheet = new_sheet(LINE_HEIGHT * len(lines) + 0.6)
    axes = sheet.subplots(len(lines), len(names), squeeze=False, sharex=True, sharey="col")
    for row, traces in enumerate(lines):
        for column, name in enumerate(names):
            axis = axes[row, column]
            _trace(axis, traces.signal[column], traces.beat[column], sample_rate)
            is_last = row == len(lines) - 1
            dress(axis, "s" if is_last else "", traces.title if column == 0 else "", name if row == 0 else "")
    for column in range(len(names)):
        most = max(float(np.abs(traces.signal[column]).max(initial=0)) for traces in lines)
        axes[0, column].set_xlim(0, lines[0].signal.shape[1] / sample_rate)
        axes[0, column].set_ylim(-ROOM * (most or 1), ROOM * (most or 1))
    caption = (
        f"{len(names)} windows of training, {unit}, and {len(lines) - 1} of their views as the first step could draw "
        "them; R-peaks marked. The marks move with the signal, and stay where a mask takes the peak away."
    )
    return Figure("Views", caption, to_png(sheet))


def _trace(axis: Axes, signal: NDArray[Any], beat: NDArray[np.bool_], sample_rate: float) -> None:
    time = np.arange(len(signal)) / sample_rate
    axis.plot(time, signal, color="black", linewidth=0.6, zorder=3)
    axis.plot(time[beat], signal[beat], "v", color=BEAT, markersize=3, zorder=4)
    axis.axhline(0, color=GREY, linewidth=0.4, zorder=2)


def window_name(store: str, subject: str) -> str:
    """Of a window, for a title: which store, whose."""
    return safe(f"{store}: {subject}", 24, is_id=True)
