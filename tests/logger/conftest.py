"""W&B without a service: a client that keeps what it is told, and readers of what offline runs really hold."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


class FakeRun:
    """A W&B run that keeps what it is told."""

    offline = False
    url = "https://wandb.example/run"

    def __init__(self, step: int = 0, **given: Any) -> None:
        self.given = given
        self.id = given["id"]
        self.dir = given["dir"]
        self.tags = tuple(given["tags"])
        self.step = step
        self.resumed = step > 0
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **given: self.calls.append((name, *args, given))

    def named(self, name: str) -> list[Any]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[FakeRun]]:
    """Has `wandb.init` begin fake runs, of which the service knows so many steps; lists them."""
    import wandb

    begun: list[FakeRun] = []

    def fake(step: int = 0) -> list[FakeRun]:
        def init(**given: Any) -> FakeRun:
            begun.append(FakeRun(step, **given))
            return begun[-1]

        monkeypatch.setattr(wandb, "init", init)
        return begun

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    return fake


@pytest.fixture
def fake_run() -> type[FakeRun]:
    """The class of the fake runs."""
    return FakeRun


@pytest.fixture
def inspected() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads each run file of a folder as `wandb leet inspect` sums it up, the earliest first."""

    def inspected(folder: Path) -> list[dict[str, Any]]:
        return [json.loads(text) for text in _told(folder, "--summary")]

    return inspected


@pytest.fixture
def records() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads all records of the run files of a folder, attempt after attempt."""

    def records(folder: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for text in _told(folder) for line in text.splitlines()]

    return records


def _told(folder: Path, *flags: str) -> list[str]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", *flags, "--json"]
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    return [subprocess.run([*command, file], capture_output=True, text=True, check=True).stdout for file in files]


@pytest.fixture
def services() -> Callable[[int], list[int]]:
    """Finds the processes of W&B that were started for a process."""
    if not Path("/proc").is_dir():
        pytest.skip("this system has no /proc to look for processes in")

    def services(pid: int) -> list[int]:
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = file.read_bytes().split(b"\0")
                if b"wandb-core" in line[0] and str(pid).encode() in line:
                    found.append(int(file.parent.name))
        return found

    return services
