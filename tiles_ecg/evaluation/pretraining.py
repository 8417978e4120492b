"""What an encoder was trained on, beside what it is judged on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.components import DEFAULT_STORE
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.audit import Check
from tiles_ecg.evaluation.candidate import Candidate
from tiles_ecg.evaluation.duplicates import near_duplicates, search_notes
from tiles_ecg.evaluation.sides import named
from tiles_ecg.protocol import Plan
from tiles_ecg.store import Store, StoreError

HOW = {"labels": "with labels, in fine-tuning", "pretraining": "without labels, in pre-training"}
"""An encoder saw recordings, by the name of the check."""


@dataclass(frozen=True)
class Seen:
    """What an encoder was trained on, as it says itself.

    Attributes:
        stores: Digests.
        labelled: Those of them whose labels it learned from.
        sources: Fingerprints of the files that stores were made from.
        labelled_sources: Those whose labels it learned from.
    """

    stores: Collection[str] = ()
    labelled: Collection[str] = ()
    sources: frozenset[str] = frozenset()
    labelled_sources: frozenset[str] = frozenset()

    def is_labelled(self, store: Store) -> bool:
        """Whether it learned from labels of recordings in a store."""
        return store.digest in self.labelled or bool(store.fingerprints & self.labelled_sources)

    def saw_all(self, store: Store) -> bool:
        """Whether it saw the store itself, or every file that it was made from."""
        known = self.sources | self.labelled_sources
        return store.digest in self.stores or (bool(store.fingerprints) and store.fingerprints <= known)

    def told_of(self, store: Store) -> str:
        """What of a store it saw, by the store's digest and by the files that both were made from; else empty."""
        if store.digest in self.stores:
            return store.path.name
        common = len(store.fingerprints & (self.sources | self.labelled_sources))
        if not common:
            return ""
        return f"{store.path.name} (at least {common:,} of the {len(store.fingerprints):,} files it was made from)"


def audit_encoder(candidate: Candidate, at_hand: Sequence[str], windows: Windows, plan: Plan) -> list[Check]:
    """Whether the training of an encoder saw recordings that it is judged on.

    Args:
        candidate: The encoder.
        at_hand: Stores of its pre-training, where they are no longer where its run says.
        windows: What is judged on.
        plan: Who is judged on.
    """
    if candidate.about is None:
        return []
    about = candidate.about
    alike: dict[Any, dict[str, Store]] = {}
    for store in filter(None, map(_opened, [*at_hand, *about.store_paths, str(DEFAULT_STORE)])):
        if store.digest in about.stores:
            alike.setdefault((store.sample_rate, store.window_length, store.n_leads), {})[store.digest] = store
    trained = [Windows([store.path for store in stores.values()], "none") for stores in alike.values()]
    seen = Seen(about.stores, about.labelled, about.sources, about.labelled_sources)
    return audit_pretraining(candidate.name, seen, trained, windows, plan)


def audit_pretraining(
    encoder_name: str, seen: Seen, trained: Sequence[Windows], windows: Windows, plan: Plan
) -> list[Check]:
    """Check whether an encoder saw, in training, what it is judged on.

    Stores are compared by digest and by the files that they were made from. Where it did not see all of these,
    near-duplicates are looked for among the windows of the stores that it was trained on, as far as they are at hand.

    Args:
        encoder_name: For the messages.
        seen: What it was trained on.
        trained: Those stores, or as many of them as are at hand; those prepared alike together.
        windows: That are judged on.
        plan: Of the protocol.

    Returns:
        Checks named `pretraining`, or `labels` where it saw recordings with their labels.
    """
    checks = []
    for name, how in HOW.items():
        told = [seen.told_of(store) for store in windows.stores if seen.is_labelled(store) == (name == "labels")]
        if any(told):
            listed = named([text for text in told if text])
            checks.append(Check(name, False, f"{encoder_name} saw these recordings, {how}: {listed}"))
    rows = _rows_not_known(seen, windows, plan)
    if not len(rows):
        return checks
    checks += [_check_trained(encoder_name, seen, part, windows, rows) for part in trained]
    at_hand = {store.digest for part in trained for store in part.stores}
    n_stores, n_missing = len(set(seen.stores)), len(set(seen.stores) - at_hand)
    if n_stores and not n_missing:
        return checks
    missing = (
        f"{n_missing} of {n_stores} stores that {encoder_name} was trained on are not at hand"
        if n_stores
        else f"{encoder_name} does not say which stores it was trained on"
    )
    detail = f"{missing}: give audit.pretraining=[FILE.h5]; whether it saw what it is judged on is unknown"
    return [*checks, Check("pretraining", True, detail, is_unknown=True)]


def _rows_not_known(seen: Seen, windows: Windows, plan: Plan) -> NDArray[np.int64]:
    """Windows that are judged on, of stores that it is not known to have seen whole."""
    judged = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    rows = plan.target.row[plan.target.windows_of(judged)]
    number = np.searchsorted(windows.first_row, rows, side="right") - 1
    unknown = [i for i, store in enumerate(windows.stores) if not seen.saw_all(store)]
    return np.asarray(rows[np.isin(number, unknown)], np.int64)


def _check_trained(encoder_name: str, seen: Seen, trained: Windows, windows: Windows, rows: NDArray[np.int64]) -> Check:
    every = np.arange(len(trained))
    try:
        found = near_duplicates(trained, every, windows, rows)
    except ValueError as error:
        detail = f"{encoder_name}: whether it saw what it is judged on is unknown; {error}"
        return Check("pretraining", True, detail, is_unknown=True)
    subject_ids = {windows.subject_id[number] for number in np.unique(windows.subject[rows]).tolist()}
    shared = sorted(subject_ids & set(trained.subject_id))
    notes = search_notes(trained, every, windows, rows)
    notes += [f"{len(shared):,} subject ids stand in both ({named(shared)}), of the same people or not"] * bool(shared)
    if not found:
        first = f"{encoder_name}: no window that is judged on is a near-duplicate of one it was trained on"
        return Check("pretraining", True, "; ".join([first, *notes]))
    stores = np.searchsorted(trained.first_row, [duplicate.first for duplicate in found], side="right") - 1
    name = "labels" if any(seen.is_labelled(trained.stores[n]) for n in np.unique(stores).tolist()) else "pretraining"
    n_recordings = len({int(windows.recording[duplicate.second]) for duplicate in found})
    subjects = dict.fromkeys(windows.subject_id[windows.subject[duplicate.second]] for duplicate in found)
    first = (
        f"{encoder_name} saw, {HOW[name]} windows of {n_recordings:,} of "
        f"{len(np.unique(windows.recording[rows])):,} recordings that are judged on ({len(found):,} pairs of "
        f"near-duplicates), of {named(list(subjects))}"
    )
    return Check(name, False, "; ".join([first, *notes]))


def _opened(path: str) -> Store | None:
    try:
        return Store(path)
    except StoreError:
        return None
