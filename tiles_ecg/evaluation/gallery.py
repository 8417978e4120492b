"""Gallery: the windows that a method predicts best and worst, to be looked at."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.archive import ArchiveError, file_stem, read_archive, write_archive
from tiles_ecg.evaluation.predictions import Method, Predictions, PredictionsError
from tiles_ecg.evaluation.ranking import Ranking, rank
from tiles_ecg.task.target import Target

FORM = "tiles_ecg gallery 1"
MIXED = "mixed"


@dataclass(frozen=True)
class Gallery:
    """Windows of examples that were predicted best, best first, and then of those predicted worst, worst first.

    Attributes:
        method: Who predicted.
        sample_rate: Hz.
        unit: Of the signal; `mixed` where stores differ.
        signal: (G, C, T) float32 as it lies in the store, not normalised.
        beat: (G, T) bool, True at R-peaks.
        example_id: (G,) str.
        truth: (G,) str, for a title.
        said: (G,) str: what was predicted, and the probability given to that.
        is_best: (G,) bool.
    """

    method: Method
    sample_rate: float
    unit: str
    signal: NDArray[np.float32]
    beat: NDArray[np.bool_]
    example_id: NDArray[Any]
    truth: NDArray[Any]
    said: NDArray[Any]
    is_best: NDArray[np.bool_]

    def save(self, folder: Path) -> Path:
        """Write `<encoder>_<head>.npz` into a folder, whole or not at all; returns its path."""
        about = {"method": asdict(self.method), "sample_rate": self.sample_rate, "unit": self.unit}
        names = ("signal", "beat", "example_id", "truth", "said", "is_best")
        path = folder / f"{file_stem(self.method.encoder, self.method.head)}.npz"
        return write_archive(path, FORM, about, {name: getattr(self, name) for name in names})


def load_gallery(path: Path) -> Gallery:
    """Read what `Gallery.save` wrote; nothing in the file is run.

    Raises:
        ArchiveError: If it is not such a file, or is cut short.
    """
    about, arrays = read_archive(path, FORM)
    try:
        about["method"] = Method(**about["method"])
        return Gallery(**{**about, **arrays})
    except (KeyError, TypeError) as error:
        raise ArchiveError(f"{path}: a gallery with other parts than this version's ({error})") from error


def gallery(predictions: Predictions, target: Target, windows: Windows, n: int = 6) -> Gallery:
    """The best and the worst predicted examples, each shown by the middle one of its windows.

    The best are those whose truth got the highest probability (regression: the smallest error; verification: queries
    whose most similar window of the same subject is the furthest above the best impostor), in turn of each class; the
    worst the reverse, wrong ones before right ones. Of a subject at most one is shown while there are others. Of
    several seeds the first is looked at, and examples without a finite score are not.

    Args:
        predictions: Of one method, of any number of folds.
        target: What was predicted.
        windows: Of the stores.
        n: Of the best, and of the worst; fewer where there are not as many examples.

    Raises:
        PredictionsError: If an example is not among those of the target.
    """
    ranking = rank(_of_first_seed(predictions))
    worst = _pick([~ranking.is_right, ranking.is_right], np.argsort(ranking.goodness, kind="stable"), ranking, n)
    worst = worst[: len(ranking) // 2]
    left = np.ones(len(ranking), bool)
    left[worst] = False
    best = _pick([ranking.is_right & left, ~ranking.is_right & left], _in_turn(ranking), ranking, n)
    best = best[np.argsort(-ranking.goodness[best], kind="stable")]
    chosen = np.concatenate([best, worst])
    example_id = ranking.example_id[chosen]
    signal, beat, unit = _read(windows, _middle_rows(target, example_id, predictions))
    return Gallery(
        method=predictions.method,
        sample_rate=windows.sample_rate,
        unit=unit,
        signal=signal,
        beat=beat,
        example_id=example_id,
        truth=ranking.truth[chosen],
        said=ranking.said[chosen],
        is_best=np.arange(len(chosen)) < len(best),
    )


def _of_first_seed(predictions: Predictions) -> Predictions:
    """Each example (verification: pair) once."""
    other = predictions.other_id if len(predictions.other_id) else predictions.example_id
    first, second = (
        np.unique(name, return_inverse=True)[1].astype(np.int64) for name in (predictions.example_id, other)
    )
    order = np.argsort(predictions.seed, kind="stable")
    once = np.sort(order[np.unique((first * len(predictions) + second)[order], return_index=True)[1]])
    kept = {
        name: getattr(predictions, name)[once] if len(getattr(predictions, name)) else getattr(predictions, name)
        for name in ("example_id", "subject", "fold", "seed", "value", "score", "decision", "other_id", "other_subject")
    }
    return replace(predictions, **kept)


def _in_turn(ranking: Ranking) -> NDArray[np.int64]:
    """The best of each stratum, then the second of each, and so on."""
    order = np.argsort(-ranking.goodness, kind="stable")
    turn = np.zeros(len(order), np.int64)
    for code in np.unique(ranking.stratum):
        of_code = order[ranking.stratum[order] == code]
        turn[of_code] = np.arange(len(of_code))
    return order[np.argsort(turn[order], kind="stable")]


def _pick(tiers: Iterable[NDArray[np.bool_]], order: NDArray[np.int64], ranking: Ranking, n: int) -> NDArray[np.int64]:
    """The first `n` in an order, tier by tier, and within a tier first those of subjects that are not shown yet."""
    chosen: list[int] = []
    seen: set[str] = set()
    for is_of_tier in tiers:
        waiting = order[is_of_tier[order]].tolist()
        for may_repeat in (False, True):
            for at in waiting:
                subject = str(ranking.subject[at])
                if len(chosen) < n and at not in chosen and (may_repeat or subject not in seen):
                    chosen.append(at)
                    seen.add(subject)
    return np.array(chosen, np.int64)


def _middle_rows(target: Target, example_id: NDArray[Any], predictions: Predictions) -> NDArray[np.int64]:
    """Rows of `Windows`: the middle window of each example."""
    number = {name: i for i, name in enumerate(target.example_id)}
    rows = []
    for name in example_id.tolist():
        if name not in number:
            raise PredictionsError(
                f"{predictions.method.title} predicts {name!r}, which is not an example of {target.name}; give the "
                "target that it was judged on"
            )
        of_example = target.row[target.example == number[name]]
        rows.append(int(of_example[len(of_example) // 2]))
    return np.array(rows, np.int64)


def _read(windows: Windows, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_], str]:
    """Signal (G, C, T) as stored, R-peaks (G, T), and the unit."""
    signal = np.empty((len(rows), *windows.shape), np.float32)
    which = np.searchsorted(windows.first_row, rows, side="right") - 1
    units = set()
    for number in np.unique(which).tolist():
        chosen = np.flatnonzero(which == number)
        signal[chosen] = windows.stores[number].signal.gather(rows[chosen] - windows.first_row[number])
        units.add(windows.stores[number].unit)
    beat = windows.gather(rows).beat.numpy()
    return signal, beat, units.pop() if len(units) == 1 else MIXED
