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
        (["nowhere"], "nowhere: no such folder; give the folder of a finished"),
        (["empty"], "no run that judged a task is in it"),
        (["run", "-o", "file"], "-o file: a file; give a folder"),
        (["run", "--resamples", "10"], "'10': an interval needs a whole number of at least 50"),
        (["run", "--resamples", "many"], "'many': an interval needs a whole number of at least 50"),
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
