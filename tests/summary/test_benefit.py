from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg.evaluation.bootstrap import Estimate
from tiles_ecg.evaluation.comparison import Difference, Spread
from tiles_ecg.evaluation.metric import metric
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.summary.benefit import benefit, rival
from tiles_ecg.summary.runs import Audit, Run
from tiles_ecg.summary.section import Entry, Section
from tiles_ecg.summary.standing import Comparison, Row, Standing

RESNET = Method("resnet8", "linear")
TUNED = Method("resnet8", "fine-tuned")
UNTRAINED = Method("untrained", "linear", "control")
HEART_RATE = Method("heart rate and HRV", "linear", "control")
SCRATCH = Method("from scratch", "fine-tuned", "control")


def row(method: Method, value: float, notes: tuple[str, ...] = ()) -> Row:
    none: Any = np.zeros(0)
    part = Predictions(method, "af", "aa", "binary", ("no", "AF"), "", "auroc", 5, *[none] * 7)
    estimate = Estimate(value, value - 0.05, value + 0.05, 20, 100, 0, ())
    return Row(Entry(part, not notes, notes), {"auroc": estimate}, Spread(*[float("nan")] * 3, {}), ())


def difference(value: float, half: float = 0.02) -> Difference:
    return Difference(value, value - half, value + half, 20, half, abs(value) > half, "")


def standing_of(rows: list[Row], found: dict[tuple[Method, Method], float], name: str = "auroc") -> Standing:
    chosen = metric("binary", name)
    section = Section("af", "aa", {"unit": "", "subjects": 20, "folds": 5}, (), tuple(r.entry for r in rows), ())
    comparisons = [Comparison(a, b, difference(d), chosen.higher_is_better) for (a, b), d in found.items()]
    return Standing(section, (chosen,), tuple(rows), tuple(comparisons), (), None, ())


ROWS = [row(RESNET, 0.90), row(UNTRAINED, 0.80), row(HEART_RATE, 0.85), row(SCRATCH, 0.80)]


@pytest.mark.parametrize(
    ("untrained", "rate", "scratch", "answer"),
    [
        (0.1, 0.1, 0.1, "helped."),
        (0.1, 0.0, 0.1, "helped, but it is not shown to be worth more than pulse."),
        (0.1, -0.1, 0.1, "helped, but pulse did better."),
        (0.1, 0.1, -0.1, "helped, but training did better."),
        (0.1, -0.1, -0.1, "helped, but pulse as well as training did better."),
        (0.1, 0.0, 0.0, "helped, but it is not shown to be worth more than pulse, or training."),
        (0.1, 0.0, -0.1, "helped, but training did better, and it is not shown to be worth more than pulse."),
        (0.0, 0.1, 0.1, "did not measurably help."),
        (-0.1, 0.1, 0.1, "did not help; it made the result worse."),
    ],
)  # fmt: skip
def test_the_answer_follows_from_the_paired_differences(
    untrained: float, rate: float, scratch: float, answer: str
) -> None:
    found = {(RESNET, UNTRAINED): untrained, (RESNET, HEART_RATE): rate, (RESNET, SCRATCH): scratch}
    told = benefit(standing_of(ROWS, found), "af").lead
    told = told.replace("training from scratch", "training").replace("heart rate and HRV", "pulse")
    assert told == f"af: pre-training {answer}"


def test_each_control_is_named_with_its_difference() -> None:
    found = {(RESNET, UNTRAINED): 0.10, (RESNET, HEART_RATE): -0.05, (RESNET, SCRATCH): 0.0}
    told = benefit(standing_of(ROWS, found), "af")
    assert told.text == (
        "resnet8, linear (AUROC 0.900 [0.850, 0.950]) is better than untrained, linear by 0.100 [0.080, 0.120], "
        "worse than heart rate and HRV, linear by 0.050 [0.030, 0.070], and not distinguishable from "
        "training from scratch, fine-tuned (difference 0.000 [\N{MINUS SIGN}0.020, 0.020])."
    )


def test_what_is_not_resolved_is_not_called_better() -> None:
    told = benefit(standing_of(ROWS, {(RESNET, UNTRAINED): 0.01, (RESNET, HEART_RATE): -0.01}), "af")
    assert "not distinguishable from untrained, linear (difference 0.010 [\N{MINUS SIGN}0.010, 0.030])" in told.text


