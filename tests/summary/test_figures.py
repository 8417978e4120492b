"""Figures: every kind of task has its own, nothing degenerate breaks them, and colours mean the same in all of them."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from tiles_ecg.evaluation.embedding_map import EmbeddingMap
from tiles_ecg.evaluation.gallery import Gallery
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.summary.figure_calibration import reliability
from tiles_ecg.summary.figure_pairs import equal_error_rate
from tiles_ecg.summary.figure_style import about, looks_of, safe, with_palette
from tiles_ecg.summary.figures import CurvePoint, figures

KINDS = ("binary", "multiclass", "multilabel", "regression", "verification")
METRIC = {"regression": "mae", "verification": "eer"}
ROWS = ("example_id", "subject", "fold", "seed", "value", "score", "decision", "other_id", "other_subject")
ENCODER, CONTROL = Method("resnet8", "linear"), Method("untrained", "linear", "control")


def make(kind, method=ENCODER, skill=1.0, n=120, seed=0):
    """Predictions with so much skill, of ten subjects in five folds."""
    rng = np.random.default_rng(seed)
    subject = np.arange(n) % 10
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "multilabel": ("p", "q")}.get(kind, ())
    other = {}
    if kind == "multilabel":
        value = rng.integers(0, 2, (n, 2))
        score = 1 / (1 + np.exp(-(skill * (value - 0.5) + rng.normal(size=(n, 2)))))
        decision = (score > 0.5).astype(np.int64)
    elif kind == "regression":
        value = rng.normal(60, 10, n)
        score = (60 + skill * (value - 60) + rng.normal(size=n))[:, None]
        decision = np.zeros(0, np.int64)
    elif kind == "verification":
        value = (np.arange(n) % 3 == 0).astype(np.int64)
        score = (skill * value + rng.normal(size=n))[:, None]
        decision = (score[:, 0] > 0.5).astype(np.int64)
        other = {"other_id": np.array([f"o{i}" for i in range(n)]), "other_subject": np.array(["s"] * n)}
    else:
        value = np.arange(n) % len(classes)
        score = np.exp(skill * np.eye(len(classes))[value] + rng.normal(size=(n, len(classes))))
        score /= score.sum(1, keepdims=True)
        decision = score.argmax(1)
    return Predictions(
        method=method, task="t", protocol="0", kind=kind, classes=classes, unit="year" if kind == "regression" else "",
        metric=METRIC.get(kind, "auroc"), n_folds=5, example_id=np.array([f"x{i}" for i in range(n)]),
        subject=np.array([f"s{i}" for i in subject]), fold=subject % 5, seed=np.zeros(n, np.int64), value=value,
        score=score, decision=decision, **other,
    )  # fmt: skip


def pair(kind, **arguments):
    """An encoder and a control."""
    return {one.title: make(kind, one, skill, **arguments) for one, skill in ((ENCODER, 2.0), (CONTROL, 0.5))}


def some(one, rows):
    """Some rows of predictions."""
    chosen = {name: getattr(one, name)[rows] for name in ROWS if len(getattr(one, name))}
    return replace(one, **chosen)


def make_map(kind="binary", encoder="resnet8", n=60, **other):
    rng = np.random.default_rng(0)
    value = {
        "regression": rng.normal(size=n), "multilabel": rng.integers(0, 2, (n, 2)), "verification": np.arange(n) % 20
    }.get(kind, np.arange(n) % 2)  # fmt: skip
    base = {
        "encoder": encoder, "position": rng.normal(size=(n, 2)).astype(np.float32),
        "example_id": np.array([f"x{i}" for i in range(n)]), "subject": np.array([f"s{i % 20}" for i in range(n)]),
        "value": value, "classes": ("no", "yes") if kind != "regression" else (), "unit": "year", "kind": kind,
    }  # fmt: skip
    return EmbeddingMap(**(base | other))


def make_gallery(n=4, seconds=15.0, unit="mV", n_leads=1, scale=1.0):
    time_s = np.arange(int(seconds * 100)) / 100
    signal = np.tile(scale * np.sin(2 * np.pi * 1.2 * time_s), (n, n_leads, 1)).astype(np.float32)
    beat = np.tile(np.arange(len(time_s)) % 83 == 20, (n, 1))
    text = np.array(["no $x$ & <b>"] * n, dtype=np.str_)
    return Gallery(ENCODER, 100.0, unit, signal, beat, text, text, text, np.arange(n) < (n + 1) // 2)


def size_of(png):
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image.size


EXPECTED = {
    "binary": ["ROC and precision-recall", "Confusion", "Calibration"],
    "multiclass": ["ROC of each class", "Confusion", "Calibration"],
    "multilabel": ["ROC of each class", "Calibration"],
    "regression": ["Predicted against true", "Errors"],
    "verification": ["Errors of verification", "Similarities"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_has_its_figures(kind):
    made = figures(pair(kind))
    assert [figure.title for figure in made] == EXPECTED[kind]
    for figure in made:
        assert figure.is_drawn
        assert size_of(figure.png)[0] <= 880
        assert len(figure.png) < 60_000
        assert "10 subjects" in figure.caption
        assert "5 folds" in figure.caption


def test_all_that_is_handed_in_is_drawn_in_order():
    curve = [CurvePoint("resnet8, linear", n, 0.5 + n / 100, 0.5, 0.6) for n in (5, 10, 20)]
    made = figures(
        pair("binary"),
        [make_map()],
        [make_gallery()],
        curve,
        {"resnet8, linear": (0.9, 0.8, 0.95), "mean": (0.5, 0, 1)},
    )
    assert [figure.title for figure in made] == [
        "Methods compared", *EXPECTED["binary"], "Label efficiency", "Embedding map", "Best predicted windows",
        "Worst predicted windows",
    ]  # fmt: skip
    assert all(figure.is_drawn for figure in made)


def test_nothing_handed_in_draws_nothing():
    assert figures({}) == []


@pytest.mark.parametrize("kind", ["binary", "verification"])
def test_figures_drawn_in_threads_equal_those_drawn_alone(kind):
    predictions = pair(kind)
    alone = figures(predictions)
    with ThreadPoolExecutor(2) as pool:
        for together in pool.map(lambda _: figures(predictions), range(2)):
            assert together == alone


def test_the_settings_of_matplotlib_stay_as_they_are():
    before = dict(matplotlib.rcParams)
    figures(pair("binary"), [make_map()], [make_gallery()])
    assert dict(matplotlib.rcParams) == before


# What is degenerate is left out with its reason, or drawn as far as it goes.


@pytest.mark.parametrize("kind", ["binary", "multiclass", "verification"])
def test_one_class_only_is_said_instead_of_drawn(kind):
    predictions = {title: some(one, one.value == 0) for title, one in pair(kind).items()}
    made = figures(predictions)
    assert [figure.title for figure in made] == EXPECTED[kind]
    assert not made[0].is_drawn
    assert made[0].caption.startswith("Not drawn: no ")
    assert size_of(made[0].png)[1] < 60


@pytest.mark.parametrize("kind", KINDS)
def test_scores_that_are_not_numbers_are_said_instead_of_drawn(kind):
    predictions = {title: replace(one, score=np.full_like(one.score, np.nan)) for title, one in pair(kind).items()}
    for figure in figures(predictions):
        assert figure.is_drawn == (figure.title == "Confusion")  # decisions are there


@pytest.mark.parametrize("kind", KINDS)
def test_a_method_without_numbers_leaves_the_others(kind):
    predictions = pair(kind)
    one = predictions["untrained, linear"]
    predictions["untrained, linear"] = replace(one, score=np.full_like(one.score, np.nan))
    assert all(figure.is_drawn for figure in figures(predictions))


@pytest.mark.parametrize(("kind", "n"), [*((kind, 1) for kind in KINDS), ("regression", 2), ("verification", 2)])
def test_next_to_no_examples_break_nothing(kind, n):
    predictions = {title: some(one, np.arange(n)) for title, one in pair(kind).items()}
    assert [figure.title for figure in figures(predictions)] == EXPECTED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_no_examples_draw_nothing(kind):
    assert figures({title: some(one, np.arange(0)) for title, one in pair(kind).items()}) == []


def test_one_fold_and_several_seeds_are_said():
    one = make("binary")
    both = some(one, np.tile(np.arange(len(one)), 2))
    both = replace(both, seed=np.repeat([0, 1], len(one)), fold=np.zeros(2 * len(one), np.int64))
    assert about(both) == "120 examples of 10 subjects, 1 fold, 2 seeds pooled"


def test_the_rule_of_decisions_is_that_of_the_kind():
    said = {kind: next(f.caption for f in figures(pair(kind)) if f.title == "Confusion") for kind in KINDS[:2]}
    assert "at thresholds chosen on inner folds" in said["binary"]
    assert "for the likeliest class" in said["multiclass"]


def test_seeds_of_all_methods_in_a_figure_are_said():
    one = make("binary")
    three = replace(some(one, np.tile(np.arange(len(one)), 3)), seed=np.repeat([0, 1, 2], len(one)))
    assert about(one, three) == "120 examples of 10 subjects, 5 folds, 1 to 3 seeds pooled"
    captions = {figure.title: figure.caption for figure in figures({"a": one, "b": three})}
    for title in ("ROC and precision-recall", "Confusion", "Calibration"):
        assert ("1 to 3 seeds" in captions[title]) == (title != "Confusion")  # which shows the best encoder only


@pytest.mark.parametrize("kind", KINDS)
def test_constant_scores_are_drawn(kind):
    predictions = {title: replace(one, score=np.full_like(one.score, 0.5)) for title, one in pair(kind).items()}
    assert all(figure.is_drawn for figure in figures(predictions))


def test_names_that_look_like_formulas_or_are_very_long_are_drawn_as_they_are():
    method = Method("_a $\\frac{ & <b> " + 90 * "x", "linear")
    one = replace(make("binary", method), classes=("$a$ $", "_" + 60 * "y"))
    made = figures({method.title: one}, [make_map(encoder=method.encoder, classes=one.classes)], [make_gallery()])
    assert all(figure.is_drawn for figure in made)


def test_a_metric_without_a_value_is_left_out_of_the_comparison():
    nan = float("nan")
    drawn = figures({}, intervals={"resnet8, linear": (0.9, nan, nan), "majority": (nan, nan, nan)})
    assert "1 methods without a value are not shown" in drawn[0].caption
    assert not figures({}, intervals={"majority": (nan, nan, nan)})[0].is_drawn
    assert not figures({}, curve=[CurvePoint("a", 3, nan, nan, nan)])[0].is_drawn
    assert figures({}, curve=[CurvePoint("a", 3, 0.4, nan, nan)])[0].is_drawn


@pytest.mark.parametrize(("kind", "n_maps"), [*((kind, 1) for kind in KINDS), ("binary", 2), ("regression", 4)])
def test_maps_of_any_kind_and_number_are_drawn(kind, n_maps):
    made = figures({}, [make_map(kind, f"e{i}") for i in range(n_maps)])
    assert len(made) == (2 if n_maps > 3 else 1)
    assert all(figure.is_drawn and len(figure.png) < 60_000 for figure in made)
    assert "20 subjects" in made[0].caption


def test_a_map_of_subjects_with_a_window_each_is_shown_by_label_only():
    made = figures({}, [make_map(subject=np.array([f"s{i}" for i in range(60)]))])
    assert "Not by subject: none has more than two windows" in made[0].caption


def test_maps_that_are_empty_are_said_instead_of_drawn():
    one = make_map(n=0, notes=("no window has a finite embedding",))
    assert not figures({}, [one])[0].is_drawn


@pytest.mark.parametrize(
    "gallery",
    [
        make_gallery(1),
        make_gallery(2, unit="a.u.", scale=1e4),
        make_gallery(2, scale=0.0),
        make_gallery(2, unit="a.u.", scale=0.0),
        make_gallery(2, scale=np.nan),
        make_gallery(2, scale=100.0),
        make_gallery(2, seconds=60.0),
        make_gallery(2, seconds=0.5),
        make_gallery(2, n_leads=3),
    ],
    ids=["one", "a.u.", "flat", "flat a.u.", "NaN", "huge", "long", "short", "leads"],
)
def test_any_windows_are_drawn(gallery):
    for figure in figures({}, galleries=[gallery]):
        assert figure.is_drawn
        assert size_of(figure.png)[1] < 2000


def test_what_is_not_shown_of_a_window_is_said():
    made = figures({}, galleries=[make_gallery(2, seconds=60.0, n_leads=3)])
    assert "The first of 3 leads." in made[0].caption
    assert "The first 24 s of each window." in made[0].caption


def test_no_windows_are_said_instead_of_drawn():
    assert "no example of resnet8, linear" in figures({}, galleries=[make_gallery(0)])[0].caption


# Arithmetic and looks.


def test_encoders_have_different_strong_colours_and_controls_are_grey():
    titles = [f"encoder {i}, linear" for i in range(8)] + ["majority", "untrained, linear", "from scratch, fine-tuned"]
    looks = looks_of({}, titles)
    assert len({(look.colour, look.dash) for look in looks.values()}) == len(titles)
    for title, look in looks.items():
        red, green, blue = (int(look.colour[i : i + 2], 16) for i in (1, 3, 5))
        assert (red == green == blue) == look.is_control == (not title.startswith("encoder"))


def test_a_method_keeps_its_look_when_figures_show_fewer_methods():
    predictions = pair("binary")
    with_more = looks_of(predictions, ["majority"])
    assert {title: with_more[title] for title in predictions} == looks_of(predictions)


def test_a_picture_keeps_its_commonest_colours_and_rare_hues():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (80, 80, 3)).astype(np.uint8)
    pixels[:40] = [230, 159, 0]
    pixels[0, 0] = [0, 255, 255]
    index, palette = with_palette(pixels, 16)
    shown = palette[index]
    assert len(palette) == 16
    assert (shown[1:40] == [230, 159, 0]).all()
    assert shown[0, 0].tolist() == [0, 255, 255]
    distance = np.linalg.norm(pixels[:, :, None].astype(float) - palette.astype(float), axis=3)
    np.testing.assert_array_equal(index, distance.argmin(2))


def test_a_picture_of_few_colours_stays_as_it_is():
    pixels = np.array([[[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [7, 8, 9]]], np.uint8)
    index, palette = with_palette(pixels, 16)
    np.testing.assert_array_equal(palette[index], pixels)


def test_reliability_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=1000)
    truth = (rng.uniform(size=1000) < p**2).astype(np.int64)
    said, came_true = reliability(truth, p)
    expected_true, expected_said = calibration_curve(truth, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(said, expected_said)
    np.testing.assert_allclose(came_true, expected_true)


def test_equal_probabilities_fall_into_one_bin():
    said, came_true = reliability(np.array([0, 1, 1, 1]), np.full(4, 0.3))
    assert said.tolist() == pytest.approx([0.3])
    assert came_true.tolist() == [0.75]


def test_the_marked_equal_error_rate_lies_where_the_errors_cross():
    rng = np.random.default_rng(0)
    genuine = rng.integers(0, 2, 400)
    false_match, match, _ = roc_curve(genuine, genuine + rng.normal(size=400))
    got = equal_error_rate(false_match, 1 - match)
    fine = np.linspace(0, 1, 200_001)
    gap = np.abs(fine - (1 - np.interp(fine, false_match, match)))
    assert got == pytest.approx(fine[gap.argmin()], abs=1e-4)
    assert equal_error_rate(np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])) == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [("_hidden", " _hidden"), ("a$b$", r"a\$b\$"), ("x" * 50, "x" * 39 + "…"), ("two\nlines", "two lines")],
)
def test_text_is_made_safe_to_draw(text, shown):
    assert safe(text) == shown


def test_of_a_long_id_the_end_is_shown():
    assert safe("training2017/A00001", 8, is_id=True) == "…/A00001"
