"""Figure of embedding maps: what lies near what, by label and by subject."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tiles_ecg.evaluation.embedding_map import EmbeddingMap
from tiles_ecg.summary.figure_style import INK, NORMAL, SMALL, STRONG, Figure, NotDrawn, new_sheet, safe, to_png

MOST_MAPS = 3
"""In one figure."""
CLASS_COLOURS = ("#332288", "#CC6677", "#44AA99", "#DDCC77", "#88CCEE", "#117733", "#AA4499", "#999933", "#882255")
"""Tol, Colour schemes, SRON/EPS/TN/09-002, 2021, `muted`: also for the colour-blind, and not those of methods."""
REST = "#c9c9c9"
MARKERS = ("o", "^")
MOST_SUBJECTS = len(STRONG) * len(MARKERS)
FEWEST_WINDOWS = 3
"""Of the subject with most, for a picture of subjects to say anything."""
NONE = "none of them"

Looks = Mapping[str, tuple[str, str]]
"""Colour and marker by name; what is not named is grey."""


def draw_maps(maps: Sequence[EmbeddingMap]) -> list[Figure]:
    """Maps by label and by subject, up to three encoders a figure."""
    usable = [one for one in maps if len(one.position) and np.isfinite(one.position).all()]
    if not usable:
        raise NotDrawn("no encoder has windows with finite embeddings")
    return [_draw(usable[at : at + MOST_MAPS]) for at in range(0, len(usable), MOST_MAPS)]


def _draw(maps: Sequence[EmbeddingMap]) -> Figure:
    by_label = maps[0].kind != "verification"
    by_subject = not by_label or max(np.unique(one.subject, return_counts=True)[1].max() for one in maps) >= (
        FEWEST_WINDOWS
    )
    aspects = [name for name, is_shown in (("label", by_label), ("subject", by_subject)) if is_shown]
    is_one = len(maps) == 1
    if is_one:
        sheet = new_sheet(4.6, 8.0 if len(aspects) > 1 else 5.5)
        axes = sheet.subplots(1, len(aspects), squeeze=False).T
    else:
        sheet = new_sheet((3.1 if len(maps) == 2 else 2.5) * len(aspects) + 0.1)
        axes = sheet.subplots(len(aspects), len(maps), squeeze=False)
    size = float(np.clip(7000 / len(maps[0].position) / len(maps), 8, 40))
    for aspect, line in zip(aspects, axes, strict=True):
        for one, axis in zip(maps, line, strict=True):
            _frame(axis, one)
        if aspect == "label" and maps[0].kind == "regression":
            _by_number(line, maps, size)
        elif aspect == "label":
            names = [_class_names(one) for one in maps]
            _by_name(line, maps, names, _class_looks(maps[0], names), size, aspect)
        else:
            _by_name(line, maps, [one.subject for one in maps], _subject_looks(maps), size, aspect)
    return Figure("Embedding map", _caption(maps, aspects), to_png(sheet))


def _frame(axis: Axes, one: EmbeddingMap) -> None:
    axis.set_title(safe(one.encoder + ("" if one.method == "t-SNE" else f" ({one.method})")), fontsize=NORMAL)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color(REST)
    axis.margins(0.04)


def _by_number(line: Sequence[Axes], maps: Sequence[EmbeddingMap], size: float) -> None:
    value = np.concatenate([one.value.astype(np.float64) for one in maps])
    low, high = np.nanquantile(value, [0.02, 0.98]) if np.isfinite(value).any() else (0.0, 1.0)
    for axis, one in zip(line, maps, strict=True):
        x, y = one.position.T
        shown = axis.scatter(x, y, c=one.value.astype(np.float64), s=size, vmin=low, vmax=high, cmap="viridis", lw=0)
        below = axis.inset_axes((0.15, -0.07, 0.7, 0.035))
        bar = axis.figure.colorbar(shown, cax=below, orientation="horizontal")
        bar.set_label(safe(one.unit or "value"), fontsize=SMALL)
        below.tick_params(labelsize=SMALL)
        below.spines[:].set_visible(False)


def _by_name(
    line: Sequence[Axes], maps: Sequence[EmbeddingMap], names: Sequence[NDArray[Any]], looks: Looks, size: float,
    title: str,
) -> None:  # fmt: skip
    for axis, one, of_map in zip(line, maps, names, strict=True):
        is_rest = ~np.isin(of_map, list(looks))
        x, y = one.position.T
        axis.scatter(x[is_rest], y[is_rest], s=size, color=REST, linewidths=0, zorder=2)
        order = np.random.default_rng(0).permutation(len(of_map))  # so that no class hides another
        for marker in MARKERS:
            shown = order[np.isin(of_map[order], [name for name, look in looks.items() if look[1] == marker])]
            colours = [looks[str(name)][0] for name in of_map[shown]]
            axis.scatter(x[shown], y[shown], s=size, c=colours or None, marker=marker, linewidths=0, zorder=3)
    rest = set(np.concatenate(names).tolist()) - set(looks)
    _legend(line[-1], looks, len(rest), title, is_below=len(maps) == 1)


def _legend(axis: Axes, looks: Looks, n_rest: int, title: str, is_below: bool) -> None:
    entries = [*looks.values(), *([(REST, "o")] if n_rest else [])]
    names = [safe(name, 18, is_id=title == "subject") for name in looks] + ([f"{n_rest:,} others"] if n_rest else [])
    handles = [Line2D([], [], color=colour, marker=marker, linestyle="", ms=6) for colour, marker in entries]
    longest = max(map(len, names), default=0)
    columns = (2 if longest > 12 else 3 if longest > 8 else 4) if is_below else 1
    axis.legend(
        handles, names, loc="upper center" if is_below else "center left",
        bbox_to_anchor=(0.5, -0.02) if is_below else (1.02, 0.5), ncols=columns, title=title, title_fontsize=SMALL,
        fontsize=SMALL, frameon=False, handletextpad=0.1, columnspacing=1.0, labelcolor=INK,
    )  # fmt: skip


def _class_names(one: EmbeddingMap) -> NDArray[Any]:
    """(M,) name of the class of each window; of several, the rarest."""
    if one.kind != "multilabel":
        return np.asarray(np.array(one.classes, np.str_)[one.value])
    count = one.value.sum(0)
    code = np.full(len(one.value), len(count), np.int64)
    for k in np.argsort(-count, kind="stable"):
        code[one.value[:, k] == 1] = k  # the rarest comes last, and stays
    return np.asarray(np.array([*one.classes, NONE], np.str_)[code])


def _class_looks(one: EmbeddingMap, names: Sequence[NDArray[Any]]) -> Looks:
    """Of the classes that occur, in their order; of many the most frequent."""
    found, count = np.unique(np.concatenate(names), return_counts=True)
    frequent = set(found[np.argsort(-count, kind="stable")[: len(CLASS_COLOURS)]].tolist())
    shown = [name for name in (*one.classes, NONE) if name in frequent]
    return {name: (CLASS_COLOURS[i], MARKERS[0]) for i, name in enumerate(shown)}


def _subject_looks(maps: Sequence[EmbeddingMap]) -> Looks:
    """Of those with most windows."""
    found, count = np.unique(np.concatenate([one.subject for one in maps]), return_counts=True)
    frequent = found[np.argsort(-count, kind="stable")[:MOST_SUBJECTS]].tolist()
    return {name: (STRONG[i % len(STRONG)], MARKERS[i // len(STRONG)]) for i, name in enumerate(sorted(frequent))}


def _caption(maps: Sequence[EmbeddingMap], aspects: Sequence[str]) -> str:
    n, n_subjects = len(maps[0].position), len(np.unique(maps[0].subject))
    method = "t-SNE" if all(one.method == "t-SNE" for one in maps) else "t-SNE or, where named, principal components"
    parts = [
        f"{n:,} windows of {n_subjects:,} subjects, spread evenly over subjects, by {' and by '.join(aspects)}; "
        f"{method}: distances between groups mean nothing."
    ]
    if maps[0].kind == "multilabel":
        parts.append("A window with several labels has the colour of the rarest.")
    if "subject" not in aspects:
        parts.append("Not by subject: none has more than two windows.")
    return " ".join([*parts, *(f"{one.encoder}: {note}." for one in maps for note in one.notes)])
