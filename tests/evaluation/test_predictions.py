"""Predictions are written whole, read without running anything, and joined only where they belong together."""

import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.evaluation.predictions import Method, Predictions, PredictionsError, joined, load_predictions


def made(fold: int = 0, seed: int = 0, n: int = 4) -> Predictions:
    rng = np.random.default_rng(fold)
    return Predictions(
        method=Method("mine", "linear"),
        task="af",
        protocol="0123456789ab",
        kind="binary",
        classes=("rest", "af"),
        unit="",
        metric="auroc",
        n_folds=2,
        example_id=np.array([f"f{fold}-{i}" for i in range(n)]),
        subject=np.array([f"s{fold}-{i // 2}" for i in range(n)]),
        fold=np.full(n, fold),
        seed=np.full(n, seed),
        value=np.arange(n) % 2,
        score=rng.random((n, 2)),
        decision=np.zeros(n, np.int64),
        notes=(f"fold {fold}",),
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    predictions = made()
    found = load_predictions(predictions.save(tmp_path))
    for name in ("method", "task", "protocol", "kind", "classes", "unit", "metric", "n_folds", "notes"):
        assert getattr(found, name) == getattr(predictions, name)
    for name in ("example_id", "subject", "fold", "seed", "value", "score", "decision", "other_id"):
        np.testing.assert_array_equal(getattr(found, name), getattr(predictions, name))
    assert [path.name for path in tmp_path.iterdir()] == ["mine_linear_fold-0.npz"]


@pytest.mark.parametrize("content", [b"", b"not a file of numbers", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(PredictionsError, match=r"a\.npz: not predictions"):
        load_predictions(path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_pickled_array_in_the_file_runs_nothing(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "ran")
    assert pickle.loads(pickle.dumps(trap)) is None  # it does run where nothing stands in its way
    (tmp_path / "ran").unlink()
    buffer = io.BytesIO()
    np.savez(buffer, about=np.array(trap, object))
    path = tmp_path / "a.npz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(PredictionsError, match="not predictions"):
        load_predictions(path)
    assert not (tmp_path / "ran").exists()


def test_folds_are_joined_one_after_the_other() -> None:
    together = joined([made(0), made(1)])
    assert len(together) == 8
    assert together.fold.tolist() == [0] * 4 + [1] * 4
    assert together.notes == ("fold 0", "fold 1")


def test_an_example_predicted_twice_is_refused() -> None:
    with pytest.raises(PredictionsError, match="twice"):
        joined([made(0), made(0)])
    assert len(joined([made(0), made(0, seed=1)])) == 8


def test_two_protocols_do_not_go_together() -> None:
    with pytest.raises(PredictionsError, match="several protocols"):
        joined([made(0), replace(made(1), protocol="ffffffffffff")])
