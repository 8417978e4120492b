"""tiles-dashboard: our W&B workspace as code, compared with what runs log, shown, and sent."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiles_ecg.logger.wandb_mode import has_key
from tiles_ecg.plain_console import Parser, failures_told
from tiles_ecg.workspace.comparison import compare
from tiles_ecg.workspace.description import SHIPPED, Dashboard, DashboardError, read_dashboard
from tiles_ecg.workspace.logged import find_logged
from tiles_ecg.workspace.rendering import as_json, is_left_out, render, send

MISSING = 1
PROJECT = "tiles_ecg"
"""As `conf/logger/wandb.yaml` has it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Console entry point.

    Args:
        argv: Arguments after the program's name; None takes those of the process.

    Raises:
        SystemExit: With status 1 if a panel would stay empty, 2 after a mistake, 130 after an interruption.
    """
    arguments = _arguments(argv)
    with failures_told("tiles-dashboard"):
        dashboard = read_dashboard(arguments.description)
        if arguments.what == "check":
            status = check(dashboard, arguments.runs)
        else:
            if arguments.what == "push":
                _require_key()
            workspace = _rendered(dashboard, arguments.entity, arguments.project, arguments.runs)
            print(as_json(workspace) if arguments.what == "show" else f"workspace: {send(workspace, arguments.url)}")
            status = 0
    sys.exit(status)


def check(dashboard: Dashboard, folders: Sequence[Path]) -> int:
    """Compare with what runs logged and say what differs; 1 if a panel would stay empty.

    Raises:
        DashboardError: If there is no run to compare with.
    """
    runs = find_logged(folders)
    found = compare(dashboard, runs)
    for title, lines in (("empty", found.empty), ("not shown", found.unseen), ("not compared", found.unchecked)):
        for line in lines:
            print(f"{title}: {line}")
    n_panels = sum(len(section.panels) for section in dashboard.sections)
    n_keys = len({key for run in runs for key in run.kinds})
    print(f"{n_panels} panels, {n_keys} keys of {len(runs)} run{'s' * (len(runs) != 1)}: {len(found.empty)} empty")
    return MISSING if found.empty else 0


def _require_key() -> None:
    if not has_key():
        raise DashboardError("push: there is no API key; run `wandb login`, or see it with: tiles-dashboard show")


def _rendered(dashboard: Dashboard, entity: str, project: str, folders: Sequence[Path]) -> Any:
    """The workspace; what W&B cannot show without names of pictures is left out, and told."""
    names = [name for run in find_logged(folders) for name, kind in run.kinds.items() if kind == "image"]
    workspace = render(dashboard, entity, project, names)
    for section in dashboard.sections:
        for panel in section.panels:
            if is_left_out(panel, names):
                why = "W&B needs the names of pictures; give --runs with a run that logs them"
                print(f"left out: {section.name} / {panel.title}: {why}", file=sys.stderr)
    return workspace


DESCRIPTION = """\
tiles-dashboard: our W&B workspace as code.

Sections and panels are described in a YAML file. `check` compares it with the keys that runs really logged;
`push` makes a workspace of it; `show` prints what would be sent, without a network."""
EPILOG = """\
Common commands
  tiles-dashboard check outputs/my-run outputs/my-sweep         would each panel have something to show?
  tiles-dashboard show                                          the workspace as JSON
  tiles-dashboard push --entity my-team                         a new view in the project tiles_ecg
  tiles-dashboard push --entity my-team --runs outputs/my-eval  with the embedding map of each of its encoders
  tiles-dashboard push --entity my-team --url URL               in place of the view at URL

Exit status: 0 done; 1 a panel has a key that no run logs; 2 a mistake in the command or the description;
130 interrupted."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("tiles-dashboard", DESCRIPTION, EPILOG)
    commands = parser.add_subparsers(dest="what", required=True, metavar="check|show|push", parser_class=Parser)
    check_runs = commands.add_parser("check", help="compare with what runs logged")
    check_runs.add_argument("runs", nargs="+", type=Path, metavar="FOLDER", help="run folders, or folders above them")
    show = commands.add_parser("show", help="print the workspace as JSON, without a network")
    push_it = commands.add_parser("push", help="save the workspace in W&B")
    for command in (check_runs, show, push_it):
        command.add_argument(
            "--description", type=Path, default=SHIPPED, metavar="FILE", help="YAML (default: the one that comes along)"
        )
    for command in (show, push_it):
        is_sent = command is push_it
        command.add_argument("--entity", required=is_sent, default="ENTITY", metavar="NAME", help="user or team in W&B")
        command.add_argument("--project", default=PROJECT, metavar="NAME", help="W&B project (default: %(default)s)")
        about = "run folders: names of pictures that only runs know, such as the map of each encoder"
        command.add_argument("--runs", nargs="+", type=Path, default=[], metavar="FOLDER", help=about)
    push_it.add_argument("--url", metavar="URL", help="of a view of the same project, to save it in place of")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
