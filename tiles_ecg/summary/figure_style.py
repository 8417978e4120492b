"""What all figures of a report share: colours, sizes, text that is safe to draw, and small PNG files.

Nothing here touches pyplot or the settings of matplotlib, so that figures can be drawn in threads.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from tiles_ecg.evaluation.predictions import Predictions

DrawStyle = Literal["default", "steps-pre"]
Dash = Literal["-"] | tuple[int, tuple[float, ...]]

DPI = 110
USUAL_LINES = 3
"""Of a legend; more make the figure higher."""
WIDTH = 8.0
"""Inches: 880 pixels."""
SMALL, NORMAL = 8.0, 9.0
"""Points, of type: 12 and 14 pixels."""
INK, GREY, FAINT = "#1f1f1f", "#6b6b6b", "#e3e3e3"
STRONG = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""For the colour-blind too: Okabe and Ito, Color Universal Design, 2008, without yellow and black."""
GREYS = ("#4d4d4d", "#8c8c8c", "#6b6b6b", "#a8a8a8")
DASHES: tuple[Dash, ...] = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
CONTROLS = frozenset({"majority", "mean", "heart rate and HRV", "untrained", "from scratch"})
N_COLOURS = 96


class NotDrawn(Exception):
    """A figure has nothing to show; the message says why."""


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes:
        title: A few words.
        caption: What is to be seen, and of how many examples and subjects.
        png: The picture, 880 pixels wide.
        is_drawn: False where there was nothing to show: the picture is a narrow strip with the reason, as the caption.
    """

    title: str
    caption: str
    png: bytes
    is_drawn: bool = True


@dataclass(frozen=True)
class Look:
    """How a method looks in every figure."""

    colour: str
    dash: Dash
    is_control: bool

    @property
    def width(self) -> float:
        """Of its lines, in points."""
        return 1.3 if self.is_control else 1.9

    @property
    def layer(self) -> int:
        """Encoders lie above controls."""
        return 3 if self.is_control else 4

    def draw(self, axis: Axes, x: ArrayLike, y: ArrayLike, marker: str = "", steps: DrawStyle = "default") -> None:
        """A line of the method in a panel."""
        axis.plot(
            x, y, color=self.colour, linestyle=self.dash, linewidth=self.width, marker=marker, markersize=5,
            markerfacecolor="white" if self.is_control else self.colour, drawstyle=steps, zorder=self.layer,
        )  # fmt: skip

    def handle(self, marker: str = "") -> Artist:
        """For a legend."""
        face = "white" if self.is_control else self.colour
        return Line2D(
            [],
            [],
            color=self.colour,
            linestyle=self.dash,
            linewidth=self.width,
            marker=marker,
            markersize=5,
            markerfacecolor=face,
        )


def looks_of(predictions: Mapping[str, Predictions], others: Iterable[str] = ()) -> dict[str, Look]:
    """One look a method: strong colours for encoders, greys and dashes for controls.

    Args:
        predictions: By title.
        others: Titles of further methods; a control is known by its name.
    """
    is_control = {title: one.method.role == "control" for title, one in predictions.items()}
    for title in others:
        is_control.setdefault(title, title.split(",")[0] in CONTROLS)
    looks: dict[str, Look] = {}
    n_encoders = n_controls = 0
    for title, control in is_control.items():
        if control:
            looks[title] = Look(GREYS[n_controls % len(GREYS)], DASHES[n_controls % len(DASHES)], True)
            n_controls += 1
        else:
            dash = ("-", *DASHES)[n_encoders // len(STRONG) % (1 + len(DASHES))]
            looks[title] = Look(STRONG[n_encoders % len(STRONG)], dash, False)
            n_encoders += 1
    return looks


def new_sheet(height: float, width: float = WIDTH, is_laid_out: bool = True) -> Sheet:
    """An empty figure of so many inches."""
    sheet = Sheet(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained" if is_laid_out else None)
    FigureCanvasAgg(sheet)
    return sheet


def panels(n: int, columns: int, height: float, width: float = WIDTH) -> tuple[Sheet, list[Axes]]:
    """A figure with `n` panels, so many a line, each so many inches high."""
    columns = min(columns, n)
    lines = -(-n // columns)
    sheet = new_sheet(height * lines + 0.5, width)
    axes = list(sheet.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[n:]:
        axis.remove()
    return sheet, axes[:n]


def dress(axis: Axes, x: str = "", y: str = "", title: str = "", has_grid: bool = True) -> None:
    """Labels, type sizes, grid and spines of a panel."""
    axis.set_xlabel(safe(x, 70), fontsize=NORMAL, color=INK)
    axis.set_ylabel(safe(y, 70), fontsize=NORMAL, color=INK)
    if title:
        axis.set_title(safe(title), fontsize=NORMAL, color=INK, loc="left")
    axis.tick_params(labelsize=SMALL, length=3, color=GREY, labelcolor=INK)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(GREY)
    if has_grid:
        axis.grid(color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)


def outer_labels(axes: Sequence[Axes], columns: int) -> None:
    """Of panels with equal axes: numbers and labels only in the first column, and below the last of each column."""
    for number, axis in enumerate(axes):
        if number % columns:
            axis.set_ylabel("")
            axis.tick_params(labelleft=False)
        if number + columns < len(axes):
            axis.set_xlabel("")
            axis.tick_params(labelbottom=False)


def legend_below(sheet: Sheet, handles: Sequence[Artist], names: Sequence[str], columns: int = 3) -> None:
    """A legend under all panels, where it covers nothing."""
    longest = max(map(len, names), default=0)
    columns = max(1, min(columns, len(names), 2 if longest > 30 else columns))
    n_lines = -(-len(names) // columns)
    sheet.set_figheight(sheet.get_figheight() + 0.17 * max(0, n_lines - USUAL_LINES))
    sheet.legend(
        list(handles), [safe(name) for name in names], loc="outside lower center", ncols=columns,
        fontsize=SMALL, frameon=False, handlelength=3.2, columnspacing=1.8,
    )  # fmt: skip


def safe(text: str, most: int = 40, is_id: bool = False) -> str:
    """Text as it is to be read, once: no formulas, not too long, never hidden from a legend."""
    line = shortened(text, most, is_id)
    return (f" {line}" if line.startswith("_") else line).replace("$", r"\$")


def shortened(text: str, most: int, is_id: bool = False) -> str:
    """One line of at most so many characters; of an id the end stays."""
    line = " ".join(str(text).split())
    if len(line) <= most:
        return line
    return f"…{line[1 - most :]}" if is_id else f"{line[: most - 1]}…"


def about(one: Predictions, *others: Predictions) -> str:
    """How many examples, subjects, folds and seeds; of methods that are shown together, the seeds of all."""
    n_examples, n_subjects = len(np.unique(one.example_id)), len(np.unique(one.subject))
    n_folds, n_seeds = len(np.unique(one.fold)), [len(np.unique(each.seed)) for each in (one, *others)]
    few, many = min(n_seeds), max(n_seeds)
    parts = [f"{n_folds} folds" if n_folds > 1 else "1 fold"]
    parts += [f"{many} seeds" if few == many else f"{few} to {many} seeds"] if many > 1 else []
    pooled = " pooled" if n_folds > 1 or many > 1 else ""
    return f"{n_examples:,} examples of {n_subjects:,} subjects, {', '.join(parts)}{pooled}"


def to_png(sheet: Sheet, n_colours: int = N_COLOURS) -> bytes:
    """The picture with a palette, which takes a third of the bytes."""
    canvas = sheet.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    if sheet.get_layout_engine() is not None:
        sheet.draw_without_rendering()  # panels of fixed proportions find their place in two rounds
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
    index, palette = with_palette(pixels, n_colours)
    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True, dpi=(DPI, DPI))
    return file.getvalue()


def with_palette(pixels: NDArray[np.uint8], n_colours: int = N_COLOURS) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The commonest colours as they are, so that a mark has the colour of its legend, and those furthest from them.

    Args:
        pixels: (H, W, 3).
        n_colours: At most; half of them are the commonest.

    Returns:
        (H, W) positions in the palette, and the palette (n, 3), n at most `n_colours`.
    """
    packed = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    codes, which, count = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.float32)
    chosen = np.argsort(-count, kind="stable")[: n_colours // 2].tolist()
    distance = np.full(len(codes), np.inf, np.float32)
    nearest = np.zeros(len(codes), np.uint8)
    for number in range(min(n_colours, len(codes))):
        if number == len(chosen):
            chosen.append(int(distance.argmax()))
        to_this = np.square(colours - colours[chosen[number]]).sum(1)
        nearest[to_this < distance] = number
        distance = np.minimum(distance, to_this)
    return nearest[which].reshape(packed.shape), colours[chosen].astype(np.uint8)


def strip(title: str, reason: str) -> Figure:
    """Stands where a figure could not be drawn."""
    sheet = new_sheet(0.4, is_laid_out=False)
    sheet.text(0.01, 0.5, safe(f"{title}: not drawn; {reason}", 130), fontsize=NORMAL, color=GREY, va="center")
    return Figure(title, f"Not drawn: {reason}.", to_png(sheet), is_drawn=False)
