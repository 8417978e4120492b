"""What judging frozen embeddings costs after the windows are embedded: probes, intervals, threads.

    python benchmarks/evaluation.py --windows 10000 --subjects 500

Prints Markdown tables. The embeddings are made up, with a spectrum like that of a trained encoder.
"""

import argparse
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tiles_ecg.evaluation.bootstrap import estimate
from tiles_ecg.evaluation.metric import metric
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.evaluation.probe import _probe
from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.task.target import Target

KINDS = {"binary": 2, "multiclass": 4, "regression": 0}


def made_up(n: int, n_subjects: int, dim: int, kind: Any) -> tuple[NDArray[np.float32], Plan]:
    """Embeddings (n, dim) that say something of a value, and a plan of 5 folds with 4 inner ones."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((dim, dim)) * np.exp(-np.arange(dim) / 40)
    x = np.maximum(rng.standard_normal((n, dim)) @ mix.T, 0).astype(np.float32)
    latent = x @ rng.standard_normal(dim)
    latent = (latent - latent.mean()) / latent.std() + rng.standard_normal(n)
    n_classes = KINDS[kind]
    value: NDArray[Any] = latent.astype(np.float64)
    if n_classes:
        value = np.digitize(latent, np.quantile(latent, np.arange(1, n_classes) / n_classes)).astype(np.int64)
    subject, every = np.arange(n) * n_subjects // n, np.arange(n)
    target = Target(
        "made up",
        kind,
        "window",
        tuple(map(str, range(n_classes))),
        "",
        "auroc" if n_classes else "mae",
        every,
        every,
        value,
        subject,
        tuple(f"s{i}" for i in range(n_subjects)),
        tuple(map(str, every)),
        subject,
    )
    stores: Any = SimpleNamespace(stores=[SimpleNamespace(digest="d", sample_rate=100.0, window_s=10.0)])
    return x, Protocol().plan(stores, target)


def timed(work: Any) -> tuple[Any, float, float]:
    """What it gives, CPU seconds and seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=10000)
    parser.add_argument("--subjects", type=int, default=500)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    print(f"{options.windows:,} windows of {options.subjects} subjects, {options.dim}-d, 5 folds with 4 inner ones\n")
    print("| kind | head | threads | CPU s | s | interval of the metric, 2,000 resamples, CPU s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in KINDS:
        x, plan = made_up(options.windows, options.subjects, options.dim, kind)
        for n_threads in options.threads:
            for head in ("linear", "k-NN"):
                with threadpool_limits(n_threads):
                    method = Method("made up", head)
                    found, cpu, wall = timed(lambda: _probe(x, plan, method, None, 0))  # noqa: B023
                decides = metric(plan.target.kind, plan.target.metric)
                _, interval, _ = timed(lambda: estimate(found, decides))  # noqa: B023
                print(f"| {kind} | {head} | {n_threads} | {cpu:.1f} | {wall:.1f} | {interval:.1f} |")


if __name__ == "__main__":
    main()
