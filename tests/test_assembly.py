"""Parts -> store: statistics against NumPy over all windows of a subject, tables, notes and summary against loops."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiles_ecg.assembly
from tiles_ecg.assembly import assemble, digest_of
from tiles_ecg.ingest import prepare
from tiles_ecg.inventory import take_inventory
from tiles_ecg.part import Part, PartReader
from tiles_ecg.preparation import Preparation
from tiles_ecg.reader.physionet import Cinc2017
from tiles_ecg.reader.wfdb import WfdbReader
from tiles_ecg.recording import LabelSpec
from tiles_ecg.store import Store, StoreError
from tiles_ecg.store_summary import MAX_NOTES, notes_of

T = 50
SEX = LabelSpec("sex", "subject", "categorical", ("female", "male"))
RHYTHM = LabelSpec("rhythm", "recording", "multilabel", ("n", "af"))
PR = LabelSpec("pr", "window", "continuous", unit="ms")
CONFIG = {"reader": {"root": "x"}, "preparation": {"window_s": 0.5}}


def part(
    folder: Path, key: str, recordings: list[dict[str, Any]], seed: int, n_leads: int = 1, **known: Any
) -> PartReader:
    """A part with `windows` windows of each recording, in no order of time."""
    rng = np.random.default_rng(seed)
    number = rng.permutation(np.repeat(np.arange(len(recordings)), [r.get("windows", 3) for r in recordings]))
    n = len(number)
    count = rng.integers(0, 3, n)
    signal = rng.normal(seed, 1 + seed, (n, n_leads, T)).astype(np.float32)
    with Part(folder / f"{key}.part") as written:
        written.append(
            {
                "signal": signal,
                "recording": number.astype(np.int32),
                "start_s": rng.permutation(n) * 0.5,
                "wall_time_s": np.full(n, np.nan),
                "quality": rng.random(n).astype(np.float32),
                "beat_count": count.astype(np.int32),
                "beat_position": rng.integers(0, T, count.sum()).astype(np.int32),
                "digest": known.pop("digest", rng.integers(0, 2**63, n).astype(np.uint64)),
                "label/pr": rng.normal(size=n).astype(np.float32),
            }
        )
        defaults = {
            "subject": None,
            "source": key,
            "device": "",
            "unit": "mV",
            "leads": list("XY"[:n_leads]),
            "labels": {},
        }
        facts = [{**defaults, **{k: v for k, v in r.items() if k != "windows"}} for r in recordings]
        description = {"key": key, "content": key, "recordings": facts, "dropped": {}, "notes": [], "n_windows": n}
        written.describe({**description, "read_s": 100.0, "n_leads": n_leads, **known})
    return PartReader(folder / f"{key}.part")


def assembled(folder: Path, parts: list[PartReader], failed: dict[str, str] | None = None) -> Store:
    assemble(parts, folder / "s.h5", (SEX, RHYTHM, PR), 100.0, T, CONFIG, failed or {}, show_progress=False)
    return Store(folder / "s.h5")


def three_parts(folder: Path) -> list[PartReader]:
    """Anna's recordings lie in all of them."""
    return [
        part(folder, "a", [{"id": "a1", "subject": "anna"}, {"id": "a2", "subject": "ben", "windows": 4}], 1, 2),
        part(folder, "b", [{"id": "b1"}, {"id": "b2", "subject": "anna", "windows": 5}], 2, 2),
        part(folder, "c", [{"id": "c1", "subject": "anna"}], 3, 2),
    ]


def rows_by_loop(parts: list[PartReader]) -> list[tuple[str, float, NDArray[np.float32], float, list[int], float]]:
    """(recording id, start, window, quality, beats, pr) of all windows: parts in order, each by recording and time."""
    rows = []
    for each in parts:
        columns = each.read_columns()
        signal = each.read_signal(np.arange(each.description["n_windows"]))
        ends = np.cumsum(columns["beat_count"])
        found = []
        for row in range(len(signal)):
            beats = columns["beat_position"][ends[row] - columns["beat_count"][row] : ends[row]].tolist()
            recording = int(columns["recording"][row])
            quality, pr = float(columns["quality"][row]), float(columns["label/pr"][row])
            found.append((recording, float(columns["start_s"][row]), signal[row], quality, beats, pr))
        found.sort(key=lambda item: item[:2])
        rows += [(each.description["recordings"][item[0]]["id"], *item[1:]) for item in found]
    return rows


