"""A made-up plan: windows of subjects, with embeddings that say something of their class."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.task.target import Target

MakePlan = Callable[..., tuple[NDArray[np.float32], Plan]]


@pytest.fixture(scope="session")
def make_plan() -> MakePlan:
    """Called with a kind, gives embeddings (N, D) and a plan: recordings of 2 windows, 2 recordings a subject."""
    return _make


def _make(
    kind: Any = "binary",
    n_subjects: int = 40,
    signal: float = 1.0,
    metric: str = "",
    level: Any = "recording",
    **protocol: int,
) -> tuple[NDArray[np.float32], Plan]:
    rng = np.random.default_rng(3)
    n_windows_each = 1 if kind == "verification" else 2
    recording = np.arange(2 * n_subjects)
    subject = recording // 2
    latent = rng.standard_normal(n_subjects)[subject] + 0.3 * rng.standard_normal(len(recording))
    classes: tuple[str, ...] = ()
    value: NDArray[Any] = latent.astype(np.float64)
    if kind == "binary":
        value, classes = (latent > 0.3).astype(np.int64), ("rest", "af")
    elif kind == "multiclass":
        value, classes = np.digitize(latent, [-0.5, 0.5]).astype(np.int64), ("low", "middle", "high")
    elif kind == "multilabel":
        value, classes = np.stack([latent > 0, latent > 0.7], axis=1).astype(np.int64), ("S", "V")
    elif kind == "verification":
        value, classes = subject.astype(np.int64), tuple(f"s{i}" for i in range(n_subjects))
    example = np.repeat(np.arange(len(recording)), n_windows_each)
    identity = rng.standard_normal((n_subjects, 8))[subject[example]]
    x = identity + 0.5 * rng.standard_normal((len(example), 8))
    x[:, 0] = signal * latent[example] + rng.standard_normal(len(example))
    target = Target(
        "made up",
        kind,
        level,
        classes,
        "mV" if kind == "regression" else "",
        metric or {"regression": "mae", "verification": "eer"}.get(kind, "auroc"),
        np.arange(len(example)),
        example,
        value,
        subject,
        tuple(f"s{i}" for i in range(n_subjects)),
        tuple(f"r{i}" for i in recording),
        recording,
    )
    stores: Any = SimpleNamespace(stores=[SimpleNamespace(digest="d", sample_rate=100.0, window_s=10.0)])
    return x.astype(np.float32), Protocol(**protocol).plan(stores, target)
