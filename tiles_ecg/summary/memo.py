"""Memo: a metric that remembers what it gave, for each method is compared with many others on the same resamples."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np

from tiles_ecg.evaluation.metric import Metric, Scored
from tiles_ecg.evaluation.metric_count import Floats


def remembering(metric: Metric) -> Metric:
    """The metric, which computes nothing twice; a comparison of methods that have intervals costs next to nothing.

    Predictions are known by a digest of theirs, each weighting by its product with a random vector, which no two of
    them share in practice.
    """
    known: dict[bytes, Floats] = {}

    def compute(part: Scored, weight: Floats) -> Floats:
        digest = blake2b(digest_size=16)
        for array in part:
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(np.asarray(weight @ np.random.default_rng(0).random(weight.shape[1])).tobytes())
        key = digest.digest()
        if key not in known:
            known[key] = metric.compute(part, weight)
        return known[key].copy()

    return replace(metric, compute=compute)
