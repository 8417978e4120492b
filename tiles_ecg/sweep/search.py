"""The search: points are drawn, their jobs launched in batches, and what came of them told, until there are enough."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from shlex import join
from typing import Literal

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from tiles_ecg.run_record import RunStatus, read_status
from tiles_ecg.sweep.plan import Job, SweepPlan, key_of, write_plan
from tiles_ecg.sweep.search_space import Point, Space, as_overrides, combinations, trial_name, varied
from tiles_ecg.sweep.search_study import Attempt, SearchStudy

HOPELESS = 3
"""So many failures without one success, and no more trials are begun."""
Launch = Callable[[Sequence[Job], int], Sequence[RunStatus]]
"""Jobs, and the number of the first -> what became of each."""


@dataclass(frozen=True)
class Wanted:
    """What a search is asked for.

    Attributes:
        n_trials: Jobs in all, those of before a resumption included.
        n_jobs: How many are launched together.
        monitor: The metric of a trial; its best over the run, since that is of the weights that a run keeps as best.
        direction: Whether less or more of it is better.
        storage: A file, or the address of a database.
        study: Its name in there.
        sampler: Makes Optuna's sampler.
        pruner: Optuna's.
        watch: Makes the overrides by which a job follows its trial, of the trial's number.
    """

    n_trials: int
    n_jobs: int
    monitor: str
    direction: Literal["minimize", "maximize"]
    storage: str
    study: str
    sampler: Callable[..., BaseSampler]
    pruner: BasePruner
    watch: Callable[[int], Sequence[str]]


class Search:
    """Goes on with a study, or begins one, until it has as many trials as are wanted.

    A trial is written into the study before its job starts, and told what came of it after. So one that was running
    when the search was killed is still running in the study: its job is launched again, with the same values, in the
    same folder, and goes on from its checkpoint, or is over already. A job that failed is tried again where a search is
    resumed.

    Args:
        wanted: See there.
        fixed: Overrides that all trials have.
        space: What is drawn from.
        folder: The sweep's.
        plan: Of the sweep; its jobs are written there before they start.
        launch: See there.
        is_resumed: Whether the study may be there.

    Raises:
        SweepError: If the study is of another search, or a grid has no end.
    """

    def __init__(
        self,
        wanted: Wanted,
        fixed: Sequence[str],
        space: Space,
        folder: Path,
        plan: SweepPlan,
        launch: Launch,
        is_resumed: bool,
    ) -> None:
        self.wanted = wanted
        self.fixed = tuple(fixed)
        self.folder = folder
        self.plan = plan
        self._launch = launch
        made = getattr(wanted.sampler, "func", wanted.sampler)
        self._points = combinations(space) if getattr(made, "is_exhaustive", False) else []
        about = {"monitor": wanted.monitor, **_by_key(self.fixed)}
        self.study = SearchStudy(
            wanted.storage, wanted.study, wanted.direction, space, about, wanted.sampler, wanted.pruner, is_resumed
        )
        self.n_trials = min(wanted.n_trials, len(self._points)) if self._points else wanted.n_trials

    def run(self) -> list[Job]:
        """Run all trials that are not over; the jobs of the plan."""
        left = [attempt for attempt in self.study.attempts() if attempt.state == TrialState.RUNNING]
        left += [self._again(attempt) for attempt in self.study.attempts() if self._has_failed(attempt)]
        left.sort(key=lambda attempt: attempt.job)
        self._write()
        while batch := self._batch(left):
            self._write()
            jobs = [self._job(attempt) for attempt in batch]
            first = [job.name for job in self.plan.jobs].index(jobs[0].name)
            for attempt, status in zip(batch, self._launch(jobs, first), strict=True):
                self._tell(attempt, status)
            self._write()
        return list(self.plan.jobs)

    def _has_failed(self, attempt: Attempt) -> bool:
        return attempt.state == TrialState.FAIL and read_status(self.folder / attempt.job).state == "failed"

    def _again(self, attempt: Attempt) -> Attempt:
        return self.study.add(attempt.job, attempt.point)

    def _batch(self, left: list[Attempt]) -> list[Attempt]:
        """The next trials to launch together: first those of `left`, which it shortens, then new ones."""
        batch, left[:] = left[: self.wanted.n_jobs], left[self.wanted.n_jobs :]
        while len(batch) < self.wanted.n_jobs and not self._is_enough():
            number = len(self.study.attempts())
            point = self.study.draw(self._points)
            batch.append(self.study.add(trial_name(number, point), point))
        return batch

    def _is_enough(self) -> bool:
        states = [attempt.state for attempt in self.study.attempts()]
        return len(states) >= self.n_trials or self._is_hopeless(states)

    def _is_hopeless(self, states: Sequence[TrialState]) -> bool:
        return states.count(TrialState.FAIL) >= HOPELESS and not {TrialState.COMPLETE, TrialState.PRUNED} & set(states)

    def _job(self, attempt: Attempt) -> Job:
        overrides = (*self.fixed, *as_overrides(attempt.point), *self.wanted.watch(attempt.number))
        return Job(attempt.job, overrides, varied(attempt.point))

    def _tell(self, attempt: Attempt, status: RunStatus) -> None:
        """Tell the study what came of a trial; one that is not over stays as it is, to be gone on with."""
        name, monitor = attempt.job, self.wanted.monitor
        if status.state == "finished":
            value = status.metrics.get(f"best/{monitor}")
            if value is None or isnan(value):
                self.study.tell(attempt, TrialState.FAIL)
                _say(f"{name}: finished without a value of {monitor}; it counts as failed")
                return
            self.study.tell(attempt, TrialState.COMPLETE, value)
            best = self.study.best()
            rest = "the best so far" if best and best.job == name else f"best so far {best.value:.5g}" if best else ""
            _say(f"{name}: {monitor} = {value:.5g}, {rest}")
        elif status.state == "pruned":
            self.study.tell(attempt, TrialState.PRUNED)
            _say(f"{name}: pruned at step {status.step}")
        elif status.state == "failed":
            self.study.tell(attempt, TrialState.FAIL)

    def _write(self) -> None:
        """Keep the plan in step with the study."""
        attempts, wanted = self.study.attempts(), self.wanted
        about = {
            "monitor": wanted.monitor, "direction": wanted.direction, "n_trials": str(self.n_trials),
            "study": wanted.study, "storage": wanted.storage,
        }  # fmt: skip
        best = self.study.best()
        if best is not None:
            about |= {"best": best.job, "value": repr(best.value), "overrides": " ".join(as_overrides(best.point))}
        self.plan = replace(self.plan, jobs=tuple(map(self._job, attempts)), search=about)
        write_plan(self.folder, self.plan)

    def closing(self, program: str) -> list[str]:
        """The best trial, and the command that runs it again."""
        best = self.study.best()
        if best is None:
            states = [attempt.state for attempt in self.study.attempts()]
            ended = ", so that no more are begun" if self._is_hopeless(states) else ""
            return [f"search: no trial has a value of {self.wanted.monitor}{ended}"]
        point: Point = best.point
        alone = ["hydra.mode=RUN"] if any(key_of(text) == "experiment" for text in self.fixed) else []  # it may search
        again = join([program, *self.fixed, *as_overrides(point), *alone])
        return [
            f"search: best is {best.job}: {self.wanted.monitor} = {best.value:.5g} with {join(as_overrides(point))}",
            f"the same again: {again}",
        ]


def _by_key(overrides: Sequence[str]) -> Mapping[str, str]:
    return {key or text: value for text in overrides for key, _, value in [text.partition("=")]}


def _say(text: str) -> None:
    print(text, file=sys.stderr)
