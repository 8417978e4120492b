"""Early stopping: a metric that nothing logs, and a patience of none, show before the run."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., Path]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("callback.early_stopping.monitor=val/aurok", "monitor = val/aurok: no validation logs it; choose one of"),
        ("callback.early_stopping.monitor=train/loss", "monitor = train/loss: no validation logs it; choose one of"),
        ("callback.early_stopping.patience=0", "callback.early_stopping.patience = 0: out of range"),
    ],
)
def test_a_mistake_is_answered_before_the_first_step(
    finetune: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        finetune("run", override)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_pre_training_has_no_selection_to_stop_by(tiles_train: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "+callback@callback.early_stopping=early_stopping")
    assert end.value.code == 2
    assert "callback.early_stopping.monitor = val/selection: no validation logs it" in capsys.readouterr().err


def test_pre_training_stops_by_its_own_loss(tiles_train: Run) -> None:
    stop = {"monitor": "val/loss", "mode": "min", "patience": 1, "min_delta": 100.0}
    options = [f"callback.early_stopping.{key}={value}" for key, value in stop.items()]
    folder = tiles_train("run", "+callback@callback.early_stopping=early_stopping", *options, "trainer.max_steps=30")
    assert len((folder / "metrics.csv").read_text().splitlines()) < 20
