"""tiles-prepare as a person runs it: exit statuses, messages, and stores that survive whatever happens meanwhile."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import wfdb

from tiles_ecg.store import Store

COHORT = ("reader=synthetic", "reader.n_subjects=8", "reader.sessions_per_subject=2", "reader.session_h=1", "n_jobs=2")


def heed_ctrl_c() -> None:
    """As in a terminal; a shell lets what it starts in the background ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    folder: Path, *overrides: str, store: str = "s.h5", before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from tiles_ecg.prepare import main; main()",
        *overrides,
        f"store={folder / store}",
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        preexec_fn=before,
    )


def run(
    folder: Path, *overrides: str, store: str = "s.h5", before: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Exit status, and what was shown; never a traceback, nor a line of Python's own."""
    process = start(folder, *overrides, store=store, before=before)
    shown, _ = process.communicate(timeout=120)
    assert "Traceback" not in shown
    assert "Warning" not in shown
    return process.returncode, shown


def assert_same_windows(one: Path, two: Path) -> None:
    with h5py.File(one) as first, h5py.File(two) as second:
        for name in ("signal", "window/subject", "window/start_s", "beat/position", "subject/mean"):
            np.testing.assert_array_equal(first[name][:], second[name][:])


def assert_clean(folder: Path, *stores: str) -> None:
    assert sorted(file.name for file in folder.iterdir()) == sorted(stores)


def write_records(folder: Path, n: int) -> Path:
    folder.mkdir()
    for number in range(n):
        samples = np.random.default_rng(number).normal(size=(4000, 1))
        wfdb.wrsamp(
            f"r{number}", 200, ["mV"], ["I"], p_signal=samples, fmt=["16"], adc_gain=[1000.0], baseline=[0],
            write_dir=str(folder),
        )  # fmt: skip
    return folder


def test_one_bad_record_is_skipped_named_and_counted_and_the_rest_prepared(tmp_path: Path) -> None:
    raw = write_records(tmp_path / "raw", 4)
    os.truncate(raw / "r2.dat", 100)
    status, shown = run(tmp_path, "reader=wfdb", f"reader.root={raw}", "n_jobs=1")
    assert status == 0
    assert "1 source could not be read" in shown
    assert "r2.dat" in shown
    assert Store(tmp_path / "s.h5").summary["recordings"] == 3
    assert_clean(tmp_path, "s.h5", "raw")


def test_with_raise_a_bad_record_ends_the_command_with_status_2(tmp_path: Path) -> None:
    raw = write_records(tmp_path / "raw", 3)
    os.truncate(raw / "r1.dat", 100)
    for n_jobs in (1, 2):
        status, shown = run(tmp_path, "reader=wfdb", f"reader.root={raw}", "on_error=raise", f"n_jobs={n_jobs}")
        assert status == 2
        assert "r1.dat" in shown.splitlines()[-1]
        assert not (tmp_path / "s.h5").exists()


def test_a_missing_root_is_one_line_with_status_2(tmp_path: Path) -> None:
    status, shown = run(tmp_path, "reader=wfdb", f"reader.root={tmp_path / 'absent'}")
    assert status == 2
    assert "absent does not exist" in shown
    assert len(shown.splitlines()) == 1


def test_a_store_is_kept_found_up_to_date_and_replaced_only_when_told(tmp_path: Path) -> None:
    small = ("reader=synthetic", "reader.n_subjects=2", "reader.session_h=0.2", "n_jobs=1")
    assert run(tmp_path, *small)[0] == 0
    before = (tmp_path / "s.h5").read_bytes()
    status, shown = run(tmp_path, *small)
    assert status == 0
    assert "up to date" in shown
    status, shown = run(tmp_path, *small, "preparation.window_s=10")
    assert status == 2
    assert "overwrite=true" in shown
    assert (tmp_path / "s.h5").read_bytes() == before
    assert run(tmp_path, *small, "preparation.window_s=10", "overwrite=true")[0] == 0
    assert Store(tmp_path / "s.h5").window_s == 10
    assert_clean(tmp_path, "s.h5")


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_and_gives_the_same_store(tmp_path: Path) -> None:
    assert run(tmp_path, *COHORT, store="whole.h5")[0] == 0
    rng = np.random.default_rng()
    for delay_s in rng.uniform(0.5, 3.0, 3):
        process = start(tmp_path, *COHORT)
        time.sleep(delay_s)
        process.kill()
        process.wait()
        if (tmp_path / "s.h5").exists():
            Store(tmp_path / "s.h5")  # whole
        assert process.stdout is not None
        process.stdout.close()
    status, shown = run(tmp_path, *COHORT)
    assert status == 0, shown
    assert_same_windows(tmp_path / "s.h5", tmp_path / "whole.h5")
    assert_clean(tmp_path, "s.h5", "whole.h5")


@pytest.mark.slow
def test_workers_end_soon_after_a_killed_command(tmp_path: Path) -> None:
    process = start(tmp_path, *COHORT)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("s.h5.parts/*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=20)  # ends when the last process that shares its output has ended


@pytest.mark.slow
def test_ctrl_c_ends_with_status_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    cohort = [*COHORT, "reader.n_subjects=240"]  # many seconds of work, so that the signal finds it at work
    process = start(tmp_path, *cohort, before=heed_ctrl_c)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("s.h5.parts/*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "interrupted" in shown.splitlines()[-1]
    assert "Traceback" not in shown
    assert "Warning" not in shown
    status, shown = run(tmp_path, *cohort)
    assert status == 0
    assert "going on:" in shown
    assert_clean(tmp_path, "s.h5")


@pytest.mark.slow
def test_a_full_disk_is_one_line_with_status_2_at_every_stage_and_the_same_command_goes_on(tmp_path: Path) -> None:
    small = ("reader=synthetic", "reader.n_subjects=2", "reader.session_h=0.5", "n_jobs=1")
    assert run(tmp_path, *small, store="whole.h5")[0] == 0
    size = (tmp_path / "whole.h5").stat().st_size
    for limit in (20_000, size // 2, size - 1000):  # a part, the signal, the tables

        def limit_size(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

        status, shown = run(tmp_path, *small, before=limit_size)
        assert status == 2, shown
        assert "the disk is full; make room and run the same command again" in shown.splitlines()[-1]
        assert not (tmp_path / "s.h5").exists()
        assert not (tmp_path / "s.h5.tmp").exists()
    assert run(tmp_path, *small)[0] == 0
    assert_same_windows(tmp_path / "s.h5", tmp_path / "whole.h5")
    assert_clean(tmp_path, "s.h5", "whole.h5")


@pytest.mark.slow
def test_two_commands_at_once_for_one_store_both_end_well(tmp_path: Path) -> None:
    processes = [start(tmp_path, *COHORT) for _ in range(2)]
    shown = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], shown
    assert sum("up to date" in text for text in shown) == 1
    assert_clean(tmp_path, "s.h5")
