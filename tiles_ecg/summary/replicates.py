"""Replicates: an encoder that was pre-trained anew for each seed is one method, not one for each seed."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from tiles_ecg.summary.runs import Run

SEED = re.compile(r"\bseed=(\d+)")


def with_seeds_together(runs: Sequence[Run]) -> list[Run]:
    """Runs with `pretrain-seed=*` for `pretrain-seed=0`, `pretrain-seed=1`, where each went on with its own.

    They keep their names where a run goes on with the encoder of another seed than its own, and where there is but one
    seed: then it is not known that the seed of the name is that of the run.

    Args:
        runs: Of one protocol.
    """
    seeds: dict[str, set[tuple[str, str]]] = {}
    for run in runs:
        for predictions in run.predictions:
            name = predictions.method.encoder
            pairs = {(found, str(own)) for found in SEED.findall(name) for own in np.unique(predictions.seed)}
            seeds.setdefault(_name(name), set()).update(pairs)
    together = {name for name, pairs in seeds.items() if len(pairs) > 1 and all(found == own for found, own in pairs)}
    return [_renamed(run, together) for run in runs] if together else list(runs)


def _renamed(run: Run, together: Collection[str]) -> Run:
    def of(name: str) -> str:
        return _name(name) if _name(name) in together else name

    parts = [replace(part, method=replace(part.method, encoder=of(part.method.encoder))) for part in run.predictions]
    return replace(run, predictions=tuple(parts), encoders={of(name): facts for name, facts in run.encoders.items()})


def _name(encoder: str) -> str:
    return SEED.sub("seed=*", encoder)
