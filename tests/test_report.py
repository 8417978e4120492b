import contextlib
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg import report
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.report import main, write_report
from tiles_ecg.run_record import RunRecord
from tiles_ecg.sweep.plan import Job, SweepPlan, write_plan

TASK = "rest < AF & |more|"
METHODS = {
    Method("resnet8", "linear"): 2.0,
    Method("resnet8", "linear", "encoder", 4): 1.0,
    Method("majority", "none", "control"): 0.0,
    Method("heart rate and HRV", "linear", "control"): 0.7,
    Method("untrained", "linear", "control"): 0.5,
}


def write_run(folder: Path, hash_: str = "aa11", folds: Sequence[int] = range(4), seed: int = 0, **about: Any) -> Path:
    """A run of all methods on 24 subjects with 3 windows each."""
    subject = np.repeat(np.arange(24), 3)
    value = (subject // 4) % 2
    for number, (method, quality) in enumerate(METHODS.items()):
        rng = np.random.default_rng([seed, number])
        noise = rng.normal(0, 0.7, 24)[subject] + rng.normal(0, 0.7, 72)
        positive = 1 / (1 + np.exp(-(quality * (2 * value - 1) + (noise if quality else 0))))
        kept = np.isin(subject % 4, list(folds))
        Predictions(
            method, TASK, hash_, "binary", ("rest", "AF"), "", "auroc", 4,
            np.array([f"w{i}" for i in range(72)])[kept], np.array([f"s{i}" for i in subject])[kept],
            (subject % 4)[kept], np.full(kept.sum(), seed), value[kept],
            np.stack([1 - positive, positive], axis=1)[kept], (positive > 0.5).astype(np.int64)[kept],
        ).save(folder / "predictions")  # fmt: skip
    content = {
        "hash": hash_,
        "about": {"task": TASK, "kind": "binary", "metric": "auroc", "folds": 4, "subjects": 24, **about},
        "notes": ["class <b>AF</b> is missing from fold 1"],
        "checks": [{"name": "subjects", "passed": True, "detail": "none on two sides"}],
        "encoders": {"resnet8": {"path": "runs/a", "step": 5}},
        "command": f"tiles-evaluate 'task={TASK}'",
    }
    (folder / "protocol.json").write_text(json.dumps(content))
    return folder


def write_sweep(folder: Path, objective: str = "simclr", **metrics: float) -> Path:
    """A sweep of two encoders and three seeds; the last job fails, and one is not begun."""
    varied = [{"encoder": encoder, "seed": str(seed)} for encoder in ("resnet8", "resnet18") for seed in range(3)]
    jobs = [Job(f"encoder={v['encoder']},seed={v['seed']}", tuple(f"{k}={x}" for k, x in v.items()), v) for v in varied]
    write_plan(folder, SweepPlan("tiles-train", (), (*jobs, Job("x", (), {"encoder": "tcn"})), "2026-11-22"))
    for number, job in enumerate(jobs):
        with (
            contextlib.suppress(RuntimeError),
            RunRecord(folder / job.name, "tiles-train", {"objective": objective}, 9) as it,
        ):
            (folder / job.name / "config.yaml").write_text("task: null\n")
            it.note(
                9, {name: value + 0.01 * number for name, value in metrics.items()} | {"val/loss": 2 + 0.1 * number}
            )
            if number == 5:
                raise RuntimeError("out of <memory>")
    return folder


class Words(HTMLParser):
    """The text of a page, and where its pictures come from."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.sources: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two protocols of a task, and of a run that is not finished."""
    root = tmp_path_factory.mktemp("runs")
    write_run(root / "one")
    for fold in range(4):
        write_run(root / "sweep" / str(fold), "bb22", [fold], seed=1, inner_folds=2)
    unfinished = write_run(root / "unfinished")
    content = json.loads((unfinished / "protocol.json").read_text())
    (unfinished / "protocol.json").write_text(json.dumps({**content, "finished": False}))
    folder = root / "report" / "here"
    main([str(root), "-o", str(folder), "--resamples", "60"])
    return folder


def test_the_report_has_its_three_files(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == ["report.html", "report.md", "results.csv"]


def test_two_protocols_of_a_task_have_two_sections_that_say_what_differs(made: Path) -> None:
    text = (made / "report.md").read_text()
    assert text.count(r"## rest \< AF & \|more\| (") == 2
    assert "bb22 of the same task.** What differs, this one first: inner_folds: (nothing) against 2." in text
    assert "aa11 of the same task.** What differs, this one first: inner_folds: 2 against (nothing)." in text


def test_page_and_markdown_say_the_same(made: Path) -> None:
    page = Words((made / "report.html").read_text())
    text = (made / "report.md").read_text()
    for said in ("pre-training helped", "95 %", "from scratch", "not run", "unfinished: not finished"):
        assert said in page.text
        assert said in text
    assert "class <b>AF</b> is missing from fold 1" in page.text
    assert r"class \<b>AF\</b> is missing from fold 1" in text


def test_all_pictures_are_in_the_page(made: Path) -> None:
    page = Words((made / "report.html").read_text())
    assert len(page.sources) >= 4
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in page.sources)


def test_the_sheet_keeps_protocols_apart(made: Path) -> None:
    with (made / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [(r["protocol"], r["encoder"], r["head"], r["training_subjects"], r["metric"]) for r in rows]
    assert len(set(keys)) == len(keys) == 2 * (4 * 5 + 1)
    assert {row["task"] for row in rows} == {TASK}


def test_the_report_of_a_run_can_lie_in_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert write_report([run], run, 50) == run / "report.html"
    assert write_report([run], run, 50) == run / "report.html"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: FOLDER"),
        (["nowhere"], "nowhere: no such folder; give the folder of a sweep"),
        (["empty"], "empty: no run is in it (no sweep.json, status.json or protocol.json)"),
        (["run", "-o", "file"], "-o file: a file; give a folder"),
        (["run", "--resamples", "10"], "'10': an interval needs a whole number of at least 50"),
        (["run", "--resamples", "many"], "'many': an interval needs a whole number of at least 50"),
        (["run", "--metric", "val/loss"], "--metric val/loss: no run has logged it; there are: none yet"),
        (["run", "--against", "lr"], "'lr': give KEY=VALUE, or several with commas between"),
        (["run", "--speed"], "unrecognized arguments: --speed"),
    ],
)
def test_a_mistake_is_answered_in_a_line_with_status_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        main(arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert said in error
    assert error.count("\n") == 1
    assert error.startswith("tiles-report: ")


def test_a_folder_that_cannot_be_written_is_answered_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "file").touch()

    def work(*_: object) -> None:
        raise AssertionError("worked")

    monkeypatch.setattr("tiles_ecg.summary.standing.standing", work)
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "run"), "-o", str(tmp_path / "file" / "below")])
    assert "cannot be written" in capsys.readouterr().err


