"""sweep.json holds what a sweep is, whole or not at all."""

import json
from pathlib import Path

import pytest

from tiles_ecg.sweep.plan import Job, SweepError, SweepPlan, is_sweep, key_of, read_plan, without, write_plan

PLAN = SweepPlan(
    "tiles-train",
    ("seed=0,1", "lr='a,b'"),
    (Job("seed=0", ("seed=0",), {"seed": "0"}), Job("b-seed=1", ("seed=1",), {"seed": "1"}, "b")),
    "2026-01-01T00:00:00+00:00",
    {"monitor": "val/loss"},
)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert not is_sweep(tmp_path)
    write_plan(tmp_path / "new", PLAN)
    assert is_sweep(tmp_path / "new")
    assert read_plan(tmp_path / "new") == PLAN
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sweep.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"jobs": [{"name": 1}]}', '{"jobs": 3}'])
def test_a_damaged_plan_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "sweep.json").write_text(damage)
    with pytest.raises(SweepError, match=r"sweep\.json: damaged"):
        read_plan(tmp_path)


def test_a_plan_without_a_field_is_damaged(tmp_path: Path) -> None:
    write_plan(tmp_path, PLAN)
    found = json.loads((tmp_path / "sweep.json").read_text())
    del found["created"]
    (tmp_path / "sweep.json").write_text(json.dumps(found))
    with pytest.raises(SweepError, match="KeyError: 'created'"):
        read_plan(tmp_path)


def test_a_folder_without_a_plan_is_told(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no such file; give the folder of a sweep"):
        read_plan(tmp_path)


def test_overrides_are_known_by_their_keys() -> None:
    assert [key_of(text) for text in ("a=1", "+a.b=[c=1]", "++a=", "~a", "a/b@c=d")] == ["a", "a.b", "a", "a", "a/b@c"]
    assert without(["a=1", "+b=2", "~c"], ["b", "c"]) == ["a=1"]
