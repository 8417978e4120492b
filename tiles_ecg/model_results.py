"""Model results: what a report says of one encoder, as Markdown for its card: numbers, controls, where it loses."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiles_ecg.encoder.encoder_description import EncoderFileError
from tiles_ecg.evaluation.metric_table import METRICS

_NEEDED = ("task", "protocol", "encoder", "head", "role", "training_subjects", "metric", "value", "low", "high")
_COUNTED = "n_subjects"
TRAINED_FURTHER = ("fine-tuned", "fusion")
"""Heads of methods whose encoder was trained on the labels of each fold."""


@dataclass(frozen=True)
class Result:
    """A method on a task, by the metric that decides there, all labels used.

    Attributes:
        task: Its name.
        protocol: Hash.
        encoder: What the report calls it, or the control.
        head: `linear`, `fine-tuned`, ...; `none` of a control without one.
        role: `encoder` or `control`.
        metric: Name.
        value: NaN where it is not defined.
        interval: `[low, high]`, 95 % over subjects; empty where there is none.
        n_subjects: That it was judged on.
        weights: Digest of the encoder's weights; empty for a control, and in a report of before there were any.
    """

    task: str
    protocol: str
    encoder: str
    head: str
    role: str
    metric: str
    value: float
    interval: str
    n_subjects: str
    weights: str = ""

    @property
    def method(self) -> str:
        """In words."""
        return self.encoder if self.head == "none" else f"{self.encoder}, {self.head}"

    @property
    def text(self) -> str:
        """Value and interval."""
        return f"{_short(self.value)} {self.interval}".rstrip() if self.value == self.value else "not defined"


def read_results(file: str | Path) -> list[Result]:
    """The deciding metric of each method and task in a `results.csv` of tiles-report, in the file's order.

    Raises:
        EncoderFileError: If it cannot be read, or is no such file.
    """
    try:
        with Path(file).open(encoding="utf-8", newline="") as opened:
            rows = csv.DictReader(opened)
            lacking = [name for name in (*_NEEDED, _COUNTED) if name not in (rows.fieldnames or ())]
            if lacking:
                raise EncoderFileError(f"{file}: no column {', '.join(lacking)}; give the results.csv of tiles-report")
            full = [row for row in rows if row["training_subjects"] == ""]
        decides: dict[tuple[str, str], str] = {}
        for row in full:  # the report gives the metric that decides first
            decides.setdefault((row["task"], row["protocol"]), row["metric"])
        return [_result(row) for row in full if row["metric"] == decides[row["task"], row["protocol"]]]
    except OSError as error:
        raise EncoderFileError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise EncoderFileError(f"{file}: damaged ({error}); give the results.csv of tiles-report") from error


def results_text(results: Sequence[Result], encoder: str, digest: str, source: str | Path) -> str:
    """Markdown: a table of all methods on each task that the encoder was judged on, and where it is behind.

    Args:
        results: See `read_results`.
        encoder: What the report calls this one.
        digest: Of its weights.
        source: The file, for errors.

    Raises:
        EncoderFileError: If the report has no encoder of that name, or of other weights.
    """
    own = {(result.task, result.protocol) for result in results if _is_own(result, encoder)}
    if not own:
        names = ", ".join(dict.fromkeys(result.encoder for result in results if result.role == "encoder")) or "none"
        raise EncoderFileError(f"{source}: no encoder {encoder!r} in it; give --report-name, one of {names}")
    weights = {result.weights for result in results if _is_own(result, encoder)}
    others = sorted(weights - {digest, ""})
    if others:
        raise EncoderFileError(
            f"{source}: {encoder} there has the weights {', '.join(others)}, this model {digest}; judge this one, or "
            "give --report-name, what the report calls it"
        )
    lines = [
        "The metric that decides each task, with its 95 % interval over subjects; nested cross-validation by subject,",
        "the same folds for all methods of a task. This encoder is in bold; the others are its controls and rivals.",
        "",
        "| task (protocol) | metric | method | value | subjects |",
        "| --- | --- | --- | --- | --- |",
    ]
    behind = []
    for key in sorted(own):
        of_task = [result for result in results if (result.task, result.protocol) == key]
        of_task.sort(key=lambda result: (not _is_own(result, encoder), result.role != "encoder"))
        lines += [_line(result, is_own=_is_own(result, encoder)) for result in of_task]
        behind += _behind(of_task, encoder)
    if any(_is_own(result, encoder) and result.head in TRAINED_FURTHER for result in results):
        lines += ["", "Fine-tuned rows began from these weights and went on from them: they are not of these weights."]
    if "" in weights:
        lines += [
            "",
            "The report does not say of which weights these numbers are: its makers' word ties them to these.",
        ]
    lines += ["", *(["Where it is behind:", "", *behind] if behind else ["No other method here has a better value."])]
    return "\n".join(lines)


def _result(row: dict[str, str]) -> Result:
    bounds = [_short(float(row[key])) for key in ("low", "high") if row[key]]
    return Result(
        row["task"],
        row["protocol"],
        row["encoder"],
        row["head"],
        row["role"],
        row["metric"],
        float(row["value"]) if row["value"] else float("nan"),
        f"[{', '.join(bounds)}]" if len(bounds) == 2 else "",
        row[_COUNTED],
        row.get("weights") or "",
    )


def _short(value: float) -> str:
    return f"{value:#.3g}".removesuffix(".")


def _is_own(result: Result, encoder: str) -> bool:
    return result.encoder == encoder and result.role == "encoder"


def _line(result: Result, is_own: bool) -> str:
    strong = "**" if is_own else ""
    method, value = (f"{strong}{text.replace('|', '/')}{strong}" for text in (result.method, result.text))
    return f"| {result.task} ({result.protocol}) | {result.metric} | {method} | {value} | {result.n_subjects} |"


def _behind(of_task: Sequence[Result], encoder: str) -> list[str]:
    """A line where another method has a better value than the best of this encoder's."""
    sign = -1 if of_task[0].metric in _lower_is_better() else 1
    known = [result for result in of_task if result.value == result.value]
    own = [result for result in known if _is_own(result, encoder)]
    if not own:
        return []
    best = max(own, key=lambda result: sign * result.value)
    ahead = [other for other in known if not _is_own(other, encoder) and sign * other.value > sign * best.value]
    ahead.sort(key=lambda result: -sign * result.value)
    if not ahead:
        return []
    named = "; ".join(f"{other.method} {other.text}" for other in ahead)
    return [f"- {best.task} ({best.metric}): {best.text} at best ({best.head}), behind {named}"]


def _lower_is_better() -> set[str]:
    return {metric.name for metrics in METRICS.values() for metric in metrics if not metric.higher_is_better}
