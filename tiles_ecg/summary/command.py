"""Commands that would fill the rows of controls that were not run."""

import shlex
from collections.abc import Mapping

from tiles_ecg.console_resume import quoted
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
    if control == FROM_SCRATCH:
        folds = ",".join(map(str, range(section.about["folds"])))
        train = ["tiles-train", "-m", "objective=finetune", *shared, *_network(section, is_trained=True)]
        return shlex.join([*train, f"dataset.fold={folds}"])
    network = _network(section, is_trained=False) if control == UNTRAINED else []
    return shlex.join(["tiles-evaluate", *shared, *network])


def _shared(section: Section) -> list[str]:
    """Overrides of the first run with a command that decide what the protocol covers."""
    words = _typed(section)
    if not words:
        return [f"task={section.task}", "dataset.store=..."]
    return [f"task={section.task}", *(word for word in words if _decides(word.lstrip("+~")))]


def _network(section: Section, is_trained: bool) -> list[str]:
    """Overrides that name the network of the first encoder, and let its audit pass if it was let pass before."""
    words = _typed(section)
    accepted = [word for word in words if word.startswith("audit.")]
    for run in section.runs:
        for facts in run.encoders.values():
            if facts.get("path"):
                path = quoted(str(facts["path"]))
                if not is_trained:
                    return [f"encoders=[{path}]", *accepted]
                normalise = (facts.get("preprocessing") or {}).get("normalise")
                same = [f"dataset.normalise={normalise}"] if normalise else []
                return ["encoder=pretrained", f"encoder.path={path}", "encoder.fresh=true", *same, *accepted]
    return [word for word in words if word.lstrip("+~").startswith(("encoder=", "encoder."))]


def _typed(section: Section) -> list[str]:
    """What was typed for the first run whose command names a task."""
    typed = (_words(run.command) for run in section.runs)
    return next((words for words in typed if any(word.startswith("task=") for word in words)), [])


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return []


def _decides(word: str) -> bool:
    key = word.partition("=")[0]
    group, _, name = key.partition(".")
    return word.startswith(DECIDING) or (group == "dataset" and name in DECIDING_DATASET) or key == "protocol"
