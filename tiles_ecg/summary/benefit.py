"""Benefit: whether pre-training helped, in a sentence, by paired differences to what needs none."""

from tiles_ecg.evaluation.controls import FROM_SCRATCH, HEART_RATE, MAJORITY, UNTRAINED
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.document import Paragraph
from tiles_ecg.summary.number import estimate_text, interval_text
from tiles_ecg.summary.section import MEAN, Section
from tiles_ecg.summary.standing import Comparison, Row, Standing

FROZEN = ("linear", "k-NN")
"""How heads on frozen encoders are called, or begin to be."""
OTHERS = {HEART_RATE: HEART_RATE, FROM_SCRATCH: "training from scratch"}
"""What needs no pre-training either, and what to call it."""
SEEN = {
    "failed, but accepted": "Pre-training saw recordings that are judged on, without labels.",
    "unknown": "Whether pre-training saw recordings that are judged on is not known.",
}
"""What the audit of pre-training means for the answer, by its outcome."""


def benefit(standing: Standing, title: str) -> Paragraph:
    """Whether pre-training helped on a task, which is called by its title.

    Frozen encoders are compared with the untrained one, fine-tuned ones with the same trained from scratch: that tells
    whether pre-training helped. Whether it was worth it, heart rate and HRV tell, and for frozen encoders the network
    trained from scratch, which need none. Of a control, the row of the same head is taken, else its best.
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
    return Paragraph(" ".join([*sentences, *_cautions(standing.section)]), f"{title}: {_answer(standing, complete)}")


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
    """Whether a method is a control of that name: `untrained (as resnet8)` is `untrained`, `mean` the `majority`."""
    names = {control, MEAN} if control == MAJORITY else {control}
    return method.role == "control" and (method.encoder in names or method.encoder.startswith(f"{control} ("))


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
    found = {method: _outcome(rival(standing, method, own_control(method))) for method in methods}
    own = [outcome for outcome in found.values() if outcome]
    if not own:
        missing = list(dict.fromkeys(map(own_control, methods)))
        told = f"{' and '.join(missing)} is missing" if missing else "no encoder has all folds"
        return f"whether pre-training helped is not known, as {told}."
    if "better" in own:
        gained = [method for method, outcome in found.items() if outcome == "better"]
        return _extent(own) + _beside_others(standing, gained)
    if "worse" in own:
        return f"pre-training did not help; it made {_counted(own.count('worse'), len(own))} worse."
    return "pre-training did not measurably help."


def _extent(own: list[str]) -> str:
    """How many of the methods it helped: one that gained does not speak for those that did not."""
    if set(own) == {"better"}:
        return "pre-training helped"
    worse = f" and made {own.count('worse')} worse" if "worse" in own else ""
    return f"pre-training helped {_counted(own.count('better'), len(own))}{worse}"


def _counted(n: int, of: int) -> str:
    return f"{n} of {of} methods" if of > 1 else "the result"


def _beside_others(standing: Standing, gained: list[Method]) -> str:
    """How the methods that it helped stand beside what needs no pre-training; the best of them speaks for all."""
    ahead, level, unknown = [], [], []
    for control, name in OTHERS.items():
        against = [_outcome(rival(standing, method, control)) for method in gained if control != own_control(method)]
        known = [outcome for outcome in against if outcome]
        if against and not known:
            unknown.append(name)
        elif known and set(known) == {"worse"}:
            ahead.append(name)
        elif known and "better" not in known:
            level.append(name)
    told = [f"{' as well as '.join(ahead)} did better"] if ahead else []
    told += [f"it is not shown to be worth more than {', or '.join(level)}"] if level else []
    text = f", but {', and '.join(told)}" if told else ""
    if unknown:
        text += f"; whether it is worth more than {', or '.join(unknown)}{',' * (len(unknown) > 1)} is not known"
    return f"{text}."


def _cautions(section: Section) -> list[str]:
    outcomes = {audit.outcome for run in section.runs for audit in run.audits if audit.name == "pretraining"}
    return [sentence for outcome, sentence in SEEN.items() if outcome in outcomes]


def _outcome(comparison: Comparison | None) -> str:
    return "" if comparison is None else comparison.outcome


def _sentence(standing: Standing, row: Row) -> str:
    method = row.entry.method
    clauses = []
    for control in dict.fromkeys((own_control(method), *OTHERS)):
        found = rival(standing, method, control)
        clauses.append(f"not compared with {control}, which is missing" if found is None else _clause(found))
    reached = f"{standing.metric.title} {estimate_text(row.primary)}"
    return f"{method.title} ({reached}) is {', '.join(clauses[:-1])}, and {clauses[-1]}."


def _clause(found: Comparison) -> str:
    difference, name = found.difference, found.second.title
    name = f"training {name}" if name.startswith(FROM_SCRATCH) else name
    if found.outcome == "not distinguishable":
        apart = interval_text(difference.value, difference.low, difference.high)
        return f"not distinguishable from {name} (difference {apart})"
    near, far = sorted((abs(difference.low), abs(difference.high)))
    return f"{found.outcome} than {name} by {interval_text(abs(difference.value), near, far)}"
