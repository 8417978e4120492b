"""Fabricated runs: predictions of a known quality, in folders as tiles-evaluate and tiles-train leave them."""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.run_record import RunPruned, RunRecord
from tiles_ecg.sweep.plan import Job, SweepPlan, write_plan

N_SUBJECTS, N_WINDOWS, N_FOLDS = 20, 4, 5
HASH = "0123456789ab"
MAJORITY = Method("majority", "none", "control")
HEART_RATE = Method("heart rate and HRV", "linear", "control")
UNTRAINED = Method("untrained", "linear", "control")
SCRATCH = Method("from scratch", "fine-tuned", "control")
RESNET = Method("resnet8", "linear")
CHOICES = {"objective": "simclr", "task": "None", "encoder": "resnet8"}


def predict(
    method: Method = RESNET,
    quality: float = 1.0,
    *,
    kind: Any = "binary",
    task: str = "af",
    protocol: str = HASH,
    folds: Sequence[int] = range(N_FOLDS),
    seed: int = 0,
    metric: str | None = None,
) -> Predictions:
    """Predictions for 20 subjects with 4 examples each; `quality` is how far truth moves the score, in its SD."""
    rng = np.random.default_rng([seed, *f"{method.title}{method.n_subjects}{method.draw}".encode()])
    subject = np.repeat(np.arange(N_SUBJECTS), N_WINDOWS)
    fold = subject % N_FOLDS
    of_subject = rng.normal(0, 0.5, N_SUBJECTS)[subject]
    noise = of_subject + rng.normal(0, 1, len(subject))
    if kind == "regression":
        value = 60.0 + 3.0 * subject + np.arange(len(subject)) % N_WINDOWS
        score = (value + noise * 10 / max(quality, 0.1))[:, None]
        decision = np.zeros(0, np.int64)
    else:
        value = (subject // N_FOLDS) % 2
        logit = noise + quality * (2 * value - 1)
        positive = 1 / (1 + np.exp(-logit))
        score = np.stack([1 - positive, positive], axis=1)
        decision = (positive > 0.5).astype(np.int64)
    kept = np.isin(fold, list(folds))
    return Predictions(
        method=method,
        task=task,
        protocol=protocol,
        kind=kind,
        classes=() if kind == "regression" else ("rest", "AF"),
        unit="bpm" if kind == "regression" else "",
        metric=metric or {"regression": "mae"}.get(kind, "auroc"),
        n_folds=N_FOLDS,
        example_id=np.array([f"w{i}" for i in range(len(subject))])[kept],
        subject=np.array([f"s{i}" for i in subject])[kept],
        fold=fold[kept],
        seed=np.full(kept.sum(), seed),
        value=value[kept],
        score=score[kept],
        decision=decision[kept] if len(decision) else decision,
        notes=(f"{method.head}: chosen in the folds: 1, 1, 1, 1, 1",),
    )


def write_run(folder: Path, parts: Sequence[Predictions], about: dict[str, Any] | None = None, **facts: Any) -> Path:
    """A run folder with these predictions; `about` and `facts` replace parts of its protocol.json."""
    first = parts[0] if parts else predict()
    covered = {
        "version": 1,
        "task": first.task,
        "stores": ["9f3a"],
        "windows": {"sample_rate": 100.0, "window_s": 15.0, "n": N_SUBJECTS * N_WINDOWS},
        "kind": first.kind,
        "level": "window",
        "classes": list(first.classes),
        "unit": first.unit,
        "labels": "77aa",
        "examples": N_SUBJECTS * N_WINDOWS,
        "subjects": N_SUBJECTS,
        "folds": N_FOLDS,
        "inner_folds": 4,
        "seed": 0,
        "split": "55cc",
        "metric": first.metric,
        "selection": "on inner folds of the training subjects only",
        **(about or {}),
    }
    content = {
        "hash": first.protocol,
        "about": covered,
        "notes": ["3 windows without a value are left out"],
        "checks": [
            {"name": "subjects", "passed": True, "detail": "no subject on two sides", "is_unknown": False},
            {"name": "pretraining", "passed": False, "detail": "saw these recordings", "is_unknown": False},
            {"name": "sealed", "passed": True, "detail": "not at hand", "is_unknown": True},
        ],
        "encoders": {"resnet8": {"path": "runs/a", "step": 800, "notes": ["normalised by subject"]}},
        "command": f"tiles-evaluate task={first.task} dataset.store=a.h5 encoders=[runs/a]",
        "finished": True,
        **facts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.json").write_text(json.dumps(content))
    for part in parts:
        part.save(folder / "predictions")
    return folder


@pytest.fixture
def fabricate() -> Callable[..., Predictions]:
    """`predict`."""
    return predict


@pytest.fixture
def run_folder() -> Callable[..., Path]:
    """`write_run`."""
    return write_run


def write_run_of(
    folder: Path,
    metrics: dict[str, float] | None = None,
    state: str = "finished",
    overrides: Sequence[str] = (),
    config: dict[str, Any] | None = None,
    choices: dict[str, str] | None = None,
    step: int | None = 100,
) -> Path:
    """A run folder of tiles-train, by the record that real runs keep; `config` is put over a small one."""
    with contextlib.suppress(RuntimeError, RunPruned), RunRecord(folder, "tiles-train", choices or CHOICES, 100) as it:
        monitored = {"checkpoint": {"monitor": "val/loss", "mode": "min"}}
        content = {"seed": 0, "task": None, "callback": monitored, "dataset": {"batch_size": 64}, **(config or {})}
        (folder / "config.yaml").write_text(yaml.safe_dump(content))
        (folder / "command.json").write_text(json.dumps(list(overrides)))
        it.note(step, metrics or {})
        if state == "failed":
            raise RuntimeError("no space\nleft on the device")
        if state == "pruned":
            raise RunPruned
    if state in ("running", "stopped"):  # without a lock, the one is the other
        path = folder / "status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "state": "running"}))
    return folder


def write_sweep(
    folder: Path,
    jobs: Sequence[tuple[dict[str, str], dict[str, float] | str | None]],
    search: dict[str, str] | None = None,
    stages: Sequence[str] = (),
    **run: Any,
) -> Path:
    """A sweep: what varies, and the metrics of each job, or the state of one that did not finish (None: planned)."""
    planned = []
    for number, (varied, _) in enumerate(jobs):
        overrides = ("dataset.store=a.h5", *(f"{key}={value}" for key, value in varied.items()))
        stage = stages[number] if stages else ""
        name = ",".join(f"{key.rpartition('.')[2]}={value.replace('/', '-')}" for key, value in varied.items())
        planned.append(Job(f"{stage}{number}-{name}", overrides, varied, stage))
    write_plan(folder, SweepPlan("tiles-train", ("dataset.store=a.h5",), tuple(planned), "2026-11-22", search or {}))
    for job, (_, came_out) in zip(planned, jobs, strict=True):
        if isinstance(came_out, str):
            write_run_of(folder / job.name, None, came_out, job.overrides, **run)
        elif came_out is not None:
            write_run_of(folder / job.name, came_out, "finished", job.overrides, **run)
    return folder


@pytest.fixture
def trained() -> Callable[..., Path]:
    """`write_run_of`."""
    return write_run_of


@pytest.fixture
def sweep() -> Callable[..., Path]:
    """`write_sweep`."""
    return write_sweep
