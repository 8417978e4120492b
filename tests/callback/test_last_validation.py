"""A validation after the last step."""

from collections.abc import Callable
from pathlib import Path


def test_a_run_validates_after_its_last_step_whatever_the_interval(tiles_train: Callable[..., Path]) -> None:
    folder = tiles_train("run", "trainer.val_check_interval=100", "trainer.max_steps=3")
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    at = header.split(",").index("val/loss")
    assert [row.split(",")[0] for row in rows if row.split(",")[at]] == ["2"]
    assert (folder / "checkpoints" / "best.ckpt").exists()
