"""The windows of every step."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.loader import EvalLoader, TrainLoader, spread

ROWS = np.arange(100, 123)


def gather(rows: NDArray[np.int64]) -> EcgBatch:
    index = torch.from_numpy(rows.copy())
    return EcgBatch(index.float()[:, None, None], index[:, None] > 0, index, index)


def drawn(n_steps: int = 12, seed: int = 0, start: int = 0, rank: int = 0, world_size: int = 1) -> list[list[int]]:
    loader = TrainLoader(ROWS, 6, n_steps, seed, gather, lambda: start, rank, world_size)
    return [batch.index.tolist() for batch in loader]


def test_an_epoch_shows_every_window_at_most_once() -> None:
    batches = drawn()
    for epoch in range(4):
        shown = [row for batch in batches[3 * epoch : 3 * epoch + 3] for row in batch]
        assert len(shown) == len(set(shown)) == 18
        assert set(shown) <= set(ROWS.tolist())


def test_over_many_epochs_every_window_is_shown() -> None:
    assert {row for batch in drawn(60) for row in batch} == set(ROWS.tolist())


def test_every_epoch_has_another_order() -> None:
    batches = drawn()
    assert len({tuple(row for batch in batches[3 * e : 3 * e + 3] for row in batch) for e in range(4)}) == 4


def test_another_seed_gives_another_order_and_the_same_seed_the_same() -> None:
    assert drawn(seed=0) == drawn(seed=0)
    assert drawn(seed=0) != drawn(seed=1)


@pytest.mark.parametrize("start", [0, 1, 3, 5, 11, 12])
def test_a_loader_begun_in_the_middle_equals_the_tail_of_an_uninterrupted_one(start: int) -> None:
    assert drawn(start=start) == drawn()[start:]


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_processes_together_have_the_global_batch(world_size: int) -> None:
    shares = [drawn(rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [[row for part in parts for row in part] for parts in zip(*shares, strict=True)] == drawn()


def test_too_few_windows_for_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="23 training windows do not fill a batch of 24"):
        TrainLoader(ROWS, 24, 1, 0, gather)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 6 does not divide among 4 processes"):
        TrainLoader(ROWS, 6, 1, 0, gather, world_size=4)


def test_a_run_resumed_with_other_data_is_refused() -> None:
    state = TrainLoader(ROWS, 6, 10, 0, gather).state_dict()
    TrainLoader(ROWS, 6, 20, 0, gather).load_state_dict(state)
    with pytest.raises(ConfigError, match="batch_size was 6, is 5; seed was 0, is 1"):
        TrainLoader(ROWS, 5, 10, 1, gather).load_state_dict(state)


def test_an_eval_loader_shows_every_window_once_in_order() -> None:
    loader = EvalLoader(ROWS, 10, gather)
    assert len(loader) == 3
    assert [batch.index.tolist() for batch in loader] == [ROWS[:10].tolist(), ROWS[10:20].tolist(), ROWS[20:].tolist()]


def test_spread_takes_rows_evenly_from_first_to_last() -> None:
    assert spread(np.arange(11), 3).tolist() == [0, 5, 10]
    assert spread(np.arange(3), 5).tolist() == [0, 1, 2]
    assert spread(np.arange(3), 0).tolist() == []
