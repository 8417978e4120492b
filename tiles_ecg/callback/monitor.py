"""What a callback may choose by: metrics that a validation logs."""

from difflib import get_close_matches

from lightning import LightningModule

from tiles_ecg.config import ConfigError


def check_monitor(key: str, monitor: str, objective: LightningModule) -> None:
    """Find a metric that no validation will log before the run begins.

    Args:
        key: Of the config, for the error.
        monitor: The metric.
        objective: What will be trained; `VALIDATED` tells what it logs.

    Raises:
        ConfigError: If the objective tells what it logs, the metric is not among that, and it is no probe's.
    """
    logged = getattr(objective, "VALIDATED", (monitor,))
    if monitor not in logged and not monitor.startswith("probe/"):
        near = get_close_matches(monitor, logged, n=1)
        raise ConfigError(
            f"{key} = {monitor}: no validation logs it; choose one of {', '.join(logged)}, or a probe's"
            + (f" (did you mean {near[0]}?)" if near else "")
        )
