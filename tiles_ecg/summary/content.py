"""Content of a report: an overview of all tasks, then each task with its tables, figures, audit and notes."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tiles_ecg.summary import tables
from tiles_ecg.summary.benefit import benefit
from tiles_ecg.summary.document import Block, Heading, Listing, Paragraph
from tiles_ecg.summary.illustration import Illustration
from tiles_ecg.summary.origin import missing, origin
from tiles_ecg.summary.runs import Setback
from tiles_ecg.summary.section import Section
from tiles_ecg.summary.standing import Standing, fewer_resamples

MANY = 6
"""Items, above which a list is folded."""


def content(
    standings: Sequence[Standing],
    illustrations: Sequence[Illustration],
    setbacks: Sequence[Setback],
    n_resamples: int,
    made: datetime,
    runs: Sequence[Block] = (),
) -> list[Block]:
    """The whole report.

    Args:
        standings: One for each protocol.
        illustrations: Of each.
        setbacks: What could not be used.
        n_resamples: Of the metric that decides.
        made: When.
        runs: The section that the ledger has.
    """
    titles = section_titles([standing.section for standing in standings])
    blocks: list[Block] = [
        Heading("Evaluation of ECG encoders", 1),
        Paragraph(origin(made)),
        Heading("Overview", 2),
        *(benefit(standing, title) for standing, title in zip(standings, titles, strict=True)),
        *_overviews(standings, titles),
    ]
    cautions = _cautions(standings, titles)
    if cautions:
        blocks.append(Listing("Checks of the leak audit that did not pass", cautions))
    blocks += missing(setbacks)
    blocks.append(Paragraph(_intervals(n_resamples), "How to read the numbers."))
    for standing, title, illustration in zip(standings, titles, illustrations, strict=True):
        siblings = [
            other.section
            for other in standings
            if other.section.task == standing.section.task and other.section.hash != standing.section.hash
        ]
        blocks += _task(standing, title, illustration, siblings)
    blocks += runs
    commands = tuple(dict.fromkeys(run.command for s in standings for run in s.section.runs if run.command))
    if commands:
        blocks += [
            Heading("Commands", 2),
            Listing("The runs of this report were made by", commands, len(commands) > 6, is_code=True),
        ]
    return blocks


def section_titles(sections: Sequence[Section]) -> list[str]:
    """The task; where it has several protocols, with the hash."""
    count = Counter(section.task for section in sections)
    return [f"{s.task} ({s.hash})" if count[s.task] > 1 else s.task for s in sections]


def _overviews(standings: Sequence[Standing], titles: Sequence[str]) -> list[Block]:
    """A table with a column for each task; the second protocol of a task stands in a second table, and so on."""
    layers: list[list[int]] = []
    for number, standing in enumerate(standings):
        at = sum(other.section.task == standing.section.task for other in standings[:number])
        layers += [[]] * (at >= len(layers))
        layers[at] = [*layers[at], number]
    return [tables.overview([standings[n] for n in layer], [titles[n] for n in layer]) for layer in layers]


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """What differs between what two hashes cover: `subjects: 40 against 41`."""
    absent = "(nothing)"
    told = []
    for key in dict.fromkeys([*first, *second]):
        one, other = first.get(key, absent), second.get(key, absent)
        if isinstance(one, dict) and isinstance(other, dict):
            told += [f"{key}: {line}" for line in differences(one, other)]
        elif one != other:
            told.append(f"{key}: {_plain(one)} against {_plain(other)}")
    return told


def _task(standing: Standing, title: str, illustration: Illustration, siblings: Sequence[Section]) -> list[Block]:
    section = standing.section
    blocks: list[Block] = [Heading(title, 2), Paragraph(_protocol(standing), f"Protocol {section.hash}.")]
    for other in siblings:
        told = "; ".join(differences(section.about, other.about)) or "nothing that is written down"
        lead = f"Not comparable with protocol {other.hash} of the same task."
        blocks.append(Paragraph(f"What differs, this one first: {told}.", lead))
    blocks += [Heading("Methods", 3), tables.methods(standing)]
    if standing.comparisons:
        blocks += [Heading("Paired comparisons", 3), tables.comparisons(standing)]
    efficiency = tables.label_efficiency(standing)
    if efficiency:
        blocks += [Heading("Label efficiency", 3), efficiency]
    if illustration.pictures:
        blocks += [Heading("Figures", 3), *illustration.pictures]
    audits = tables.audits(section)
    blocks.append(Heading("Audit and notes", 3))
    blocks.append(audits or Paragraph("No leak audit was written down by these runs.", "Unknown."))
    notes = (*_notes(standing), *illustration.notes)
    if notes:
        blocks.append(Listing("Notes", notes, is_folded=len(notes) > MANY))
    return blocks


def _protocol(standing: Standing) -> str:
    about = standing.section.about
    classes = about.get("classes") or ()
    named = f"{classes} people" if isinstance(classes, int) else ", ".join(map(str, classes))
    what = f"{str(about['kind']).capitalize()}{f' of a {level}' if (level := about.get('level')) else ''}"
    unit = f", in {about['unit']}" if about.get("unit") else ""
    return (
        f"{what}{f' ({named})' if named else ''}{unit}; "
        f"{_thousands(about.get('examples', '?'))} examples of {_thousands(about['subjects'])} subjects that are kept "
        "whole; "
        f"{about['folds']} outer folds, {about.get('inner_folds', '?')} inner ones in each, seed "
        f"{about.get('seed', '?')}; decided by {standing.metric.title}; settings, thresholds and epochs are chosen "
        f"{about.get('selection', 'in a way that is not written down')}."
    )


def _thousands(n: Any) -> str:
    return f"{n:,}" if isinstance(n, int) else str(n)


def _notes(standing: Standing) -> tuple[str, ...]:
    """Of the protocol, of how runs were put together, and of each method; each once."""
    section = standing.section
    notes = [note for run in section.runs for note in run.notes]
    notes += [*section.notes, *standing.notes]
    for run in section.runs:
        for name, facts in run.encoders.items():
            source = f"read from {facts['path']}" if facts.get("path") else "not read from a file"
            step = f", step {facts['step']}" if facts.get("step") is not None else ""
            notes.append(f"{name}: {'; '.join([f'{source}{step}', *map(str, facts.get('notes') or ())])}")
    concerned: dict[str, list[str]] = {}
    for row in standing.rows:
        for note in (*row.entry.predictions.notes, *row.remarks):
            concerned.setdefault(note, []).append(row.entry.method.title)
    notes += [f"{'; '.join(titles)}: {note}" for note, titles in concerned.items()]
    return tuple(dict.fromkeys(notes))


def _cautions(standings: Sequence[Standing], titles: Sequence[str]) -> tuple[str, ...]:
    """Checks of the leak audit that did not pass, for the head of the report."""
    found = [
        f"{title}: {audit.name} {audit.outcome}: {audit.detail}"
        for standing, title in zip(standings, titles, strict=True)
        for run in standing.section.runs
        for audit in run.audits
        if audit.outcome != "passed"
    ]
    return tuple(dict.fromkeys(found))


def _intervals(n_resamples: int) -> str:
    return (
        "Every metric is computed once over all predictions of the outer folds; with several seeds the mean of theirs. "
        "Brackets are 95 % intervals from a bootstrap that draws whole subjects with replacement "
        f"({n_resamples:,} resamples; {fewer_resamples(n_resamples):,} for metrics that do not decide and for fewer "
        "labels): the spread of the resamples times Student's t for the number of subjects, on a scale on which the "
        "metric has no ends. They speak of other subjects under the same trained models, and do not hold what training "
        "on other subjects would change. An AUROC over folds of a method that says nothing lies a little below 0.5 "
        "where few subjects make the classes of the folds uneven. A resample that misses a class is drawn again, and "
        "counted. Comparisons are "
        "paired: both methods on the same subjects under the same resamples; one is resolved where its interval "
        "excludes 0. SD over folds and seeds are square roots of variance components: 0 where they vary no more than "
        "what is left does, a dash where there are too few. Two protocols of one task never share a table."
    )


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
