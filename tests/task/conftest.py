"""Small stores written by hand, for tasks: one row a window, with the labels that the test names."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.label import Label
from tiles_ecg.recording import LabelSpec
from tiles_ecg.store import StoreWriter


@pytest.fixture
def windows_of(tmp_path: Path) -> Callable[..., Windows]:
    """Opens one hand-made store; its arguments are those of `write_store`, without the path."""
    return lambda *arguments, **words: Windows([write_store(tmp_path / "hand.h5", *arguments, **words)])


@pytest.fixture
def store_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a hand-made store under a name in `tmp_path`; see `write_store`."""
    return lambda name, *arguments, **words: write_store(tmp_path / name, *arguments, **words)


def write_store(
    path: Path,
    recordings: Sequence[tuple[str, str | None, int]],
    labels: Sequence[tuple[LabelSpec, Any]] = (),
    wall_time_s: Sequence[float] | None = None,
    beats: Sequence[Sequence[int]] | None = None,
) -> Path:
    """A store of windows of 2 time points at 100 Hz.

    Args:
        path: Where.
        recordings: Id, subject (None: unknown) and number of windows, 300 s apart, of each.
        labels: Specs and values: one a window, recording or subject, as the spec's level says.
        wall_time_s: One a window.
        beats: R-peaks of each window, in time points.
    """
    owners = [subject or name for name, subject, _ in recordings]
    subjects = list(dict.fromkeys(owners))
    recording = np.repeat(np.arange(len(recordings)), [n for _, _, n in recordings])
    n = len(recording)
    flat = np.array([at for window in beats or () for at in window], np.int32)
    with StoreWriter(path, (n, 1, 2)) as writer:
        writer.write_signal(0, np.zeros((n, 1, 2), np.float32))
        writer.write_columns(
            {
                "window/subject": np.array([subjects.index(owners[i]) for i in recording], np.int32),
                "window/recording": recording.astype(np.int32),
                "window/start_s": np.concatenate([300.0 * np.arange(k) for _, _, k in recordings]),
                "window/wall_time_s": np.array(wall_time_s or [np.nan] * n, np.float64),
                "window/quality": np.ones(n, np.float32),
                "beat/position": flat,
                "beat/offset": np.cumsum([0, *map(len, beats or [()] * n)]),
                "subject/id": subjects,
                "subject/mean": np.zeros((len(subjects), 1), np.float32),
                "subject/std": np.ones((len(subjects), 1), np.float32),
                "recording/id": [name for name, _, _ in recordings],
                "recording/has_subject_id": np.array([subject is not None for _, subject, _ in recordings]),
            }
        )
        dtype = {"categorical": np.int16, "multilabel": np.int8, "continuous": np.float32}
        for spec, value in labels:
            writer.write_label(Label(spec, np.array(value, dtype[spec.kind])))
        writer.write_attributes({"sample_rate": 100.0, "unit": "mV", "digest": f"{path.stem:0<8}{'0' * 24}"})
    return path
