"""What a run costs beside its training: logging, checkpoints, and the time until it starts.

    OMP_NUM_THREADS=2 python benchmarks/running.py logging
    OMP_NUM_THREADS=2 python benchmarks/running.py checkpoint
    OMP_NUM_THREADS=2 python benchmarks/running.py start

Prints Markdown tables; `--step small` takes a tiny encoder instead of the reference recipe. What is compared takes
turns within one process, in an order drawn anew each round. CPU time is of all threads of the process.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate
from lightning import Callback, LightningModule, Trainer
from omegaconf import OmegaConf
from training import composed

from tiles_ecg.quiet import silence

STEPS = {
    "reference": (),
    "small": ("dataset.batch_size=16", "encoder.widths=[8,16]", "encoder.strides=[2,4]", "encoder.embedding_dim=32"),
}
WARM_UP = 3
"""Rounds, or savings, that are not counted."""
SAVED_EVERY = 4
ANSWERS = {
    "--help": ["--help"],
    "a mistake in an option (encoder=resnt8)": ["encoder=resnt8"],
    "a mistake in a value (trainer.max_steps=-3)": ["trainer.max_steps=-3"],
    "a mistake in a sweep of four jobs": ["-m", "seed=0,1", "optimizer.lr=0.1,-1"],
}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Turns(Callback):
    """Gives each step other loggers, and times the step and what the trainer spends in logging it.

    Args:
        sets: Loggers by name of the set.
        n_rounds: Rounds in which each set has one step.
    """

    def __init__(self, sets: dict[str, list[Any]], n_rounds: int) -> None:
        draw = random.Random(0)
        self.sets = sets
        self.order = [name for _ in range(n_rounds) for name in draw.sample(sorted(sets), len(sets))]
        self.logging: dict[str, list[float]] = defaultdict(list)
        self.step: dict[str, list[float]] = defaultdict(list)
        self.service_s = 0.0
        self._at = -1
        self._begun = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the trainer's own call of the loggers."""
        connector: Any = trainer._logger_connector
        log_step = connector.update_train_step_metrics

        def log_step_timed() -> None:
            begun = time.perf_counter()
            log_step()
            self.logging[self.order[self._at]].append(time.perf_counter() - begun)

        connector.update_train_step_metrics = log_step_timed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """One step ends, the next begins with the next set."""
        now = time.process_time()
        if self._at >= 0:
            self.step[self.order[self._at]].append(now - self._begun)
        self._at += 1
        if self._at == WARM_UP * len(self.sets):
            self.service_s = -cpu_of_children()
        if self._at == len(self.order) - 1:
            self.service_s += cpu_of_children()
        trainer.loggers = self.sets[self.order[self._at]]
        self._begun = time.process_time()


def logging(store: Path, kind: str, n_rounds: int) -> None:
    """Cost of one row in each logger, and its share of a step."""
    os.environ["WANDB_MODE"] = "offline"
    with tempfile.TemporaryDirectory() as folder:
        cfg = run_config(store, folder, kind, f"trainer.max_steps={5 * (n_rounds + WARM_UP)}", "logger=default")
        loggers = {name: instantiate(cfg.logger[name], _convert_="all") for name in ("csv", "tensorboard", "wandb")}
        for logger in loggers.values():
            logger.resume(0)
        sets = {"none": [], **{name: [each] for name, each in loggers.items()}, "all": [*loggers.values()]}
        turns = Turns(sets, n_rounds + WARM_UP)
        fit(cfg, [turns])
        for logger in loggers.values():
            if hasattr(logger, "end"):
                logger.end("finished", {})
    step = statistics.median(turns.step["none"][WARM_UP:])
    service = turns.service_s / (2 * n_rounds)
    print(f"\n{kind} step: {step * 1e3:.1f} CPU ms, {n_rounds} rows of each; W&B's own process takes ", end="")
    print(f"{service * 1e6:.0f} CPU us a row, which are counted below\n")
    print("| loggers | us a row | share if every step is logged | every 50 | whole step, against none |")
    print("| --- | --- | --- | --- | --- |")
    rounds = list(zip(*(turns.step[name][WARM_UP:] for name in sets), strict=False))
    for at, name in enumerate(sets):
        cost = statistics.median(turns.logging[name][WARM_UP:]) + service * (name in ("wandb", "all"))
        whole = statistics.median(row[at] / row[0] - 1 for row in rounds)
        print(f"| {name} | {cost * 1e6:,.0f} | {cost / step:.2%} | {cost / 50 / step:.3%} | {whole:+.1%} |")


class StepSeconds(Callback):
    """Wall seconds from each step's beginning to the next's."""

    def __init__(self) -> None:
        self.begun: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """A step begins."""
        self.begun.append(time.perf_counter())


def checkpoint(store: Path, kind: str, n_savings: int) -> None:
    """What saving adds to the step that it follows and to the next, and what its parts cost."""
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        n_steps = SAVED_EVERY * (n_savings + WARM_UP) + 2
        fixed = [f"trainer.max_steps={n_steps}", f"callback.checkpoint.every_n_train_steps={SAVED_EVERY}"]
        cfg = run_config(store, folder, kind, *fixed, "logger=none")
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(OmegaConf.to_container(cfg, resolve=True)))
        saver, times = instantiate(cfg.callback.checkpoint, _convert_="all"), StepSeconds()
        fit(cfg, [times, saver])
        last = Path(folder) / "checkpoints" / "last.ckpt"
        content = last.read_bytes()
        parts = {f"writing a file of its size{name}": write(last, content, name != "") for name in ("", ", with fsync")}
    spent = [later - begun for begun, later in zip(times.begun, times.begun[1:], strict=False)]
    places = [spent[SAVED_EVERY * WARM_UP :][place::SAVED_EVERY] for place in range(SAVED_EVERY)]
    step = statistics.median(places[1] + places[2])
    print(f"\n{kind} step: {step * 1e3:.1f} ms; {len(content) / 1e6:.1f} MB, {n_savings} savings\n")
    print("| more than another step | ms, median | ms, largest | steps, median |\n| --- | --- | --- | --- |")
    for name, seconds in {"the step that is saved": places[-1], "the next": places[0]}.items():
        more = [each - step for each in seconds]
        middle = statistics.median(more)
        print(f"| {name} | {middle * 1e3:.1f} | {max(more) * 1e3:.1f} | {middle / step:.2f} |")
    for name, seconds in parts.items():
        middle = statistics.median(seconds)
        print(f"| {name} | {middle * 1e3:.1f} | {max(seconds) * 1e3:.1f} | {middle / step:.2f} |")


