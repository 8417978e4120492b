import pytest

from tiles_ecg.evaluation.metric import metrics_of
from tiles_ecg.task.metric_name import METRIC_NAMES, unfit_metric
from tiles_ecg.task.target import Kind


@pytest.mark.parametrize("kind", list(METRIC_NAMES))
def test_the_names_are_those_of_the_metrics_that_are_computed(kind: Kind) -> None:
    assert set(METRIC_NAMES[kind]) == {metric.name for metric in metrics_of(kind)}
    assert not any(unfit_metric(kind, name) for name in METRIC_NAMES[kind])


def test_a_metric_of_another_kind_is_answered_with_those_that_fit() -> None:
    assert unfit_metric("regression", "auroc") == (
        "metric = auroc: not for a regression task; choose one of mae, ccc, r2, pearson"
    )
