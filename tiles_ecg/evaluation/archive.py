"""Archive: arrays and what they mean in one .npz file, written whole or not at all, read without running anything."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArchiveError(Exception):
    """A file cannot be used. The message names it, what is wrong, and what would be right."""

    is_user_error = True


def write_archive(path: Path, form: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays, and JSON-able facts about them, under the name of their form; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.tmp")
    with scratch.open("wb") as file:
        named: dict[str, Any] = {**arrays, "about": np.array(json.dumps({**about, "format": form}))}
        np.savez_compressed(file, **named)
    os.replace(scratch, path)
    return path


def read_archive(path: Path, form: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_archive` wrote: the facts, and the arrays by name.

    Raises:
        ArchiveError: If there is no such file, it is not such an archive, holds another form, or is cut short.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = dict(json.loads(str(file["about"])))
            arrays = {name: file[name] for name in file.files if name != "about"}
    except FileNotFoundError:
        raise ArchiveError(f"{path}: no such file; it should hold {form!r}") from None
    except Exception as error:  # np.load raises what zipfile, zlib and pickle raise
        raise ArchiveError(
            f"{path}: not a file with {form!r}, or cut short ({type(error).__name__}: {error})"
        ) from error
    found = about.pop("format", "nothing that is known")
    if found != form:
        raise ArchiveError(f"{path}: holds {found!r}, where {form!r} is needed; write it again with this version")
    return about, arrays


def file_stem(*names: str) -> str:
    """Names as one file name: letters, digits and `_ . + -`."""
    return re.sub(r"[^\w.+-]+", "-", "_".join(names)).strip(".") or "unnamed"
