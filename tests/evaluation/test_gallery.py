"""Galleries show the windows they should, as they lie in the store."""

from dataclasses import replace

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.archive import ArchiveError, write_archive
from tiles_ecg.evaluation.gallery import FORM, gallery, load_gallery
from tiles_ecg.evaluation.predictions import Method, Predictions, PredictionsError
from tiles_ecg.task.target import assemble


@pytest.fixture(scope="module")
def windows(small_store, other_store):
    return Windows([small_store, other_store])


def window_target(windows, n_classes=3):
    rows = np.arange(len(windows))
    return assemble(
        windows, rows, rows, rows % n_classes, [f"w{row}" for row in rows], name="made", kind="multiclass",
        level="window", classes=tuple("abc"[:n_classes]), metric="auroc",
    )  # fmt: skip


def predict(target, p_of_truth):
    """Predictions that give the truth so much, and the rest to the next class."""
    n, k = len(target.value), len(target.classes)
    score = np.zeros((n, k))
    score[np.arange(n), target.value] = p_of_truth
    score[np.arange(n), (target.value + 1) % k] = 1 - p_of_truth
    return Predictions(
        method=Method("made encoder", "linear"), task="made", protocol="0", kind=target.kind, classes=target.classes,
        unit="", metric="auroc", n_folds=2, example_id=np.array(target.example_id),
        subject=np.array(target.subject_id)[target.subject], fold=np.zeros(n, np.int64), seed=np.zeros(n, np.int64),
        value=target.value, score=score, decision=score.argmax(1),
    )  # fmt: skip


def test_the_worst_are_those_whose_truth_got_least_one_of_each_subject(windows):
    target = window_target(windows)
    p = np.random.default_rng(0).uniform(size=len(target.value))
    made = gallery(predict(target, p), target, windows, n=4)
    expected, seen = [], set()
    for at in sorted(range(len(p)), key=lambda at: p[at]):
        if target.subject[at] not in seen and len(expected) < 4:
            seen.add(target.subject[at])
            expected.append(f"w{at}")
    assert made.example_id[~made.is_best].tolist() == expected


def test_the_best_are_of_all_classes_and_of_different_subjects(windows):
    target = window_target(windows)
    p = np.random.default_rng(0).uniform(0.6, 0.9, size=len(target.value))
    p[target.value == 1] += 0.1
    made = gallery(predict(target, p), target, windows, n=6)
    best = [int(name[1:]) for name in made.example_id[made.is_best]]
    assert sorted(made.truth[made.is_best].tolist()) == ["a", "a", "b", "b", "c", "c"]
    assert len(set(target.subject[best])) == 6
    assert list(p[best]) == sorted(p[best], reverse=True)


def test_subjects_repeat_only_when_there_are_no_others(windows):
    target = window_target(windows)
    n_subjects = len(np.unique(target.subject))
    made = gallery(predict(target, np.linspace(0.1, 0.4, len(target.value))), target, windows, n=n_subjects + 3)
    worst = [target.subject[int(name[1:])] for name in made.example_id[~made.is_best]]
    assert len(set(worst[:n_subjects])) == n_subjects
    assert len(worst) == n_subjects + 3


def test_wrong_examples_come_before_right_ones_of_other_subjects(windows):
    target = window_target(windows)
    p = np.full(len(target.value), 0.9)
    p[:4] = [0.1, 0.2, 0.3, 0.4]  # all of one subject
    assert len(np.unique(target.subject[:4])) == 1
    made = gallery(predict(target, p), target, windows, n=4)
    assert made.example_id[~made.is_best].tolist() == ["w0", "w1", "w2", "w3"]


def test_signal_and_beats_are_those_of_the_store(windows):
    target = window_target(windows)
    made = gallery(predict(target, np.random.default_rng(1).uniform(size=len(target.value))), target, windows)
    small, other = windows.stores
    assert made.unit == small.unit
    assert made.sample_rate == 100.0
    for at, name in enumerate(made.example_id):
        row = int(name[1:])
        store, local = (small, row) if row < len(small) else (other, row - len(small))
        np.testing.assert_array_equal(made.signal[at], store.read("signal")[local])
        peaks = store.beat_position[store.beat_offset[local] : store.beat_offset[local + 1]]
        assert np.flatnonzero(made.beat[at]).tolist() == sorted(set(peaks.tolist()))
    assert {int(name[1:]) < len(small) for name in made.example_id} == {True, False}