@pytest.mark.parametrize("rows_at_once", [1, 4, 4096])
def test_windows_come_by_source_recording_and_time_with_all_that_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(tiles_ecg.assembly, "ROWS_AT_ONCE", rows_at_once)
    parts = three_parts(tmp_path)
    store = assembled(tmp_path, parts)
    expected = rows_by_loop(parts)
    ids = store.read("recording/id")
    assert ids[store.recording].tolist() == [row[0] for row in expected]
    assert store.read("window/start_s").tolist() == [row[1] for row in expected]
    np.testing.assert_array_equal(store.signal.gather(np.arange(len(store))), np.stack([row[2] for row in expected]))
    assert store.quality.tolist() == [row[3] for row in expected]
    beats = [store.beat_position[a:b].tolist() for a, b in zip(store.beat_offset, store.beat_offset[1:], strict=False)]
    assert beats == [row[4] for row in expected]
    assert store.label("pr").value.tolist() == [row[5] for row in expected]


def test_statistics_are_over_all_windows_and_time_points_of_a_subject(tmp_path: Path) -> None:
    store = assembled(tmp_path, three_parts(tmp_path))
    assert store.subject_id == ["anna", "ben", "b1"]
    for number in range(3):
        for lead in range(2):
            points = store.signal.gather(np.flatnonzero(store.subject == number))[:, lead].astype(np.float64).ravel()
            low, high = np.percentile(points, (25, 75))
            expected = [points.mean(), points.std(), np.median(points), (high - low) / 1.349]
            found = [store.read(f"subject/{name}")[number, lead] for name in ("mean", "std", "median", "robust_std")]
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_of_very_long_subjects_the_robust_statistics_come_from_evenly_spaced_windows_the_others_from_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles_ecg.assembly, "POINTS_FOR_SCALE", 4 * T)
    monkeypatch.setattr(tiles_ecg.assembly, "ROWS_AT_ONCE", 2)
    store = assembled(tmp_path, [part(tmp_path, "a", [{"id": "a1", "windows": 9}], 1)])
    everything, spaced = store.signal.gather(np.arange(9)), store.signal.gather(np.arange(0, 9, 3))
    assert store.read("subject/mean")[0, 0] == pytest.approx(everything.mean(dtype=np.float64), rel=1e-6)
    assert store.read("subject/std")[0, 0] == pytest.approx(everything.std(dtype=np.float64), rel=1e-6)
    assert store.read("subject/median")[0, 0] == pytest.approx(np.median(spaced), rel=1e-5)


def test_a_recording_without_a_subject_is_its_own_even_if_its_id_is_the_name_of_one(tmp_path: Path) -> None:
    recordings = [{"id": "x", "subject": "anna"}, {"id": "anna"}, {"id": "y"}]
    store = assembled(tmp_path, [part(tmp_path, "a", recordings, 1)])
    assert store.read("recording/subject").tolist() == [0, 1, 2]
    assert store.read("recording/has_subject_id").tolist() == [True, False, False]
    assert any("2 recordings have no subject id: each counts as its own subject" in n for n in store.summary["notes"])


def test_a_recording_id_that_two_sources_use_becomes_unique_and_is_noted(tmp_path: Path) -> None:
    parts = [part(tmp_path, key, [{"id": "x"}], seed) for seed, key in enumerate("ab")]
    store = assembled(tmp_path, parts)
    assert store.read("recording/id").tolist() == ["x", "x@b"]
    assert store.subject_id == ["x", "x@b"]
    assert "1 recordings have the id of another one: they are called id@source" in store.summary["notes"]


def test_labels_stand_at_their_level_and_a_contradiction_is_noted(tmp_path: Path) -> None:
    recordings = [
        {"id": "1", "subject": "anna", "labels": {"rhythm": ["n", "af"]}},
        {"id": "2", "subject": "anna", "labels": {"sex": "male", "rhythm": []}},
        {"id": "3", "subject": "anna", "labels": {"sex": "female"}},
        {"id": "4", "subject": "ben", "labels": {}},
    ]
    store = assembled(tmp_path, [part(tmp_path, "a", recordings, 1)])
    assert store.read("subject/label/sex").tolist() == [1, -1]
    assert store.read("recording/label/rhythm").tolist() == [[1, 1], [0, 0], [-1, -1], [-1, -1]]
    assert "1 recordings give another sex than their subject's first recording, which counts" in store.summary["notes"]


