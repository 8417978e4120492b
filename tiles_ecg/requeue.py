"""Asks Slurm to start a job again from the beginning of its script, under the same number."""

import os
import re
import subprocess

ASKING_TAKES_S = 30.0


def slurm_job() -> str | None:
    """The number of the Slurm job that this process belongs to, of an array's task `JOB_TASK`; None outside Slurm."""
    if "SLURM_ARRAY_JOB_ID" in os.environ and "SLURM_ARRAY_TASK_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def is_restarted() -> bool:
    """Whether Slurm has started this job before."""
    count = os.environ.get("SLURM_RESTART_COUNT", "0")
    return count.isdigit() and int(count) > 0


def requeue(job: str) -> str:
    """Have Slurm put a job back into its queue; what came of it, in a sentence."""
    failed, said = _scontrol("requeue", job)
    if failed:
        return f"Slurm job {job} is not requeued ({failed}); submit it again to go on"
    return f"Slurm job {job} is requeued" + (f" ({said})" if said else "")


def is_preempted(job: str) -> bool:
    """Whether Slurm ends a job to make room for another; it asks Slurm, and takes no answer for a no."""
    failed, said = _scontrol("show", "job", job)
    if failed:
        return False
    state = re.search(r"\bJobState=(\S+)", said)
    since = re.search(r"\bPreemptTime=(\S+)", said)
    return (state is not None and "PREEMPTED" in state[1]) or (
        since is not None and since[1] not in ("None", "N/A", "Unknown")
    )


def _scontrol(*arguments: str) -> tuple[str, str]:
    """Why it failed, or an empty text; and what it said."""
    try:
        ended = subprocess.run(
            ["scontrol", *arguments], capture_output=True, text=True, timeout=ASKING_TAKES_S, check=False
        )
    except FileNotFoundError:
        return "there is no scontrol here", ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"scontrol: {error}", ""
    told = " ".join(f"{ended.stdout} {ended.stderr}".split())
    return (told or f"scontrol ended with status {ended.returncode}" if ended.returncode else ""), told
