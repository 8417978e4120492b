import inspect
import pickle
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.signal import find_peaks
from sleepecg import detect_heartbeats

from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.recording import Annotations, Reader, Recording, RecordingError, Source

CONF = Path(__file__).resolve().parents[2] / "conf" / "reader" / "synthetic.yaml"


def read_all(reader: SyntheticReader) -> list[Recording]:
    return [recording for source in reader.sources() for recording in reader.read(source)]


def annotations(recording: Recording, label: str) -> Annotations:
    return next(entry for entry in recording.annotations if entry.label == label)


def values(recording: Recording, label: str) -> np.ndarray:
    return np.asarray(annotations(recording, label).value)


def burst_beats(recording: Recording, burst: int) -> tuple[np.ndarray, np.ndarray]:
    """R-peaks of one burst, seconds from its start, and their kinds."""
    beats = annotations(recording, "beat_type")
    time_s = beats.time_s - recording.start_s[burst]
    inside = (time_s >= 0.0) & (time_s < 15.0)
    return time_s[inside], np.asarray(beats.value)[inside]


@pytest.fixture(scope="module")
def cohort() -> list[Recording]:
    return read_all(SyntheticReader(24, sessions_per_subject=2, session_h=2.0))


@pytest.fixture(scope="module")
def clean_cohort() -> list[Recording]:
    return read_all(SyntheticReader(24, sessions_per_subject=2, session_h=2.0, noise_scale=0.0))


def test_a_recording_holds_bursts_of_15_s_every_5_minutes(cohort: list[Recording]) -> None:
    assert len(cohort) == 48
    for recording in cohort:
        assert recording.signal.shape == (24, 1, 3750)
        assert np.isfinite(recording.signal).all()
        np.testing.assert_allclose(np.diff(recording.start_s), 300.0)
        np.testing.assert_allclose(np.diff(recording.wall_time), 300.0)
    assert cohort[5].id == "subject-0002/001"
    assert cohort[5].subject == cohort[5].source == "subject-0002"


def test_every_annotated_r_peak_is_a_local_maximum_of_the_clean_signal(clean_cohort: list[Recording]) -> None:
    n_beats = 0
    for recording in clean_cohort:
        sinus = values(recording, "rhythm") == "sinus"
        for burst in np.flatnonzero(sinus)[::4]:
            signal = recording.signal[burst, 0].astype(np.float64)
            peaks = np.sort(np.concatenate([find_peaks(signal)[0], find_peaks(-signal)[0]]))
            time_s, kind = burst_beats(recording, int(burst))
            for second, letter in zip(time_s, kind, strict=True):
                if 0.1 < second < 14.9:
                    nearest = np.abs(peaks / 250.0 - second).min()
                    assert nearest <= (0.008 if letter == "V" else 0.004), (recording.id, burst, second, letter)
                    n_beats += 1
    assert n_beats > 4000


def test_a_detector_finds_nearly_all_r_peaks_of_the_noisy_signal(cohort: list[Recording]) -> None:
    found, total, false = 0, 0, 0
    for recording in cohort[::3]:
        for burst in range(0, 24, 3):
            signal = recording.signal[burst, 0].astype(np.float64)
            if np.abs(signal).max() >= 5.0 or np.abs(np.diff(signal.reshape(30, -1))).max(axis=1).min() < 0.015:
                continue  # lost contact
            detected = detect_heartbeats(signal, 250.0) / 250.0
            true = burst_beats(recording, burst)[0]
            true = true[(true > 0.5) & (true < 14.5)]
            found += sum(np.abs(detected - second).min(initial=9.0) < 0.08 for second in true)
            false += sum(
                np.abs(true - s).min(initial=9.0) > 0.08 for s in detected[(detected > 0.7) & (detected < 14.3)]
            )
            total += len(true)
    assert total > 1500
    assert found / total > 0.95
    assert false / total < 0.05


def test_heart_rate_averaged_over_a_burst_is_60_over_the_mean_rr(cohort: list[Recording]) -> None:
    for recording in cohort[:6]:
        rate = annotations(recording, "heart_rate")
        for burst in range(24):
            start_s = recording.start_s[burst]
            inside = (rate.time_s >= start_s) & (rate.time_s < start_s + 15.0)
            mean = np.average(np.asarray(rate.value)[inside], weights=rate.duration_s[inside])
            assert mean == pytest.approx(60.0 / np.diff(burst_beats(recording, burst)[0]).mean())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, again, other = (read_all(SyntheticReader(2, 2, 0.5, seed=seed)) for seed in (3, 3, 4))
    for one, two, three in zip(first, again, other, strict=True):
        assert one.signal.tobytes() == two.signal.tobytes()
        assert one.signal.tobytes() != three.signal.tobytes()
        for left, right in zip(one.annotations, two.annotations, strict=True):
            np.testing.assert_array_equal(left.time_s, right.time_s)
            np.testing.assert_array_equal(left.value, right.value)


