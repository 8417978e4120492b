"""Embedding map: some windows of a task as points of a plane, near each other where their embeddings are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from tiles_ecg.evaluation.archive import ArchiveError, file_stem, read_archive, write_archive
from tiles_ecg.task.target import Kind, Target

FORM = "tiles_ecg embedding map 1"
SUFFIX = ".map.npz"
N_COMPONENTS = 50
"""Principal components that t-SNE sees: van der Maaten and Hinton, JMLR 2008, section 4.2, use 30."""
FEWEST = 12
"""Different embeddings, below which neighbourhoods mean nothing and principal components are shown."""
PERPLEXITY = 30.0
"""Of t-SNE, or a third of the windows where that is less."""


@dataclass(frozen=True)
class EmbeddingMap:
    """Windows on a plane.

    Attributes:
        encoder: Whose embeddings.
        position: (M, 2) float32, no unit: t-SNE keeps neighbourhoods, not distances.
        example_id: (M,) str: the example that each window belongs to.
        subject: (M,) str.
        value: (M,) or (M, K): the truth, as in `Target.value`.
        classes: Of the target.
        unit: Of the target.
        kind: Of the target.
        method: `t-SNE`, or `PCA` where that could not be drawn.
        notes: Why not, and what was left out.
    """

    encoder: str
    position: NDArray[np.float32]
    example_id: NDArray[Any]
    subject: NDArray[Any]
    value: NDArray[Any]
    classes: tuple[str, ...]
    unit: str
    kind: Kind
    method: str = "t-SNE"
    notes: tuple[str, ...] = ()

    def save(self, folder: Path) -> Path:
        """Write `<encoder>.map.npz` into a folder, whole or not at all; returns its path."""
        about = {name: getattr(self, name) for name in ("encoder", "classes", "unit", "kind", "method", "notes")}
        arrays = {name: getattr(self, name) for name in ("position", "example_id", "subject", "value")}
        return write_archive(folder / f"{file_stem(self.encoder)}{SUFFIX}", FORM, about, arrays)


def load_embedding_map(path: Path) -> EmbeddingMap:
    """Read what `EmbeddingMap.save` wrote; nothing in the file is run.

    Raises:
        ArchiveError: If it is not such a file, or is cut short.
    """
    about, arrays = read_archive(path, FORM)
    try:
        about["classes"], about["notes"] = tuple(about["classes"]), tuple(about["notes"])
        return EmbeddingMap(**{**about, **arrays})
    except (KeyError, TypeError) as error:
        raise ArchiveError(f"{path}: an embedding map with other parts than this version's ({error})") from error


def embedding_map(
    encoder: str, embedding: NDArray[np.floating[Any]], target: Target, most: int = 1000, seed: int = 0
) -> EmbeddingMap:
    """Lay some windows of a target out on a plane by t-SNE of their embeddings; equal arguments, equal map.

    The windows are spread evenly over subjects. Embeddings are standardised, reduced to 50 principal components and
    laid out. Where too few of them differ, the first two principal components are shown, and a note says so.

    Args:
        encoder: Name of the encoder.
        embedding: (N, D), a row for each window of `target.row`.
        target: What is predicted.
        most: Windows to show.
        seed: Of the choice of windows.

    Raises:
        ValueError: If there is not one embedding for each window.

    References:
        van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008.
    """
    if embedding.ndim != 2 or len(embedding) != len(target.row):
        raise ValueError(
            f"embeddings of {encoder}: shape {embedding.shape}, but {target.name} has {len(target.row)} windows; "
            f"give ({len(target.row)}, D)"
        )
    notes = []
    usable = np.flatnonzero(np.isfinite(embedding).all(1))
    if len(usable) < len(embedding):
        notes.append(f"{len(embedding) - len(usable)} windows with embeddings that are not finite are left out")
    subject = target.subject[target.example]
    shown = usable[spread_over(subject[usable], most, seed)]
    position, method, note = _lay_out(np.asarray(embedding[shown], np.float64), seed)
    example = target.example[shown]
    return EmbeddingMap(
        encoder=encoder,
        position=position,
        example_id=np.array([target.example_id[i] for i in example], dtype=np.str_),
        subject=np.array([target.subject_id[i] for i in subject[shown]], dtype=np.str_),
        value=target.value[example],
        classes=target.classes,
        unit=target.unit,
        kind=target.kind,
        method=method,
        notes=(*notes, *note),
    )


def spread_over(group: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many positions, ascending, as evenly over groups as their sizes allow, by chance within them."""
    order = np.random.default_rng(seed).permutation(len(group))
    by_group = np.argsort(group[order], kind="stable")
    size = np.unique(group, return_counts=True)[1]
    turn = np.empty(len(group), np.int64)  # of a position: how many of its group come before it
    turn[by_group] = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    return np.sort(order[np.argsort(turn, kind="stable")[:most]])


def _lay_out(x: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float32], str, tuple[str, ...]]:
    """(M, D) -> (M, 2), the name of the method, and notes."""
    if len(x) == 0:
        return np.zeros((0, 2), np.float32), "PCA", ("no window has a finite embedding",)
    centred = x - x.mean(0)
    scale = centred.std(0)
    varies = scale > 1e-9 * np.maximum(np.abs(x).max(0), 1e-30)
    if not varies.any():
        return np.zeros((len(x), 2), np.float32), "PCA", ("all embeddings are the same: there is nothing to lay out",)
    z = centred[:, varies] / scale[varies]
    n_different = len(np.unique(np.round(z, 6), axis=0))
    with threadpool_limits(limits=1):  # the order of sums, and so the map, depends on the number of threads
        n_components = min(N_COMPONENTS, *z.shape)
        reduced = PCA(n_components, svd_solver="full").fit_transform(z)  # (M, D) -> (M, 50)
        if n_different < FEWEST or n_components < 2:
            flat = np.zeros((len(x), 2), np.float32)
            flat[:, : min(2, n_components)] = reduced[:, :2]
            return flat, "PCA", (_too_few(n_different, n_components),)
        perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
        layout = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed, n_jobs=1)
        return np.asarray(layout.fit_transform(reduced), np.float32), "t-SNE", ()


def _too_few(n_different: int, n_components: int) -> str:
    if n_components < 2:
        return "embeddings vary in one direction only: it is shown as it is"
    return f"only {n_different} windows differ in their embeddings: principal components are shown instead of t-SNE"