def test_less_is_better_where_the_metric_says_so() -> None:
    told = benefit(standing_of(ROWS, {(RESNET, UNTRAINED): -0.10, (RESNET, HEART_RATE): 0.05}, "brier"), "af")
    assert "better than untrained, linear by 0.100" in told.text
    assert "worse than heart rate and HRV, linear by 0.050" in told.text


def test_a_missing_control_leaves_the_answer_open() -> None:
    told = benefit(standing_of([row(RESNET, 0.9)], {}), "af")
    assert told.lead == "af: whether pre-training helped is not known, as untrained is missing."
    assert "not compared with untrained, which is missing" in told.text
    only = benefit(standing_of(ROWS[:2], {(RESNET, UNTRAINED): 0.1}), "af")
    assert only.lead == (
        "af: pre-training helped; "
        "whether it is worth more than heart rate and HRV, or training from scratch, is not known."
    )


def test_fine_tuning_is_held_against_the_same_training_from_scratch() -> None:
    rows = [row(TUNED, 0.9), row(UNTRAINED, 0.5), row(SCRATCH, 0.9), row(HEART_RATE, 0.8)]
    found = {(TUNED, UNTRAINED): 0.4, (TUNED, SCRATCH): 0.0, (TUNED, HEART_RATE): 0.1}
    assert benefit(standing_of(rows, found), "af").lead == "af: pre-training did not measurably help."


@pytest.mark.parametrize(
    ("frozen", "tuned", "answer"),
    [
        (0.1, 0.1, "af: pre-training helped."),
        (0.1, 0.0, "af: pre-training helped 1 of 2 methods."),
        (-0.1, 0.1, "af: pre-training helped 1 of 2 methods and made 1 worse."),
        (-0.1, 0.0, "af: pre-training did not help; it made 1 of 2 methods worse."),
    ],
)
def test_one_method_that_gained_does_not_speak_for_the_others(frozen: float, tuned: float, answer: str) -> None:
    rows = [row(RESNET, 0.9), row(TUNED, 0.9), row(UNTRAINED, 0.8), row(SCRATCH, 0.8), row(HEART_RATE, 0.5)]
    beside = {(RESNET, HEART_RATE): 0.4, (TUNED, HEART_RATE): 0.4, (RESNET, SCRATCH): 0.1}
    found = {(RESNET, UNTRAINED): frozen, (TUNED, SCRATCH): tuned} | beside
    assert benefit(standing_of(rows, found), "af").lead == answer


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("passed", ""),
        ("unknown", " Whether pre-training saw recordings that are judged on is not known."),
        ("failed, but accepted", " Pre-training saw recordings that are judged on, without labels."),
    ],
)
def test_what_pre_training_saw_stands_beside_what_it_was_worth(outcome: str, said: str) -> None:
    found = standing_of(ROWS, {(RESNET, UNTRAINED): 0.1})
    run = Run(Path(), "aa", {}, (), (Audit("pretraining", outcome, ""), Audit("overlap", "unknown", "")), {}, "", ())
    seen = replace(found, section=replace(found.section, runs=(run,)))
    assert benefit(seen, "af").text == benefit(found, "af").text + said


def test_an_encoder_without_all_folds_is_named_and_not_judged() -> None:
    rows = [row(RESNET, 0.9, ("folds 0-2 of 5",)), *ROWS[1:]]
    told = benefit(standing_of(rows, {}), "af")
    assert told.lead == "af: whether pre-training helped is not known, as no encoder has all folds."
    assert told.text == "resnet8, linear is not compared (folds 0-2 of 5)."


def test_controls_alone_answer_nothing() -> None:
    assert benefit(standing_of(ROWS[1:], {}), "af").lead == "af: no encoder was judged."


def test_the_rival_is_the_control_of_the_same_network_and_head() -> None:
    own = Method("untrained (as resnet8)", "linear", "control")
    neighbours = Method("untrained", "k-NN", "control")
    rows = [row(RESNET, 0.9), row(UNTRAINED, 0.8), row(neighbours, 0.95), row(own, 0.7)]
    found = {(RESNET, UNTRAINED): 0.1, (RESNET, neighbours): -0.05, (RESNET, own): 0.2}
    by_head = rival(standing_of(rows[:3], found), RESNET, "untrained")
    by_network = rival(standing_of(rows, found), RESNET, "untrained")
    best = rival(standing_of([rows[0], rows[2]], found), RESNET, "untrained")
    assert by_head is not None
    assert by_network is not None
    assert best is not None
    assert (by_head.second, by_network.second, best.second) == (UNTRAINED, own, neighbours)
