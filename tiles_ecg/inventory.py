"""Inventory: the recordings and subjects of a store, numbered in order of appearance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.recording import LabelSpec


@dataclass
class Inventory:
    """Recordings and subjects of all parts.

    Attributes:
        recordings: What is known of each, its id unique.
        subject_ids: One a subject; a recording without a subject id lends its own.
        subject_labels: Values by name, one mapping a subject; where its recordings differ, the first one's.
        recording_subject: Number of each recording's subject.
        first_recording: Number of each part's first recording.
        n_renamed: Recordings whose id another one had already; they are called `id@source`.
        n_contradicted: Subject-level labels of which a subject's recordings give several values: recordings by label.
    """

    recordings: list[dict[str, Any]] = field(default_factory=list)
    subject_ids: list[str] = field(default_factory=list)
    subject_labels: list[dict[str, Any]] = field(default_factory=list)
    recording_subject: list[int] = field(default_factory=list)
    first_recording: list[int] = field(default_factory=list)
    n_renamed: int = 0
    n_contradicted: Counter[str] = field(default_factory=Counter)

    def columns(self) -> dict[str, NDArray[Any] | list[str]]:
        """The columns of `recording/` and `subject/` in a store."""
        return {
            "subject/id": self.subject_ids,
            "recording/id": [r["id"] for r in self.recordings],
            "recording/source": [r["source"] for r in self.recordings],
            "recording/device": [r["device"] for r in self.recordings],
            "recording/leads": ["|".join(r["leads"]) for r in self.recordings],
            "recording/subject": np.asarray(self.recording_subject, np.int32),
            "recording/has_subject_id": np.array([r["is_named"] for r in self.recordings], bool),
        }


def take_inventory(descriptions: Sequence[Mapping[str, Any]], specs: Sequence[LabelSpec]) -> Inventory:
    """Number the recordings and subjects of parts.

    Args:
        descriptions: Of the parts, in the order of the store.
        specs: The reader's labels.
    """
    inventory = Inventory()
    of_subjects = [spec.name for spec in specs if spec.level == "subject"]
    number: dict[tuple[bool, str], int] = {}
    seen: set[str] = set()
    for description in descriptions:
        inventory.first_recording.append(len(inventory.recordings))
        for recording in description["recordings"]:
            unique = recording["id"]
            if unique in seen:
                unique = f"{unique}@{description['key']}"
                inventory.n_renamed += 1
            seen.add(unique)
            is_named = recording["subject"] is not None
            who = (is_named, recording["subject"] if is_named else unique)
            if who not in number:
                number[who] = len(inventory.subject_ids)
                inventory.subject_ids.append(who[1])
                inventory.subject_labels.append({})
            inventory.recordings.append({**recording, "id": unique, "is_named": is_named})
            inventory.recording_subject.append(number[who])
            known = inventory.subject_labels[number[who]]
            for name in of_subjects:
                value = recording["labels"].get(name)
                if value is not None and known.setdefault(name, value) != value:
                    inventory.n_contradicted[name] += 1
    return inventory
