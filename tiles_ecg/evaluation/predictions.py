"""Predictions: what a method said of every example it was judged on; the file that reports are made from."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.task.kind import Kind

FORMAT = "tiles_ecg predictions 1"
Role = Literal["encoder", "control"]


class PredictionsError(Exception):
    """A file of predictions cannot be used. The message names it, what is wrong, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class Method:
    """Who predicted.

    Attributes:
        encoder: Name of the encoder, or of a control: `majority`, `heart rate and HRV`, `untrained`, `from scratch`.
        head: How its embeddings became predictions: `linear`, `k-NN`, `fine-tuned`, `fusion`, `none`.
        role: Whether it is what is judged, or what it is judged against.
        n_subjects: Training subjects with labels in each fold, where they were fewer than all; else None.
        draw: Number of the draw of those subjects.
    """

    encoder: str
    head: str
    role: Role = "encoder"
    n_subjects: int | None = None
    draw: int = 0

    @property
    def title(self) -> str:
        """For a table."""
        return self.encoder if self.head == "none" else f"{self.encoder}, {self.head}"


@dataclass(frozen=True)
class Predictions:
    """Predictions for examples that the model had not seen, of one or more folds.

    For `verification` a row is a pair of windows of two recordings; `value` is 1 where they are of one subject.

    Attributes:
        method: Who predicted.
        task: Name of the task.
        protocol: Hash of the protocol.
        kind: Of the target.
        classes: Of the target.
        unit: Of the target.
        metric: That decides.
        n_folds: Folds of the protocol, whether these predictions have them all or not.
        example_id: (E,) str. For `verification` the first window of the pair, the one that is to be recognised.
        subject: (E,) str: group of subjects, which bootstraps draw.
        fold: (E,) int64.
        seed: (E,) int64: seed of the run that predicted.
        value: (E,) or (E, K): the truth, as in `Target.value`.
        score: (E, K) probabilities (two columns for `binary`), (E, 1) numbers for `regression` and similarities for
            `verification`.
        decision: (E,) int64 class codes, or (E, K) of 0 and 1, at thresholds chosen on inner folds; (E,) of 0 and 1
            for `verification`; empty (0,) for `regression`.
        other_id: (E,) str: the second window of a pair; empty (0,) else.
        other_subject: (E,) str: its group of subjects; empty (0,) else.
        notes: What was chosen, and what could not be.
    """

    method: Method
    task: str
    protocol: str
    kind: Kind
    classes: tuple[str, ...]
    unit: str
    metric: str
    n_folds: int
    example_id: NDArray[Any]
    subject: NDArray[Any]
    fold: NDArray[np.int64]
    seed: NDArray[np.int64]
    value: NDArray[Any]
    score: NDArray[np.float64]
    decision: NDArray[np.int64]
    other_id: NDArray[Any] = field(default_factory=lambda: np.zeros(0, "U1"))
    other_subject: NDArray[Any] = field(default_factory=lambda: np.zeros(0, "U1"))
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.example_id)

    def save(self, folder: Path) -> Path:
        """Write `<encoder>-<head>...npz` into a folder, whole or not at all; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._slug()}.npz"
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)}
        about = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {*arrays, "method"}}
        about |= {"format": FORMAT, "method": asdict(self.method)}
        scratch = path.with_name(f"{path.name}.tmp")
        with scratch.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
        os.replace(scratch, path)
        return path

    def _slug(self) -> str:
        method = self.method
        parts = [method.encoder, method.head]
        parts += [] if method.n_subjects is None else [f"{method.n_subjects}-subjects", f"draw-{method.draw}"]
        folds, seeds = np.unique(self.fold), np.unique(self.seed)
        parts += [f"fold-{folds[0]}"] if len(folds) == 1 else []
        parts += [f"seed-{seeds[0]}"] if len(seeds) == 1 and seeds[0] else []
        return re.sub(r"[^\w.+-]+", "-", "_".join(parts))


def load_predictions(path: Path) -> Predictions:
    """Read what `Predictions.save` wrote; nothing in the file is run.

    Raises:
        PredictionsError: If it is not such a file, or is cut short.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in file.files if name != "about"}
        if about.pop("format") != FORMAT:
            raise ValueError("of another format")
        about["method"] = Method(**about["method"])
        about["classes"], about["notes"] = tuple(about["classes"]), tuple(about["notes"])
        return Predictions(**about, **arrays)
    except Exception as error:
        raise PredictionsError(
            f"{path}: not predictions of tiles-evaluate or tiles-train ({type(error).__name__}: {error})"
        ) from error


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of one method from several folds or seeds, one after the other.

    Raises:
        PredictionsError: If they are of several protocols or methods, or an example is predicted twice by one seed.
    """
    first = parts[0]
    for name in ("method", "protocol", "task"):
        found = {getattr(part, name) for part in parts}
        if len(found) > 1:
            raise PredictionsError(f"predictions of several {name}s do not go together: {sorted(map(str, found))}")
    arrays: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(first)
        if isinstance(getattr(first, f.name), np.ndarray)
    }
    other = arrays["other_id"] if len(arrays["other_id"]) else arrays["example_id"]
    keys = list(zip(arrays["example_id"].tolist(), other.tolist(), arrays["seed"].tolist(), strict=True))
    if len(set(keys)) < len(keys):
        raise PredictionsError(f"{first.method.title} predicts some examples of {first.task} twice with one seed")
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return replace(first, notes=notes, **arrays)
