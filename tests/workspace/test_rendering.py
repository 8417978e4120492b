import json
from typing import Any

import pytest

from tiles_ecg.workspace.description import Dashboard, DashboardError
from tiles_ecg.workspace.rendering import as_json, render, send

workspaces = pytest.importorskip("wandb_workspaces.workspaces", reason="wandb-workspaces is not installed")

PANELS = [
    {"type": "line", "title": "Loss", "keys": ["train/loss", "val/{a,b}"], "smoothing": 0.6, "log_y": True},
    {"type": "line", "title": "Probe", "keys": ["probe/*"], "x": "time"},
    {"type": "scalar", "title": "One", "keys": ["test/auroc"]},
    {"type": "bar", "title": "Bars", "keys": ["test/{auroc,mae}"]},
    {"type": "image", "title": "Views", "keys": ["pictures/views"]},
    {"type": "table", "title": "Fold", "keys": ["tables/fold"]},
]
DASHBOARD = Dashboard.model_validate(
    {
        "name": "mine",
        "group_by": ["group", "job_type"],
        "sections": [{"name": "One", "job_types": ["pretrain"], "panels": PANELS, "is_open": False}],
    }
)


@pytest.fixture(scope="module")
def view() -> Any:
    return json.loads(as_json(render(DASHBOARD, "team", "project")))


def test_the_view_is_of_the_project_and_has_the_name(view: Any) -> None:
    assert (view["entity"], view["project"], view["displayName"]) == ("team", "project", "mine")


def test_every_panel_is_rendered_as_its_type(view: Any) -> None:
    (section,) = view["spec"]["section"]["panelBankConfig"]["sections"]
    assert (section["name"], section["isOpen"]) == ("One", False)
    line, probe, scalar, bars, views, table = (panel["config"] for panel in section["panels"])
    assert [panel["viewType"] for panel in section["panels"]] == [
        "Run History Line Plot", "Run History Line Plot", "Scalar Chart", "Bar Chart", "Media Browser", "Weave",
    ]  # fmt: skip
    assert line["metrics"] == ["train/loss", "val/a", "val/b"]
    assert (line["xAxis"], line["smoothingWeight"], line["yLogScale"]) == ("trainer/global_step", 0.6, True)
    assert (probe["metricRegex"], probe["useMetricRegex"]) == ("^(probe/.*)$", True)
    assert probe["xAxis"] == "_absolute_runtime"
    assert scalar["metrics"] == ["test/auroc"]
    assert bars["metrics"] == ["test/auroc", "test/mae"]
    assert views["mediaKeys"] == ["pictures/views"]
    assert "tables/fold" in json.dumps(table)


def test_a_star_among_images_stands_for_the_names_that_runs_logged() -> None:
    maps = {"type": "image", "title": "Maps", "keys": ["pictures/map/*", "pictures/views"]}
    starred = {"type": "image", "title": "Maps", "keys": ["pictures/map/*"]}
    sections = [{"name": "One", "job_types": ["evaluate"], "panels": [maps, starred]}]
    dashboard = Dashboard.model_validate({"name": "mine", "sections": sections})
    for logged, shown in (
        (
            ["pictures/map/b", "pictures/map/a", "other"],
            [["pictures/views", "pictures/map/a", "pictures/map/b"], ["pictures/map/a", "pictures/map/b"]],
        ),
        ([], [["pictures/views"]]),
    ):
        view = json.loads(as_json(render(dashboard, "team", "project", logged)))
        panels = view["spec"]["section"]["panelBankConfig"]["sections"][0]["panels"]
        assert [panel["config"]["mediaKeys"] for panel in panels] == shown


def test_runs_are_grouped_as_described(view: Any) -> None:
    (runs,) = view["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["group", "jobType"]


class Service:
    """Takes views as the service would; remembers them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.saved: list[Any] = []
        monkeypatch.setattr("wandb_workspaces.workspaces.internal.upsert_view2", self.upsert)
        monkeypatch.setattr(workspaces.Workspace, "url", property(lambda view: f"https://wandb/{view._internal_name}"))

    def upsert(self, view: Any) -> Any:
        self.saved.append(view)
        return {"upsertView": {"view": {"id": "id-1", "name": view.name}}}


def test_a_workspace_is_saved_as_a_new_view(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch)
    url = send(render(DASHBOARD, "team", "project"))
    (view,) = service.saved
    assert (view.entity, view.project, view.display_name, view.id) == ("team", "project", "mine", "")
    assert url == f"https://wandb/{view.name}"


def test_a_workspace_is_saved_in_place_of_the_one_at_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch)
    older = workspaces.Workspace(entity="team", project="project", name="old", sections=[])
    older._internal_name, older._internal_id = "nw-older-v", "id-older"
    monkeypatch.setattr(workspaces.Workspace, "from_url", classmethod(lambda *_: older))
    send(render(DASHBOARD, "team", "project"), "https://wandb.ai/team/project?nw=older")
    (view,) = service.saved
    assert (view.id, view.name, view.display_name) == ("id-older", "nw-older-v", "mine")
    assert [section.name for section in view.spec.section.panel_bank_config.sections] == ["One"]


def test_what_the_service_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def refuse(_: Any) -> None:
        raise wandb.errors.CommError("no such\n entity")

    monkeypatch.setattr("wandb_workspaces.workspaces.internal.upsert_view2", refuse)
    with pytest.raises(DashboardError, match=r"team/project: W&B did not take the workspace \(no such entity"):
        send(render(DASHBOARD, "team", "project"))


def test_a_url_of_nothing_is_answered() -> None:
    with pytest.raises(DashboardError, match="nonsense: W&B did not take the workspace"):
        send(render(DASHBOARD, "team", "project"), "nonsense")


def test_without_the_library_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb_workspaces", None)
    with pytest.raises(DashboardError, match=r"needs wandb-workspaces .* pip install 'tiles_ecg\[dashboards\]'"):
        render(DASHBOARD, "team", "project")
