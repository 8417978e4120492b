"""How embeddings are made, and whether they can be written where they shall."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiles_ecg.config import ConfigError
from tiles_ecg.embedding.formats import FORMATS


class EmbeddingError(Exception):
    """Embeddings cannot be made. The message says why, and what can be done."""

    is_user_error = True


@dataclass(frozen=True)
class Settings:
    """How embeddings are made.

    Attributes:
        overrides: Of the readers and the preparation of raw recordings, as Hydra reads them.
        window_s: Length of a window of raw recordings, s; None for that of the encoder's training.
        step_s: From one of their windows to the next, s; None for the length of a window.
        strict: Whether a store of another band than that of the training is refused.
        trusted: Packages outside `tiles_ecg` whose encoders may be built.
        device: `cpu` or `cuda`; None for a GPU if there is one.
        n_threads: Batches at once; None for one a core.
        overwrite: Whether a file that is there is replaced.
        show_progress: Whether there are progress bars.
    """

    overrides: Sequence[str] = ()
    window_s: float | None = None
    step_s: float | None = None
    strict: bool = True
    trusted: Sequence[str] = ()
    device: str | None = None
    n_threads: int | None = None
    overwrite: bool = False
    show_progress: bool = True


def check_output(output: Path, overwrite: bool) -> None:
    """Check that a file can be made.

    Raises:
        ConfigError: If its format is not known, it is there, or nothing can be written in its folder.
    """
    if output.suffix.lower() not in FORMATS:
        raise ConfigError(f"-o {output}: unknown format {output.suffix!r}; choose one of {', '.join(FORMATS)}")
    if output.is_dir():
        raise ConfigError(f"-o {output}: a folder; give the file to be, such as {output / 'embeddings.h5'}")
    if output.exists() and not overwrite:
        raise ConfigError(f"-o {output}: is there; choose another name, or replace it with --overwrite")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"-o {output}: its folder cannot be made ({error.strerror})") from None
    if not os.access(output.parent, os.W_OK):
        raise ConfigError(f"-o {output}: no permission to write in {output.parent}")
