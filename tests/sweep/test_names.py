"""What the jobs of a sweep are called."""

import pytest

from tiles_ecg.sweep.names import MAX_BYTES, job_names


def names(*varied: dict[str, str], stage: str = "", taken: tuple[str, ...] = ()) -> list[str]:
    overrides = [[f"{key}={value}" for key, value in values.items()] for values in varied]
    return job_names([stage] * len(varied), list(varied), overrides, taken)


@pytest.mark.parametrize(
    ("varied", "name"),
    [
        ({"encoder": "resnet8", "seed": "0"}, "encoder=resnet8,seed=0"),
        ({}, "run"),
        ({"dataset.store": "data/a/tiles.h5"}, "dataset.store=tiles.h5"),
        ({"dataset.store": "[x/a.h5,y/b.h5]"}, "dataset.store=a.h5,b.h5"),
        ({"encoder.path": "outputs/run/"}, "encoder.path=run"),
        ({"augmentation.leave_out": "[permute,scale]"}, "augmentation.leave_out=permute,scale"),
        ({"augmentation.leave_out": "[]"}, "augmentation.leave_out=none"),
        ({"task": "null"}, "task=null"),
        ({"name": "'a b: $c'"}, "name=a-b-c"),
        ({"name": "../.."}, "name=none"),
        ({"augmentation/step@augmentation.steps.more": "scale"}, "augmentation-step-augmentation.steps.more=scale"),
    ],
)
def test_a_job_is_called_by_what_varies(varied: dict[str, str], name: str) -> None:
    assert names(varied) == [name]


def test_the_stage_comes_first() -> None:
    assert names({"seed": "0"}, {"seed": "1"}, stage="pretrain") == ["pretrain-seed=0", "pretrain-seed=1"]
    assert names({}, stage="pretrain") == ["pretrain"]


def test_names_that_would_be_equal_are_told_apart_by_what_the_jobs_are() -> None:
    first, second, other = names({"store": "a/x.h5"}, {"store": "b/x.h5"}, {"store": "c/y.h5"})
    assert other == "store=y.h5"
    assert first != second
    assert {first[:-7], second[:-7]} == {"store=x.h5"}
    assert names({"store": "a/x.h5"}, {"store": "b/x.h5"}) == [first, second]


def test_names_that_differ_in_case_only_are_told_apart() -> None:
    first, second = names({"name": "A"}, {"name": "a"})
    assert first.casefold() != second.casefold()


def test_a_name_that_is_taken_is_not_given_again() -> None:
    assert names({"seed": "0"}, taken=("seed=0",)) != ["seed=0"]


def test_of_long_names_the_keys_are_shortened_before_they_are_cut() -> None:
    long = {f"augmentation.steps.step_number_{i}.p": "0.5" for i in range(4)}
    assert names(long) == ["p=0.5,p=0.5,p=0.5,p=0.5"]
    found = names({f"key_{i}": "x" * 20 for i in range(9)}, {f"key_{i}": "x" * 20 for i in range(8)} | {"key_8": "y"})
    assert len(set(found)) == 2
    assert all(len(name.encode()) <= MAX_BYTES for name in found)


def test_letters_of_several_bytes_are_counted_as_such() -> None:
    (name,) = names({"name": "é" * 200})
    assert len(name.encode()) <= MAX_BYTES
