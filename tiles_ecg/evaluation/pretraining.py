"""What an encoder was pre-trained on, beside what it is judged on."""

from collections.abc import Sequence
from typing import Any

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.audit import Check, audit_pretraining
from tiles_ecg.evaluation.candidate import Candidate
from tiles_ecg.protocol import Plan
from tiles_ecg.store import Store, StoreError
from tiles_ecg.train import DEFAULT_STORE


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
    digests = list(candidate.about.stores)
    places = [*at_hand, *candidate.about.store_paths, str(DEFAULT_STORE)]
    found = [path for path in places if _digest(path) in digests]
    unique = {_digest(path): path for path in found}
    trained: Any = Windows(list(unique.values()), "none") if set(unique) == set(digests) and unique else None
    return audit_pretraining(candidate.name, digests, trained, windows, plan)


def _digest(path: str) -> str | None:
    try:
        return Store(path).digest
    except StoreError:
        return None
