"""Numbers that experiments/ reports, taken anew from the raw recordings by plain scikit-learn."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tiles_ecg.config import config_directory, register_resolvers
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.ingest import prepare
from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.trained_encoder import load_encoder

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
PENALTIES = (1.0, 0.1, 1e-2, 1e-3, 1e-4)  # as docs/evaluation.md says, relative to the mean loss
SEEDS = (0, 1, 2)  # of the untrained encoders


@pytest.fixture(scope="module")
def windows(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Windows:
    """ECG-ID in windows of 10 s, prepared as `tiles-prepare` does it."""
    register_resolvers()
    store = tmp_path_factory.mktemp("store") / "ecgiddb.h5"
    given = [f"reader.root={real_data / 'ecgiddb'}", "preparation.window_s=10", "preparation.step_s=10"]
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        cfg = compose("prepare", ["reader=ecgiddb", f"store={store}", *given])
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    config = {"reader": plain["reader"], "preparation": plain["preparation"]}
    parts = (instantiate(cfg[name], _convert_="all") for name in ("reader", "preparation"))
    prepare(*parts, store, config, n_jobs=1, show_progress=False)
    return Windows([store])


def plan_of(windows: Windows, task: str) -> Plan:
    node = OmegaConf.load(config_directory() / "task" / f"{task}.yaml")
    target = instantiate(node, _convert_="all").target(windows, np.arange(len(windows)))
    return Protocol().plan(windows, target)


def published(experiment: str, task: str, encoder: str, metric: str) -> dict[str, str]:
    with (EXPERIMENTS / experiment / "results.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["task"], row["encoder"], row["head"], row["metric"]) == (task, encoder, "linear", metric)
            and not row["training_subjects"]
        ]
    assert len(rows) == 1
    return rows[0]


def nested(x: NDArray[Any], plan: Plan, make: Any, said: Any, is_better: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Truth and prediction of every person by nested loops; the penalty is the best on the inner folds."""
    target = plan.target

    def predict(train: NDArray[Any], new: NDArray[Any], penalty: float) -> NDArray[Any]:
        at, to = (np.flatnonzero(np.isin(target.example, examples)) for examples in (train, new))
        weight = 1 / np.bincount(target.example)[target.example[at]]  # every person weighs the same
        output = said(make(x[at], target.value[target.example[at]], weight / weight.mean(), penalty), x[to])
        return np.array([output[target.example[to] == person].mean() for person in new])

    truth, found = [], []
    for fold in plan.folds:
        scores = []
        for penalty in PENALTIES:
            inner = [(target.value[new], predict(train, new, penalty)) for train, new in fold.inner]
            scores.append(is_better(*(np.concatenate(side) for side in zip(*inner, strict=True))))
        best = PENALTIES[int(np.argmax(scores))]
        truth.append(target.value[fold.test])
        found.append(predict(fold.train, fold.test, best))
    return np.concatenate(truth), np.concatenate(found)


def logistic(x: NDArray[Any], y: NDArray[Any], weight: NDArray[Any], penalty: float) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (penalty * len(x)), max_iter=5000))
    return model.fit(x, y, standardscaler__sample_weight=weight, logisticregression__sample_weight=weight)


def ridge(x: NDArray[Any], y: NDArray[Any], weight: NDArray[Any], penalty: float) -> Any:
    model = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(x)))
    return model.fit(x, y, standardscaler__sample_weight=weight, ridge__sample_weight=weight)


def intervals_of(windows: Windows) -> NDArray[np.float64]:
    """The features of docs/evaluation.md, window by window, from the R-peaks in the store."""
    store = windows.stores[0]
    rows = []
    for row in range(len(store)):
        beats = store.beat_position[store.beat_offset[row] : store.beat_offset[row + 1]]
        rr = np.diff(beats) * 10.0  # ms, at 100 Hz
        a_minute = len(beats) * 6.0
        if len(rr) < 3:
            rows.append([75, 750, 850, 30, 30, 0.1, 0.04, 1, 40, a_minute, 1])
            continue
        sdnn, rmssd = np.std(rr, ddof=1), np.sqrt(np.mean(np.diff(rr) ** 2))
        quarters = np.percentile(rr, [25, 75])
        shape = [rmssd / sdnn if sdnn else 0.0, quarters[1] - quarters[0], a_minute, 0.0]
        share = np.mean(np.abs(np.diff(rr)) > 50)
        rows.append([60000 / np.median(rr), rr.min(), rr.max(), sdnn, rmssd, share, sdnn / rr.mean(), *shape])
    return np.array(rows, np.float64)


def test_the_auroc_of_sex_from_heart_rate_features(windows: Windows) -> None:
    plan = plan_of(windows, "ecgiddb_sex")
    row = published("first-evaluation", "ecgiddb_sex", "heart rate and HRV", "auroc")
    assert plan.hash == row["protocol"]
    x = intervals_of(windows)[plan.target.row]
    truth, said = nested(x, plan, logistic, lambda model, new: model.predict_proba(new)[:, 1], roc_auc_score)
    assert roc_auc_score(truth, said) == pytest.approx(float(row["value"]), abs=0.003)


def test_the_error_of_age_from_untrained_encoders(windows: Windows) -> None:
    plan = plan_of(windows, "ecgiddb_age")
    row = published("first-evaluation", "ecgiddb_age", "untrained", "mae")
    assert plan.hash == row["protocol"]
    node = OmegaConf.load(config_directory() / "encoder" / "resnet8.yaml")
    architecture = OmegaConf.create({"dataset": {"n_leads": 1}, "encoder": node}).encoder
    signal = windows.gather(plan.target.row).signal
    errors = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        encoder = instantiate(architecture, _convert_="all").eval()
        with torch.no_grad():
            x = torch.cat([encoder(part) for part in signal.split(64)]).numpy().astype(np.float64)
        truth, said = nested(
            x, plan, ridge, lambda model, new: model.predict(new), lambda a, b: -mean_absolute_error(a, b)
        )
        errors.append(mean_absolute_error(truth, said))
    assert np.mean(errors) == pytest.approx(float(row["value"]), abs=0.02)  # years


@pytest.mark.parametrize("name", ["resnet8", "resnet8_long"])
def test_the_auroc_of_sex_from_a_shipped_encoder(windows: Windows, name: str) -> None:
    plan = plan_of(windows, "ecgiddb_sex")
    row = published("shipped-encoder", "ecgiddb_sex", name, "auroc")
    encoder = load_encoder(f"tiles-ecg/{name}")
    assert (plan.hash, encoder.about.digest) == (row["protocol"], row["weights"])
    x = encoder.embed(windows.gather(plan.target.row).signal).astype(np.float64)
    truth, said = nested(x, plan, logistic, lambda model, new: model.predict_proba(new)[:, 1], roc_auc_score)
    assert roc_auc_score(truth, said) == pytest.approx(float(row["value"]), abs=0.003)
