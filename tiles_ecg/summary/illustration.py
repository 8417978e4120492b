"""Illustration: the figures of a section, from its predictions and from what runs kept for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tiles_ecg.evaluation.archive import ArchiveError
from tiles_ecg.evaluation.controls import UNTRAINED
from tiles_ecg.evaluation.embedding_map import load_embedding_map
from tiles_ecg.evaluation.gallery import load_gallery
from tiles_ecg.summary.document import Picture
from tiles_ecg.summary.figures import CurvePoint, figures
from tiles_ecg.summary.runs import Setback
from tiles_ecg.summary.section import Section
from tiles_ecg.summary.standing import Standing

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Illustration:
    """The figures of a section.

    Attributes:
        pictures: To be shown.
        notes: Which could not be drawn, and why.
        setbacks: Files that could not be read for them.
    """

    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    setbacks: tuple[Setback, ...] = ()


def illustrate(standing: Standing) -> Illustration:
    """Draw what there is to be drawn of a section; of several runs with a map of one encoder, the first is shown."""
    setbacks: list[Setback] = []
    maps = {one.encoder: one for one in _read(standing.section, "embedding/*.map.npz", load_embedding_map, setbacks)}
    shown = sorted(maps.values(), key=lambda one: (one.encoder.split(" (")[0] == UNTRAINED, one.encoder))
    galleries = {one.method: one for one in _read(standing.section, "gallery/*.npz", load_gallery, setbacks)}
    predictions = {row.entry.method.title: row.entry.predictions for row in standing.rows if row.entry.is_complete}
    intervals = {
        row.entry.method.title: (row.primary.value, row.primary.low, row.primary.high)
        for row in standing.rows
        if row.entry.is_complete
    }
    curve = [
        CurvePoint(point.method.title, point.n_subjects, point.estimate.value, point.estimate.low, point.estimate.high)
        for point in standing.points
    ]
    drawn = figures(predictions, shown, list(galleries.values()), curve, intervals)
    return Illustration(
        tuple(Picture(figure.title, figure.caption, figure.png) for figure in drawn if figure.is_drawn),
        tuple(f"{figure.title}: {figure.caption}" for figure in drawn if not figure.is_drawn),
        tuple(setbacks),
    )


def _read(section: Section, pattern: str, load: Callable[[Path], Kept], setbacks: list[Setback]) -> list[Kept]:
    """What the files hold, that of the first run last, so that it is the one to stay."""
    found = []
    for path in [path for run in section.runs for path in sorted(run.path.glob(pattern))]:
        try:
            found.append(load(path))
        except ArchiveError as error:
            setbacks.append(Setback(path, f"damaged: {str(error).removeprefix(f'{path}: ')}"))
    return found[::-1]
