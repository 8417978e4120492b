"""Names of the metrics that may decide a task, by its kind; `tiles_ecg.evaluation.metric` computes them."""

from typing import Literal, get_args

from tiles_ecg.task.target import Kind

BinaryMetric = Literal["auroc", "average_precision", "balanced_accuracy", "f1", "brier"]
MulticlassMetric = Literal["auroc", "f1", "balanced_accuracy", "accuracy"]
MultilabelMetric = Literal["auroc", "average_precision", "f1"]
RegressionMetric = Literal["mae", "ccc", "r2", "pearson"]
VerificationMetric = Literal["eer", "rank1", "auroc"]

METRIC_NAMES: dict[Kind, tuple[str, ...]] = {
    "binary": get_args(BinaryMetric),
    "multiclass": get_args(MulticlassMetric),
    "multilabel": get_args(MultilabelMetric),
    "regression": get_args(RegressionMetric),
    "verification": get_args(VerificationMetric),
}


def unfit_metric(kind: Kind, metric: str) -> str:
    """What is wrong with a metric for a kind of task, and what would be right; empty where it fits."""
    if metric in METRIC_NAMES[kind]:
        return ""
    return f"metric = {metric}: not for a {kind} task; choose one of {', '.join(METRIC_NAMES[kind])}"
