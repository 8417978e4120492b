"""Outcomes of jobs, on the backends that joblib brings along."""

from collections.abc import Iterator
from typing import Any

import pytest
from joblib import delayed, parallel_config

import tiles_ecg.parallel
from tiles_ecg.parallel import outcomes_of
from tiles_ecg.source_part import Outcome
from tiles_ecg.store import StoreError

JOBS = [delayed(Outcome)(f"s{number}", n_windows=number) for number in range(6)]


@pytest.mark.parametrize("backend", ["loky", "threading", "sequential", "multiprocessing"])
def test_every_backend_gives_every_outcome_once(backend: str) -> None:
    with parallel_config(backend=backend, n_jobs=2), outcomes_of(JOBS, n_jobs=None) as outcomes:
        assert sorted(outcome.n_windows for outcome in outcomes) == list(range(6))


def test_a_block_that_ends_early_waits_for_no_more() -> None:
    with outcomes_of(iter(JOBS), n_jobs=1) as outcomes:
        assert next(outcomes) == Outcome("s0")


def test_a_killed_worker_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*_: Any) -> Iterator[Any]:
        raise tiles_ecg.parallel.TerminatedWorkerError("killed")
        yield

    monkeypatch.setattr(tiles_ecg.parallel, "Parallel", lambda **_: dying)
    with pytest.raises(StoreError, match=r"a worker process was killed.*n_jobs=1"), outcomes_of([], 1) as outcomes:
        next(outcomes)
