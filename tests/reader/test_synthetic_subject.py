import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tiles_ecg.reader.synthetic_subject import BEAT_CLASSES, WAVES, Subject, draw_subject

R, V = WAVES.index("R"), BEAT_CLASSES.index("V")


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return [draw_subject(np.random.default_rng(seed)) for seed in range(400)]


def qrs(subject: Subject, kind: int, time_s: np.ndarray) -> np.ndarray:
    """Sum of the waves of one beat, a loop from the equation."""
    total = np.zeros_like(time_s)
    for wave in range(len(WAVES)):
        distance = (time_s - subject.waves.offset_s[kind, wave]) / subject.waves.sigma_s[kind, wave]
        total += subject.waves.amplitude_mv[kind, wave] * np.exp(-(distance**2) / 2)
    return total


def test_every_beat_has_its_largest_deflection_at_time_zero(subjects: list[Subject]) -> None:
    time_s = np.arange(-0.06, 0.06, 0.0005)
    for subject in subjects[:50]:
        for kind in range(3):
            beat = qrs(subject, kind, time_s)
            top = np.argmax(np.sign(subject.waves.amplitude_mv[kind, R]) * beat)
            assert abs(time_s[top]) <= 0.001


def test_scaling_the_waves_keeps_the_top_at_time_zero_and_the_distances_between_waves(subjects: list[Subject]) -> None:
    waves = subjects[0].waves
    factor = np.array([1.0, 2.0, 0.7, 3.0, 1.0, 1.0, 1.0])
    scaled = waves.scaled(factor)
    np.testing.assert_allclose(scaled.amplitude_mv, waves.amplitude_mv * factor)
    np.testing.assert_allclose(np.diff(scaled.offset_s), np.diff(waves.offset_s), atol=1e-12)
    time_s = np.arange(-0.06, 0.06, 0.0005)
    moved = sum(
        scaled.amplitude_mv[0, w] * np.exp(-(((time_s - scaled.offset_s[0, w]) / scaled.sigma_s[0, w]) ** 2) / 2)
        for w in range(len(WAVES))
    )
    assert abs(time_s[np.argmax(moved)]) <= 0.001


def test_ventricular_beats_have_no_p_wave_and_a_wide_r_wave(subjects: list[Subject]) -> None:
    for subject in subjects:
        assert subject.waves.amplitude_mv[V, 0] == 0.0
        assert subject.waves.sigma_s[V, R] > 2.5 * subject.waves.sigma_s[0, R]


def test_sex_shows_in_the_beats_and_the_rate_with_overlap(subjects: list[Subject]) -> None:
    female = [subject.sex == "female" for subject in subjects]
    for feature in (
        [subject.resting_bpm for subject in subjects],
        [-subject.waves.amplitude_mv[0, R] for subject in subjects],
        [subject.waves.offset_s[0, -1] for subject in subjects],
    ):
        assert 0.6 < roc_auc_score(female, feature) < 0.95


def test_variability_falls_and_pr_grows_with_age_with_overlap(subjects: list[Subject]) -> None:
    age = [subject.age_year for subject in subjects]
    assert -0.95 < np.corrcoef(age, [np.log(subject.rsa) for subject in subjects])[0, 1] < -0.4
    assert -0.9 < np.corrcoef(age, [subject.waves.offset_s[0, 0] for subject in subjects])[0, 1] < -0.2


def test_night_workers_have_a_flatter_daily_rhythm_on_average(subjects: list[Subject]) -> None:
    night = np.array([subject.shift == "night" for subject in subjects])
    swing = np.array([subject.circadian_share for subject in subjects])
    assert swing[night].mean() < swing[~night].mean() - 0.02
    assert swing[night].max() > swing[~night].min()


def test_traits_are_plausible_and_both_values_of_each_occur(subjects: list[Subject]) -> None:
    assert all(21 <= subject.age_year <= 65 for subject in subjects)
    assert all(48 <= subject.resting_bpm <= 88 for subject in subjects)
    assert {subject.sex for subject in subjects} == {"female", "male"}
    assert {subject.shift for subject in subjects} == {"day", "night"}
    for trait in ("v_rate", "s_rate", "af_share"):
        share = np.mean([getattr(subject, trait) > 0.0 for subject in subjects])
        assert 0.05 < share < 0.5
