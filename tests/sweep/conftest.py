"""A launcher that runs jobs in this process, without Hydra, and keeps what it was asked."""

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from tiles_ecg.sweep.plan import Job

Play = Callable[[Path], None]
"""What a job does in its folder."""


@dataclass
class StubLauncher(Launcher):
    """Plays the jobs, by their names; a failure of a play is the job's, one in `breaks` the launcher's own."""

    folder: Path
    plays: dict[str, Play] = field(default_factory=dict)
    breaks: list[tuple[str, Exception]] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    resumed: set[str] = field(default_factory=set)
    config: Any = None

    def setup(self, **_: Any) -> None:
        """Nothing to set up."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Play one job after the other."""
        names = [_value(texts, "hydra.sweep.subdir") for texts in job_overrides]
        self.asked.append(names)
        returns = []
        for name, texts in zip(names, job_overrides, strict=True):
            assert _value(texts, "hydra.sweep.dir") == str(self.folder)
            if "resume=true" in texts:
                self.resumed.add(name)
            if self.breaks and self.breaks[0][0] == name:
                raise self.breaks.pop(0)[1]
            returns.append(self._played(name))
        return returns

    def _played(self, name: str) -> JobReturn:
        returned = JobReturn()
        try:
            self.plays[name](self.folder / name)
            returned.status = JobStatus.COMPLETED
        except BrokenExecutor:  # the play killed its worker: that is the launcher's to tell
            raise
        except Exception as error:
            returned.status = JobStatus.FAILED
            returned.return_value = error
        return returned


def _value(texts: Sequence[str], key: str) -> str:
    return next(text.partition("=")[2].strip("'") for text in texts if text.startswith(f"{key}="))


@pytest.fixture
def stub(tmp_path: Path) -> StubLauncher:
    """A launcher for the folder `tmp_path`."""
    return StubLauncher(tmp_path)


@pytest.fixture
def three_jobs() -> list[Job]:
    """seed=0, seed=1, seed=2."""
    return [Job(f"seed={seed}", (f"seed={seed}",), {"seed": str(seed)}) for seed in range(3)]
