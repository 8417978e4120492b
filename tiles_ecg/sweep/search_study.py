"""The study of a search, kept by Optuna: a trial for each attempt at a job, written whole before the job starts."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from tiles_ecg.sweep.plan import SweepError
from tiles_ecg.sweep.search_space import Point, Space, described

STUDY_FILE = "study.journal"
JOB, SEARCH, POINTS = "job", "search", "points"
"""User attributes: of a trial, the name of its job; of a study, what it looks for; of a grid's, all of it."""
Direction = Literal["minimize", "maximize"]


def open_storage(storage: str) -> BaseStorage:
    """The storage of a study: of an address with `://` a database, else a journal file, for several processes at once.

    Raises:
        SweepError: If it cannot be opened or read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if "://" in storage:
            return RDBStorage(storage)
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(storage)
        _mend(Path(storage))
        return JournalStorage(backend)
    except Exception as error:  # of SQLAlchemy, of its drivers, of the file system, of JSON
        line = " ".join(str(error).split())
        raise SweepError(
            f"hydra.sweeper.storage = {storage}: cannot be opened ({type(error).__name__}: {line}); give a file, "
            "or the address of a database, such as sqlite:///search.db"
        ) from error


def _mend(path: Path) -> None:
    """Cut off a last line that a full disk or a loss of power left unfinished: Optuna would write on in it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read(1) in (b"", b"\n"):
            return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()  # an unfinished line may also be one that is being written
    try:
        whole = path.read_bytes()
        os.truncate(path, whole.rfind(b"\n") + 1)
    finally:
        lock.release()


@dataclass(frozen=True)
class Attempt:
    """A trial of the study.

    Attributes:
        number: In the study.
        job: Name of its job; one that failed is tried again as a trial of its own.
        point: Its values.
        state: `RUNNING` until it has been told what came of it.
        value: Of one that is complete.
    """

    number: int
    job: str
    point: Point
    state: TrialState
    value: float | None


class SearchStudy:
    """A study of Optuna's, of which every draw depends on the seed, its number and what is known by then.

    So a search that was killed goes on as it would have: with the same sampler, what a batch of trials draws is the
    same. What Optuna does not promise: the same draws by another version of it, or by a pruner that looks at trials
    which run at the same time (hyperband with `n_jobs` above 1).

    Args:
        storage: See `open_storage`.
        name: Of the study.
        direction: Whether less or more is better.
        space: What is drawn from.
        about: What else must not change, by what it is called in an error.
        sampler: Makes a sampler; with a keyword `seed` of its own, that is what the draws depend on.
        pruner: Whose brackets the sampler must know.
        is_resumed: Whether a study of that name may have trials already.

    Raises:
        SweepError: If the storage cannot be opened, or holds a study that is not this one.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        direction: Direction,
        space: Space,
        about: Mapping[str, str],
        sampler: Callable[..., BaseSampler],
        pruner: BasePruner,
        is_resumed: bool,
    ) -> None:
        self.space = dict(space)
        self.direction = direction
        self._sampler = sampler
        self._pruner = pruner
        self._study = optuna.create_study(
            storage=open_storage(storage), study_name=name, direction=direction, load_if_exists=True
        )
        if not is_resumed and self._study.get_trials(deepcopy=False):
            raise SweepError(
                f"hydra.sweeper.study = {name}: {storage} holds a study of that name; go on with it by resume=DIR, "
                "with the folder of its sweep, or give another name"
            )
        self._agree(f"hydra.sweeper.study = {name}", about)

    def _agree(self, key: str, about: Mapping[str, str]) -> None:
        """Write down what is looked for where, or compare it."""
        wanted = {"direction": self.direction, **about, **described(self.space)}
        found = self._study.user_attrs.get(SEARCH, wanted)
        found = {**found, "direction": self._study.direction.name.lower()}
        changed = [
            f"{name} was {found.get(name, 'not given')}, is {wanted.get(name, 'not given')}"
            for name in dict.fromkeys([*found, *wanted])
            if found.get(name) != wanted.get(name)
        ]
        if changed:
            raise SweepError(
                f"{key}: the study is of another search ({'; '.join(changed)}); leave that as it was, or begin anew "
                "in another folder"
            )
        if SEARCH not in self._study.user_attrs:
            self._study.set_user_attr(SEARCH, wanted)

    def attempts(self) -> list[Attempt]:
        """The last attempt at each job, in the order of the jobs."""
        return [
            Attempt(trial.number, trial.user_attrs[JOB], trial.params, trial.state, _value(trial))
            for trial in self._latest()
        ]

    def _latest(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return list({trial.user_attrs[JOB]: trial for trial in trials if JOB in trial.user_attrs}.values())

    def draw(self, points: Sequence[Point] = ()) -> Point:
        """The next point; nothing is written.

        Args:
            points: All there are, of a sampler that goes through them.
        """
        known = self._latest()
        sampler: Any = self._sampler
        keywords = getattr(sampler, "keywords", {})
        if keywords.get("seed") is not None:
            sampler = sampler(seed=_mixed(int(keywords["seed"]), len(known)))
        else:
            sampler = sampler()
        drawing = optuna.create_study(
            study_name=self._study.study_name, direction=self.direction, sampler=sampler, pruner=self._pruner
        )
        drawing.set_user_attr(POINTS, list(points))
        drawing.add_trials(known)
        return dict(drawing.ask(self.space).params)

    def add(self, job: str, point: Point) -> Attempt:
        """Write down an attempt at a job that is about to start, as one record."""
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=dict(point), distributions=self.space, user_attrs={JOB: job})
        )
        return next(attempt for attempt in reversed(self.attempts()) if attempt.job == job)

    def tell(self, attempt: Attempt, state: TrialState, value: float | None = None) -> None:
        """Write down what came of an attempt."""
        self._study.tell(attempt.number, value, state=state, skip_if_finished=True)

    def best(self) -> Attempt | None:
        """The complete attempt with the best value, the first of equals."""
        complete = [attempt for attempt in self.attempts() if attempt.value is not None]
        sign = 1 if self.direction == "minimize" else -1
        return min(complete, key=lambda attempt: sign * float(attempt.value or 0.0), default=None)


def _value(trial: FrozenTrial) -> float | None:
    return trial.value if trial.state == TrialState.COMPLETE else None


def _mixed(seed: int, number: int) -> int:
    """A seed for each draw, unlike those of the neighbouring seeds and draws."""
    import numpy as np

    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
