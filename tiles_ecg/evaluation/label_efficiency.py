"""Label efficiency: how well a head does with labels of fewer and fewer training subjects."""

from collections.abc import Sequence

import numpy as np

from tiles_ecg.protocol import Plan

STEPS = (1, 3)
"""Numbers of subjects are these times powers of ten."""


def numbers_of_subjects(plan: Plan, asked: Sequence[int] | None = None) -> list[int]:
    """Numbers of training subjects for the curve, ascending, all below the smallest training side of a fold.

    Args:
        plan: The whole plan.
        asked: Instead of 1, 3, 10, 30, ... from as many as there are classes (at least 3).
    """
    n_train = min(len(np.unique(plan.group[fold.train])) for fold in plan.folds)
    if asked is not None:
        return sorted({n for n in asked if n < n_train})
    fewest = max(3, len(plan.target.classes) if plan.target.kind in ("binary", "multiclass") else 0)
    series = [step * 10**power for power in range(7) for step in STEPS]
    return [n for n in series if fewest <= n < n_train]
