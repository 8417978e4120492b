"""What an encoder was pre-trained on, beside what it is judged on."""

from collections.abc import Sequence
from typing import Any

from tiles_ecg.components import DEFAULT_STORE
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.audit import Check, audit_pretraining
from tiles_ecg.evaluation.candidate import Candidate
from tiles_ecg.protocol import Plan
from tiles_ecg.store import Store, StoreError


def audit_encoder(candidate: Candidate, at_hand: Sequence[str], windows: Windows, plan: Plan) -> list[Check]:
    """Whether the pre-training of an encoder saw recordings that it is judged on.

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
    return audit_pretraining(candidate.name, about.stores, trained, windows, plan, about.labelled, about.sources)


def _opened(path: str) -> Store | None:
    try:
        return Store(path)
    except StoreError:
        return None
