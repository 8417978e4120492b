"""Preparation on a cluster of Dask: the same store, and a clear word where the cluster is not what it should be."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import h5py
import numpy as np
import pytest

from tiles_ecg import cluster
from tiles_ecg.config import ConfigError
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.recording import Recording, Source
from tiles_ecg.store import Store, StoreError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers do not have this file
PREPARATION = Preparation(100.0, 0.5, 40.0, window_s=2.5, step_s=2.5)
CONFIG = {"reader": {"root": "x"}, "preparation": {"window_s": 2.5}}


@dataclass(frozen=True)
class Deadly:
    """A reader whose sources end the process that reads them: each so often, counted by files in a folder."""

    folder: Path
    n_deaths: dict[str, int]
    labels: tuple[Any, ...] = ()

    def sources(self) -> list[Source]:
        return [Source(key) for key in self.n_deaths]

    def read(self, source: Source) -> Iterator[Recording]:
        seed = sum(source.key.encode())
        (self.folder / f"{source.key}.pid").write_text(str(os.getpid()))
        for number in range(self.n_deaths[source.key]):
            mark = self.folder / f"{source.key}-{number}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        signal_mv = np.random.default_rng(seed).normal(size=(1, 1, 1000)).astype(np.float32)
        yield Recording(source.key, signal_mv, 100.0, ("I",), source.key)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a cluster of two workers, started as a person starts it, in another folder than the tests'."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'tiles_ecg[dask]'")
    with ExitStack() as stack:
        address = f"tcp://127.0.0.1:{free_port()}"
        left_alone = ("--no-dashboard", "--idle-timeout", "120")  # should the tests be killed
        dask(stack, "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], *left_alone)
        dask(stack, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--death-timeout", "30")
        yield address


def dask(stack: ExitStack, *words: str) -> None:
    """A program of Dask that ends with the tests, and gives up a task after two deaths, not after four."""
    own = {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *words], cwd="/", env=os.environ | own,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.terminate)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def columns(path: Path) -> dict[str, bytes]:
    """The bytes of every column; those of the whole file differ by the dates that HDF5 writes."""
    found: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: repr(item[:].tolist()).encode()}) if hasattr(item, "dtype") else None
        )
        found["signal"] = file["signal"][:].tobytes()
    return found


def on_cluster(scheduler: str, reader: Any, store: Path, **options: Any) -> None:
    with cluster.working_on(scheduler):
        prepare(reader, PREPARATION, store, CONFIG, show_progress=False, **options)


@pytest.mark.slow
def test_two_workers_elsewhere_give_the_store_that_this_process_gives(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = SyntheticReader(n_subjects=5, sessions_per_subject=2, session_h=0.2)
    prepare(reader, PREPARATION, Path("here.h5"), CONFIG, n_jobs=1, show_progress=False)
    on_cluster(scheduler, reader, Path("there.h5"))  # a relative path
    here, there = columns(Path("here.h5")), columns(Path("there.h5"))
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
    assert Store(Path("here.h5")).digest == Store(Path("there.h5")).digest
    assert sorted(os.listdir()) == ["here.h5", "there.h5"]


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(scheduler: str, tmp_path: Path) -> None:
    reader = Deadly(tmp_path, {"a": 0, "b": 1, "c": 0})
    on_cluster(scheduler, reader, tmp_path / "s.h5", on_error="raise")
    assert (tmp_path / "b-0").exists()
    assert Store(tmp_path / "s.h5").read("recording/id").tolist() == ["a", "b", "c"]


@pytest.mark.slow
def test_a_source_at_which_every_worker_dies_ends_the_command_and_it_can_go_on(scheduler: str, tmp_path: Path) -> None:
    reader = Deadly(tmp_path, {"a": 0, "b": 2})
    with pytest.raises(StoreError, match=r"2 workers of Dask died at the same source.*prepared so far is kept"):
        on_cluster(scheduler, reader, tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()
    on_cluster(scheduler, reader, tmp_path / "s.h5")  # it has died often enough
    assert Store(tmp_path / "s.h5").read("recording/id").tolist() == ["a", "b"]


@pytest.mark.slow
def test_a_cluster_of_one_worker_works_and_this_process_does_not(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    one = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": ":0"}
    with distributed.LocalCluster(**one) as local:
        on_cluster(local.scheduler_address, Deadly(tmp_path, {"a": 0, "b": 0}), tmp_path / "s.h5")
    assert str(os.getpid()) not in {(tmp_path / f"{key}.pid").read_text() for key in "ab"}


def test_a_lost_cluster_is_explained() -> None:
    distributed = pytest.importorskip("distributed")
    expected = pytest.raises(StoreError, match=r"the cluster of Dask was lost.*run the same command again")
    with expected, cluster.cluster_explained():
        raise distributed.CancelledError("scheduler-connection-lost")


def test_an_address_at_which_nobody_answers_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "REACH_S", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    message = f"dask = {address}: no scheduler of Dask answers there.*`dask scheduler`"
    with pytest.raises(ConfigError, match=message), cluster.working_on(address):
        pass


def test_a_cluster_without_workers_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "REACH_S", 0.5)
    empty = {"n_workers": 0, "processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}
    with distributed.LocalCluster(**empty) as local:
        address = local.scheduler_address
        message = f"dask = {address}: has no workers; .*dask worker {address}"
        with pytest.raises(ConfigError, match=message), cluster.working_on(address):
            pass


@pytest.mark.parametrize(
    ("address", "n_jobs", "message"),
    [
        ("somewhere", None, "dask = somewhere: not an address; write tcp://HOST:8786"),
        ("tcp://host:8786", 4, "n_jobs = 4: with dask=tcp://host:8786, its workers decide"),
    ],
)
def test_what_cannot_be_meant_is_refused(address: str, n_jobs: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)), cluster.working_on(address, n_jobs):
        pass


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'tiles_ecg\[dask\]'"), cluster.working_on("tcp://host:8786"):
        pass


def test_a_worker_of_another_version_or_without_the_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    plan = tmp_path / "config.json"
    plan.write_text("{}")
    version = cluster.package_version()
    with pytest.raises(RuntimeError, match=rf"has tiles_ecg {version}, this command 0\.0\.1"):
        cluster.settle(str(tmp_path), str(plan), "{}", "0.0.1")
    for place, text in ((tmp_path / "absent" / "config.json", "{}"), (plan, "of another machine")):
        with pytest.raises(RuntimeError, match=f"does not see {place.parent}"):
            cluster.settle(str(tmp_path), str(place), text, version)
    assert Path.cwd() == Path("/")
    cluster.settle(str(tmp_path), str(plan), "{}", version)
    assert Path.cwd() == tmp_path


def test_without_a_cluster_nothing_is_done(tmp_path: Path) -> None:
    with cluster.working_on(None, n_jobs=2):
        cluster.settle_workers(tmp_path / "absent")