def test_the_numbers_of_the_summary_are_those_of_the_store(tmp_path: Path) -> None:
    parts = three_parts(tmp_path)
    parts.append(
        part(tmp_path, "d", [{"id": "d1", "windows": 0}], 4, 2, dropped={"short": 3, "flat": 1}, notes=["doubt"])
    )
    parts.append(part(tmp_path, "e", [{"id": "e1"}], 5, 2, dropped={"flat": 2}, notes=["doubt"]))
    store = assembled(tmp_path, parts, {"f": "f: broken"})
    summary = store.summary
    assert summary["windows"] == len(store) == 21
    assert summary["recordings"] == len(np.unique(store.recording)) == 6
    assert summary["subjects"] == len(np.unique(store.subject)) == 4
    assert summary["hours"] == round(len(store) * 0.5 / 3600, 3)
    assert summary["hours_read"] == round(len(parts) * 100 / 3600, 3)
    assert summary["beats_per_minute"] == round(len(store.beat_position) / (len(store) * 0.5 / 60), 1)
    assert summary["quality_deciles"] == [round(float(np.quantile(store.quality, q / 10)), 3) for q in range(11)]
    assert summary["dropped"] == {"short": 3, "flat": 3}
    assert summary["failed_sources"] == 1
    assert "doubt (2 times)" in summary["notes"]
    assert "1 source left without a window (d)" in summary["notes"]


def test_windows_that_repeat_others_are_noted_with_their_recordings(tmp_path: Path) -> None:
    first = part(tmp_path, "a", [{"id": "x"}], 1, digest=np.array([1, 2, 3], np.uint64))
    second = part(tmp_path, "b", [{"id": "y"}], 2, digest=np.array([2, 9, 3], np.uint64))
    notes = assembled(tmp_path, [first, second]).summary["notes"]
    assert "2 windows repeat another one exactly (x = y)" in notes


def test_the_twins_of_cinc2017_are_noted(tmp_path: Path, real_data: Path) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    (root / "REFERENCE-v3.csv").symlink_to(real_data / "cinc2017" / "REFERENCE-v3.csv")
    for name in ("A02656", "A03123", "A00001"):
        for suffix in (".hea", ".mat"):
            source = real_data / "cinc2017" / "training2017" / f"{name}{suffix}"
            if source.exists():
                (root / f"{name}{suffix}").symlink_to(source)
    preparation = Preparation(100.0, 0.5, 40.0, 15.0, 15.0)
    config = {"reader": {}, "preparation": {}}
    reader = WfdbReader(root, [0], Cinc2017())
    prepare(reader, preparation, tmp_path / "s.h5", config, n_jobs=1, show_progress=False)
    notes = Store(tmp_path / "s.h5").summary["notes"]
    assert any("repeat another one exactly (A02656 = A03123)" in note for note in notes)


def test_notes_are_kept_up_to_a_number(tmp_path: Path) -> None:
    inventory = take_inventory([], ())
    reported = Counter({f"note {number}": 1 for number in range(MAX_NOTES + 5)})
    notes = notes_of(inventory, reported, np.empty(0, np.uint64), np.empty(0, np.int32))
    assert (len(notes), notes[0], notes[-1]) == (MAX_NOTES + 1, "note 0", "and 5 more notes")


def test_units_and_lead_names_that_differ_are_said(tmp_path: Path) -> None:
    parts = [
        part(tmp_path, "a", [{"id": "a", "leads": ["MLII"]}], 1),
        part(tmp_path, "b", [{"id": "b", "leads": ["V1"], "unit": "a.u."}], 2),
        part(tmp_path, "c", [{"id": "c", "leads": ["no", "windows"], "windows": 0}], 3),
    ]
    store = assembled(tmp_path, parts)
    assert (store.unit, store.attributes["leads"]) == ("mixed", '["MLII|V1"]')
    assert store.read("recording/leads").tolist() == ["MLII", "V1", "no|windows"]


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 100

    monkeypatch.setattr(tiles_ecg.assembly.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(StoreError, match=r"s\.h5: needs 0\.00 GB, 0\.00 GB are free; make room"):
        assembled(tmp_path, three_parts(tmp_path))
    assert not (tmp_path / "s.h5").exists()


def test_the_digest_follows_config_and_content_but_not_the_place() -> None:
    content = {"a": "1", "b": "2"}
    moved = {**CONFIG, "reader": {"root": "elsewhere"}}
    other = {**CONFIG, "preparation": {"window_s": 1.0}}
    assert digest_of(CONFIG, content) == digest_of(moved, dict(reversed(content.items())))
    assert len({digest_of(CONFIG, content), digest_of(other, content), digest_of(CONFIG, {"a": "1", "b": "3"})}) == 3
