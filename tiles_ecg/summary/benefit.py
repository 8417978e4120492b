"""Benefit: whether pre-training helped, in a sentence, by paired differences to what needs none."""

from tiles_ecg.evaluation.controls import FROM_SCRATCH, HEART_RATE, UNTRAINED
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.document import Paragraph
from tiles_ecg.summary.number import estimate_text, interval_text
from tiles_ecg.summary.section import Section
from tiles_ecg.summary.standing import Comparison, Row, Standing

FROZEN = ("linear", "k-NN")
"""How heads on frozen encoders are called, or begin to be."""


def benefit(standing: Standing, title: str) -> Paragraph:
    """Whether pre-training helped on a task, which is called by its title.

    Frozen encoders are compared with the untrained one, fine-tuned ones with the same trained from scratch, both also
    with heart rate and HRV; with a control of the same head where there is one, else with its best.
    """
    encoders = [row for row in standing.rows if row.entry.method.role == "encoder"]
    if not encoders:
        return Paragraph("Only controls.", f"{title}: no encoder was judged.")
    complete = [row for row in encoders if row.entry.is_complete]
    sentences = [_sentence(standing, row) for row in complete]
    sentences += [
        f"{row.entry.method.title} is not compared ({', '.join(row.entry.notes)})."
        for row in encoders
        if not row.entry.is_complete
    ]
    return Paragraph(" ".join(sentences), f"{title}: {_answer(standing, complete)}")


def rival(standing: Standing, method: Method, control: str) -> Comparison | None:
    """The comparison of an encoder with a control, None if the control was not run with all folds.

    Of several rows of the control the one of the same network and head, else the best.
    """
    sign = 1 if standing.metric.higher_is_better else -1
    twins = {f"{control} (as {name})" for name in _of_same_network(standing.section, method.encoder)}
    found = [
        (
            other.entry.method.encoder in twins,
            other.entry.method.encoder == control,
            other.entry.method.head == method.head,
            sign * other.primary.value,
            comparison,
        )
        for other in standing.rows
        if is_control(other.entry.method, control)
        and (comparison := standing.against(method, other.entry.method)) is not None
    ]
    return max(found, key=lambda item: item[:4])[4] if found else None


def is_control(method: Method, control: str) -> bool:
    """Whether a method is a control of that name: `untrained (as resnet8)` is `untrained`."""
    return method.role == "control" and (method.encoder == control or method.encoder.startswith(f"{control} ("))


def own_control(method: Method) -> str:
    """What an encoder would be without pre-training."""
    return UNTRAINED if method.head.startswith(FROZEN) else FROM_SCRATCH


def _of_same_network(section: Section, encoder: str) -> set[str]:
    """Names of the encoders with its architecture, its own among them."""
    networks = {name: facts.get("architecture") for run in section.runs for name, facts in run.encoders.items()}
    own = networks.get(encoder)
    return {encoder} | {name for name, network in networks.items() if own is not None and network == own}


def _answer(standing: Standing, complete: list[Row]) -> str:
    """The answer, over all complete rows of encoders."""
    methods = [row.entry.method for row in complete]
    own = [_outcome(rival(standing, method, own_control(method))) for method in methods]
    rate = [_outcome(rival(standing, method, HEART_RATE)) for method in methods]
    if not any(own):
        missing = list(dict.fromkeys(map(own_control, methods)))
        told = f"{' and '.join(missing)} is missing" if missing else "no encoder has all folds"
        return f"whether pre-training helped is not known, as {told}."
    if ("better", "better") in zip(own, rate, strict=True):
        return "pre-training helped."
    if "better" in own and any(rate):
        return f"pre-training helped, but is not shown to be worth more than {HEART_RATE}."
    if "better" in own:
        return f"pre-training helped; whether more than {HEART_RATE} do is not known."
    if "worse" in own:
        return "pre-training did not help; it made a result worse."
    return "pre-training did not measurably help."


def _outcome(comparison: Comparison | None) -> str:
    return "" if comparison is None else comparison.outcome


def _sentence(standing: Standing, row: Row) -> str:
    method = row.entry.method
    clauses = []
    for control in (own_control(method), HEART_RATE):
        found = rival(standing, method, control)
        clauses.append(f"not compared with {control}, which is missing" if found is None else _clause(found))
    reached = f"{standing.metric.title} {estimate_text(row.primary)}"
    return f"{method.title} ({reached}) is {', and '.join(clauses)}."


def _clause(found: Comparison) -> str:
    difference, name = found.difference, found.second.title
    if found.outcome == "not distinguishable":
        apart = interval_text(difference.value, difference.low, difference.high)
        return f"not distinguishable from {name} (difference {apart})"
    near, far = sorted((abs(difference.low), abs(difference.high)))
    return f"{found.outcome} than {name} by {interval_text(abs(difference.value), near, far)}"
