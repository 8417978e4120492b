"""A program that has imported everything, and runs each command it is asked for in a copy of itself: no start-up time.

It reads one JSON object a line, {"program", "argv", "output"}, starts the command in a process group of its own, and
writes the process's number; then, when that process has ended, its exit status.
"""

import contextlib
import json
import os
import sys
import traceback

import lightning  # noqa: F401
import torch  # noqa: F401
from hydra.core.global_hydra import GlobalHydra  # noqa: F401

import tiles_ecg.callback.judge
import tiles_ecg.dataset.datamodule
import tiles_ecg.ingest
import tiles_ecg.logger.tensorboard
import tiles_ecg.prepare
import tiles_ecg.train

PROGRAMS = {"tiles-train": tiles_ecg.train.main, "tiles-prepare": tiles_ecg.prepare.main}


def command(program: str, argv: list[str], output: str) -> None:
    """Be that command, in this process, and end with its exit status."""
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = [program, *argv]
    status = 0
    try:
        PROGRAMS[program]()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Serve until the input ends."""
    with contextlib.redirect_stdout(sys.stderr):  # Hydra's parser is half a second faster from the second time on
        sys.argv = ["tiles-train", "-m", "seed=0,1", "--dry-run"]
        tiles_ecg.train.main()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            command(asked["program"], asked["argv"], asked["output"])
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
