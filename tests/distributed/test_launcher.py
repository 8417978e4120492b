"""Our launcher: what a child says last is not lost, none is left behind, and the next job begins afresh."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from tiles_ecg.distributed import launcher as module
from tiles_ecg.distributed.launcher import ConfigFileLauncher, ProcessError

READY = "import os, pathlib, sys, time; here = pathlib.Path(sys.argv[1]).parent; rank = os.environ['LOCAL_RANK']\n"
READY += "(here / f'ready-{rank}').touch()\n"
WAITS = READY + "time.sleep(600)"
TRAINER = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")))
Made = Callable[..., ConfigFileLauncher]


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a launcher of processes that run this code; none of them outlives the test."""
    for name in module.SET_BY_LAUNCH:
        monkeypatch.delenv(name, raising=False)
    made: list[ConfigFileLauncher] = []

    def make(code: str, n_processes: int = 2, **orders: Any) -> ConfigFileLauncher:
        replaced: Any = SimpleNamespace(
            cluster_environment=LightningEnvironment(), num_processes=n_processes, num_nodes=1
        )
        made.append(ConfigFileLauncher(replaced, orders, tmp_path / ".processes", ("-c", code)))
        return made[-1]

    yield make
    for each in made:
        each.kill(signal.SIGKILL)
        each.end(10)


def test_a_child_is_handed_orders_rank_and_a_port_when_it_is_ready(launcher: Made, tmp_path: Path) -> None:
    code = READY + (
        "while not (here / 'port').exists(): time.sleep(0.01)\n"
        "told = {key: os.environ[key] for key in ('LOCAL_RANK', 'WORLD_SIZE', 'NODE_RANK', 'MASTER_ADDR')}\n"
        "told |= {'port': (here / 'port').read_text(), 'orders': open(sys.argv[1]).read(), 'path': sys.path}\n"
        "import json; (here.parent / f'told-{rank}').write_text(json.dumps(told)); print('said')"
    )
    made = launcher(code, 3, config={"seed": 1})
    assert made.launch(lambda a, b: a + b, 1, b=2, trainer=TRAINER) == 3
    for process in made.procs:
        assert process.wait(60) == 0
    for rank in (1, 2):
        told = json.loads((tmp_path / f"told-{rank}").read_text())
        assert json.loads(told["orders"]) == {"config": {"seed": 1}, "parent": os.getpid()}
        assert told["port"] == str(made.cluster_environment.main_port)
        assert (told["LOCAL_RANK"], told["WORLD_SIZE"], told["NODE_RANK"]) == (str(rank), "3", "0")
        expected = list(dict.fromkeys(path or os.getcwd() for path in sys.path))  # pytest-xdist names one twice
        assert list(dict.fromkeys(told["path"]))[: len(expected)] == expected
    made.end(10)
    assert not (tmp_path / ".processes").exists()


def test_two_launches_meet_at_different_ports_and_leave_no_variable_behind(launcher: Made) -> None:
    before = dict(os.environ)
    ports = set()
    for _ in range(2):
        made = launcher(READY)

        def run(made: ConfigFileLauncher = made) -> None:
            os.environ["MASTER_PORT"] = str(made.cluster_environment.main_port)  # as Lightning does
            ports.add(os.environ["MASTER_PORT"])

        made.launch(run, trainer=TRAINER)
        made.end(10)
    assert len(ports) == 2
    assert dict(os.environ) == before


def test_a_child_that_ends_before_it_is_ready_ends_the_run_with_what_it_said(launcher: Made, tmp_path: Path) -> None:
    made = launcher("print('one'); raise ValueError('no such window')")
    with pytest.raises(ProcessError, match=r"process 1 of 2 ended with status 1:(.|\n)*ValueError: no such window"):
        made.launch(pytest.fail, trainer=TRAINER)


def test_a_child_that_ends_well_before_it_is_ready_is_not_waited_for(launcher: Made) -> None:
    made = launcher("pass")
    with pytest.raises(ProcessError, match="process 1 of 2 ended with status 0: without a word"):
        made.launch(pytest.fail, trainer=TRAINER)


def test_a_child_that_is_killed_is_named_with_the_signal(launcher: Made) -> None:
    made = launcher("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ProcessError, match=r"process 1 of 2 was killed \(SIGKILL\), perhaps for want of memory"):
        made.launch(pytest.fail, trainer=TRAINER)


def test_a_connection_that_is_lost_with_a_child_is_told_as_what_ended_the_child(launcher: Made) -> None:
    made = launcher(READY + "raise MemoryError('too large')")

    def cut_off() -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection closed by peer")

    with pytest.raises(ProcessError, match="MemoryError: too large"):
        made.launch(cut_off, trainer=TRAINER)


def test_a_failure_of_this_process_stays_what_it_is_though_the_others_fail_with_it(launcher: Made) -> None:
    made = launcher(READY + "raise SystemExit(1)")

    def fail() -> None:
        made.procs[0].wait(60)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        made.launch(fail, trainer=TRAINER)


def test_children_that_do_not_end_are_asked_to_and_then_ended(launcher: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.3)
    stubborn = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN) if os.environ['LOCAL_RANK'] == '2' else 0\n"
    )
    code = WAITS.replace("(here", f"{stubborn}(here", 1)
    made = launcher(code, 3)
    made.launch(lambda: None, trainer=TRAINER)
    made.end(0)
    assert [process.returncode for process in made.procs] == [-signal.SIGTERM, -signal.SIGKILL]


def test_what_a_killed_run_left_behind_does_not_pass_for_ready(launcher: Made, tmp_path: Path) -> None:
    folder = tmp_path / ".processes"
    folder.mkdir()
    (folder / "ready-1").touch()
    (folder / "port").write_text("1")
    with pytest.raises(ProcessError, match="not ready"):
        launcher("raise SystemExit('not ready')").launch(pytest.fail, trainer=TRAINER)
