"""What a training step costs beside the encoder, and how soon the first one comes on a large store.

    OMP_NUM_THREADS=2 python benchmarks/training.py --steps 12 --windows 200000

Prints Markdown tables. Times of steps are CPU seconds of all threads together, so that they compare across loads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning import Callback, LightningModule, Trainer

from tiles_ecg.config import config_directory, register_resolvers
from tiles_ecg.store import Store, StoreWriter

FIRST_STEP = "--first-step"
"""Argument of the program when it is the process that is measured."""
PARTS = ("encoder forward", "backward", "optimizer", "everything else", "whole step")


class StepTimes(Callback):
    """CPU seconds of each step, by part. The backward pass holds that of projector and loss, a percent of it."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._from = {"whole step": 0.0}

    def _begin(self, part: str) -> None:
        self._from[part] = time.process_time()

    def _end(self, part: str) -> None:
        self._spent[part] += time.process_time() - self._from[part]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the encoder and the optimizer."""
        pl_module.encoder.register_forward_pre_hook(lambda *_: self._begin("encoder forward"))  # type: ignore[union-attr,operator]
        pl_module.encoder.register_forward_hook(lambda *_: self._end("encoder forward"))  # type: ignore[union-attr,operator]
        trainer.optimizers[0].register_step_post_hook(lambda *_: self._end("optimizer"))
        self._begin("whole step")

    def on_before_backward(self, *_: Any) -> None:
        """The backward pass begins."""
        self._begin("backward")

    def on_after_backward(self, *_: Any) -> None:
        """The backward pass ends."""
        self._end("backward")

    def on_before_optimizer_step(self, *_: Any) -> None:
        """The optimizer begins."""
        self._begin("optimizer")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """One step ends, with gathering and logging, and the next begins."""
        if batch_idx:
            self._end("whole step")
            known = sum(self._spent[part] for part in PARTS[:3])
            self.steps.append({**self._spent, "everything else": self._spent["whole step"] - known})
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._begin("whole step")


def step_times(store: Path, n_steps: int, n_threads: int, overrides: Sequence[str] = ()) -> list[dict[str, float]]:
    """Train with the reference recipe; CPU seconds of `n_steps` steps after two of warm-up.

    Args:
        store: To train on.
        n_steps: Steps to time.
        n_threads: Of torch.
        overrides: Of the config.
    """
    import torch

    torch.set_num_threads(n_threads)
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        fixed = [f"dataset.store={store}", f"trainer.max_steps={n_steps + 3}", f"run_dir={folder}", "logger=csv"]
        cfg = composed([*fixed, "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", *overrides])
        trainer = instantiate(cfg.trainer, logger=instantiate(cfg.logger), callbacks=[times], limit_val_batches=0)
        trainer.fit(instantiate(cfg.objective, _convert_="all"), instantiate(cfg.dataset, _convert_="all"))
    return times.steps[2:]


def composed(overrides: Sequence[str]) -> Any:
    """The config of a training run."""
    register_resolvers()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        return compose("train", list(overrides))


def enlarge(source: Path, target: Path, n_windows: int) -> Path:
    """Write a store of any size whose windows, subjects and recordings repeat those of a small one."""
    store = Store(source)
    times = -(-n_windows // len(store))
    n_subjects, n_recordings = len(store.subject_id), int(store.recording.max()) + 1
    block = store.signal.gather(np.arange(len(store)))
    count = np.tile(np.diff(store.beat_offset), times)
    copy = np.repeat(np.arange(times), len(store))
    with StoreWriter(target, (times * len(store), store.n_leads, store.window_length)) as writer:
        for number in range(times):
            writer.write_signal(number * len(store), block)
        writer.write_columns(
            {
                "window/subject": np.tile(store.subject, times) + (copy * n_subjects).astype(np.int32),
                "window/recording": np.tile(store.recording, times) + (copy * n_recordings).astype(np.int32),
                "window/quality": np.tile(store.quality, times),
                "beat/position": np.tile(store.beat_position, times),
                "beat/offset": np.concatenate([[0], np.cumsum(count)]),
                "subject/id": [f"{name}-{number}" for number in range(times) for name in store.subject_id],
                **{
                    f"subject/{name}": np.tile(store.read(f"subject/{name}"), (times, 1))
                    for name in ("mean", "std", "median", "robust_std")
                },
            }
        )
        writer.write_attributes({k: v for k, v in store.attributes.items() if not k.startswith("format")})
    return target


def first_step(store: Path, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Seconds from the command to the end of the first step, and memory in MB then and 200 batches later."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            FIRST_STEP,
            str(time.time()),
            f"dataset.store={store}",
        ]
        command += [f"hydra.run.dir={folder}/run", "trainer.accelerator=cpu", *overrides]
        environment = os.environ | {"WANDB_MODE": "offline"}
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    found: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def _measured_process(begun: float, overrides: list[str]) -> None:
    """`tiles-train`, ended in the hook that follows its first step."""
    from tiles_ecg import console, train
    from tiles_ecg.objective.simclr import SimCLR

    def on_train_batch_end(self: SimCLR, *_: Any) -> None:
        found = {"seconds": time.time() - begun, "cpu seconds": time.process_time(), **_memory("at the first step")}
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        generator = np.random.default_rng(0)
        for _ in range(200):
            datamodule.gather(generator.choice(datamodule.train_rows, datamodule.batch_size, replace=False))
        print(json.dumps(found | _memory("200 batches later")), flush=True)
        raise KeyboardInterrupt

    SimCLR.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign,assignment]
    sys.argv = ["tiles-train"]
    console.run(train.train, "train", overrides)


def _memory(when: str) -> dict[str, float]:
    """Resident memory of this process in MB, and the part of it that is not a mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    known = dict(line.split(":", 1) for line in lines)
    return {f"{key} {when}": int(known[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon")}


def table(steps: Sequence[dict[str, float]]) -> str:
    """Markdown: the median of each part over the steps, and the median of its share of a step."""
    rows = []
    for part in PARTS:
        spent = statistics.median(step[part] for step in steps)
        share = statistics.median(step[part] / step["whole step"] for step in steps)
        rows.append(f"| {part} | {spent:.3f} | {share:.1%} |")
    return "\n".join([f"| part (medians of {len(steps)} steps) | CPU s | share |", "| --- | --- | --- |", *rows])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="steps to time")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--windows", type=int, default=200_000, help="size of the large store; 0: leave it out")
    parser.add_argument("overrides", nargs="*", help="of the config, for the steps")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.h5"
        prepare = [str(Path(sys.executable).with_name("tiles-prepare")), f"store={small}", "reader.n_subjects=12"]
        subprocess.run(prepare, check=True, capture_output=True)
        if asked.windows:
            large = enlarge(small, Path(folder) / "large.h5", asked.windows)
            print(f"| {len(Store(large)):,} windows, {large.stat().st_size / 1e6:,.0f} MB | |\n| --- | --- |")
            for name, value in first_step(large).items():
                print(f"| {name} | {value:,.1f} |")
            large.unlink()
            print()
        if asked.steps:
            print(table(step_times(small, asked.steps, asked.threads, asked.overrides)))


if __name__ == "__main__":
    if FIRST_STEP in sys.argv[1:2]:
        _measured_process(float(sys.argv[2]), sys.argv[3:])
    else:
        main()
