"""Splits: always by subject."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.store import StoreError


def validation_subjects(keys: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose a share of the subjects by a hash of their ids, whatever the order of files.

    Subjects with the same id in several stores land on the same side: they may be the same person.

    Args:
        keys: Id of each subject; one that stands there twice counts once.
        share: Of the subjects, 0 to below 1; above 0 at least one is chosen.
        seed: Another seed, another choice.

    Returns:
        (subjects,) whether each is a validation subject.

    Raises:
        StoreError: If there are too few subjects to have some on either side.
    """
    if share == 0:
        return np.zeros(len(keys), bool)
    people = set(keys)
    n_chosen = max(1, round(share * len(people)))
    if n_chosen >= len(people):
        raise StoreError(
            f"dataset.val_share = {share}: {len(people)} subject(s) cannot be split into training and validation; "
            "choose a smaller share, or 0 to train on all"
        )
    ranked = sorted(people, key=lambda key: hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest())
    chosen = set(ranked[:n_chosen])
    return np.array([key in chosen for key in keys])
