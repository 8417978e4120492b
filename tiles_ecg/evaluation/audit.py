"""Audit: what a split, an encoder and a training must not have in common with the data that are judged on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.duplicates import Duplicate, search_notes
from tiles_ecg.evaluation.sides import (
    common_subjects,
    common_time,
    compared_duplicates,
    parted_duplicates,
    rows_of_store,
    splits_of,
)
from tiles_ecg.protocol import Plan
from tiles_ecg.task.target import Target

Indices = NDArray[np.int64]

ADVICE = {
    "subjects": "split by subject: make the plan with Protocol.plan",
    "overlap": "split by subject, or prepare with a step_s of at least window_s",
    "duplicates": (
        "keep those subjects on one side: give inseparable_subjects(...) to Protocol.plan; of recordings that are "
        "compared with each other, leave the copies out"
    ),
    "labels": (
        "judge an encoder that has not learned from labels of these recordings; a fine-tuned one is judged by its own "
        "run, on the fold that it was not trained on"
    ),
    "pretraining": (
        "pre-train without these recordings; or, where this is known and the report may say so, "
        "audit.accept=[pretraining]"
    ),
    "sealed": "fit whatever is fitted (normalisation, regularisation, thresholds) on training examples only",
}
"""What would be right, by the name of the check."""
MOST_LINES = 3


class LeakError(Exception):
    """What is judged on was seen before. The message names each leak, where it is, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class Check:
    """One question of the audit, answered.

    Attributes:
        name: `subjects`, `overlap`, `duplicates`, `labels`, `pretraining` or `sealed`.
        passed: Whether no leak was found.
        detail: What was looked at, and what was found.
        is_unknown: Whether it passed only because it could not be looked at.
    """

    name: str
    passed: bool
    detail: str
    is_unknown: bool = False


def audit_split(plan: Plan, windows: Windows, found: Sequence[Duplicate]) -> list[Check]:
    """Check every outer fold and each of its inner pairs for subjects, time and near-duplicates on both sides.

    What is chosen by (the inner pairs) counts as training where the outer fold is looked at.

    Args:
        plan: Of the protocol.
        windows: That the plan divides.
        found: Near-duplicates among them, of `near_duplicates`.

    Returns:
        The checks `subjects`, `overlap` and `duplicates`.
    """
    target, splits = plan.target, splits_of(plan)
    where = f"both sides of {len(plan.folds)} folds and their {len(splits) - len(plan.folds)} inner pairs"
    n_unnamed = _recordings_without_subject(windows, target.row)
    no_subject = [f"no subject on {where}"]
    no_subject += [f"{n_unnamed:,} recordings have no subject id and count as a subject each"] * (n_unnamed > 0)
    no_duplicate = [f"no near-duplicate windows on {where}"]
    no_duplicate += [f"{len(found):,} pairs stay on one side"] * (len(found) > 0)
    no_duplicate += search_notes(windows, target.row)
    compared = compared_duplicates(target, windows, found)
    return [
        _check("subjects", common_subjects(target, windows, splits), no_subject),
        _check("overlap", common_time(target, windows, splits), [f"no windows that overlap in time on {where}"]),
        _check("duplicates", parted_duplicates(target, windows, splits, found) + compared, no_duplicate),
    ]


def _check(name: str, leaks: list[str], otherwise: list[str]) -> Check:
    more = [f"{len(leaks) - MOST_LINES} more"] if len(leaks) > MOST_LINES else []
    return Check(name, not leaks, "; ".join([*leaks[:MOST_LINES], *more] if leaks else otherwise))


def _recordings_without_subject(windows: Windows, rows: Indices) -> int:
    n = 0
    for number, store in enumerate(windows.stores):
        used = np.unique(store.recording[rows_of_store(windows, rows, number)])
        n += int((~store.read("recording/has_subject_id")[used].astype(bool)).sum())
    return n


def require(checks: Sequence[Check], accept: Sequence[str] = ()) -> None:
    """Refuse to go on with a leak.

    Args:
        checks: All that were made.
        accept: Names of checks whose failure is known and will be reported.

    Raises:
        LeakError: Listing every failed check that is not accepted, with what would be right; or where `accept` has a
            name that no check has.
    """
    unknown = [name for name in accept if name not in ADVICE]
    if unknown:
        raise LeakError(f"audit.accept: there is no check {', '.join(unknown)}; there are {', '.join(ADVICE)}")
    failed = [check for check in checks if not check.passed and check.name not in accept]
    if failed:
        lines = "\n".join(f"  {check.name}: {check.detail}. Right would be: {ADVICE[check.name]}" for check in failed)
        raise LeakError(f"the leak audit found\n{lines}")


def sealed(x: NDArray[np.floating], test_windows: NDArray[Any]) -> NDArray[np.floating]:
    """A copy of features in which those of the test fold are NaN, which spreads to whatever is made of them.

    Args:
        x: (N, D), or (N, ...) in general.
        test_windows: Their positions, or a (N,) mask.
    """
    copy = np.array(x)
    copy[test_windows] = np.nan
    return copy


def sealed_value(target: Target, examples: Indices) -> NDArray[Any]:
    """A copy of `target.value` in which that of some examples is NaN, or -1 where values are codes."""
    copy = np.array(target.value)
    copy[examples] = np.nan if np.issubdtype(copy.dtype, np.floating) else -1
    return copy


def check_sealed(prediction_or_parameters: NDArray[Any] | Sequence[NDArray[Any]], what: str) -> None:
    """Refuse numbers that sealed rows went into: NaN, or codes (integers) below 0.

    Args:
        prediction_or_parameters: One array, or several.
        what: What they are of, for the message.

    Raises:
        LeakError: If there is one.
    """
    single = isinstance(prediction_or_parameters, np.ndarray)
    for array in [prediction_or_parameters] if single else prediction_or_parameters:
        values = np.asarray(array)
        is_sealed = values < 0 if np.issubdtype(values.dtype, np.signedinteger) else np.isnan(values)
        if is_sealed.any():
            raise LeakError(
                f"{what} saw the test fold: {is_sealed.sum():,} of {values.size:,} values come from what was sealed; "
                f"{ADVICE['sealed']} (if none is, look for NaN in the features)"
            )
