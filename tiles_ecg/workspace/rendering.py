"""A description -> a workspace of wandb-workspaces (extra `dashboards`), as JSON or sent to the service."""

import re
from collections.abc import Iterable
from typing import Any

from tiles_ecg.workspace.description import Dashboard, DashboardError, Panel
from tiles_ecg.workspace.key import alternatives, has_star, pattern
from tiles_ecg.workspace.logged import STEP

AXIS = {"step": STEP, "time": "RelativeTime(Wall)"}
GROUPING = {"group": "Group", "job_type": "JobType", "state": "State"}


def render(dashboard: Dashboard, entity: str, project: str, logged: Iterable[str] = ()) -> Any:
    """The workspace as wandb-workspaces has it; nothing is sent.

    Args:
        dashboard: The description.
        entity: User or team.
        project: W&B project.
        logged: Names that the stars of image panels may stand for; W&B has no patterns there.

    Raises:
        DashboardError: If wandb-workspaces is not installed.
    """
    workspaces, _ = _library()
    known = sorted(set(logged))
    sections = [
        workspaces.Section(
            name=each.name,
            is_open=each.is_open,
            panels=[_panel(panel, known) for panel in each.panels if not is_left_out(panel, known)],
        )
        for each in dashboard.sections
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=dashboard.name,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis=STEP),
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric(GROUPING[name]) for name in dashboard.group_by]
        ),
    )


def as_json(workspace: Any) -> str:
    """What would be sent. Ids of sections and panels are drawn anew each time."""
    return str(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2))


def send(workspace: Any, url: str | None = None) -> str:
    """Save as a new view, or in place of the one at a URL; gives the URL.

    Raises:
        DashboardError: If the service does not take it.
    """
    import wandb

    workspaces, _ = _library()
    try:
        if url is not None:
            saved = workspaces.Workspace.from_url(url)
            for part in ("name", "sections", "settings", "runset_settings"):
                setattr(saved, part, getattr(workspace, part))
            workspace = saved
        return str(workspace.save().url)
    except (wandb.errors.Error, ValueError) as error:
        where = url or f"{workspace.entity}/{workspace.project}"
        raise DashboardError(f"{where}: W&B did not take the workspace ({' '.join(str(error).split())})") from error


def is_left_out(panel: Panel, logged: Iterable[str]) -> bool:
    """Whether an image panel has only keys with stars, and no logged name that they stand for is known."""
    return panel.type == "image" and not _images(panel, logged)


def _images(panel: Panel, logged: Iterable[str]) -> list[str]:
    found = [name for key in panel.keys if not has_star(key) for name in alternatives(key)]
    stars = [key for key in panel.keys if has_star(key)]
    return found + [name for name in logged if stars and re.match(pattern(stars), name) and name not in found]


def _panel(panel: Panel, logged: Iterable[str]) -> Any:
    _, reports = _library()
    names = [name for key in panel.keys for name in alternatives(key)]
    if panel.type == "line":
        is_pattern = any(map(has_star, panel.keys))
        return reports.LinePlot(
            title=panel.title,
            x=AXIS[panel.x],
            y=[] if is_pattern else names,
            metric_regex=pattern(panel.keys) if is_pattern else None,
            smoothing_factor=panel.smoothing or None,
            smoothing_type="exponentialTimeWeighted" if panel.smoothing else None,
            log_y=panel.log_y or None,
        )
    if panel.type == "scalar":
        return reports.ScalarChart(title=panel.title, metric=names[0])
    if panel.type == "bar":
        return reports.BarPlot(title=panel.title, metrics=names)
    if panel.type == "image":
        return reports.MediaBrowser(title=panel.title, media_keys=_images(panel, logged))
    return reports.WeavePanelSummaryTable(table_name=names[0])  # has no title


def _library() -> tuple[Any, Any]:
    try:
        from wandb_workspaces import workspaces
        from wandb_workspaces.reports import v2 as reports
    except ImportError as error:
        raise DashboardError(
            f"this needs wandb-workspaces ({error}); run: pip install 'tiles_ecg[dashboards]'"
        ) from error
    return workspaces, reports
