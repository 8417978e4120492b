"""The data module of a task: who is on which side, how few labels are dealt out, and the seal on the test side."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.evaluation.audit import LeakError
from tiles_ecg.protocol import Protocol
from tiles_ecg.task.classification import Classification

TONE = Classification("tone", "tone", ["low", "high"], "recording")


def module(store: Path, **changed: Any) -> TaskDataModule:
    facts = {"batch_size": 8, "sample_rate": 100.0, "window_s": 2.0, "n_leads": 1}
    made = TaskDataModule(str(store), **({"task": TONE, "protocol": Protocol(3, 4)} | facts | changed))
    assert len(made.windows)
    return made


def people(made: TaskDataModule, rows: np.ndarray) -> set[str]:
    return {made.windows.subject_id[number] for number in np.unique(made.windows.subject[rows])}


def test_each_window_of_the_task_is_on_one_side_of_a_fold(tone_store: Path) -> None:
    made = module(tone_store)
    rows = np.concatenate([made.train_rows, made.val_rows, made.test_rows])
    np.testing.assert_array_equal(np.sort(rows), made.plan.target.row)
    sides = [people(made, side) for side in (made.train_rows, made.val_rows, made.test_rows)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12


def test_the_test_sides_of_all_folds_are_everyone_once(tone_store: Path) -> None:
    sides = [people(module(tone_store, fold=fold), module(tone_store, fold=fold).test_rows) for fold in range(3)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12


def test_test_windows_are_sealed_until_they_are_opened(tone_store: Path) -> None:
    made = module(tone_store)
    made.setup("fit")
    mixed = np.concatenate([made.train_rows[:2], made.test_rows[:3]])
    with pytest.raises(
        LeakError, match="3 windows of the test side of fold 0 were asked for before everything was chosen"
    ):
        made.gather(mixed)
    assert len(made.gather(np.concatenate([made.train_rows, made.val_rows])).index) == 80
    made.open_test()
    assert made.gather(mixed).index.tolist() == mixed.tolist()


def test_fewer_subjects_with_labels_are_among_more_and_all_stand_for_everyone(tone_store: Path) -> None:
    whole = module(tone_store)
    used = [
        people(made, np.concatenate([made.train_rows, made.val_rows]))
        for made in (module(tone_store, n_subjects=n) for n in (2, 4, 6, 8))
    ]
    assert [len(part) for part in used] == [2, 4, 6, 8]
    assert used[0] < used[1] < used[2] < used[3] == people(whole, np.concatenate([whole.train_rows, whole.val_rows]))
    assert all(not part & people(whole, whole.test_rows) for part in used)


def test_with_few_labels_validation_is_of_those_that_have_them(tone_store: Path) -> None:
    four, three = module(tone_store, n_subjects=4), module(tone_store, n_subjects=3)
    assert len(people(four, four.val_rows)) == 1
    assert len(three.val_rows) == 0
    assert three.val_dataloader() == []
    assert "too few to choose by" in three.notes[1]


def test_a_batch_larger_than_the_training_windows_becomes_all_of_them(
    tone_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert module(tone_store, batch_size=500).batch_size == 60
    assert "dataset.batch_size = 500: reduced to all 60 training windows" in caplog.text


def test_another_fold_or_protocol_is_not_gone_on_with(tone_store: Path) -> None:
    state = module(tone_store).state_dict()
    module(tone_store).load_state_dict(state)
    with pytest.raises(ConfigError, match="fold was 0, is 2"):
        module(tone_store, fold=2).load_state_dict(state)
    with pytest.raises(ConfigError, match="protocol was"):
        module(tone_store, protocol=Protocol(3, 4, seed=1)).load_state_dict(state)


def test_more_subjects_than_there_are_and_a_draw_of_all_are_refused(tone_store: Path) -> None:
    with pytest.raises(ConfigError, match=r"n_subjects = 9: fold 0 has 8 training subjects; choose at most 8, or null"):
        module(tone_store, n_subjects=9)
    with pytest.raises(ConfigError, match=r"dataset.draw = 1: all training subjects have labels"):
        module(tone_store, draw=1)


def test_no_task_and_no_such_fold_are_refused(tone_store: Path) -> None:
    with pytest.raises(ConfigError, match="give task=NAME"):
        module(tone_store, task=None)
    with pytest.raises(ConfigError, match=r"dataset.fold = 3: the protocol has 3 folds; choose 0 to 2"):
        module(tone_store, fold=3)
