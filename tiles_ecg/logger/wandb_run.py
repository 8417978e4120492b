"""Weights & Biases without surprises: online with a key, else offline, never a prompt, one run a folder."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from tiles_ecg import console
from tiles_ecg.logger.wandb_about import about_run, check_project
from tiles_ecg.logger.wandb_artifact import declare, leave, went_on_from
from tiles_ecg.logger.wandb_folder import end_service, kept_in, run_id
from tiles_ecg.logger.wandb_history import last_step, rows_between
from tiles_ecg.logger.wandb_loss import begin_run, spared
from tiles_ecg.logger.wandb_mode import Mode, check_mode, resolve_mode
from tiles_ecg.run_record import OVER, State

log = logging.getLogger(__name__)

INIT_TIMEOUT_S = 30.0
FINISH_TIMEOUT_S = 900.0
"""What the service is given to take what it has not taken yet, when a run ends; the rest is left to `wandb sync`."""
METRICS_FILE = "metrics.csv"
STEP = "trainer/global_step"
EXIT_CODE: dict[State, int] = {"finished": 0, "pruned": 0, "interrupted": 255, "preempted": 143}
"""Of a W&B run by how it ended, else 1. W&B shows 255 as killed, and what is marked as preempting as preempted."""


class WandbRun(WandbLogger):
    """Lightning's logger, whose run begins when the first thing is logged and ends with the job, as the job ended.

    Rows carry the trainer's step as W&B's own, and are sent when the step is over. A run that goes on from a checkpoint
    passes over the steps that its former attempt has sent, so that none is there twice and none goes back.

    W&B never ends a run: where it fails, that is told once, and the run goes on without it.

    Args:
        save_dir: The run folder.
        project: W&B project.
        entity: User or team; None for the key's own.
        mode: See `resolve_mode`; falls back to offline, with one line, if the service does not answer.
        group: Runs that belong together; null takes the sweep, else the protocol's hash of a run that is judged on a
            task.
        job_type: null takes what the run is: `pretrain`, `finetune`, `probe`, `fusion` or `evaluate`.
        tags: Beside those of what was chosen.
        artifacts: Whether the encoders that the run leaves, and its best checkpoint, are uploaded.

    Attributes:
        is_lost: Whether W&B has failed in this run.

    Raises:
        ConfigError: If the mode is `online` and there is no key, or W&B does not take the name of the project.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        entity: str | None = None,
        mode: Mode = "auto",
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        artifacts: bool = True,
    ) -> None:
        super().__init__(save_dir=save_dir, project=project)
        check_mode(mode)
        check_project(project)
        self.folder = Path(save_dir)
        self.entity = entity
        self.mode = mode
        self.group = group
        self.job_type = job_type
        self.tags = tuple(tags)
        self.artifacts = artifacts
        self.is_lost = False
        self._row: dict[str, Any] = {}
        self._row_step = -1
        self._sent = -1
        self._kept = contextlib.ExitStack()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, which this begins."""
        if self._experiment is None and not self.is_lost:
            self._experiment = self._begin()
        return self._experiment

    @rank_zero_only
    @spared
    def resume(self, step: int) -> None:
        """Go on with the run after the last step that it holds; what begins anew is a W&B run of its own.

        A row that an attempt had not sent when it was killed comes from `metrics.csv`, where that is kept.

        Args:
            step: Number of steps that will not be made again.
        """
        run_id(self.folder, is_anew=step == 0)
        run = self.experiment
        self._sent = last_step(self.folder, run.id, Path(run.dir).parent) if run.offline else run.step - 1
        for at, row in rows_between(self.folder / METRICS_FILE, self._sent, step):
            self.log_metrics(row, at)

    @rank_zero_only
    @spared
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The nested config, and the encoders that the run goes on from: in the config, and as its input."""
        config = dict(params)
        earlier = went_on_from(config)
        lineage = {name: artifact.described() for name, artifact in earlier.items()}
        self.experiment.config.update(config | ({"lineage": lineage} if lineage else {}), allow_val_change=True)
        for artifact in earlier.values():
            with self._told(f"{artifact.name} is not declared as its input"):
                declare(artifact, self.experiment)

    @rank_zero_only
    @spared
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Put values into the row of a step; None is the step of the last row."""
        _ = self.experiment  # begun
        at = self._row_step if step is None else step
        if at != self._row_step:
            self._send()
        self._row |= {name: float(value) if isinstance(value, Tensor) else value for name, value in metrics.items()}
        self._row_step = at

    @rank_zero_only
    @spared
    def log_picture(self, key: str, file: Path, caption: str, step: int) -> None:
        """Put a PNG into the row of a step."""
        import wandb

        self.log_metrics({key: wandb.Image(str(file), caption=caption)}, max(step, self._row_step))

    @rank_zero_only
    @spared
    def log_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        """Put a table into the row of a step."""
        import wandb

        table = wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        self.log_metrics({key: table}, max(step, self._row_step))

    @rank_zero_only
    @spared
    def log_facts(self, facts: Mapping[str, Any]) -> None:
        """Add to the config what is known only now."""
        self.experiment.config.update(dict(facts), allow_val_change=True)

    @rank_zero_only
    def end(self, state: State, metrics: Mapping[str, float]) -> None:
        """Finish the W&B run as the job ended, so that the next job begins its own.

        Args:
            state: How it ended. The row of a step that may have been cut in two is left to the attempt that goes on.
            metrics: Its last ones, for the summary.
        """
        run: Any = self._experiment
        self._experiment = None
        if run is None or self.is_lost:
            return
        self._finish(run, state, metrics)
        end_service(run)
        self._kept.close()

    def lose(self, error: Exception) -> None:
        """Have nothing of W&B left at work, not even what watches imports: it would fail in their places."""
        self.is_lost = True
        log.warning("W&B, run of %s: lost (%s: %s); going on without it", self.folder, type(error).__name__, error)
        end_service(self._experiment)
        self._kept.close()

    def _finish(self, run: Any, state: State, metrics: Mapping[str, float]) -> None:
        failure = {"error": _line(sys.exception())} if state == "failed" else {}
        with self._told("its summary is not complete"):
            if state in (*OVER, "preempted"):
                self._send(run)
            run.summary.update(dict(metrics) | {"state": state} | failure)
            if state == "pruned":
                run.tags = (*(run.tags or ()), "pruned")
            if state == "preempted":
                run.mark_preempting()
            if state in OVER and self.artifacts:
                leave(self.folder, run)
        with self._told("it may be shown as running"):
            run.finish(exit_code=EXIT_CODE.get(state, 1))

    def _begin(self) -> Any:
        """Begin the run, offline if the service does not answer, else not at all, and tell where it is."""
        import wandb.apis.public  # imported by wandb.init, from the depth of its calls, it takes three times as long

        mode = resolve_mode(self.mode)
        about = about_run(self.folder, console.choices(), self.tags)
        given: dict[str, Any] = {
            "name": about.name,
            "dir": str(self.folder),
            "id": run_id(self.folder),
            "project": self._project,
            "entity": self.entity,
            "group": self.group or about.group,
            "job_type": self.job_type or about.job_type,
            "tags": list(about.tags),
            "resume": "allow",
            "reinit": "finish_previous",
            "settings": wandb.Settings(
                init_timeout=INIT_TIMEOUT_S, finish_timeout=FINISH_TIMEOUT_S, finish_timeout_raises=True, silent=True
            ),
        }
        self._kept.enter_context(kept_in(self.folder / "wandb"))
        run, mode = begin_run(given, mode)
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        if mode == "online":
            log.info("W&B: %s", run.url)
        elif mode == "offline":
            log.info("W&B: offline; send it later with: wandb sync %s", Path(run.dir).parent)
        return run

    def _send(self, run: Any = None) -> None:
        """The row of the step before, unless a former attempt has sent it."""
        row, self._row = self._row, {}
        if row and self._row_step > self._sent:
            (run or self.experiment).log(row | {STEP: self._row_step}, step=self._row_step)
            self._sent = self._row_step

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """A failure of W&B is told of, and does not end a run or hide how it ended."""
        try:
            yield
        except Exception as error:
            log.warning("W&B, run of %s: %s (%s: %s)", self.folder, what, type(error).__name__, error)


def _line(error: BaseException | None) -> str:
    """What is being raised while the run ends."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
