"""Planning: tiles-train and tiles-evaluate find the same plan, near-duplicates stay on one side, leaks are told."""

from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation import planning
from tiles_ecg.evaluation.planning import plan_for
from tiles_ecg.protocol import Protocol
from tiles_ecg.task.classification import Classification

TONE = Classification("tone", "tone", ["low", "high"], "recording")


def test_the_hash_depends_on_protocol_and_task_and_not_on_normalisation(tone_store: Path) -> None:
    def code(folds: int = 3, seed: int = 0, normalise: str = "subject", level: str = "recording") -> str:
        task = Classification("tone", "tone", ["low", "high"], level)  # type: ignore[arg-type]
        return plan_for(Windows([tone_store], normalise), task, Protocol(folds, 4, seed))[0].hash  # type: ignore[arg-type]

    assert code() == code(normalise="none")
    assert len({code(), code(4), code(seed=1), code(level="window")}) == 4


def test_windows_are_searched_for_duplicates_once_in_a_process(
    tone_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    search = planning.near_duplicates
    monkeypatch.setattr(planning, "_searched", {})
    monkeypatch.setattr(planning, "near_duplicates", lambda *given: calls.append(1) or search(*given))
    for seed in range(3):
        plan_for(Windows([tone_store]), TONE, Protocol(3, 4, seed))
    assert len(calls) == 1
    plan_for(Windows([tone_store]), TONE, Protocol(3, 4), float(np.median(Windows([tone_store]).quality)) + 1e-6)
    assert len(calls) == 2


def test_subjects_with_a_duplicate_window_are_never_parted(tone_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiles_ecg.evaluation.duplicates import Duplicate

    windows = Windows([tone_store])
    first, second = np.flatnonzero(windows.subject == 2)[0], np.flatnonzero(windows.subject == 9)[0]
    monkeypatch.setattr(planning, "_searched", {})
    monkeypatch.setattr(planning, "near_duplicates", lambda *_: [Duplicate(int(first), int(second), 0.999, 0.0)])
    plan, checks = plan_for(windows, TONE, Protocol(3, 4))
    assert all(check.passed for check in checks)
    assert any("person-02 = person-09" in note for note in plan.notes)
    for fold in plan.folds:
        for side in (fold.train, fold.test, *(part for pair in fold.inner for part in pair)):
            people = set(plan.target.subject[side].tolist())
            assert {2, 9} <= people or not {2, 9} & people


def test_no_window_of_sufficient_quality_is_a_mistake(tone_store: Path) -> None:
    windows = Windows([tone_store])
    windows.quality = windows.quality * 0.5
    with pytest.raises(ConfigError, match=r"dataset.min_quality = 1.0: no window is that good; the best reaches 0"):
        plan_for(windows, TONE, Protocol(3, 4), 1.0)
