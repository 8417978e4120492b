"""How commands without a config end."""

import pytest

from tiles_ecg.plain_console import Parser, failures_told


class Mistake(Exception):
    is_user_error = True


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end, failures_told("tiles-some", "interrupted; half done"):
        raise error
    return end.value.code, capsys.readouterr().err


def test_a_mistake_is_one_line_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(Mistake("x.csv: empty"), capsys) == (2, "tiles-some: x.csv: empty\n")


def test_an_interruption_says_how_to_go_on_with_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt(), capsys) == (130, "tiles-some: interrupted; half done\n")


def test_what_is_no_mistake_of_the_user_is_raised_as_it_came() -> None:
    with pytest.raises(ValueError, match="a bug"), failures_told("tiles-some"):
        raise ValueError("a bug")


def test_with_hydra_full_error_a_mistake_has_its_traceback_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    status, told = ended(Mistake("x.csv: empty"), capsys)
    assert status == 2
    assert told.startswith("Traceback")
    assert told.endswith("tiles-some: x.csv: empty\n")


def test_a_wrong_argument_is_one_line_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Parser("tiles-some").parse_args(["--what"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "tiles-some: unrecognized arguments: --what; see tiles-some --help\n"
