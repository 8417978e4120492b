"""Labels against a slow loop written from the definition in `Annotations`."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

import tiles_ecg.label
from tiles_ecg.label import INSTANT_S, Label, align, check_unique, encode, missing_values
from tiles_ecg.recording import Annotations, LabelKind, LabelSpec, RecordingError

CLASSES = ("n", "v", "s")
RHYTHM = LabelSpec("rhythm", "window", "categorical", CLASSES)
BEATS = LabelSpec("beats", "window", "multilabel", CLASSES)
PR = LabelSpec("pr", "window", "continuous", unit="ms")


def timed(times: Sequence[float], values: Sequence[object], durations: Sequence[float]) -> Annotations:
    return Annotations("rhythm", np.array(times, float), list(values), np.array(durations, float))  # type: ignore[arg-type]


def slow_align(spec: LabelSpec, events: Annotations, start_s: NDArray[np.float64], window_s: float) -> list[object]:
    """Every window with every event."""
    result: list[object] = []
    for start in start_s:
        stop = start + window_s
        cover = dict.fromkeys(spec.classes, 0.0)
        weight = total = 0.0
        for onset, value, duration in zip(events.time_s, events.value, events.duration_s, strict=True):
            if duration == 0:
                overlap = INSTANT_S if start <= onset < stop else 0.0
            else:
                overlap = max(0.0, min(stop, onset + duration) - max(start, onset))
            if spec.kind != "continuous":
                cover[str(value)] += overlap
            elif np.isfinite(value):  # type: ignore[arg-type]
                weight += overlap
                total += overlap * float(value)
        if spec.kind == "continuous":
            result.append(total / weight if weight else np.nan)
        elif spec.kind == "multilabel":
            result.append([int(seconds > 0) for seconds in cover.values()])
        else:
            result.append(int(np.argmax(list(cover.values()))) if any(cover.values()) else -1)
    return result


def random_events(rng: np.random.Generator, kind: LabelKind, n: int = 60) -> Annotations:
    """Spans, instants, overlaps, gaps, and events that begin or end exactly where a window does."""
    onset = np.sort(np.where(rng.random(n) < 0.5, rng.uniform(0, 100, n), rng.integers(0, 100, n)))
    duration = rng.choice([0.0, 0.0, 1.0, 5.0, 40.0], n) * np.where(rng.random(n) < 0.5, 1, rng.uniform(0.1, 1, n))
    value = rng.normal(size=n) if kind == "continuous" else rng.choice(CLASSES, n).tolist()
    if kind == "continuous":
        value[rng.random(n) < 0.2] = np.nan
    return Annotations("rhythm", onset, value, duration)


@pytest.mark.parametrize("spec", [RHYTHM, BEATS, PR], ids=lambda spec: spec.kind)
@pytest.mark.parametrize("seed", range(5))
def test_alignment_equals_a_loop_over_all_windows_and_events(spec: LabelSpec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = random_events(rng, spec.kind)
    start_s = np.concatenate([np.arange(0, 120, 5.0), rng.uniform(0, 120, 10)])  # any order, gaps and overlaps
    found = align(spec, events, start_s, 10.0)
    np.testing.assert_allclose(found, np.array(slow_align(spec, events, start_s, 10.0)), rtol=1e-6)


@pytest.mark.parametrize("spec", [RHYTHM, BEATS, PR], ids=lambda spec: spec.kind)
def test_windows_aligned_by_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch, spec: LabelSpec) -> None:
    events = random_events(np.random.default_rng(0), spec.kind)
    start_s = np.arange(0, 120, 5.0)
    whole = align(spec, events, start_s, 10.0)
    monkeypatch.setattr(tiles_ecg.label, "MOST_PAIRS", 3 * len(events.time_s))
    np.testing.assert_array_equal(align(spec, events, start_s, 10.0), whole)


def test_the_class_that_covers_most_of_a_window_wins() -> None:
    events = timed([0, 6, 12], ["n", "v", "n"], [6, 6, 100])
    assert align(RHYTHM, events, np.array([0.0, 3.0, 10.0]), 10.0).tolist() == [0, 1, 0]


def test_an_instant_counts_only_where_no_span_does() -> None:
    events = timed([1, 1, 2, 21], ["v", "n", "v", "v"], [0, 0.001, 0, 0])
    assert align(RHYTHM, events, np.array([0.0, 10.0, 20.0]), 10.0).tolist() == [0, -1, 1]


def test_an_instant_belongs_to_the_window_that_begins_with_it() -> None:
    assert align(RHYTHM, timed([10], ["v"], [0]), np.array([0.0, 10.0]), 10.0).tolist() == [-1, 1]


def test_a_window_without_events_is_missing_or_has_no_class() -> None:
    nothing = timed([], [], [])
    assert align(RHYTHM, nothing, np.zeros(1), 10.0).tolist() == [-1]
    assert align(BEATS, nothing, np.zeros(1), 10.0).tolist() == [[0, 0, 0]]
    assert np.isnan(align(PR, nothing, np.zeros(1), 10.0)).tolist() == [True]


@pytest.mark.parametrize("spec", [RHYTHM, BEATS, PR], ids=lambda spec: spec.kind)
def test_no_windows_give_no_values_in_storage_form(spec: LabelSpec) -> None:
    found = align(spec, timed([], [], []), np.zeros(0), 10.0)
    assert (found.shape, found.dtype) == (missing_values(spec, 0).shape, missing_values(spec, 0).dtype)


def test_a_value_that_no_class_has_is_refused_with_the_classes() -> None:
    with pytest.raises(RecordingError, match="label rhythm = 'x'; its classes are n, v, s"):
        align(RHYTHM, timed([0], ["x"], [1]), np.zeros(1), 10.0)


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        (timed([5, 1], ["n", "v"], [1, 1]), "do not ascend"),
        (timed([np.nan, 1], ["n", "v"], [1, 1]), "do not ascend"),
        (timed([1], ["n"], [-1]), "negative"),
        (timed([1], ["n", "v"], [1]), "1 times, 2 values and 1 durations"),
    ],
)
def test_events_that_make_no_sense_are_refused(events: Annotations, problem: str) -> None:
    with pytest.raises(RecordingError, match=problem):
        align(RHYTHM, events, np.zeros(1), 10.0)


def test_words_become_codes_and_none_stays_missing() -> None:
    assert encode(RHYTHM, ["s", None, "n"]).tolist() == [2, -1, 0]
    assert encode(BEATS, [("n", "s"), None, (), "v"]).tolist() == [[1, 0, 1], [-1, -1, -1], [0, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(encode(PR, [1.5, None, 3]), np.array([1.5, np.nan, 3], np.float32))


def test_a_number_is_asked_for_by_its_unit() -> None:
    with pytest.raises(RecordingError, match=r"label pr = 'long'; it needs a number \(ms\)"):
        encode(PR, ["long"])


def test_missing_values_are_known_as_such_in_every_kind() -> None:
    assert Label(RHYTHM, encode(RHYTHM, ["s", None])).is_missing.tolist() == [False, True]
    assert Label(BEATS, encode(BEATS, [(), None])).is_missing.tolist() == [False, True]
    assert Label(PR, encode(PR, [0.0, None])).is_missing.tolist() == [False, True]


def test_label_names_must_be_unique_and_fit_for_a_store() -> None:
    check_unique([RHYTHM, BEATS])
    with pytest.raises(RecordingError, match="label rhythm is declared 2 times"):
        check_unique([RHYTHM, RHYTHM])
    with pytest.raises(RecordingError, match="label name 'a/b' cannot be stored"):
        check_unique([LabelSpec("a/b", "window", "continuous")])
