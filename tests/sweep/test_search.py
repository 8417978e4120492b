"""A search finds a known optimum, survives being killed anywhere, and tells the study what came of its jobs."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from tiles_ecg.run_record import RunPruned, RunRecord, RunStatus, mark_failed, read_status
from tiles_ecg.sweep.plan import Job, SweepError, SweepPlan, read_plan
from tiles_ecg.sweep.search import Search, Wanted
from tiles_ecg.sweep.search_grid import Grid
from tiles_ecg.sweep.search_study import open_storage

SPACE = {"x": FloatDistribution(-4.0, 4.0), "group": CategoricalDistribution(["near", "far"])}
PLAN = SweepPlan("tiles-train", (), (), "2026-01-01T00:00:00+00:00")
TPE = functools.partial(optuna.samplers.TPESampler, seed=0, n_startup_trials=5)


class Killed(BaseException):
    """As the search ends with kill -9: nobody catches it."""


def bowl(x: float, group: str) -> float:
    """Least at x = 1.5, near: 0."""
    return (x - 1.5) ** 2 + (1.0 if group == "far" else 0.0)


def run_job(folder: Path, job: Job) -> None:
    """What a training run leaves: its status, with the best value of the monitored metric."""
    given = dict(text.partition("=")[::2] for text in job.overrides)
    with RunRecord(folder / job.name, "tiles-train") as record:
        record.note(10, {"best/val/loss": bowl(float(given["x"]), given["group"]), "val/loss": 99.0})


class FakeLauncher:
    """Runs jobs by a function, unless they are over, and keeps a list of what it ran."""

    def __init__(self, folder: Path, run: Callable[[Path, Job], None] = run_job) -> None:
        self.folder = folder
        self.run = run
        self.ran: list[str] = []
        self.batches: list[int] = []

    def __call__(self, jobs: Sequence[Job], first_number: int) -> list[RunStatus]:
        self.batches.append(len(jobs))
        for job in jobs:
            if read_status(self.folder / job.name).state not in {"finished", "pruned"}:
                self.ran.append(job.name)
                self.run(self.folder, job)
        return [read_status(self.folder / job.name) for job in jobs]


def wanted(folder: Path, **changes: Any) -> Wanted:
    base = Wanted(
        20, 1, "val/loss", "minimize", str(folder / "study.journal"), "search", TPE, optuna.pruners.NopPruner(),
        lambda number: (f"trial={number}",),
    )  # fmt: skip
    return replace(base, **changes)


def search(
    folder: Path, launcher: FakeLauncher, resume: bool = False, space: Any = None, fixed: Any = (), **changes: Any
) -> Search:
    plan = read_plan(folder) if resume and (folder / "sweep.json").exists() else PLAN
    folder.mkdir(exist_ok=True)
    return Search(wanted(folder, **changes), fixed, space or SPACE, folder, plan, launcher, resume)


def values(made: Search) -> list[float | None]:
    return [attempt.value for attempt in made.study.attempts()]


def points(made: Search) -> list[dict[str, Any]]:
    return [dict(attempt.point) for attempt in made.study.attempts()]


def test_a_search_comes_nearer_to_a_known_optimum_than_chance(tmp_path: Path) -> None:
    made = search(tmp_path, FakeLauncher(tmp_path), n_trials=40)
    jobs = made.run()
    best = made.study.best()
    assert best is not None
    assert len(jobs) == 40
    assert best.value == min(bowl(**point) for point in points(made))
    assert best.point["group"] == "near"
    late = [bowl(**point) for point in points(made)[20:]]
    chance = sum(bowl(x / 10, group) for x in range(-40, 41) for group in ("near", "far")) / 162
    assert sum(late) / len(late) < chance / 2


def test_the_plan_names_every_trial_and_the_best_one(tmp_path: Path) -> None:
    made = search(tmp_path, FakeLauncher(tmp_path), n_trials=3, fixed=("seed=3",))
    made.run()
    plan = read_plan(tmp_path)
    assert [job.name[:9] for job in plan.jobs] == ["trial-000", "trial-001", "trial-002"]
    first, point = plan.jobs[0], points(made)[0]
    assert first.overrides == ("seed=3", f"x={point['x']!r}", f"group={point['group']}", "trial=0")
    assert first.varied == {"x": str(point["x"]), "group": point["group"]}
    lowest = min(range(3), key=lambda number: bowl(**points(made)[number]))
    assert plan.search["best"] == plan.jobs[lowest].name
    assert float(plan.search["value"]) == bowl(**points(made)[lowest])
    told = made.closing("tiles-train")
    assert f"x={points(made)[lowest]['x']!r}" in told[0]
    assert told[1].startswith("the same again: tiles-train seed=3 x=")


def test_more_is_better_where_the_direction_says_so(tmp_path: Path) -> None:
    made = search(tmp_path, FakeLauncher(tmp_path), n_trials=6, direction="maximize")
    made.run()
    best = made.study.best()
    assert best is not None
    assert best.value == max(bowl(**point) for point in points(made))


def test_a_failed_job_counts_as_failed_a_pruned_one_as_pruned_and_the_others_go_on(tmp_path: Path) -> None:
    def run(folder: Path, job: Job) -> None:
        if job.name.startswith("trial-001"):
            mark_failed(folder / job.name, RuntimeError("no"), False, "tiles-train", {})
        elif job.name.startswith("trial-002"):
            with pytest.raises(RunPruned), RunRecord(folder / job.name, "tiles-train"):
                raise RunPruned
        elif job.name.startswith("trial-003"):
            with RunRecord(folder / job.name, "tiles-train") as record:
                record.note(1, {"best/val/loss": math.nan})
        else:
            run_job(folder, job)

    made = search(tmp_path, FakeLauncher(tmp_path, run), n_trials=5)
    made.run()
    states = [attempt.state.name for attempt in made.study.attempts()]
    assert states == ["COMPLETE", "FAIL", "PRUNED", "FAIL", "COMPLETE"]


def test_where_all_fail_no_more_are_begun(tmp_path: Path) -> None:
    def run(folder: Path, job: Job) -> None:
        mark_failed(folder / job.name, ValueError("no"), True, "tiles-train", {})

    launcher = FakeLauncher(tmp_path, run)
    made = search(tmp_path, launcher)
    made.run()
    assert len(launcher.ran) == 3
    assert made.closing("tiles-train") == ["search: no trial has a value of val/loss, so that no more are begun"]


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("sampler", [TPE, functools.partial(optuna.samplers.RandomSampler, seed=4)])
def test_a_search_killed_anywhere_and_resumed_equals_the_uninterrupted_one(
    tmp_path: Path, n_jobs: int, sampler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(tmp_path / "whole", FakeLauncher(tmp_path / "whole"), n_trials=12, n_jobs=n_jobs, sampler=sampler)
    whole.run()

    folder, countdown = tmp_path / "cut", [0]
    original = optuna.storages.JournalStorage._write_log

    def write(self: Any, *rest: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise Killed
        return original(self, *rest)

    def run(folder: Path, job: Job) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise Killed
        run_job(folder, job)

    monkeypatch.setattr(optuna.storages.JournalStorage, "_write_log", write)
    launcher, resume, n_kills = FakeLauncher(folder, run), False, 0
    for steps in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 10**9):
        countdown[0] = steps
        try:
            made = search(folder, launcher, resume, n_trials=12, n_jobs=n_jobs, sampler=sampler)
            made.run()
            break
        except Killed:
            n_kills, resume = n_kills + 1, True
    assert n_kills > 5
    assert points(made) == points(whole)
    assert values(made) == values(whole)
    assert [job.name for job in read_plan(folder).jobs] == [job.name for job in read_plan(tmp_path / "whole").jobs]
    finished = [name for name in launcher.ran if read_status(folder / name).state == "finished"]
    assert {read_status(folder / name).attempt for name in finished} == {1}


def test_a_trial_whose_job_ended_while_the_search_was_dead_is_told_without_running_it_again(tmp_path: Path) -> None:
    def run(folder: Path, job: Job) -> None:
        run_job(folder, job)
        if job.name.startswith("trial-002"):
            raise Killed

    with pytest.raises(Killed):
        search(tmp_path, FakeLauncher(tmp_path, run), n_trials=4).run()
    launcher = FakeLauncher(tmp_path)
    made = search(tmp_path, launcher, resume=True, n_trials=4)
    made.run()
    assert [name[:9] for name in launcher.ran] == ["trial-003"]
    assert values(made) == [bowl(**point) for point in points(made)]


def test_a_failed_trial_is_tried_again_where_the_search_is_resumed(tmp_path: Path) -> None:
    def run(folder: Path, job: Job) -> None:
        if job.name.startswith("trial-001"):
            mark_failed(folder / job.name, RuntimeError("no"), False, "tiles-train", {})
        else:
            run_job(folder, job)

    before = search(tmp_path, FakeLauncher(tmp_path, run), n_trials=3)
    names = [job.name for job in before.run()]
    launcher = FakeLauncher(tmp_path)
    made = search(tmp_path, launcher, resume=True, n_trials=4)
    assert [job.name for job in made.run()][:3] == names
    assert [name[:9] for name in launcher.ran] == ["trial-001", "trial-003"]
    assert values(made) == [bowl(**point) for point in points(made)]
    assert read_plan(tmp_path).jobs[1].overrides[-1] == "trial=3"  # an attempt of its own in the study


def test_what_is_at_work_elsewhere_is_left_alone_and_stays_open(tmp_path: Path) -> None:
    def run(folder: Path, job: Job) -> None:
        if not job.name.startswith("trial-001"):
            run_job(folder, job)

    launcher = FakeLauncher(tmp_path, run)
    made = search(tmp_path, launcher, n_trials=3)
    made.run()
    assert [attempt.state.name for attempt in made.study.attempts()] == ["COMPLETE", "RUNNING", "COMPLETE"]
    assert [name[:9] for name in launcher.ran] == ["trial-000", "trial-001", "trial-002"]


def test_trials_are_launched_together_and_a_resumed_search_counts_those_of_before(tmp_path: Path) -> None:
    first = FakeLauncher(tmp_path)
    search(tmp_path, first, n_trials=5, n_jobs=3).run()
    assert first.batches == [3, 2]
    second = FakeLauncher(tmp_path)
    search(tmp_path, second, resume=True, n_trials=6, n_jobs=3).run()
    assert [name[:9] for name in second.ran] == ["trial-005"]


def test_a_grid_goes_through_all_combinations_once_in_order(tmp_path: Path) -> None:
    space = {"x": CategoricalDistribution(["1", "2"]), "group": CategoricalDistribution(["near", "far"])}
    made = search(tmp_path, FakeLauncher(tmp_path), space=space, sampler=functools.partial(Grid), n_trials=99)
    made.run()
    assert points(made) == [{"x": x, "group": group} for x in "12" for group in ("near", "far")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": {**SPACE, "x": FloatDistribution(-4.0, 5.0)}}, r"x was -4.0 to 4.0, is -4.0 to 5.0"),
        ({"space": {"x": SPACE["x"]}}, r"group was one of near, far, is not given"),
        ({"direction": "maximize"}, "direction was minimize, is maximize"),
        ({"monitor": "val/uniformity"}, "monitor was val/loss, is val/uniformity"),
        ({"fixed": ("trainer.max_steps=7",)}, "trainer.max_steps was not given, is 7"),
    ],
)
def test_a_study_of_another_search_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    search(tmp_path, FakeLauncher(tmp_path), n_trials=1).run()
    with pytest.raises(SweepError, match=f"the study is of another search .*{told}"):
        search(tmp_path, FakeLauncher(tmp_path), resume=True, **changes)
    with pytest.raises(SweepError, match="holds a study of that name; go on with it by resume=DIR"):
        search(tmp_path, FakeLauncher(tmp_path))


def test_a_database_serves_as_well_as_a_file(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    search(tmp_path, FakeLauncher(tmp_path), n_trials=2, storage=storage).run()
    made = search(tmp_path, FakeLauncher(tmp_path), resume=True, n_trials=3, storage=storage)
    made.run()
    assert [attempt.state for attempt in made.study.attempts()] == [TrialState.COMPLETE] * 3
    with pytest.raises(SweepError, match=r"storage = nosql://x: cannot be opened .*; give a file, or the address"):
        open_storage("nosql://x")


def test_a_journal_whose_last_line_was_never_finished_is_gone_on_with(tmp_path: Path) -> None:
    search(tmp_path, FakeLauncher(tmp_path), n_trials=2).run()
    with (tmp_path / "study.journal").open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"unfin')
    made = search(tmp_path, FakeLauncher(tmp_path), resume=True, n_trials=4)
    made.run()
    assert len(values(search(tmp_path, FakeLauncher(tmp_path), resume=True))) == 4


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_bytes(b"what\nis this\n")
    with pytest.raises(SweepError, match=r"study.journal: cannot be opened"):
        open_storage(str(tmp_path / "study.journal"))