def test_a_subject_depends_neither_on_the_size_of_the_cohort_nor_on_the_order_of_reading() -> None:
    small, large = SyntheticReader(3, 2, 0.5), SyntheticReader(30, 4, 0.5)
    list(large.read(large.sources()[7]))
    expected = list(small.read(small.sources()[2]))
    found = list(large.read(large.sources()[2]))
    assert len(found) == 4
    for one, two in zip(expected, found[:2], strict=True):
        assert one.id == two.id
        assert one.signal.tobytes() == two.signal.tobytes()
        np.testing.assert_array_equal(one.wall_time, two.wall_time)


def test_noise_changes_neither_beats_nor_states(cohort: list[Recording], clean_cohort: list[Recording]) -> None:
    for noisy, clean in zip(cohort, clean_cohort, strict=True):
        for left, right in zip(noisy.annotations, clean.annotations, strict=True):
            np.testing.assert_array_equal(left.time_s, right.time_s)
            np.testing.assert_array_equal(left.value, right.value)
        assert not np.array_equal(noisy.signal, clean.signal)


def test_annotations_are_in_time_order_and_use_only_declared_classes(cohort: list[Recording]) -> None:
    specs = {spec.name: spec for spec in SyntheticReader.labels}
    seen: dict[str, set[str]] = {name: set() for name in specs}
    for recording in cohort:
        assert {entry.label for entry in recording.annotations} | set(recording.labels) == set(specs)
        for entry in recording.annotations:
            assert np.all(np.diff(entry.time_s) > 0.0)
            assert len(entry.time_s) == len(entry.value) == len(entry.duration_s)
            if specs[entry.label].kind != "continuous":
                seen[entry.label] |= set(entry.value)
        for name in ("sex", "shift"):
            seen[name].add(str(recording.labels[name]))
    for name, spec in specs.items():
        assert seen[name] == set(spec.classes), name


def test_stress_raises_the_rate_and_lowers_the_variability_of_rr(cohort: list[Recording]) -> None:
    rate: dict[str, list[float]] = {"no": [], "yes": []}
    rmssd: dict[str, list[float]] = {"no": [], "yes": []}
    for recording in cohort:
        stress, rhythm, activity = (values(recording, label) for label in ("stress", "rhythm", "activity"))
        for burst in range(24):
            time_s, kind = burst_beats(recording, burst)
            if rhythm[burst] == "sinus" and activity[burst] == "rest" and set(kind) == {"N"}:
                rr = np.diff(time_s)
                rate[stress[burst]].append(60.0 / rr.mean())
                rmssd[stress[burst]].append(np.sqrt(np.mean(np.diff(rr) ** 2)))
    assert np.mean(rate["yes"]) > np.mean(rate["no"]) + 6.0
    assert np.mean(rmssd["yes"]) < 0.7 * np.mean(rmssd["no"])
    assert min(rate["yes"]) < max(rate["no"])


def test_fibrillation_is_more_irregular_than_nearly_all_sinus_rhythm(cohort: list[Recording]) -> None:
    spread: dict[str, list[float]] = {"sinus": [], "af": []}
    for recording in cohort:
        for burst, rhythm in enumerate(values(recording, "rhythm")):
            time_s, kind = burst_beats(recording, burst)
            if set(kind) == {"N"}:
                spread[rhythm].append(np.std(np.diff(time_s)) / np.mean(np.diff(time_s)))
    assert len(spread["af"]) > 20
    assert np.percentile(spread["af"], 10) > np.percentile(spread["sinus"], 90)


def test_the_mean_beat_has_a_p_wave_in_sinus_rhythm_and_none_in_fibrillation(clean_cohort: list[Recording]) -> None:
    height: dict[str, list[float]] = {"sinus": [], "af": []}
    for recording in clean_cohort:
        if not {"sinus", "af"} <= set(values(recording, "rhythm")):
            continue
        for rhythm, mean in height.items():
            bursts = np.flatnonzero(values(recording, "rhythm") == rhythm)
            beat = np.mean([mean_beat(recording, int(burst)) for burst in bursts], axis=0)
            mean.append(np.ptp(beat[25:75]))  # 250 to 50 ms before the R-peak
    assert len(height["af"]) >= 3
    assert np.mean(height["af"]) < 0.6 * np.mean(height["sinus"])


