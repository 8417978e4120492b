"""What stands beside each embedding: where its window comes from, when it was, how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.embedding.inputs import Input
from tiles_ecg.store import Store


@dataclass(frozen=True)
class Text:
    """A column of text with few different values.

    Attributes:
        code: (N,) number of each row's value.
        value: The values.
    """

    code: NDArray[np.int32]
    value: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Columns of N rows.

    Attributes:
        text: `input`, `recording` and `subject`.
        number: `start_s` from the start of the recording, `wall_time_s` since the epoch (UTC; NaN where unknown),
            `quality` (0 to 1).
        n_recordings: How many there are; those of different inputs are different ones.
        n_subjects: The same for people.
    """

    text: dict[str, Text]
    number: dict[str, NDArray[Any]]
    n_recordings: int
    n_subjects: int

    def __len__(self) -> int:
        return len(self.number["start_s"])


def columns_of(inputs: Sequence[Input], stores: Sequence[Store]) -> Columns:
    """The columns of stores, one after another.

    Args:
        inputs: What each is called.
        stores: As many.
    """
    named = [_inputs(given, store) for given, store in zip(inputs, stores, strict=True)]
    recordings = [Text(store.recording.astype(np.int32), tuple(store.read("recording/id"))) for store in stores]
    subjects = [Text(store.subject.astype(np.int32), tuple(store.subject_id)) for store in stores]
    text = {"input": named, "recording": recordings, "subject": subjects}
    number = {
        name: np.concatenate([store.read(f"window/{name}") for store in stores]).astype(kind)
        for name, kind in (("start_s", np.float64), ("wall_time_s", np.float64), ("quality", np.float32))
    }
    counts = [sum(len(np.unique(column.code)) for column in columns) for columns in (recordings, subjects)]
    return Columns({name: _joined(columns) for name, columns in text.items()}, number, *counts)


def _inputs(given: Input, store: Store) -> Text:
    if not given.names:
        return Text(np.zeros(len(store), np.int32), (given.name,))
    source = [given.names[key] for key in store.read("recording/source").tolist()]
    return Text(store.recording.astype(np.int32), tuple(source))


def _joined(columns: Sequence[Text]) -> Text:
    """One column; equal values have one number."""
    number: dict[str, int] = {}
    codes = []
    for column in columns:
        known = [number.setdefault(value, len(number)) for value in column.value]
        codes.append(np.array(known, np.int32)[column.code])
    return Text(np.concatenate(codes), tuple(number))
