"""TensorBoard events of a run folder: what the other loggers are given, without steps that are made again."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

log = logging.getLogger(__name__)


class TensorBoard(TensorBoardLogger):
    """Lightning's logger, told at which step a run goes on.

    Args:
        save_dir: The run folder; the events lie in `tensorboard/` in it.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="tensorboard", default_hp_metric=False)

    def resume(self, step: int) -> None:
        """Have TensorBoard hide what was logged at `step` and later before the run was interrupted."""
        self._kwargs["purge_step"] = step

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The config as text, nested as it is."""
        if self._kwargs.get("purge_step"):
            return  # it is there already
        text = yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True)
        indented = "\n".join(f"    {line}" for line in text.splitlines())  # code, in TensorBoard's markdown
        self.experiment.add_text("config", indented, 0)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Scalars of a step, in the file at once: those of before a checkpoint are not made again after a crash."""
        super().log_metrics(metrics, step)
        self.experiment.flush()

    @rank_zero_only
    def log_picture(self, key: str, file: Path, caption: str, step: int) -> None:
        """A PNG file, and its caption as text."""
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))  # (H, W, 3)
        self.experiment.add_image(key, pixels, step, dataformats="HWC")
        self.experiment.add_text(f"{key}/caption", caption, step)

    @rank_zero_only
    def log_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        """A table, as text."""
        lines = [list(columns), ["---"] * len(columns), *([_shown(value) for value in row] for row in rows)]
        self.experiment.add_text(key, "\n".join(f"| {' | '.join(line)} |" for line in lines), step)

    @rank_zero_only
    def save(self) -> None:
        """Write what is logged; the run folder holds the config."""
        self.experiment.flush()

    @rank_zero_only
    def end(self, state: str, metrics: Any) -> None:
        """Write everything, and close the file; a failure of that hides nothing of how the run ended."""
        if self._experiment is not None:
            try:
                self._experiment.close()
            except OSError as error:
                log.warning("TensorBoard, run of %s: its last rows are not kept (%s)", self.save_dir, error)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