def test_a_recording_is_shown_by_its_middle_window(windows):
    rows = np.arange(len(windows))
    number = np.unique(windows.recording, return_inverse=True)[1]
    value = np.arange(number.max() + 1) % 2
    target = assemble(
        windows, rows, number, value, [f"r{i}" for i in range(len(value))], name="made", kind="binary",
        level="recording", classes=("a", "b"), metric="auroc",
    )  # fmt: skip
    made = gallery(predict(target, np.linspace(0.2, 0.9, len(value))), target, windows, n=3)
    whole = np.concatenate([store.read("signal") for store in windows.stores])
    for name, signal in zip(made.example_id, made.signal, strict=True):
        of_recording = rows[number == int(name[1:])]
        np.testing.assert_array_equal(signal, whole[of_recording[len(of_recording) // 2]])


@pytest.mark.parametrize(("n_examples", "n_best", "n_worst"), [(1, 1, 0), (2, 1, 1), (5, 3, 2)])
def test_few_examples_are_shown_once_each(windows, n_examples, n_best, n_worst):
    target = window_target(windows)
    whole = predict(target, np.linspace(0.2, 0.9, len(target.value)))
    names = ("example_id", "subject", "fold", "seed", "value", "score", "decision")
    few = replace(whole, **{name: getattr(whole, name)[:n_examples] for name in names})
    made = gallery(few, target, windows)
    assert made.is_best.tolist() == [True] * n_best + [False] * n_worst
    assert len(set(made.example_id.tolist())) == n_examples


def test_of_several_seeds_the_first_is_shown(windows):
    target = window_target(windows)
    whole = predict(target, np.linspace(0.2, 0.9, len(target.value)))
    names = ("example_id", "subject", "fold", "value", "decision")
    both = {name: np.tile(getattr(whole, name), 2) for name in names}
    seed = np.repeat([1, 0], len(whole))
    twice = replace(whole, **both, seed=seed, score=np.concatenate([whole.score[::-1], whole.score]))
    first, again = gallery(whole, target, windows), gallery(twice, target, windows)
    assert first.example_id.tolist() == again.example_id.tolist()
    assert first.said.tolist() == again.said.tolist()


def test_no_finite_score_makes_an_empty_gallery(windows, tmp_path):
    target = window_target(windows)
    made = gallery(predict(target, np.full(len(target.value), np.nan)), target, windows)
    assert made.signal.shape == (0, *windows.shape)
    assert len(load_gallery(made.save(tmp_path)).example_id) == 0


def test_predictions_of_other_examples_are_refused(windows):
    target = window_target(windows)
    strange = replace(predict(target, np.full(len(target.value), 0.5)), example_id=np.array(["?"] * len(target.value)))
    with pytest.raises(PredictionsError, match=r"made encoder, linear predicts '\?', which is not an example of made"):
        gallery(strange, target, windows)


def test_a_saved_gallery_is_read_as_it_was(windows, tmp_path):
    target = window_target(windows)
    made = gallery(predict(target, np.random.default_rng(1).uniform(size=len(target.value))), target, windows)
    path = made.save(tmp_path / "gallery")
    assert path.name == "made-encoder_linear.npz"
    again = load_gallery(path)
    assert again.method == made.method
    assert (again.sample_rate, again.unit) == (made.sample_rate, made.unit)
    for name in ("signal", "beat", "example_id", "truth", "said", "is_best"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))


def test_a_gallery_with_parts_missing_is_named(tmp_path):
    path = write_archive(tmp_path / "g.npz", FORM, {"method": {"encoder": "e", "head": "linear"}}, {})
    with pytest.raises(ArchiveError, match=r"g\.npz: a gallery with other parts"):
        load_gallery(path)
