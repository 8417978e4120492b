"""The data module: which windows train, which validate, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.datamodule import EcgDataModule
from tiles_ecg.store import Store, StoreError


def module(store: Any, **changed: Any) -> EcgDataModule:
    facts = {"batch_size": 8, "sample_rate": 100.0, "window_s": 15.0, "n_leads": 1, "val_share": 0.34}
    made = EcgDataModule([str(path) for path in store] if isinstance(store, list) else str(store), **(facts | changed))
    assert len(made.windows)
    return made


def subjects(made: EcgDataModule, rows: np.ndarray) -> set[str]:
    return {made.windows.subject_id[number] for number in np.unique(made.windows.subject[rows])}


def test_no_subject_is_on_both_sides(small_store: Path) -> None:
    made = module(small_store)
    assert len(subjects(made, made.val_rows)) == 2
    assert not subjects(made, made.train_rows) & subjects(made, made.val_rows)
    assert len(made.train_rows) + len(made.val_rows) == len(made.windows)


def test_the_split_does_not_depend_on_the_order_of_the_stores(small_store: Path, other_store: Path) -> None:
    one, other = module([small_store, other_store]), module([other_store, small_store])
    assert subjects(one, one.val_rows) == subjects(other, other.val_rows)


def test_another_seed_validates_on_other_subjects(small_store: Path) -> None:
    assert len({frozenset(subjects(m, m.val_rows)) for m in (module(small_store, seed=s) for s in range(6))}) > 1


def test_windows_of_low_quality_are_on_neither_side(small_store: Path) -> None:
    worst = float(np.quantile(Store(small_store).quality, 0.3))
    made = module(small_store, min_quality=worst)
    used = np.concatenate([made.train_rows, made.val_rows])
    np.testing.assert_array_equal(np.sort(used), np.flatnonzero(Store(small_store).quality >= worst))


def test_validation_windows_are_spread_evenly_where_there_are_too_many(small_store: Path) -> None:
    everything, few = (np.sort(module(small_store, **kept).val_rows) for kept in ({}, {"val_windows": 5}))
    assert len(few) == 5
    assert set(few) <= set(everything)
    assert (few[0], few[-1]) == (everything[0], everything[-1])


def test_windows_held_on_the_device_make_the_same_batches(small_store: Path) -> None:
    from_disk, held = module(small_store), module(small_store, on_device=True)
    held.setup("fit")
    for a, b in zip(from_disk.gather(np.arange(7)), held.gather(np.arange(7)), strict=True):
        assert torch.equal(a, b)


def test_a_store_of_another_rate_is_refused_with_what_would_be_right(small_store: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"dataset.sample_rate = 250.0: .*small.h5 has 100.0; give dataset.sample_rate"
    ):
        module(small_store, sample_rate=250.0)


def test_all_differences_from_the_store_are_told_at_once(small_store: Path) -> None:
    with pytest.raises(ConfigError) as told:
        module(small_store, window_s=10.0, n_leads=12)
    assert [line.split(" = ")[0] for line in told.value.problems] == ["dataset.window_s", "dataset.n_leads"]


def test_too_few_windows_for_a_batch_are_refused(small_store: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset.batch_size = 500: only 96 training windows are left of 144"):
        module(small_store, batch_size=500)


def test_a_quality_that_no_window_has_is_refused(small_store: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset.min_quality = 1.0: no window is that good; the best reaches 0"):
        module(small_store, min_quality=1.0)


def test_a_missing_store_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none.h5: no such store; make it with: tiles-prepare"):
        module(tmp_path / "none.h5")


def test_a_resumed_run_must_have_the_same_stores(small_store: Path, other_store: Path) -> None:
    state = module(small_store).state_dict()
    module(small_store).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"dataset.store: .*other.h5 does not hold what the run"):
        module(other_store).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"dataset.normalise = none: .* was trained with subject"):
        module(small_store, normalise="none").load_state_dict(state)


def test_validation_windows_come_in_a_mixed_order_that_stays_the_same(small_store: Path) -> None:
    rows = module(small_store).val_rows
    assert np.array_equal(rows, module(small_store).val_rows)
    assert (np.diff(rows) == 1).mean() < 0.2  # neighbours in the store are not neighbours in a batch
