import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.runs import ReportError, find_runs

Fabricate = Callable[..., Any]


def test_runs_are_found_below_any_folder_in_the_order_of_their_paths(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    for name in ("b/two", "a/one"):
        run_folder(tmp_path / name, [fabricate()])
    runs, setbacks = find_runs([tmp_path])
    assert [run.path.name for run in runs] == ["one", "two"]
    assert not setbacks


def test_a_run_that_two_arguments_lead_to_is_read_once(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run = run_folder(tmp_path / "all" / "one", [fabricate()])
    assert len(find_runs([run, tmp_path, tmp_path / "all"])[0]) == 1


def test_what_a_run_trained_for_itself_is_part_of_it(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run = run_folder(tmp_path / "one", [fabricate()])
    run_folder(run / "from-scratch" / "0", [fabricate(Method("from scratch", "fine-tuned", "control"))])
    assert [found.path.name for found in find_runs([tmp_path])[0]] == ["one"]


def test_protocol_notes_checks_and_encoders_are_those_of_the_file(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate()])
    (run,), _ = find_runs([tmp_path])
    assert run.hash == "0123456789ab"
    assert run.about["task"] == "af"
    assert [audit.outcome for audit in run.audits] == ["passed", "failed, but accepted", "unknown"]
    assert run.encoders["resnet8"]["step"] == 800
    assert run.command.startswith("tiles-evaluate task=af")


def test_runs_without_predictions_are_named_and_not_dropped(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "good", [fabricate()])
    run_folder(tmp_path / "no-predictions", [])
    run_folder(tmp_path / "stopped", [fabricate()], finished=False)
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "config.yaml").write_text("task: {name: af}\n")
    (tmp_path / "pretraining").mkdir()
    (tmp_path / "pretraining" / "config.yaml").write_text("task: null\n")
    runs, setbacks = find_runs([tmp_path])
    assert [run.path.name for run in runs] == ["good"]
    assert {setback.path.name: setback.reason for setback in setbacks} == {
        "failed": "not finished: it holds no protocol.json",
        "no-predictions": "not finished: it holds no predictions",
        "stopped": "not finished: it was stopped, or failed, or is still at work",
    }


def test_a_damaged_file_is_named_and_the_others_of_its_run_are_used(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate(), fabricate(Method("majority", "none", "control"))])
    next((tmp_path / "predictions").glob("majority*")).write_bytes(b"PK\x03\x04 cut")
    (run,), (setback,) = find_runs([tmp_path])
    assert [part.method.encoder for part in run.predictions] == ["resnet8"]
    assert setback.path.name.startswith("majority")
    assert setback.reason.startswith("damaged: not predictions")


def test_predictions_of_another_protocol_are_not_taken_for_those_of_the_run(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate()])
    fabricate(Method("alien", "linear"), protocol="ffffffffffff").save(tmp_path / "predictions")
    _, (setback,) = find_runs([tmp_path])
    assert "under protocol ffffffffffff, but protocol.json" in setback.reason


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"hash": "a", "about": {"task": "af"}}', '{"hash": "a", "about": 3}']
)
def test_a_damaged_protocol_file_is_named(
    text: str, tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "good", [fabricate()])
    run_folder(tmp_path / "bad", [fabricate()])
    (tmp_path / "bad" / "protocol.json").write_text(text)
    runs, (setback,) = find_runs([tmp_path])
    assert [run.path.name for run in runs] == ["good"]
    assert setback.path.parent.name == "bad"
    assert setback.reason.startswith("damaged: ")


def test_folders_without_a_usable_run_are_refused_with_the_reason(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    with pytest.raises(ReportError, match=r"nowhere: no such folder; give the folder of a sweep"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(ReportError, match=r"no run is in it \(no sweep.json, status.json or protocol.json\)"):
        find_runs([tmp_path])
    run_folder(tmp_path, [])
    with pytest.raises(ReportError, match=r"a file; give the folder"):
        find_runs([tmp_path / "protocol.json"])
    with pytest.raises(
        ReportError, match=r"no run has predictions to report:\n.*not finished: it holds no predictions"
    ):
        find_runs([tmp_path])
    assert find_runs([tmp_path], {tmp_path})[0] == []  # there is something else to report


def test_facts_that_a_run_did_not_write_down_are_empty(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate()])
    content = json.loads((tmp_path / "protocol.json").read_text())
    for key in ("notes", "checks", "encoders", "command", "finished"):
        del content[key]
    (tmp_path / "protocol.json").write_text(json.dumps(content))
    (run,), setbacks = find_runs([tmp_path])
    assert (run.notes, run.audits, run.encoders, run.command) == ((), (), {}, "")
    assert not setbacks
