from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiles_ecg.workspace.comparison import Comparison, compare
from tiles_ecg.workspace.description import Dashboard
from tiles_ecg.workspace.logged import Kind, Logged

STEP = "trainer/global_step"


def section(
    *panels: tuple[str, Sequence[str]], jobs: Sequence[str] = ("pretrain",), name: str = "One", **options: Any
) -> Any:
    made = [{"type": type_, "title": f"of {keys[0]}", "keys": list(keys), **options} for type_, keys in panels]
    return {"name": name, "job_types": list(jobs), "panels": made}


def compared(sections: Sequence[Any], *runs: Logged) -> Comparison:
    return compare(Dashboard.model_validate({"name": "n", "sections": list(sections)}), runs)


def logged(job_type: str = "pretrain", has_wandb: bool = True, **kinds: Kind) -> Logged:
    named: dict[str, Kind] = {name.replace("__", "/"): kind for name, kind in kinds.items()}
    return Logged(Path("run"), job_type, {STEP: "number", **named}, has_wandb)


def test_a_description_that_shows_what_is_logged_has_nothing_to_say() -> None:
    found = compared(
        [section(("line", ["train/loss"]), ("line", ["probe/*"]), ("image", ["pictures/views"]))],
        logged(train__loss="number", probe__a="number", probe__b="number", pictures__views="image"),
    )
    assert found == Comparison((), (), ())


def test_a_key_that_no_run_logs_is_named_with_the_nearest_that_one_does() -> None:
    found = compared([section(("line", ["train/los"]))], logged(train__loss="number"))
    assert found.empty == ("One / of train/los: no pretrain run logs train/los; did you mean train/loss?",)


def test_one_key_of_a_panel_is_not_covered_by_another() -> None:
    found = compared([section(("line", ["train/loss", "val/loss"]))], logged(train__loss="number"))
    assert len(found.empty) == 1


def test_one_alternative_is_enough() -> None:
    assert not compared([section(("bar", ["test/{auroc,mae}"]))], logged(test__mae="number")).empty


def test_runs_complete_each_other() -> None:
    runs = [logged(train__loss="number"), logged(val__loss="number")]
    assert not compared([section(("line", ["train/loss", "val/loss"]))], *runs).empty


def test_a_key_of_another_job_type_does_not_count() -> None:
    sections = [section(("line", ["train/loss"])), section(("line", ["val/loss"]), jobs=["finetune"], name="Two")]
    found = compared(sections, logged(val__loss="number"), logged("finetune", train__loss="number"))
    assert len(found.empty) == 2
    assert found.unseen == (
        "train/loss (number, logged by finetune) is in no panel",
        "val/loss (number, logged by pretrain) is in no panel",
    )


def test_what_is_logged_as_something_else_is_told() -> None:
    found = compared([section(("image", ["views"]))], logged(views="number"))
    assert found.empty == ("One / of views: views is logged as number; a panel of type: image shows only images",)
    assert found.unseen == ("views (number, logged by pretrain) is in no panel",)


def test_a_section_without_a_run_is_not_compared() -> None:
    found = compared([section(("line", ["a"]), jobs=["probe", "fusion"])], logged())
    assert found == Comparison((), (), ("One: no run of job type probe/fusion is given",))


def test_tables_are_not_compared_where_wandb_was_off() -> None:
    found = compared([section(("table", ["tables/fold"]))], logged(has_wandb=False))
    assert found.empty == ()
    assert found.unchecked == ("One / of tables/fold: tables are in W&B files, and these runs have none",)


def test_what_wandb_measures_by_itself_is_not_compared() -> None:
    assert not compared([section(("line", ["system/gpu.0.gpu"]))], logged()).empty


def test_a_number_of_the_summary_can_be_shown_and_need_not() -> None:
    run = Logged(Path("run"), "pretrain", {STEP: "number"}, True, frozenset({"test/f1", "test/auroc"}))
    assert compared([section(("bar", ["test/f1"]))], run) == Comparison((), (), ())


def test_what_is_optional_is_not_missed_but_counts_as_shown() -> None:
    sections = [section(("image", ["views"]), is_optional=True)]
    assert compared(sections, logged()) == Comparison((), (), ())
    assert compared(sections, logged(views="image")) == Comparison((), (), ())
