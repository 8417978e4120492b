"""TensorBoard events of a run folder, without the steps that a resumed run makes again."""

from lightning.pytorch.loggers import TensorBoardLogger


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
