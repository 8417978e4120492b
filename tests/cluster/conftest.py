"""A real Slurm for the tests: controller, one node and munge on the loopback, all of it in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIG = """\
ClusterName=tiles
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
KillWait=20
SchedulerParameters=sched_interval=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running cluster; its commands find it by `SLURM_CONF` in the environment."""

    config: Path

    def command(self, *words: str) -> str:
        """What a command of Slurm prints."""
        result = subprocess.run(words, env=self.environment(), capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 0, f"{' '.join(words)}: {result.stderr}"
        return result.stdout

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.config)}

    def start_now(self, job: str) -> None:
        """Have a requeued job start at once; Slurm would let it wait for two minutes."""
        self.wait_until(lambda: self.states().get(job) == "PENDING", f"job {job} to be queued again")
        self.command("scontrol", "update", f"JobId={job}", "StartTime=now")

    def wait_until(self, is_true: Callable[[], bool], what: str, at_most_s: float = 90) -> None:
        """Wait for something that takes as long as it takes; fail, with Slurm's logs, where it does not come."""
        wait_until(is_true, what, at_most_s, lambda: _logs(self.config.parent))

    def states(self) -> dict[str, str]:
        """Of the jobs that the controller knows, elements of arrays by themselves."""
        listed = self.command("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T")
        return dict(line.split("|") for line in listed.splitlines())


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A Slurm of one node; the test is skipped, with the reason, where it cannot be started."""
    lacking = [name for name in DAEMONS if not _found(name)]
    if lacking:
        pytest.skip(f"no {', '.join(lacking)}: a real Slurm needs Debian's slurm-wlm and munge")
    if os.geteuid() != 0:
        pytest.skip("a real Slurm is started as root only")
    with ExitStack() as stack:  # /tmp itself: the name of a socket has at most 108 characters
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        yield _started(folder, stack)


def _started(folder: Path, stack: ExitStack) -> Slurm:
    host = socket.gethostname().partition(".")[0]
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=host, folder=folder, ports=_free_ports(2)))
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    slurm = Slurm(config)
    stack.callback(_end_left_over, config)
    places = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    _daemon(
        stack, folder, ["munged", "--foreground", "--force", *(f"--{k}={folder}/munge.{v}" for k, v in places.items())]
    )
    wait_until(lambda: (folder / "munge.socket").exists(), "munged to open its socket", 15, lambda: _logs(folder))
    for name in ("slurmctld", "slurmd"):
        _daemon(stack, folder, [name, "-D", "-f", str(config)])
    stack.callback(_cancel_all, slurm)
    wait_until(lambda: "idle" in _node_state(slurm), "the node to be idle", 30, lambda: _logs(folder))
    return slurm


def wait_until(
    is_true: Callable[[], bool], what: str, at_most_s: float, explain: Callable[[], str] = lambda: ""
) -> None:
    """Wait for something that takes as long as it takes; fail, with what explains it, where it does not come."""
    deadline = time.monotonic() + at_most_s
    while not is_true():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {at_most_s:g} s for {what}\n{explain()}")
        time.sleep(0.1)


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _daemon(stack: ExitStack, folder: Path, command: list[str]) -> None:
    program = _found(command[0])
    assert program is not None
    with_us = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []  # should the tests be killed
    with (folder / f"{command[0]}.out").open("w") as output:
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        process = subprocess.Popen(
            [*with_us, program, *command[1:]], stdout=output, stderr=output, env=environment, start_new_session=True
        )
    stack.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _node_state(slurm: Slurm) -> str:
    words = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(words, env=slurm.environment(), capture_output=True, text=True, check=False).stdout


def _cancel_all(slurm: Slurm) -> None:
    with suppress(AssertionError, subprocess.TimeoutExpired):
        slurm.command("scancel", "--signal=KILL", "--full", "--user=root")
        slurm.command("scancel", "--user=root")


def _end_left_over(config: Path) -> None:
    """End what runs for this cluster still: its jobs have its file's name in their environment."""
    mark = f"SLURM_CONF={config}".encode()
    for process in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def _logs(folder: Path) -> str:
    found = [file for pattern in ("*.log", "*.out") for file in sorted(folder.glob(pattern))]
    return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in found)
