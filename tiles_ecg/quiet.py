"""What libraries print on the terminal that a user can do nothing about."""

import logging
import warnings


def silence() -> None:
    """Keep from the terminal what libraries say of their own insides, on which a user cannot act."""
    import lightning  # noqa: F401  sets its loggers up when it is imported

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)")  # lightning's use of torch's pytree
    warnings.filterwarnings("ignore", r".*does not have many workers")  # batches are gathered whole, without workers
    warnings.filterwarnings("ignore", r".*`srun` command is available")  # one process was asked for
    warnings.filterwarnings("ignore", r".*Total length of .* is zero")  # no validation was asked for
    warnings.filterwarnings("ignore", r".*smaller than the logging interval")  # the progress bar shows the loss
    warnings.filterwarnings(
        "ignore", r".*module\(s\) in eval mode at the start of training"
    )  # an encoder that is frozen
    warnings.filterwarnings("ignore", r".*distributed\.nn\.functional\.all_gather is deprecated")  # lightning's own use
    warnings.filterwarnings("ignore", r".*Grad strides do not match bucket view strides")  # of (out, in, 1) weights
    warnings.filterwarnings("ignore", r".*Checkpoint directory .* exists and is not empty")  # as it should be
