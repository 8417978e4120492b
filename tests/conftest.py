"""Shared fixtures: where the real recordings lie, and threads that do not fight over the cores."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def _real_data() -> Path:
    return Path(os.environ.get("TILES_ECG_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings, from TILES_ECG_DATA; the test is skipped, with the reason, where it is absent."""
    root = _real_data()
    if not root.is_dir():
        pytest.skip(f"no real recordings at {root}: set TILES_ECG_DATA to their folder")
    return root
