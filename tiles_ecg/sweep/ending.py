"""How a sweep ended: a closing line, and an exit status."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tiles_ecg.console_resume import quoted
from tiles_ecg.run_record import OVER, read_status
from tiles_ecg.sweep.plan import Job

N_NAMED = 3


def end_of_sweep(program: str, folder: Path, jobs: Sequence[Job]) -> int:
    """Tell what became of jobs.

    Args:
        program: Which ran them.
        folder: The sweep's.
        jobs: Those that the command stood for.

    Returns:
        0 if all are over; 2 if all others failed by the user's mistakes; else 1.
    """
    statuses = {job.name: read_status(folder / job.name) for job in jobs}
    count = Counter(status.state for status in statuses.values())
    text = ", ".join(f"{number} {state}" for state, number in count.items())
    left = {name: status for name, status in statuses.items() if status.state not in OVER}
    place = quoted(shown(folder))
    if not left:
        print(f"sweep: {text}; tiles-report {place} shows them", file=sys.stderr)
        return 0
    named = "; ".join([*list(left)[:N_NAMED], *(["..."] if len(left) > N_NAMED else [])])
    print(
        f"sweep: {text} ({named}); tiles-report {place} shows them; go on with: {program} -m resume={place}",
        file=sys.stderr,
    )
    return 2 if all(status.is_mistake for status in left.values()) else 1


def shown(folder: Path) -> str:
    """A folder below the working folder, relative to it."""
    try:
        return str(folder.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
