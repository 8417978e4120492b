"""The split by subject."""

import numpy as np
import pytest

from tiles_ecg.dataset.split import validation_subjects
from tiles_ecg.store import StoreError

NAMES = [f"subject {number}" for number in range(50)]


def test_the_share_asked_for_is_chosen() -> None:
    assert validation_subjects(NAMES, 0.2, 0).sum() == 10
    assert validation_subjects(NAMES, 0.001, 0).sum() == 1


def test_a_share_of_zero_chooses_none() -> None:
    assert not validation_subjects(NAMES, 0, 0).any()


def test_the_choice_does_not_depend_on_the_order_of_subjects() -> None:
    order = np.random.default_rng(0).permutation(50)
    shuffled = validation_subjects([NAMES[i] for i in order], 0.2, 0)
    np.testing.assert_array_equal(shuffled, validation_subjects(NAMES, 0.2, 0)[order])


def test_a_subject_that_is_chosen_stays_chosen_when_its_rank_allows_it_and_others_leave() -> None:
    chosen = validation_subjects(NAMES, 0.2, 0)
    kept = [name for name, is_chosen in zip(NAMES, chosen, strict=True) if is_chosen]
    fewer = [name for number, name in enumerate(NAMES) if name in kept or number % 2]
    again = validation_subjects(fewer, len(kept) / len(fewer), 0)
    assert [name for name, is_chosen in zip(fewer, again, strict=True) if is_chosen] == kept


def test_the_same_id_in_two_stores_is_on_one_side() -> None:
    twice = validation_subjects(NAMES * 2, 0.3, 0)
    np.testing.assert_array_equal(twice[:50], twice[50:])
    assert twice.sum() == 30


def test_another_seed_chooses_others() -> None:
    choices = {tuple(validation_subjects(NAMES, 0.2, seed)) for seed in range(10)}
    assert len(choices) == 10


@pytest.mark.parametrize("names", [["a"], ["a", "a"]])
def test_a_single_subject_cannot_be_split(names: list[str]) -> None:
    with pytest.raises(
        StoreError, match=r"dataset.val_share = 0.1: 1 subject\(s\) cannot be split.*or 0 to train on all"
    ):
        validation_subjects(names, 0.1, 0)
