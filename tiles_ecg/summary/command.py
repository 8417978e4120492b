"""Commands that would fill the rows of controls that were not run."""

import shlex
from collections.abc import Mapping

from tiles_ecg.evaluation.controls import FROM_SCRATCH, HEART_RATE, MAJORITY, UNTRAINED
from tiles_ecg.summary.section import Section

CONTROLS: Mapping[str, str] = {
    MAJORITY: "majority or mean",
    HEART_RATE: HEART_RATE,
    UNTRAINED: UNTRAINED,
    FROM_SCRATCH: FROM_SCRATCH,
}
"""Every table has them, under these titles where they were not run."""
DECIDING = ("task.", "protocol.", "dataset.store=")
DECIDING_DATASET = frozenset({"n_leads", "sample_rate", "window_s", "min_quality"})
"""Overrides of `dataset` that say which windows there are."""


def applies(control: str, section: Section) -> bool:
    """Whether a kind of task has the control: telling people apart has no majority."""
    return not (control == MAJORITY and section.about["kind"] == "verification")


def command(control: str, section: Section) -> str:
    """What to type for a control, under the same protocol as the runs of a section."""
    shared = _shared(section)
    if control != FROM_SCRATCH:
        return shlex.join(["tiles-evaluate", *shared])
    folds = ",".join(map(str, range(section.about["folds"])))
    return shlex.join(["tiles-train", "-m", "objective=finetune", *shared, f"dataset.fold={folds}"])


def _shared(section: Section) -> list[str]:
    """Overrides of the first run with a command that decide what the protocol covers."""
    for run in section.runs:
        words = _words(run.command)
        if any(word.startswith("task=") for word in words):
            kept = [word for word in words if _decides(word.lstrip("+~"))]
            return [f"task={section.task}", *kept]
    return [f"task={section.task}", "dataset.store=..."]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return []


def _decides(word: str) -> bool:
    key = word.partition("=")[0]
    group, _, name = key.partition(".")
    return word.startswith(DECIDING) or (group == "dataset" and name in DECIDING_DATASET) or key == "protocol"
