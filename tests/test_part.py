"""Parts: what goes in comes out, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.part import Part, PartReader, open_part


def write(path: Path, *lengths: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    blocks = [
        {
            "signal": rng.normal(size=(n, 2, 50)).astype(np.float32),
            "start_s": rng.random(n),
            "codes": rng.integers(0, 9, (n, 3)),
        }
        for n in lengths
    ]
    with Part(path) as part:
        for block in blocks:
            part.append(block)
        part.describe({"key": "a", "n": np.int64(3), "rate": np.float32(2.5), "leads": ("I", "II")})
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


@pytest.mark.parametrize("lengths", [(5,), (3, 0, 4), (0,), (0, 2)])
def test_blocks_come_back_joined(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    whole = write(tmp_path / "a.part", *lengths)
    part = PartReader(tmp_path / "a.part")
    columns = part.read_columns()
    assert set(columns) == {"start_s", "codes"}
    for name, column in columns.items():
        assert column.dtype == whole[name].dtype
        np.testing.assert_array_equal(column, whole[name])
    rows = np.random.default_rng(1).permutation(sum(lengths))
    np.testing.assert_array_equal(part.read_signal(rows), whole["signal"][rows])


def test_the_description_comes_back_as_plain_values(tmp_path: Path) -> None:
    write(tmp_path / "a.part", 1)
    assert PartReader(tmp_path / "a.part").description == {"key": "a", "n": 3, "rate": 2.5, "leads": ["I", "II"]}


def test_no_file_is_left_when_the_block_fails(tmp_path: Path) -> None:
    part = Part(tmp_path / "a.part").__enter__()
    part.append({"signal": np.zeros((1, 1, 5), np.float32)})
    part.__exit__(RuntimeError)
    assert list(tmp_path.iterdir()) == []


def test_a_description_that_json_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be kept in a part"), Part(tmp_path / "a.part") as part:
        part.describe({"a": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [0, 1, 15, 16, 200, -1])
def test_a_part_that_is_cut_short_is_no_part(tmp_path: Path, left: int) -> None:
    write(tmp_path / "a.part", 5)
    data = (tmp_path / "a.part").read_bytes()
    (tmp_path / "a.part").write_bytes(data[:left])
    assert open_part(tmp_path / "a.part") is None


def test_an_absent_part_is_none(tmp_path: Path) -> None:
    assert open_part(tmp_path / "a.part") is None


@pytest.mark.parametrize("second", [np.zeros((2, 1, 6), np.float32), np.zeros((2, 1, 5), np.float64)])
def test_rows_of_another_shape_or_type_are_refused(tmp_path: Path, second: np.ndarray) -> None:
    with Part(tmp_path / "a.part") as part:
        part.append({"signal": np.zeros((1, 1, 5), np.float32)})
        with pytest.raises(ValueError, match="signal: rows of"):
            part.append({"signal": second})