def mean_beat(recording: Recording, burst: int) -> np.ndarray:
    """Mean of the normal beats of a burst from 0.35 s before to 0.4 s after the R-peak, its own mean removed."""
    time_s, kind = burst_beats(recording, burst)
    at = np.rint(time_s[(kind == "N") & (time_s > 0.5) & (time_s < 14.5)] * 250.0).astype(int)
    beat = np.mean([recording.signal[burst, 0, k - 87 : k + 100] for k in at], axis=0)
    return beat - beat.mean()


def test_the_nearest_template_of_the_first_day_names_the_person_on_the_second(cohort: list[Recording]) -> None:
    template = []
    for recording in cohort:
        calm = np.flatnonzero((values(recording, "rhythm") == "sinus") & (values(recording, "activity") == "rest"))
        beats = [mean_beat(recording, int(burst)) for burst in calm if "N" in burst_beats(recording, int(burst))[1]]
        template.append(np.median(beats, axis=0) if beats else np.full(187, np.inf))
    first, second = np.array(template[::2]), np.array(template[1::2])
    known = np.isfinite(first).all(1) & np.isfinite(second).all(1)
    distance = np.linalg.norm(second[known, None] - first[None, known], axis=-1)
    correct = np.mean(np.argmin(distance, axis=1) == np.arange(known.sum()))
    assert known.sum() >= 18
    assert correct > 0.6  # chance is 4 %


def test_day_shifts_are_recorded_by_day_and_night_shifts_by_night(cohort: list[Recording]) -> None:
    for recording in cohort:
        moment = datetime.fromtimestamp(recording.wall_time[0], ZoneInfo("America/Los_Angeles"))
        assert moment.year == 2018
        is_day = 7 <= moment.hour < 19
        assert is_day == (recording.labels["shift"] == "day")
        assert round(recording.wall_time[0] * 1000.0) == pytest.approx(recording.wall_time[0] * 1000.0, abs=1e-3)


def test_some_bursts_lose_contact(cohort: list[Recording]) -> None:
    saturated = np.concatenate([np.abs(recording.signal[:, 0]).max(axis=1) >= 5.0 for recording in cohort])
    assert 0.0005 < saturated.mean() < 0.03


def test_another_rate_and_length_of_bursts_are_honoured() -> None:
    reader = SyntheticReader(1, 1, session_h=1.0, sample_rate=100.0, segment_s=30.0, every_min=10.0)
    recording = read_all(reader)[0]
    assert recording.signal.shape == (6, 1, 3000)
    assert recording.sample_rate == 100.0


def test_the_reader_survives_pickling_and_is_a_reader() -> None:
    reader: Reader = pickle.loads(pickle.dumps(SyntheticReader(2, 1, 0.5)))
    recording = next(reader.read(Source("subject-0001")))
    assert recording.signal.tobytes() == read_all(SyntheticReader(2, 1, 0.5))[1].signal.tobytes()


def test_sources_are_sorted_unique_and_without_files() -> None:
    keys = [source.key for source in SyntheticReader(120).sources()]
    assert keys == sorted(set(keys))
    assert keys[3] == "subject-0003"
    assert all(not source.files for source in SyntheticReader(3).sources())


@pytest.mark.parametrize("key", ["subject-0002", "subject-1", "person-0001", "subject-"])
def test_a_source_of_another_cohort_is_refused_by_name(key: str) -> None:
    with pytest.raises(RecordingError, match=f"{key}: not in this synthetic cohort.*subject-0000 to subject-0001"):
        next(SyntheticReader(2).read(Source(key)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_subjects", 0),
        ("n_subjects", 10_001),
        ("sessions_per_subject", 0),
        ("sessions_per_subject", 71),
        ("session_h", 0.01),
        ("seed", -1),
        ("sample_rate", 50.0),
        ("segment_s", 1.0),
        ("every_min", 0.1),
        ("noise_scale", -0.5),
        ("noise_scale", float("nan")),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = {value}; choose a value from"):
        SyntheticReader(**{name: value})


def test_the_config_lists_every_argument_with_the_value_of_the_signature() -> None:
    config = OmegaConf.to_container(OmegaConf.load(CONF))
    assert isinstance(config, dict)
    assert config.pop("_target_") == "tiles_ecg.reader.synthetic.SyntheticReader"
    assert config == {name: entry.default for name, entry in inspect.signature(SyntheticReader).parameters.items()}
