"""Which jobs overrides, params and stages stand for."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tiles_ecg.sweep.jobs import Grammar, expand
from tiles_ecg.sweep.plan import Job, SweepError

FOLDER = Path("/sweeps/one")
GROUPS = {"encoder", "objective", "task"}


def parse(texts: Sequence[str]) -> Any:
    return OverridesParser.create().parse_overrides(list(texts))


def jobs(*overrides: str, **settings: Any) -> list[Job]:
    return expand(overrides, Grammar(parse, GROUPS.__contains__), FOLDER, **settings)


def content(found: Sequence[Job]) -> list[set[str]]:
    return [set(job.overrides) for job in found]


def test_the_jobs_are_the_product_of_all_values_in_the_order_of_the_command() -> None:
    found = jobs("encoder=a,b", "seed=0,1,2", "lr=0.1")
    wanted = [{f"encoder={e}", f"seed={s}", "lr=0.1"} for e, s in itertools.product("ab", "012")]
    assert content(found) == wanted
    assert found[1].varied == {"encoder": "a", "seed": "1"}
    assert found[1].name == "encoder=a,seed=1"


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("x=choice(a,b)", ["a", "b"]),
        ("x=range(1,4)", ["1", "2", "3"]),
        ("x=[1,2],[3]", ["[1,2]", "[3]"]),
        ("x=[],[a]", ["[]", "[a]"]),
        ("x='a,b',c", ["'a,b'", "c"]),
        ("+x=1,2", ["1", "2"]),
    ],
)
def test_hydras_own_ways_to_give_values_work(override: str, values: list[str]) -> None:
    key = override.partition("=")[0]
    assert [job.overrides for job in jobs(override)] == [(f"{key}={value}",) for value in values]


def test_one_value_or_a_deletion_makes_one_job() -> None:
    (job,) = jobs("seed=3", "~callback.progress")
    assert job == Job("run", ("seed=3", "~callback.progress"), {}, "")


def test_of_a_repeated_override_the_last_one_counts() -> None:
    assert content(jobs("seed=0,1", "seed=2")) == [{"seed=2"}]


def test_the_command_wins_over_params() -> None:
    found = jobs("seed=7", params={"seed": "0,1", "optimizer": {"lr": "1,2"}, "flag": True})
    assert content(found) == [{"seed=7", f"optimizer.lr={lr}", "flag=true"} for lr in (1, 2)]


def test_an_interval_is_no_list_of_values() -> None:
    with pytest.raises(SweepError, match=r"lr = interval\(0,1\): a grid has no values.*hydra/sweeper=optuna"):
        jobs("lr=interval(0,1)")


def test_the_same_job_twice_is_refused_by_name() -> None:
    with pytest.raises(SweepError, match=r"lr=1 seed=0: this job is there 2 times; give each value once"):
        jobs("lr=1,2", "seed=0,0")


TWO_STAGES = {
    "pretrain": {"task": None},
    "finetune": {
        "objective": "finetune",
        "encoder": "pretrained",
        "encoder.path": "run_of(pretrain)",
        "dataset": {"fold": "0,1"},
    },
}


def test_stages_follow_each_other_and_a_job_finds_the_run_of_the_same_values() -> None:
    found = jobs("encoder=small", "encoder.width=8", "task=af", "seed=3,4", stages=TWO_STAGES)
    assert [job.name for job in found] == [
        "pretrain-seed=3", "pretrain-seed=4", "finetune-seed=3,dataset.fold=0", "finetune-seed=3,dataset.fold=1",
        "finetune-seed=4,dataset.fold=0", "finetune-seed=4,dataset.fold=1",
    ]  # fmt: skip
    assert content(found)[1] == {"encoder=small", "encoder.width=8", "seed=4"}
    assert content(found)[4] == {
        "task=af", "seed=4", "objective=finetune", "encoder=pretrained", "dataset.fold=0",
        "encoder.path='/sweeps/one/pretrain-seed=4'",
    }  # fmt: skip


def test_a_value_of_the_command_replaces_a_stages_and_goes_to_no_other_stage() -> None:
    found = jobs("dataset.fold=5", stages=TWO_STAGES)
    assert [job.name for job in found] == ["pretrain", "finetune"]
    assert "dataset.fold=5" not in found[0].overrides
    assert "dataset.fold=5" in found[1].overrides


def test_a_stages_value_that_was_typed_wins_in_its_stage_only() -> None:
    stages = {"pretrain": {"steps": 9}, "finetune": {}}
    found = jobs("steps=5", stages=stages, overrides_of_hydra=["+hydra.sweeper.stages.pretrain.steps=9"])
    assert content(found) == [{"steps=9"}, {"steps=5"}]


def test_a_run_of_an_earlier_stage_that_is_not_one_is_explained() -> None:
    with pytest.raises(SweepError, match=r"run_of\(first\): no such stage before it; there are none"):
        jobs(stages={"second": {"path": "run_of(first)"}})
    stages = {"first": {"lr": "1,2"}, "second": {"path": "run_of(first)"}}
    with pytest.raises(SweepError, match=r"2 jobs of first fit; what varies there \(lr\) has to vary here too"):
        jobs(stages=stages)


def test_a_run_of_with_an_ambiguous_job_name_is_still_that_jobs_folder() -> None:
    stages = {"first": {"store": "a/x.h5,b/x.h5"}, "second": {"store": "a/x.h5,b/x.h5", "path": "run_of(first)"}}
    first, _, third, _ = jobs(stages=stages)
    assert f"path='/sweeps/one/{first.name}'" in third.overrides
