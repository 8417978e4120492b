"""What having seen a recording in pre-training, without its label, is worth to an encoder that is judged on it.

Pre-training kept a tenth of the subjects for validation; those were never trained on. The same predictions (one probe,
fitted on other people, for both) are judged on the recordings that were trained on and on those that were not. Some
recordings are harder than others, whoever judges them: so the heart-rate control, which saw nothing, is judged on both.

python experiments/shipped-encoder/seen.py --judged outputs/shipped-encoder/frozen/cinc2017 \
    --runs resnet8=outputs/shipped-encoder/resnet8 resnet8_long=outputs/shipped-encoder/resnet8_long
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
Numbers = NDArray[np.float64]


def trained_on(run: Path) -> set[str]:
    """Ids of the subjects whose windows a run was trained on."""
    register_resolvers()
    data = instantiate(OmegaConf.load(run / "config.yaml").dataset, _convert_="all")
    windows = data.windows
    return {windows.subject_id[number] for number in np.unique(windows.subject[data.train_rows]).tolist()}


def predictions_of(task: Path, encoder: str) -> Predictions:
    """Those of the linear probe with all labels."""
    found = map(load_predictions, sorted((task / "predictions").glob("*.npz")))
    (one,) = (p for p in found if (p.method.encoder, p.method.head, p.method.n_subjects) == (encoder, "linear", None))
    return one


def aurocs(found: Predictions, is_seen: NDArray[np.bool_], picks: list[tuple[NDArray[np.int64], ...]]) -> Numbers:
    """(1 + resamples, 2): AUROC on what was trained on and on what was not; the first row without resampling."""
    rows = [tuple(np.flatnonzero(side) for side in (is_seen, ~is_seen)), *picks]
    score, value = found.score[:, 1], found.value
    return np.array([[roc_auc_score(value[side], score[side]) for side in pair] for pair in rows])


def resampled(is_seen: NDArray[np.bool_], value: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Recordings drawn with replacement, on each side as many of each class as there are."""
    rng = np.random.default_rng(0)
    groups = [[np.flatnonzero((is_seen == side) & (value == code)) for code in (0, 1)] for side in (True, False)]
    for _ in range(N_RESAMPLES):
        yield tuple(np.concatenate([rng.choice(rows, len(rows)) for rows in pair]) for pair in groups)


def text(values: Numbers) -> str:
    """The first, and the middle 95 % of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judged", type=Path, required=True, help="sweep folder of tiles-evaluate")
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN", help="pre-training of each encoder")
    given = parser.parse_args()
    print(
        "| task | encoder | not trained on (of the class) | trained on | not | difference | less that of heart rate |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    runs = {name: trained_on(Path(run)) for name, _, run in (pair.partition("=") for pair in given.runs)}
    for folder in sorted(path.parent for path in given.judged.glob("*/predictions")):
        for name, seen in runs.items():
            found, control = predictions_of(folder, name), predictions_of(folder, HEART_RATE)
            if found.kind != "binary":
                continue
            assert (found.example_id == control.example_id).all()
            is_seen = np.isin(found.subject, sorted(seen))
            picks = list(resampled(is_seen, found.value))
            own, other = (aurocs(p, is_seen, picks) for p in (found, control))
            more, extra = own[:, 0] - own[:, 1], (own[:, 0] - own[:, 1]) - (other[:, 0] - other[:, 1])
            count = f"{(~is_seen).sum():,} ({found.value[~is_seen].sum():,})"
            cells = [found.task, name, count, *(f"{value:.3f}" for value in own[0]), text(more), text(extra)]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
