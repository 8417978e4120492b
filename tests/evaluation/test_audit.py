"""The audit: leaks planted by hand, each of which it must find, and clean splits, which it must let pass."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.audit import (
    Check,
    LeakError,
    audit_split,
    check_sealed,
    require,
    sealed,
    sealed_value,
)
from tiles_ecg.evaluation.duplicates import Duplicate, inseparable_subjects, near_duplicates
from tiles_ecg.evaluation.pretraining import Seen, audit_pretraining
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.protocol import Fold, Plan, Protocol
from tiles_ecg.recording import Recording, Source
from tiles_ecg.task.target import Target, assemble

MakeStore = Callable[..., Path]
PREPARATION = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 15.0, "step_s": 15.0}


@dataclass
class MadeReader:
    """The recordings given, each a source."""

    recordings: list[Recording]
    labels: tuple[()] = ()

    def sources(self) -> list[Source]:
        return [Source(recording.id) for recording in self.recordings]

    def read(self, source: Source) -> Iterator[Recording]:
        yield from (recording for recording in self.recordings if recording.id == source.key)


def noise(seed: int, duration_s: float = 31.0) -> Any:
    return np.random.default_rng(seed).standard_normal(round(duration_s * 100))


def store(
    path: Path, signals: dict[str, Any], subjects: Sequence[str | None] | None = None, step_s: float = 15.0
) -> Path:
    """A store of one recording for each signal; each its own subject where none is given."""
    recordings = [
        Recording(name, signal.astype(np.float32)[None, None], 100.0, ("I",), name, subject)
        for (name, signal), subject in zip(
            signals.items(), subjects or [f"person {name}" for name in signals], strict=True
        )
    ]
    settings = PREPARATION | {"step_s": step_s}
    config = {"reader": {}, "preparation": settings}
    return prepare(MadeReader(recordings), Preparation(**settings), path, config, n_jobs=1, show_progress=False)


def target_of(windows: Windows) -> Target:
    """Every window an example, with a value."""
    every = np.arange(len(windows))
    value = (every % 2).astype(np.int64)
    names = [f"window {row}" for row in every]
    return assemble(
        windows, every, every, value, names, name="made", kind="binary", level="window",
        classes=("no", "yes"), metric="auroc",
    )  # fmt: skip


def plan_of(windows: Windows, test: Sequence[int], inner: Sequence[tuple[Sequence[int], Sequence[int]]] = ()) -> Plan:
    """One fold: the windows given are judged on, all others trained on."""
    target = target_of(windows)
    test_side = np.array(test, np.int64)
    train = np.setdiff1d(np.arange(len(windows)), test_side)
    pairs = tuple((np.array(a, np.int64), np.array(b, np.int64)) for a, b in inner)
    return Plan(target, target.subject, (Fold(train, test_side, pairs),), "0" * 12, {}, ())


def audit(plan: Plan, windows: Windows, found: Sequence[Duplicate] | None = None) -> dict[str, Check]:
    if found is None:
        found = near_duplicates(windows, plan.target.row)
    return {check.name: check for check in audit_split(plan, windows, found)}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    """Four subjects, a recording each, two windows each: rows 0, 1 of `person a`, 2, 3 of `person b`, and so on."""
    folder = tmp_path_factory.mktemp("four")
    return Windows([store(folder / "four.h5", {name: noise(seed) for seed, name in enumerate("abcd")})])


def test_a_split_by_subject_passes(four: Windows) -> None:
    checks = audit(plan_of(four, [0, 1], [([2, 3, 4, 5], [6, 7]), ([6, 7], [2, 3, 4, 5])]), four)
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(
        ("subjects", "overlap", "duplicates"), True
    )
    assert checks["subjects"].detail == "no subject on both sides of 1 folds and their 2 inner pairs"
    require(list(checks.values()))


def test_the_plan_of_the_protocol_passes(small_store: Path, other_store: Path) -> None:
    windows = Windows([small_store, other_store])
    target = target_of(windows)
    found = near_duplicates(windows, target.row)
    plan = Protocol(folds=3, inner_folds=2).plan(windows, target, inseparable_subjects(windows, target, found))
    require(audit_split(plan, windows, found))


def test_a_subject_on_both_sides_is_found(four: Windows) -> None:
    check = audit(plan_of(four, [0, 1, 2]), four)["subjects"]
    assert not check.passed
    assert check.detail == "fold 0: person b on both sides"


def test_a_subject_on_both_sides_of_an_inner_pair_is_found(four: Windows) -> None:
    check = audit(plan_of(four, [0, 1], [([2, 3], [4, 5, 6, 7]), ([2, 4, 5], [3, 6, 7])]), four)["subjects"]
    assert check.detail == "fold 0, inner pair 1: person b on both sides"


def test_choosing_on_the_test_fold_is_found(four: Windows) -> None:
    check = audit(plan_of(four, [0, 1], [([2, 3, 4, 5], [0, 1])]), four)["subjects"]
    assert check.detail == "fold 0: person a on both sides"


def test_a_person_in_two_stores_is_one_person(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{n}.h5", {f"rec {n}": noise(n)}, ["anna"]) for n in range(2)]
    windows = Windows(paths)
    target = target_of(windows)
    untrue = replace(target, subject=np.array([0, 0, 1, 1]), subject_id=("anna", "anna again"))
    plan = replace(plan_of(windows, [0, 1]), target=untrue)
    assert audit(plan, windows)["subjects"].detail == "fold 0: anna on both sides"


def test_recordings_without_a_subject_are_counted(tmp_path: Path) -> None:
    path = store(tmp_path / "s.h5", {name: noise(seed) for seed, name in enumerate("abc")}, [None, "anna", None])
    windows = Windows([path])
    check = audit(plan_of(windows, [0, 1]), windows)["subjects"]
    assert check.passed
    assert check.detail.endswith("2 recordings have no subject id and count as a subject each")


def test_windows_that_overlap_in_time_are_found_whoever_they_are_said_to_be_of(tmp_path: Path) -> None:
    path = store(tmp_path / "s.h5", {"a": noise(0, 40.5), "b": noise(1, 40.5)}, step_s=5)
    with h5py.File(path, "r+") as file:  # every window another subject: 6 of `a` (0 to 25 s), then 6 of `b`
        n = len(file["window/subject"])
        del file["subject"]
        file["subject/id"] = [f"s{row}" for row in range(n)]
        for name in ("mean", "std", "median", "robust_std"):
            file[f"subject/{name}"] = np.ones((n, 1))
        file["window/subject"][:] = np.arange(n)
    windows = Windows([path])
    assert len(windows) == 12
    start_s = windows.stores[0].read("window/start_s")
    for test in ([0], [3, 4], [5, 6], [0, 1, 2, 3, 4, 5]):
        rest = np.setdiff1d(np.arange(12), test)
        expected = {  # a loop over all pairs
            row
            for row in test
            for other in rest
            if windows.recording[row] == windows.recording[other] and abs(start_s[row] - start_s[other]) < 15
        }
        checks = audit(plan_of(windows, test), windows, found=[])
        assert checks["subjects"].passed
        assert checks["overlap"].passed == (not expected)
        if expected:
            assert checks["overlap"].detail.startswith(
                f"fold 0: {len(expected)} windows overlap windows of the other side"
            )
    with pytest.raises(
        LeakError, match=r"overlap: fold 0: 1 windows .* in a\. Right would be: split by subject, or prepare"
    ):
        require(list(audit(plan_of(windows, [0]), windows, found=[]).values()))


def test_windows_that_only_touch_do_not_overlap(four: Windows) -> None:
    checks = audit(plan_of(four, [0]), four)
    assert not checks["subjects"].passed
    assert checks["overlap"].passed


def test_a_store_given_twice_overlaps_itself(four: Windows) -> None:
    twice = Windows([four.stores[0].path, four.stores[0].path])
    checks = audit(plan_of(twice, range(8)), twice)
    assert not checks["overlap"].passed
    assert not checks["duplicates"].passed


@pytest.mark.parametrize("change", ["gain and shift", "noise", "inverted"])
def test_a_copied_recording_under_another_name_is_found_and_mended(
    change: str, tmp_path: Path, small_store: Path
) -> None:
    original = Windows([small_store]).gather(np.arange(2)).signal[:, 0].numpy().reshape(-1)
    original = np.concatenate([original, original[:200]])
    copy = {
        "gain and shift": 3 * original[131:] + 1,
        "noise": original + original.std() / 100 * noise(9, 32.0),
        "inverted": -original,
    }[change]
    strangers = {f"x{seed}": noise(seed) for seed in range(6)}
    windows = Windows([store(tmp_path / "s.h5", {"a": original, "b": copy} | strangers)])
    found = near_duplicates(windows, np.arange(len(windows)))
    check = audit(plan_of(windows, [0, 1]), windows, found)["duplicates"]
    assert not check.passed
    assert "pairs of windows, of person a = person b" in check.detail
    pairs = inseparable_subjects(windows, target_of(windows), found)
    plan = Protocol(folds=3, inner_folds=2).plan(windows, target_of(windows), pairs)
    checks = audit(plan, windows, found)
    assert all(check.passed for check in checks.values())
    assert f"{len(found)} pairs stay on one side" in checks["duplicates"].detail


def test_an_encoder_that_saw_the_store_itself_is_found(four: Windows) -> None:
    plan = plan_of(four, [0, 1])
    (check,) = audit_pretraining("simclr", Seen(["x", four.stores[0].digest]), [], four, plan)
    assert not check.passed
    assert check.detail == "simclr saw these recordings, without labels, in pre-training: four.h5"
    with pytest.raises(LeakError, match=r"audit\.accept=\[pretraining\]"):
        require([check])
    require([check], accept=["pretraining"])


@pytest.mark.parametrize(("judged", "told"), [("abcd", "4 of the 4"), ("axyz", "1 of the 4")])
def test_an_encoder_that_saw_some_of_the_same_files_is_found_however_they_were_cut(
    four: Windows, monkeypatch: pytest.MonkeyPatch, judged: str, told: str
) -> None:
    plan, files = plan_of(four, [0, 1]), frozenset("abcdef")
    monkeypatch.setitem(four.stores[0].__dict__, "fingerprints", frozenset(judged))
    n_unknown = 0 if frozenset(judged) <= files else 1  # the other files
    check, *others = audit_pretraining("simclr", Seen(["x"], sources=files), [], four, plan)
    assert [other.is_unknown for other in others] == [True] * n_unknown
    assert (check.name, check.passed, check.is_unknown) == ("pretraining", False, False)
    assert check.detail == (
        "simclr saw these recordings, without labels, in pre-training: "
        f"four.h5 (at least {told} files it was made from)"
    )
    check, *others = audit_pretraining("tuned", Seen(["x"], ["x"], files, frozenset("a")), [], four, plan)
    assert [other.is_unknown for other in others] == [True] * n_unknown
    assert (check.name, check.passed) == ("labels", False)
    (check,) = audit_pretraining("simclr", Seen(["x"], sources=frozenset("gh")), [], four, plan)
    assert (check.passed, check.is_unknown) == (True, True)


def test_labels_learned_from_a_recut_of_a_store_are_found_by_copies_in_it(
    four: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = Windows([store(tmp_path / "pre.h5", {"z": noise(77), "y": -4 * noise(2)})])
    monkeypatch.setitem(trained.stores[0].__dict__, "fingerprints", frozenset("s"))
    seen = Seen([trained.stores[0].digest, "recut"], ["recut"], frozenset("s"), frozenset("s"))
    leak, _ = audit_pretraining("tuned", seen, [trained], four, plan_of(four, [0, 1, 4, 5]))
    assert (leak.name, leak.passed) == ("labels", False)


def test_a_file_that_was_seen_does_not_hide_copies_of_the_others(
    four: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(four.stores[0].__dict__, "fingerprints", frozenset("ab"))
    tuned = Windows([store(tmp_path / "tuned.h5", {"z": noise(77), "y": -4 * noise(2)})])
    digest = tuned.stores[0].digest
    found = audit_pretraining("tuned", Seen([digest], [digest], frozenset("a")), [tuned], four, plan_of(four, [0, 4]))
    assert [(check.name, check.passed) for check in found] == [("pretraining", False), ("labels", False)]


def test_a_store_that_was_seen_does_not_hide_copies_in_another(four: Windows, tmp_path: Path) -> None:
    other = store(tmp_path / "other.h5", {"e": noise(78), "f": noise(79)})
    both = Windows([four.stores[0].path, other])
    tuned = Windows([store(tmp_path / "tuned.h5", {"z": noise(77), "y": -4 * noise(79)})])
    seen = Seen([four.stores[0].digest, tuned.stores[0].digest], [tuned.stores[0].digest])
    plan = plan_of(both, [0, 1, *range(len(four), len(both))])
    found = audit_pretraining("tuned", seen, [tuned], both, plan)
    assert [(check.name, check.passed) for check in found if not check.is_unknown] == [
        ("pretraining", False),
        ("labels", False),
    ]


def test_copies_between_the_stores_of_pre_training_and_of_the_task_are_found(four: Windows, tmp_path: Path) -> None:
    raw = noise(2)  # of `person c`
    trained = Windows([store(tmp_path / "pre.h5", {"z": noise(77), "y": -4 * raw}, ["person a", "someone"])])
    plan = plan_of(four, [0, 1, 4, 5])
    digests = [trained.stores[0].digest]
    (check,) = audit_pretraining("simclr", Seen(digests), [trained], four, plan)
    assert not check.passed
    assert check.detail.startswith(
        "simclr saw, without labels, in pre-training windows of 1 of 2 recordings that are judged on (2 pairs of "
        "near-duplicates), of person c"
    )
    assert "1 subject ids stand in both (person a), of the same people or not" in check.detail
    only_d = plan_of(four, [6, 7])  # `person c` is not judged on
    (check,) = audit_pretraining("simclr", Seen(digests), [trained], four, only_d)
    assert check.passed
    assert not check.is_unknown


def test_labels_of_what_is_judged_on_are_not_taken_for_pre_training(four: Windows, tmp_path: Path) -> None:
    plan, digest = plan_of(four, [0, 1, 4, 5]), four.stores[0].digest
    (check,) = audit_pretraining("tuned", Seen(["x", digest], [digest]), [], four, plan)
    assert (check.name, check.passed) == ("labels", False)
    assert check.detail == "tuned saw these recordings, with labels, in fine-tuning: four.h5"
    with pytest.raises(LeakError, match="labels: tuned saw these recordings"):
        require([check], accept=["pretraining"])
    (check,) = audit_pretraining("tuned", Seen(["x", digest], ["x"]), [], four, plan)
    assert check.name == "pretraining"
    copied = Windows([store(tmp_path / "tuned.h5", {"z": noise(77), "y": -4 * noise(2)})])
    digests = [copied.stores[0].digest]
    (check,) = audit_pretraining("tuned", Seen(digests, digests), [copied], four, plan)
    assert (check.name, check.passed) == ("labels", False)
    assert check.detail.startswith("tuned saw, with labels, in fine-tuning windows of 1 of 2 recordings")


def test_copies_that_a_verification_compares_are_found(tmp_path: Path) -> None:
    raw = {name: noise(seed) for seed, name in enumerate("abcdef")}
    raw["b"] = -3 * raw["a"] + 1
    people = ["anna", "anna", "ben", "ben", "cleo", "cleo"]
    windows = Windows([store(tmp_path / "people.h5", raw, people)])
    plan = plan_of(windows, [0, 1, 2, 3])
    assert audit(plan, windows)["duplicates"].passed
    plan = replace(plan, target=replace(plan.target, kind="verification"))
    check = audit(plan, windows)["duplicates"]
    assert (check.passed, check.detail) == (False, "2 pairs of windows that are compared, of anna = anna")


def test_what_is_not_at_hand_is_unknown(
    four: Windows, small_store: Path, tmp_path: Path, make_store: MakeStore
) -> None:
    plan, trained = plan_of(four, [0, 1]), Windows([small_store])
    (check,) = audit_pretraining("simclr", Seen(["x"]), [], four, plan)
    assert check.passed
    assert check.is_unknown
    assert "1 of 1 stores that simclr was trained on are not at hand: give audit.pretraining=[FILE.h5]" in check.detail
    known, unknown = audit_pretraining("simclr", Seen(["x", trained.stores[0].digest]), [trained], four, plan)
    assert (known.passed, known.is_unknown, unknown.is_unknown) == (True, False, True)
    (check,) = audit_pretraining("foreign", Seen(), [], four, plan)
    assert check.is_unknown
    assert "foreign does not say which stores it was trained on" in check.detail
    faster = Windows([make_store(tmp_path / "fast.h5", sample_rate=125.0, n_subjects=1, session_h=0.2)])
    (check,) = audit_pretraining("simclr", Seen([faster.stores[0].digest]), [faster], four, plan)
    assert check.passed
    assert check.is_unknown
    assert "125 and 100 Hz" in check.detail


def test_all_failures_that_are_not_accepted_are_listed() -> None:
    checks = [Check("subjects", False, "A"), Check("overlap", True, "B"), Check("duplicates", False, "C")]
    with pytest.raises(LeakError) as caught:
        require(checks, ["duplicates"])
    assert "subjects: A. Right would be: split by subject" in str(caught.value)
    assert "C" not in str(caught.value)
    assert caught.value.is_user_error
    with pytest.raises(LeakError, match=r"audit\.accept: there is no check subject; there are subjects, overlap"):
        require(checks, ["subject"])


def embeddings(n: int = 40) -> Any:
    return (
        np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
        + np.linspace(0, 9, n, dtype=np.float32)[:, None]
    )


def test_a_standardiser_fitted_on_all_rows_is_found() -> None:
    x, test = embeddings(), np.arange(30, 40)
    hidden = sealed(x, test)
    leaky = hidden.mean(axis=0), hidden.std(axis=0)
    with pytest.raises(LeakError, match=r"the standardiser saw the test fold: 6 of 6 .* on training examples only"):
        check_sealed(np.stack(leaky), "the standardiser")
    with pytest.raises(LeakError, match="3 of 3"):
        check_sealed([np.zeros(2), leaky[0]], "the standardiser")
    check_sealed([hidden[:30].mean(axis=0), hidden[:30].std(axis=0)], "the standardiser")
    assert np.isfinite(x).all()  # the original is not touched


def test_a_standardiser_that_skips_nan_learns_nothing_of_the_test_fold() -> None:
    x, is_test = embeddings(), np.arange(40) >= 30
    fitted = StandardScaler().fit(sealed(x, is_test))
    np.testing.assert_allclose(fitted.mean_, x[:30].mean(axis=0), rtol=1e-5)
    check_sealed([fitted.mean_, fitted.scale_], "the standardiser")


def test_a_hyper_parameter_chosen_by_the_labels_of_the_test_fold_is_found(four: Windows) -> None:
    target, test = target_of(four), np.array([0, 1])
    value = sealed_value(target, test)
    np.testing.assert_array_equal(value, [-1, -1, 0, 1, 0, 1, 0, 1])
    assert (target.value >= 0).all()
    with pytest.raises(LeakError, match="the threshold saw the test fold: 2 of 8 values"):
        check_sealed(value, "the threshold")
    with pytest.raises(LeakError, match="the classes saw the test fold: 1 of 3"):
        check_sealed(np.unique(value), "the classes")
    check_sealed(value[2:], "the threshold")


def test_values_of_regression_and_of_several_labels_are_sealed(four: Windows) -> None:
    target = target_of(four)
    several = sealed_value(replace(target, kind="multilabel", value=np.ones((8, 2), np.int64)), np.array([3]))
    assert several[3].tolist() == [-1, -1]
    assert several.sum() == 14 - 2
    number = sealed_value(replace(target, kind="regression", value=np.arange(8.0)), np.array([3]))
    assert np.flatnonzero(np.isnan(number)).tolist() == [3]


def test_ten_thousand_windows_in_five_folds_of_four_take_a_moment(make_store: MakeStore, small_store: Path) -> None:
    windows = Windows([small_store] * 70)
    target = replace(target_of(windows), subject=windows.subject.copy())
    side = windows.subject % 5
    folds = tuple(
        Fold(
            np.flatnonzero(side != k),
            np.flatnonzero(side == k),
            tuple((np.flatnonzero((side != k) & (side != i)), np.flatnonzero(side == i)) for i in range(5) if i != k),
        )
        for k in range(5)
    )
    plan = Plan(target, target.subject, folds, "0" * 12, {}, ())
    found = [Duplicate(row, row + 144, 1.0, 0.0) for row in range(9000)]
    began = time.process_time()
    checks = audit_split(plan, windows, found)
    assert time.process_time() - began < 5
    assert not any(check.passed for check in checks)
