from pathlib import Path
from typing import get_args

import pytest

from tiles_ecg.evaluation.metric_table import METRICS
from tiles_ecg.workspace.description import DashboardError, JobType, Panel, read_dashboard
from tiles_ecg.workspace.key import alternatives

PANEL = "{type: line, title: Loss, keys: [train/loss]}"
WHOLE = f"name: mine\nsections:\n  - name: One\n    job_types: [pretrain]\n    panels:\n      - {PANEL}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_description_is_read_as_it_is_written(tmp_path: Path) -> None:
    found = read_dashboard(written(tmp_path, WHOLE))
    assert found.name == "mine"
    assert found.sections[0].panels == (Panel(type="line", title="Loss", keys=("train/loss",)),)
    assert found.sections[0].is_open
    assert found.group_by == ()


def test_the_shipped_one_shows_every_metric_that_a_task_can_be_judged_by() -> None:
    panels = [panel for section in read_dashboard().sections for panel in section.panels]
    shown = {name for panel in panels for key in panel.keys for name in alternatives(key)}
    for metric in (metric.name for metrics in METRICS.values() for metric in metrics):
        assert {f"val/{metric}", f"test/{metric}"} <= shown


def test_the_shipped_one_has_a_section_of_every_job_type() -> None:
    assert {job for section in read_dashboard().sections for job in section.job_types} == set(get_args(JobType))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("type: line", "type: lin", "line 6: sections.0.panels.0.type: input should be 'line', 'scalar', 'bar', "),
        ("type: line", "type: lin", "(got 'lin')"),
        ("keys:", "key:", "line 6: sections.0.panels.0.key: no such key; did you mean keys?"),
        ("panels:", "panel:", "line 5: sections.0.panel: no such key; did you mean panels?"),
        ("name: mine", "name: mine\ncolour: red", "line 2: colour: no such key; there are name, sections, group_by"),
        ("[train/loss]", "[]", "sections.0.panels.0.keys: tuple should have at least 1 item"),
        ("[train/loss]", "['test/{a,b']", "sections.0.panels.0.keys.0: 'test/{a,b': write alternatives as in test/{"),
        ("[train/loss]", "[train/loss], smoothing: 1.5", "smoothing: input should be less than 1 (got 1.5)"),
        ("type: line", "type: bar, smoothing: 0.5", "smoothing: of line panels only, this one is type: bar"),
        ("type: line", "type: image, x: time", "x: of line panels only, this one is type: image"),
        (
            "type: line, title: Loss, keys: [train/loss]",
            "type: bar, title: Loss, keys: ['test/*']",
            "list those of this bar",
        ),
        ("type: line, title: Loss, keys: [train/loss]", "type: table, title: T, keys: [a, b]", "shows one key"),
        ("[pretrain]", "[pretraining]", "line 4: sections.0.job_types.0: input should be 'pretrain', 'finetune'"),
        ("name: mine\n", "", "line 1: name: is missing"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_place(before: str, after: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE.replace(before, after, 1))
    with pytest.raises(DashboardError) as error:
        read_dashboard(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_every_mistake_has_a_line(tmp_path: Path) -> None:
    text = WHOLE.replace("type: line", "type: lin").replace("name: One", "nam: One")
    with pytest.raises(DashboardError) as error:
        read_dashboard(written(tmp_path, text))
    assert [line.split(", ")[1].split(":")[0] for line in str(error.value).splitlines()] == [
        "line 3",
        "line 6",
        "line 3",
    ]


def test_two_sections_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="line 2: sections: two sections are named One"):
        read_dashboard(written(tmp_path, WHOLE + WHOLE.split("sections:\n")[1]))


@pytest.mark.parametrize(
    ("text", "said"),
    [("name: [", "is not YAML: .* line 1"), ("", "the file: "), ("- 1", "the file: "), ("\xff\x00", "is not YAML")],
)
def test_what_is_no_description_is_answered(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match=said):
        read_dashboard(written(tmp_path, text))


def test_a_file_that_is_not_there_is_answered(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match=r"nowhere\.yaml: cannot be read .* give the YAML file"):
        read_dashboard(tmp_path / "nowhere.yaml")
