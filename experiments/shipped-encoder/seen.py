"""What having seen a recording in pre-training, without its label, is worth to an encoder that is judged on it.

Pre-training kept a tenth of the subjects for validation; those were never trained on. The same predictions (one probe,
fitted on other people, for both) are judged on the recordings that were trained on and on those that were kept. By
chance one group may be harder than the other, whoever judges it: so the heart-rate control and a published encoder,
which were trained on neither, are judged on both as well. Recordings too short for a window of pre-training are
left out.

python experiments/shipped-encoder/seen.py --judged eval/frozen/cinc2017-cinc2017_af \
    --runs resnet8=reference resnet8_long=best
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score

from tiles_ecg.config import register_resolvers
from tiles_ecg.evaluation.controls import HEART_RATE
from tiles_ecg.evaluation.predictions import Predictions, load_predictions

N_RESAMPLES = 2000
CONTROLS = (HEART_RATE, "wildecg_resnet")
HEAD = (
    "task",
    "encoder",
    "kept (of the class)",
    "trained on",
    "kept",
    "difference",
    *(f"less that of {c}" for c in CONTROLS),
)
Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]


def sides_of(run: Path) -> tuple[list[str], list[str]]:
    """Ids of the subjects whose windows a run was trained on, and of those it kept for validation."""
    register_resolvers()
    data = instantiate(OmegaConf.load(run / "config.yaml").dataset, _convert_="all")
    windows = data.windows
    trained = set(np.unique(windows.subject[data.train_rows]).tolist())
    kept = set(np.unique(windows.subject).tolist()) - trained
    return [windows.subject_id[n] for n in trained], [windows.subject_id[n] for n in kept]


def predictions_of(task: Path, encoder: str) -> Predictions:
    """Those of the linear probe with all labels."""
    found = map(load_predictions, sorted((task / "predictions").glob("*.npz")))
    (one,) = (p for p in found if (p.method.encoder, p.method.head, p.method.n_subjects) == (encoder, "linear", None))
    return one


def differences(found: Predictions, picks: list[tuple[Rows, Rows]]) -> Numbers:
    """(picks,): AUROC on what was trained on less that on what was kept."""
    score, value = found.score[:, 1], found.value
    return np.array([np.subtract(*(roc_auc_score(value[side], score[side]) for side in pair)) for pair in picks])


def resampled(sides: tuple[Rows, Rows], value: NDArray[np.int64]) -> Iterator[tuple[Rows, Rows]]:
    """The two sides; then recordings drawn from each with replacement, as many of each class as there are."""
    yield sides
    rng = np.random.default_rng(0)
    groups = [[side[value[side] == code] for code in (0, 1)] for side in sides]
    for _ in range(N_RESAMPLES):
        first, second = (np.concatenate([rng.choice(rows, len(rows)) for rows in pair]) for pair in groups)
        yield first, second


def text(values: Numbers) -> str:
    """The first, and the middle 95 % of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def row_of(task: Path, name: str, subjects: tuple[list[str], list[str]]) -> list[str]:
    """Cells of an encoder on a task; none where that is not binary."""
    found = predictions_of(task, name)
    if found.kind != "binary":
        return []
    trained, kept = (np.flatnonzero(np.isin(found.subject, ids)) for ids in subjects)
    picks = list(resampled((trained, kept), found.value))
    own, *others = (differences(predictions_of(task, method), picks) for method in (name, *CONTROLS))
    values = [roc_auc_score(found.value[side], found.score[side, 1]) for side in (trained, kept)]
    count = f"{len(kept):,} ({found.value[kept].sum():,})"
    return [found.task, name, count, *(f"{v:.3f}" for v in values), text(own), *(text(own - other) for other in others)]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judged", type=Path, required=True, help="sweep folder of tiles-evaluate")
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN", help="pre-training of each encoder")
    given = parser.parse_args()
    runs = {name: sides_of(Path(run)) for name, _, run in (pair.partition("=") for pair in given.runs)}
    for cells in (HEAD, ["---"] * len(HEAD)):
        print(f"| {' | '.join(cells)} |")
    for task in sorted(path.parent for path in given.judged.glob("*/predictions")):
        for name, subjects in runs.items():
            if cells := row_of(task, name, subjects):
                print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
