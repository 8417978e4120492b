from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tiles_ecg.evaluation.bootstrap import estimate
from tiles_ecg.evaluation.comparison import compare
from tiles_ecg.evaluation.metric import Metric, Scored, metric
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.memo import remembering

Fabricate = Callable[..., Any]


def counting(calls: list[int]) -> Metric:
    plain = metric("binary", "auroc")

    def compute(part: Scored, weight: Any) -> Any:
        calls.append(len(weight))
        return plain.compute(part, weight)

    return replace(plain, compute=compute)


def test_intervals_and_comparisons_are_those_of_the_metric_itself(fabricate: Fabricate) -> None:
    plain = metric("binary", "auroc")
    memo = remembering(plain)
    one, other = fabricate(), fabricate(Method("s4", "linear"), 0.5)
    for _ in range(2):
        assert estimate(one, memo, 200) == estimate(one, plain, 200)
        assert estimate(other, memo, 200) == estimate(other, plain, 200)
        assert compare(one, other, memo, 200) == compare(one, other, plain, 200)


def test_a_comparison_of_methods_that_have_intervals_computes_nothing(fabricate: Fabricate) -> None:
    calls: list[int] = []
    memo = remembering(counting(calls))
    one, other = fabricate(), fabricate(Method("s4", "linear"), 0.5)
    estimate(one, memo, 200)
    estimate(other, memo, 200)
    before = len(calls)
    compare(one, other, memo, 200)
    assert len(calls) == before


def test_other_predictions_or_weights_are_not_taken_for_the_same(fabricate: Fabricate) -> None:
    memo = remembering(metric("binary", "auroc"))
    part = fabricate()
    scored = Scored(part.value, part.score, part.decision, np.zeros(0, np.int64))
    even = np.ones((1, 80))
    swapped = even.copy()
    swapped[0, :2] = [2, 0]
    reverse = swapped.copy()
    reverse[0, :2] = [0, 2]
    values = [memo.compute(scored, weight)[0] for weight in (even, swapped, reverse)]
    values.append(memo.compute(scored._replace(value=1 - part.value), even)[0])
    assert len(set(values)) == 4
