"""Windows of a file against the array that was written, and against the resident memory of the process."""

import os
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.window_file import WindowFile

SHAPE = (40, 2, 30)


@pytest.fixture(params=[True, False], ids=["preadv", "no preadv"], autouse=True)
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test on the system as it is, and as on one without `preadv`."""
    if not request.param:
        monkeypatch.delattr(os, "preadv", raising=False)
    elif not hasattr(os, "preadv"):
        pytest.skip("this system has no preadv")


def written(path: Path, offset: int = 2048) -> np.ndarray:
    windows = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    path.write_bytes(bytes(offset) + windows.tobytes())
    return windows


@pytest.mark.parametrize("rows", [[3], [5, 6, 7], [7, 6, 5], [0, 1, 1, 2, 39, 38], [], list(range(40))])
def test_windows_are_gathered_in_the_order_asked_for(tmp_path: Path, rows: list[int]) -> None:
    windows = written(tmp_path / "a")
    gathered = WindowFile(tmp_path / "a", 2048, SHAPE).gather(np.array(rows, np.int64))
    assert gathered.dtype == np.float32
    np.testing.assert_array_equal(gathered, windows[rows])


def test_random_rows_are_gathered_like_numpy_does(tmp_path: Path) -> None:
    windows = written(tmp_path / "a")
    rows = np.random.default_rng(1).integers(0, 40, 1000)
    np.testing.assert_array_equal(WindowFile(tmp_path / "a", 2048, SHAPE).gather(rows), windows[rows])


def test_a_gathered_batch_is_a_copy_that_may_be_changed(tmp_path: Path) -> None:
    windows = written(tmp_path / "a")
    found = WindowFile(tmp_path / "a", 2048, SHAPE)
    found.gather(np.arange(4))[:] = 0
    np.testing.assert_array_equal(found.gather(np.arange(4)), windows[:4])


@pytest.mark.parametrize("row", [-1, 40])
def test_a_row_that_does_not_exist_is_refused(tmp_path: Path, row: int) -> None:
    written(tmp_path / "a")
    with pytest.raises(IndexError, match="of 40 windows"):
        WindowFile(tmp_path / "a", 2048, SHAPE).gather(np.array([row]))


def test_a_file_that_shrinks_while_in_use_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    written(tmp_path / "a")
    found = WindowFile(tmp_path / "a", 2048, SHAPE)
    os.truncate(tmp_path / "a", 4000)
    with pytest.raises(OSError, match="cut short while it was in use"):
        found.gather(np.arange(40))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell resident memory")
@pytest.mark.parametrize("is_random", [True, False])
def test_resident_memory_does_not_grow_with_what_is_gathered(tmp_path: Path, is_random: bool) -> None:
    shape = (20_000, 1, 1500)  # 120 MB
    block = np.random.default_rng(0).normal(size=(1000, *shape[1:])).astype(np.float32)
    with (tmp_path / "a").open("wb") as file:
        for _ in range(20):
            block.tofile(file)
    found = WindowFile(tmp_path / "a", 0, shape)
    if not hasattr(os, "preadv"):
        pytest.skip("a memory map counts what it touches as the process's own")
    order = np.random.default_rng(1).permutation(shape[0]) if is_random else np.arange(shape[0])
    before, most = _resident_bytes(), 0
    for at in range(0, shape[0], 100):
        found.gather(order[at : at + 100])
        most = max(most, _resident_bytes() - before)
    assert most < 8 << 20


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
