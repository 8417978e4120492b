"""Few labels: training subjects of a fold of which only so many have labels."""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.protocol import Fold, Plan, divide
from tiles_ecg.seeding import derive_seed

FEWEST_FOR_INNER = 4
"""Groups of subjects that can be divided to choose by."""


def few_labels(plan: Plan, fold: int, n_subjects: int, draw: int = 0) -> Fold:
    """The fold with labels for so many of its training subjects.

    Of one draw, fewer subjects are a subset of more. Each class comes in turn, so that a few subjects have all of them
    where that is possible. The inner folds are made anew from the chosen subjects; there are none below four.

    Args:
        plan: The whole plan.
        fold: Number of the outer fold.
        n_subjects: Groups of subjects with labels; more than there are means all.
        draw: Number of the draw.
    """
    whole = plan.folds[fold]
    order = _order(plan, whole.train, derive_seed(int(plan.about["seed"]), "few labels", fold, draw))
    chosen = whole.train[np.isin(plan.group[whole.train], order[:n_subjects])]
    n_groups = min(n_subjects, len(order))
    if n_groups < FEWEST_FOR_INNER:
        return Fold(chosen, whole.test, ())
    n_inner = min(int(plan.about["inner_folds"]), n_groups)
    seed = derive_seed(int(plan.about["seed"]), "few labels, inner", fold, draw)
    return Fold(chosen, whole.test, tuple(divide(plan.target, plan.group, chosen, n_inner, seed)))


def _order(plan: Plan, train: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Training groups in the order in which they get labels: at random, classes taking turns."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.unique(plan.group[train]))
    target = plan.target
    if target.kind in ("regression", "verification"):
        return groups
    is_of = target.value if target.kind == "multilabel" else target.value[:, None] == np.arange(len(target.classes))
    has = np.zeros((int(plan.group.max()) + 1, is_of.shape[1]), bool)
    np.logical_or.at(has, plan.group[train], is_of[train].astype(bool))
    queues = [iter(groups[has[groups, k]].tolist()) for k in range(is_of.shape[1])]
    queues.append(iter(groups.tolist()))  # those of no class at all
    taken: dict[int, None] = {}
    while len(taken) < len(groups):
        for queue in queues:
            found = next((g for g in queue if g not in taken), None)
            if found is not None:
                taken[found] = None
    return np.array(list(taken), np.int64)