def write(beside: Path, content: bytes, is_synced: bool) -> list[float]:
    """Seconds of writing a file, ten times."""
    spent = []
    for number in range(10):
        begun = time.perf_counter()
        with beside.with_name(f"copy-{number}").open("wb") as file:
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        spent.append(time.perf_counter() - begun)
    return spent


def start(store: Path, n_repeats: int) -> None:
    """Command to first step; answers; and what they import."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(sys.executable).with_name("tiles-train"))
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for _ in range(n_repeats):
            for name, words in ANSWERS.items():
                found[name].append(timed([program, *words], folder))
            for loggers in ("default", "csv"):
                for mark, seconds, cpu in first_step(store, f"{folder}/run", loggers):
                    found[f"{mark} (logger={loggers})"].append((seconds, cpu))
        print(f"\n| from the command, medians of {n_repeats} | s | CPU s |\n| --- | --- | --- |")
        for name, pairs in found.items():
            print(f"| {name} | {median(p[0] for p in pairs):.2f} | {median(p[1] for p in pairs):.2f} |")
        imports([program, "--help"], folder)


def first_step(store: Path, run_dir: str, loggers: str) -> list[tuple[str, float, float]]:
    """Seconds and CPU seconds from the command to each mark of `first_step.py`."""
    words = [f"dataset.store={store}", f"hydra.run.dir={run_dir}", "trainer.accelerator=cpu", f"logger={loggers}"]
    program = Path(__file__).resolve().with_name("first_step.py")
    command = [sys.executable, str(program), str(time.time()), *words]
    environment = os.environ | {"WANDB_MODE": "offline"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not ended.stdout.strip():
        sys.exit(ended.stderr)
    shutil.rmtree(run_dir)
    return [(mark, seconds, cpu) for mark, seconds, cpu in json.loads(ended.stdout.splitlines()[-1])]


def imports(command: Sequence[str], folder: str) -> None:
    """Milliseconds that imports take, by package, and those of Hydra's plugins, by Hydra's own count."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=False, cwd=folder
    )
    own: Counter[str] = Counter()
    for row in re.finditer(r"import time:\s+(\d+) \|\s+\d+ \| +(\w+)", told.stderr):
        own[row[2]] += int(row[1])
    shown = ", ".join(f"{name} {spent / 1e3:.0f}" for name, spent in own.most_common(8))
    print(f"\n--help: {own.total() / 1e3:.0f} ms of imports ({shown}, ...)")
    count = "import json; from hydra.core.plugins import Plugins; "
    count += "print(json.dumps(Plugins.instance().stats.modules_import_time))"
    plugins = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True, cwd=folder)
    spent_s: dict[str, float] = defaultdict(float)
    for module, spent in json.loads(plugins.stdout).items():
        first, second, *_ = module.split(".")
        spent_s[second if first == "hydra_plugins" else "Hydra's own"] += spent
    shown = ", ".join(f"{name} {spent * 1e3:.1f}" for name, spent in sorted(spent_s.items(), key=lambda each: -each[1]))
    print(f"plugins of Hydra, at every start: {sum(spent_s.values()) * 1e3:.1f} ms ({shown})")


def timed(command: Sequence[str], folder: str) -> tuple[float, float]:
    """Seconds and CPU seconds of a command."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False, cwd=folder)
    spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median(values: Iterable[float]) -> float:
    """Of anything that gives numbers."""
    return statistics.median(values)


def run_config(store: Path, folder: str, kind: str, *overrides: str) -> Any:
    """The config of a run on a CPU that logs every step."""
    fixed = [f"dataset.store={store}", f"run_dir={folder}", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"]
    return composed([*fixed, *STEPS[kind], *overrides])


def fit(cfg: Any, callbacks: list[Callback]) -> None:
    """Train without validation."""
    trainer = instantiate(cfg.trainer, logger=False, callbacks=callbacks, limit_val_batches=0)
    trainer.fit(instantiate(cfg.objective, _convert_="all"), instantiate(cfg.dataset, _convert_="all"))


def cpu_of_children() -> float:
    """CPU seconds so far of the processes that this one started, such as W&B's."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_S


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["logging", "checkpoint", "start"])
    parser.add_argument("--step", choices=sorted(STEPS), default="reference", help="which training step")
    parser.add_argument("--repeats", type=int, default=10, help="rows of each logger, savings, or starts")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    silence()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "small.h5"
        prepare = [str(Path(sys.executable).with_name("tiles-prepare")), f"store={store}", "reader.n_subjects=12"]
        subprocess.run(prepare, check=True, capture_output=True)
        measure: dict[str, Callable[[], None]] = {
            "logging": lambda: logging(store, asked.step, asked.repeats),
            "checkpoint": lambda: checkpoint(store, asked.step, asked.repeats),
            "start": lambda: start(store, asked.repeats),
        }
        measure[asked.part]()
        print(f"\nload over the last minute: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
