"""What `tiles-embed` costs: windows a second from a store, against the bare network on a ready tensor.

    python benchmarks/embedding.py [--store FILE.h5] [--repeats 5]

CPU seconds are the process's own, so that other work on the machine counts little; wall time is what it took. Reading,
normalising and handing over are all that the store adds. Medians of alternating repeats.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tiles_ecg.config import config_directory
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.embedding.columns import columns_of
from tiles_ecg.embedding.formats import FORMATS
from tiles_ecg.embedding.inputs import Input
from tiles_ecg.embedding.network import AT_ONCE, embed_windows
from tiles_ecg.embedding.rows import RowFile


def network() -> torch.nn.Module:
    """An untrained `resnet8` of one lead."""
    config = OmegaConf.load(config_directory() / "encoder" / "resnet8.yaml")
    config.n_leads = 1
    torch.manual_seed(0)
    encoder: torch.nn.Module = instantiate(config)
    return encoder.eval()


def synthetic(folder: Path, n_subjects: int) -> Path:
    """A store of 10 s at 100 Hz."""
    from tiles_ecg.ingest import prepare
    from tiles_ecg.preparation import Preparation
    from tiles_ecg.reader.synthetic import SyntheticReader

    reader = SyntheticReader(n_subjects=n_subjects, session_h=2.5)
    config = {"reader": {"n_subjects": n_subjects}, "preparation": {}}
    preparation = Preparation(100.0, 0.5, 40.0, 10.0, 10.0)
    return prepare(reader, preparation, folder / "store.h5", config, n_jobs=1, show_progress=False)


def rates(work: Callable[[], object], n_windows: int) -> tuple[float, float]:
    """Windows a CPU second, and a second."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return n_windows / (time.process_time() - cpu), n_windows / (time.perf_counter() - wall)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="10 s at 100 Hz; a synthetic one by default")
    parser.add_argument("--windows", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = arguments.store or synthetic(Path(scratch), -(-arguments.windows // 90))
        compare(store, arguments.windows, arguments.threads, arguments.repeats)
        write(store, Path(scratch))
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def compare(store: Path, n_windows: int, n_threads: int, repeats: int) -> None:
    """Print a row a way."""
    windows = Windows([store])
    n = min(n_windows, len(windows))
    first = len(windows) - n
    encoder, device = network(), torch.device("cpu")
    ready = windows.gather(np.arange(first, len(windows))).signal

    def bare(threads: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for part in ready.split(AT_ONCE["cpu"]):
                encoder(part)

    ways: dict[str, Callable[[], object]] = {
        "bare network, 1 thread": lambda: bare(1),
        "from the store, 1 thread": lambda: list(embed_windows(encoder, windows, first, device, 1)),
        f"bare network, {n_threads} threads of torch": lambda: bare(n_threads),
        f"from the store, {n_threads} threads of ours": lambda: list(
            embed_windows(encoder, windows, first, device, n_threads)
        ),
        "reading alone": lambda: [
            windows.gather(np.arange(at, min(at + 64, len(windows)))) for at in range(first, len(windows), 64)
        ],
    }
    for work in ways.values():
        work()
    found = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            found[name].append(rates(work, n))
    base = statistics.median(cpu for cpu, _ in found["bare network, 1 thread"])
    print(f"{n:,} windows of {windows.shape}, {windows.sample_rate:g} Hz\n")
    print("| | windows a CPU second | of the bare network | windows a second |\n| --- | --- | --- | --- |")
    for name, values in found.items():
        cpu, wall = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {cpu:,.0f} | {cpu / base:.2f} | {wall:,.0f} |", flush=True)


def write(store: Path, folder: Path, width: int = 256) -> None:
    """Print what writing takes, by format."""
    windows = Windows([store])
    columns = columns_of([Input("store", store)], windows.stores)
    with RowFile(folder, width, []) as rows:
        rows.append(np.random.default_rng(0).normal(size=(len(windows), width)).astype(np.float32))
    print(f"\n| format, {len(windows):,} rows of {width} | rows a CPU second | MB |\n| --- | --- | --- |")
    for suffix in (".h5", ".npz", ".csv", ".parquet"):
        path = folder / f"e{suffix}"
        cpu, _ = rates(lambda path=path, suffix=suffix: FORMATS[suffix](path, rows, columns, {}), len(windows))
        print(f"| {suffix} | {cpu:,.0f} | {path.stat().st_size / 1e6:.1f} |")


if __name__ == "__main__":
    main()
