import math

import pytest

from tiles_ecg.summary.rounding import MINUS, NONE, column_rounded, interval_rounded

NAN = math.nan


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((2.8741, 2.8702, 2.8780), "2.8741 [2.8702, 2.8780]"),
        ((1.2345678, 1.2344444, 1.2346912), "1.23457 [1.23444, 1.23469]"),
        ((0.5, 0.1, 0.9), "0.50 [0.10, 0.90]"),
        ((-0.003, -0.036, 0.030), f"{MINUS}0.003 [{MINUS}0.036, 0.030]"),
        ((1234.5, 1000.0, 1469.0), "1234 [1000, 1469]"),
        ((3e-7, 1e-7, 5e-7), "0.00000030 [0.00000010, 0.00000050]"),
        ((1.5, 1.5, 1.5), "1.500 [1.500, 1.500]"),
        ((0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        ((0.25, NAN, NAN), "0.2500"),
        ((NAN, NAN, NAN), NONE),
    ],
)
def test_half_an_interval_keeps_two_digits(numbers: tuple[float, float, float], text: str) -> None:
    assert interval_rounded(*numbers) == text


def test_numbers_of_a_column_have_the_same_decimals() -> None:
    assert column_rounded([12.3456, 0.5, NAN]) == ["12.35", "0.50", NONE]
    assert column_rounded([0.91234, -0.5]) == ["0.9123", f"{MINUS}0.5000"]
    assert column_rounded([]) == []
    assert column_rounded([NAN]) == [NONE]
    assert column_rounded([0.0]) == ["0.000"]


def test_numbers_that_differ_are_written_differently() -> None:
    assert column_rounded([2.87414431, 2.87414479]) == ["2.874144", "2.874145"]
    assert column_rounded([2.5, 2.5]) == ["2.500", "2.500"]


def test_numbers_that_differ_by_an_error_of_rounding_are_written_alike() -> None:
    assert column_rounded([7 / 12, 1 - 5 / 12, 0.5]) == ["0.5833", "0.5833", "0.5000"]
    assert 7 / 12 != 1 - 5 / 12


def test_a_zero_has_no_sign() -> None:
    assert column_rounded([5.0, -1e-9]) == ["5.000", "0.000"]
    assert interval_rounded(-1e-9, -1.0, 1.0) == f"0.0 [{MINUS}1.0, 1.0]"