def test_two_runs_that_contradict_each_other_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "first")
    run = write_run(tmp_path / "second")
    (part,) = (run / "predictions").glob("untrained*")
    with np.load(part) as file:
        arrays = dict(file)
    arrays["score"] = arrays["score"][::-1]
    np.savez(part, **arrays)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "-o", str(tmp_path / "report")])
    assert end.value.code == 2
    assert "first and" in (error := capsys.readouterr().err)
    assert "untrained, linear predicts fold 0" in error
    assert not (tmp_path / "report").exists()


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*arguments: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_report", interrupted)
    with pytest.raises(SystemExit) as end:
        main(["anywhere"])
    assert end.value.code == 130
    assert capsys.readouterr().err == "tiles-report: interrupted\n"


def test_the_command_runs_on_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tiles_ecg.report", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert "usage: tiles-report" in done.stdout


def test_a_sweep_is_told_on_the_terminal_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path / "sweep")
    main(["sweep", "-o", "report"])
    told = capsys.readouterr().out
    assert "sweep: simclr: 7 jobs: 5 finished, 1 failed, 1 planned." in told
    assert "2 of 3" in told
    assert "go on with:\n  tiles-train -m resume=sweep\n" in told
    assert told.endswith("report: report/report.html\n")
    assert sorted(path.name for path in Path("report").iterdir()) == [
        "ledger.csv",
        "report.html",
        "report.md",
        "runs.csv",
    ]
    page, text = Words(Path("report/report.html").read_text()), Path("report/report.md").read_text()
    for said in ("Student's t over seeds", "RuntimeError: out of ", "tiles-train -m resume=sweep"):
        assert said in page.text
        assert said in text
    assert "out of <memory>" in page.text
    assert len(page.sources) == 2


def test_wishes_reach_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path / "sweep", **{"train/loss": 1.0})
    folder = tmp_path / "report"
    main([str(tmp_path), "-o", str(folder), "--metric", "train/loss", "--against", "encoder=resnet18"])
    assert "train/loss: difference" in capsys.readouterr().out
    with (folder / "ledger.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["encoder"], row["metric"], row["is_reference"]) for row in rows] == [
        ("resnet8", "train/loss", "false"),
        ("resnet18", "train/loss", "true"),
        ("tcn", "train/loss", "false"),
    ]


def test_judged_runs_keep_their_sections_beside_the_ledger(tmp_path: Path, made: Path) -> None:
    for fold in range(4):
        write_run(tmp_path / "runs" / str(fold), folds=[fold])
    alone, both = tmp_path / "alone", tmp_path / "both"
    write_report([tmp_path / "runs"], alone, 50)
    write_sweep(tmp_path / "runs" / "sweep")
    write_report([tmp_path / "runs"], both, 50)
    assert (alone / "results.csv").read_text() == (both / "results.csv").read_text()
    assert sorted(path.name for path in both.iterdir()) == [
        "ledger.csv", "report.html", "report.md", "results.csv", "runs.csv",
    ]  # fmt: skip
    before, after = ((folder / "report.md").read_text().split("\n## ") for folder in (alone, both))
    assert [part for part in after[1:] if not part.startswith("Runs\n")] == before[1:]


def test_a_job_that_did_not_come_to_its_protocol_is_told_once(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", "finetune")
    (sweep / "encoder=resnet8,seed=0" / "config.yaml").write_text("task: {name: af}\n")
    write_report([sweep], tmp_path / "report", 50)
    assert "Not in this report" not in (tmp_path / "report" / "report.md").read_text()


def test_folders_that_hold_only_what_cannot_be_used_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.yaml", "command.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "-o", str(tmp_path / "report")])
    assert f"no run can be reported:\n  {tmp_path}: no status.json: made by" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_sweep_without_judged_runs_needs_no_torch(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    asked = f"import sys; from tiles_ecg.report import main; main([{str(tmp_path)!r}, '-o', {str(tmp_path / 'r')!r}])"
    command = [sys.executable, "-c", f"{asked}; assert 'torch' not in sys.modules"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_seen_enough_does_not_keep_the_report_from_being_written(tmp_path: Path) -> None:
    write_sweep(tmp_path / "S")
    program = [sys.executable, "-c", "from tiles_ecg.report import main; main()", "S", "-o", "R"]
    with subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert (tmp_path / "R" / "report.html").exists()
