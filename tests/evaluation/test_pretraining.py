"""What an encoder was pre-trained on, as far as its stores are at hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.pretraining import audit_encoder
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.protocol import Fold, Plan
from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.store import Store
from tiles_ecg.task.target import assemble


def cohort(path: Path, seed: int = 5, low_hz: float = 0.5, window_s: float = 15.0) -> Path:
    """A store of four people; another seed, other people."""
    made: dict[str, Any] = {"n_subjects": 4, "sessions_per_subject": 2, "session_h": 0.2, "seed": seed}
    settings = {"sample_rate": 100.0, "low_hz": low_hz, "high_hz": 40.0, "window_s": window_s, "step_s": window_s}
    config = {"reader": made, "preparation": settings}
    return prepare(SyntheticReader(**made), Preparation(**settings), path, config, n_jobs=1, show_progress=False)


def candidate(*paths: Path, gone: str = "") -> Any:
    """Of an encoder that was trained on these stores, and on one that nobody has."""
    digests = [*(Store(path).digest for path in paths), *([gone] if gone else [])]
    about = SimpleNamespace(
        stores=tuple(digests),
        store_paths=tuple(map(str, paths)),
        labelled=(),
        sources=frozenset(),
        labelled_sources=frozenset(),
    )
    return SimpleNamespace(name="mine", about=about)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Windows, Plan]:
    """Every window of four people, two of whom are judged on."""
    windows = Windows([cohort(tmp_path_factory.mktemp("store") / "judged.h5")])
    every = np.arange(len(windows))
    target = assemble(
        windows, every, every, (every % 2).astype(np.int64), list(map(str, every)), name="made", kind="binary",
        level="window", classes=("no", "yes"), metric="auroc",
    )  # fmt: skip
    is_test = target.subject < 2
    fold = Fold(np.flatnonzero(~is_test), np.flatnonzero(is_test), ())
    return windows, Plan(target, target.subject, (fold,), "0" * 12, {}, ())


def test_a_leak_is_found_though_another_store_of_the_pre_training_is_gone(
    judged: tuple[Windows, Plan], tmp_path: Path
) -> None:
    same = cohort(tmp_path / "same.h5", low_hz=0.6)
    leak, unknown = audit_encoder(candidate(same, gone="0123"), [], *judged)
    assert not leak.passed
    assert "near-duplicates" in leak.detail
    assert "1 of 2 stores that mine was trained on are not at hand" in unknown.detail


def test_stores_of_one_training_after_another_may_have_been_prepared_differently(
    judged: tuple[Windows, Plan], tmp_path: Path
) -> None:
    shorter = cohort(tmp_path / "shorter.h5", window_s=10.0)
    other = cohort(tmp_path / "other.h5", seed=6)
    checks = audit_encoder(candidate(shorter, other), [], *judged)
    assert [check.passed for check in checks] == [False, True]
