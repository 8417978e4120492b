"""The control that costs most: the same network trained from scratch on the labels, by tiles-train itself."""

import json
import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from tiles_ecg.console_resume import quoted
from tiles_ecg.evaluation.candidate import Candidate
from tiles_ecg.evaluation.predictions import Predictions, load_predictions

log = logging.getLogger(__name__)

FORWARDED = ("task", "protocol", "dataset")
"""Overrides of tiles-evaluate that mean the same to tiles-train."""


POLL_S = 1.0
PROGRAM = """
import os, signal, sys, threading

def follow():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=follow, daemon=True).start()
sys.argv[0] = 'tiles-train'
from tiles_ecg.train import main
main()
"""
"""tiles-train, that ends when its standard input does: with the process that holds the other end, however that ends."""


class ScratchError(Exception):
    """Training from scratch failed. The message names its log."""

    is_user_error = True


def scratch_command(
    overrides: Sequence[str], encoder: Sequence[str], n_folds: int, n_steps: int, folder: Path | str
) -> list[str]:
    """Arguments of tiles-train that train every fold from scratch under the same protocol.

    Args:
        overrides: Those of tiles-evaluate; those that mean the same are passed on.
        encoder: Overrides that name the network.
        n_folds: Of the protocol.
        n_steps: Most training steps of a fold.
        folder: Where the sweep goes.
    """
    same = [text for text in overrides if text.lstrip("+~").partition("=")[0].split(".")[0] in FORWARDED]
    return [
        "-m",
        "objective=finetune",
        *same,
        *encoder,
        f"dataset.fold={','.join(map(str, range(n_folds)))}",
        f"trainer.max_steps={n_steps}",
        "logger=csv",
        f"hydra.sweep.dir={quoted(folder)}",
    ]


def train_from_scratch(command: Sequence[str], folder: Path, n_folds: int) -> list[Predictions]:
    """Run tiles-train with these arguments in a process of its own; its predictions of every fold.

    Args:
        command: Arguments of tiles-train.
        folder: Where it writes.
        n_folds: That it trains, for the progress bar.

    Raises:
        ScratchError: If it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "tiles-train.log"
    log.info("training from scratch: tiles-train %s", shlex.join(command))
    with record.open("w") as file:
        status = _watched(command, folder, n_folds, file)
    if status:
        last = record.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise ScratchError(f"training from scratch failed ({last[0]}); its log is {record}")
    return [load_predictions(path) for path in sorted(folder.rglob("predictions/*.npz"))]


def _watched(command: Sequence[str], folder: Path, n_folds: int, output: TextIO) -> int:
    """The exit status, once it has ended; a bar counts the folds that are done. It does not outlive this process."""
    started = [sys.executable, "-c", PROGRAM, *command]
    with subprocess.Popen(started, stdin=subprocess.PIPE, stdout=output, stderr=output) as process:
        bar = tqdm(total=n_folds, desc="training from scratch", unit=" folds", leave=False)
        try:
            while process.poll() is None:
                time.sleep(POLL_S)
                bar.update(len(list(folder.rglob("predictions/*.npz"))) - bar.n)
        finally:
            bar.close()
            if process.poll() is None:
                process.terminate()
    return process.returncode


def network_overrides(overrides: Sequence[str], candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """For each architecture among the candidates, by the name of the first that has it: overrides that name it.

    Args:
        overrides: Those of tiles-evaluate; without candidates, their encoder is the network.
        candidates: What is judged.
    """
    if not candidates:
        return {"": [text for text in overrides if text.lstrip("+~").partition("=")[0].split(".")[0] == "encoder"]}
    found: dict[str, list[str]] = {}
    seen = set()
    for candidate in candidates:
        key = json.dumps([candidate.architecture, candidate.windows.normalise], sort_keys=True, default=str)
        if candidate.about is not None and key not in seen:
            seen.add(key)
            found[candidate.name] = [
                "encoder=pretrained",
                f"encoder.path={quoted(candidate.about.path)}",
                "encoder.fresh=true",
                f"dataset.normalise={candidate.windows.normalise}",
                *(["encoder.strict=false"] if not candidate.strict else []),
                *([f"encoder.trusted=[{','.join(candidate.trusted)}]"] if candidate.trusted else []),
            ]
    return found
