"""Planning: one task, one protocol and some stores -> who is trained on and judged on, and the audit of that."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.held import good_rows
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.audit import Check, audit_split
from tiles_ecg.evaluation.duplicates import Duplicate, inseparable_subjects, near_duplicates
from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.task.target import Task

_KEPT = 4
_searched: dict[str, list[Duplicate]] = {}
"""Duplicates among windows searched before in this process: the jobs of a sweep have the same."""


def plan_for(windows: Windows, task: Task, protocol: Protocol, min_quality: float = 0.0) -> tuple[Plan, list[Check]]:
    """Divide the examples of a task, with near-duplicate recordings on one side of every split, and audit it.

    `tiles-train` and `tiles-evaluate` both plan by this, so that the same task, stores and protocol have the same hash.

    Args:
        windows: Of the stores.
        task: What is predicted.
        protocol: How the subjects are divided.
        min_quality: Windows of less quality are not used.

    Returns:
        The plan, and what the audit of its splits found; nothing is raised for a check that is not passed.

    Raises:
        ConfigError: If no window is good enough.
        TaskError: If the task cannot be judged on these stores.
    """
    target = task.target(windows, good_rows(windows, min_quality))
    found = _duplicates(windows, target.row)
    plan = protocol.plan(windows, target, inseparable_subjects(windows, target, found))
    return plan, audit_split(plan, windows, found)


def _duplicates(windows: Windows, rows: NDArray[np.int64]) -> list[Duplicate]:
    digest = hashlib.blake2b(rows.tobytes(), digest_size=16)
    for store in windows.stores:
        digest.update(f"/{store.digest}/{len(store)}".encode())
    key = digest.hexdigest()
    if key not in _searched:
        while len(_searched) >= _KEPT:
            _searched.pop(next(iter(_searched)))
        _searched[key] = near_duplicates(windows, rows)
    return _searched[key]
