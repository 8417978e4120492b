"""Embedding maps: neighbours stay neighbours, subjects have equal shares, and nothing degenerate breaks them."""

import time

import numpy as np
import pytest

from tiles_ecg.evaluation.archive import ArchiveError, write_archive
from tiles_ecg.evaluation.embedding_map import FORM, embedding_map, load_embedding_map, spread_over
from tiles_ecg.task.target import Target


def make_target(n_windows=120, n_subjects=6, kind="binary", value=None):
    """Each window an example; subjects in turn."""
    subject = np.arange(n_windows) % n_subjects
    value = np.arange(n_windows) % 2 if value is None else value
    return Target(
        name="made", kind=kind, level="window", classes=("no", "yes"), unit="", metric="auroc",
        row=np.arange(n_windows), example=np.arange(n_windows), value=value, subject=subject,
        subject_id=tuple(f"s{i}" for i in range(n_subjects)), example_id=tuple(f"w{i}" for i in range(n_windows)),
        recording=subject,
    )  # fmt: skip


def blobs(target, d=20, seed=0):
    """Embeddings far apart by class."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(len(target.row), d)) + 8 * target.value[:, None]).astype(np.float32)


def test_windows_of_a_class_that_lie_together_stay_together():
    target = make_target()
    made = embedding_map("e", blobs(target), target)
    assert made.method == "t-SNE"
    assert made.position.shape == (120, 2)
    assert made.position.dtype == np.float32
    distance = np.linalg.norm(made.position[:, None] - made.position, axis=2) + np.diag(np.full(120, np.inf))
    assert (made.value[distance.argmin(1)] == made.value).all()


def test_equal_arguments_give_an_equal_map_and_another_seed_other_windows():
    target = make_target(300)
    first, second, other = (embedding_map("e", blobs(target), target, most=60, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.position, second.position)
    assert first.example_id.tolist() == second.example_id.tolist()
    assert first.example_id.tolist() != other.example_id.tolist()


def test_each_point_keeps_its_example_subject_and_value():
    target = make_target(90)
    made = embedding_map("e", blobs(target), target, most=40)
    rows = [int(name[1:]) for name in made.example_id]
    assert rows == sorted(rows)
    assert len(set(rows)) == 40
    assert made.subject.tolist() == [f"s{row % 6}" for row in rows]
    assert made.value.tolist() == [row % 2 for row in rows]


def test_subjects_share_the_places_as_evenly_as_their_windows_allow():
    group = np.repeat([7, 3, 5, 9], [1, 5, 1000, 40])
    chosen = spread_over(group, 46, seed=0)
    assert dict(zip(*map(np.ndarray.tolist, np.unique(group[chosen], return_counts=True)), strict=True)) == {
        7: 1, 3: 5, 5: 20, 9: 20
    }  # fmt: skip
    assert (np.diff(chosen) > 0).all()


def test_fewer_windows_than_asked_for_are_all_chosen():
    assert spread_over(np.array([2, 2, 0]), 10, seed=0).tolist() == [0, 1, 2]
    assert spread_over(np.zeros(0, np.int64), 10, seed=0).tolist() == []


def test_equal_embeddings_lie_at_one_point_and_it_is_said():
    target = make_target(50)
    made = embedding_map("e", np.full((50, 8), 3.7, np.float32), target)
    assert (made.position == 0).all()
    assert made.method == "PCA"
    assert "all embeddings are the same" in made.notes[0]


def test_few_different_embeddings_are_shown_by_their_principal_components():
    target = make_target(60)
    x = np.repeat(np.random.default_rng(0).normal(size=(6, 5)), 10, axis=0)
    made = embedding_map("e", x, target)
    z = (x - x.mean(0)) / x.std(0)
    left, size, _ = np.linalg.svd(z, full_matrices=False)
    np.testing.assert_allclose(np.abs(made.position), np.abs(left[:, :2] * size[:2]), atol=1e-4)
    assert "only 6 windows differ" in made.notes[0]


def test_embeddings_of_one_direction_are_shown_along_it():
    target = make_target(50)
    x = np.zeros((50, 4), np.float32)
    x[:, 2] = np.arange(50)
    made = embedding_map("e", x, target)
    expected = (np.arange(50) - 24.5) / np.arange(50).std()
    np.testing.assert_allclose(np.abs(made.position[:, 0]), np.abs(expected), atol=1e-5)
    assert (made.position[:, 1] == 0).all()
    assert "one direction" in made.notes[0]


def test_windows_without_a_finite_embedding_are_left_out_and_counted():
    target = make_target(60)
    x = blobs(target)
    x[3, 0], x[10, 5] = np.nan, np.inf
    made = embedding_map("e", x, target)
    assert not {"w3", "w10"} & set(made.example_id.tolist())
    assert "2 windows" in made.notes[0]
    assert np.isfinite(made.position).all()


@pytest.mark.parametrize("n_windows", [1, 2, 3])
def test_next_to_no_windows_make_a_map(n_windows):
    target = make_target(n_windows)
    made = embedding_map("e", blobs(target), target)
    assert made.position.shape == (n_windows, 2)
    assert np.isfinite(made.position).all()


def test_no_finite_embedding_makes_an_empty_map():
    made = embedding_map("e", np.full((20, 4), np.nan), make_target(20))
    assert made.position.shape == (0, 2)
    assert "no window has a finite embedding" in made.notes


def test_embeddings_of_other_windows_are_refused():
    with pytest.raises(ValueError, match=r"embeddings of e: shape \(5, 3\), but made has 20 windows; give \(20, D\)"):
        embedding_map("e", np.zeros((5, 3)), make_target(20))


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_a_saved_map_is_read_as_it_was(tmp_path, kind):
    value = {"multilabel": np.eye(2, dtype=np.int64)[np.arange(30) % 2], "regression": np.linspace(0, 1, 30)}
    target = make_target(30, kind=kind, value=value.get(kind))
    made = embedding_map("runs/first encoder", np.random.default_rng(0).normal(size=(30, 4)), target)
    path = made.save(tmp_path)
    assert path == tmp_path / "runs-first-encoder.map.npz"
    again = load_embedding_map(path)
    for name in ("position", "example_id", "subject", "value"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    for name in ("encoder", "classes", "unit", "kind", "method", "notes"):
        assert getattr(again, name) == getattr(made, name)


def test_a_map_with_parts_missing_is_named(tmp_path):
    path = write_archive(tmp_path / "e.map.npz", FORM, {"encoder": "e"}, {})
    with pytest.raises(ArchiveError, match=r"e\.map\.npz: an embedding map with other parts"):
        load_embedding_map(path)


@pytest.mark.slow
def test_a_thousand_windows_are_laid_out_in_seconds():
    target = make_target(1500, n_subjects=30)
    begin = time.process_time()
    made = embedding_map("e", blobs(target, d=256), target)
    assert len(made.position) == 1000
    assert time.process_time() - begin < 20
