"""Encoder files: what a run leaves of its encoder, read without running anything that is in them."""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tiles_ecg.encoder.encoder_description import (
    KINDS,
    OPTIONAL,
    REQUIRED,
    EncoderFile,
    EncoderFileError,
    ExportedEncoder,
    described,
    weights_digest,
)
from tiles_ecg.encoder.published import is_published, translate, where_to_get
from tiles_ecg.encoder.run_folder import RunFolderError, encoder_in
from tiles_ecg.encoder.shipped import is_shipped, shipped_folder
from tiles_ecg.model_folder import WEIGHTS, is_model_folder, read_model

__all__ = ["KINDS", "EncoderFile", "EncoderFileError", "ExportedEncoder", "read_encoder_file", "weights_digest"]

ENCODER_FORMAT = "tiles_ecg encoder"
ENCODER_FORMAT_VERSION = "1"
_ZIP, _HDF5, _PICKLE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80"
_WHERE_IN_OLD = "encoder."
"""Prefix of the encoder's weights in a checkpoint that does not say it."""


def read_encoder_file(path: str | Path) -> tuple[EncoderFile, dict[str, Tensor]]:
    """Read an encoder's description and its weights.

    Checkpoints are read with `weights_only=True`, so that nothing in them can run.

    Args:
        path: A run folder (its `best.safetensors` if the run had a task, and so chose it on validation subjects; else
            its `last.safetensors`), a checkpoint of `tiles-train`, or the `.safetensors` beside it; a model folder; or
            `tiles-ecg/NAME`, of a model that comes with the package.

    Returns:
        What is known of it, and its weights by name, on the CPU.

    Raises:
        EncoderFileError: If there is no such file, or it is not one that `tiles-train` wrote, whole.
    """
    given = shipped_folder(str(path)) if is_shipped(path) else Path(path)
    if is_model_folder(given):
        return _checked(given / WEIGHTS, *read_model(given))
    try:
        file = encoder_in(given) if given.is_dir() else given
        with file.open("rb") as opened:
            head = opened.read(8)
    except RunFolderError as error:
        raise EncoderFileError(str(error)) from error
    except FileNotFoundError:
        mend = where_to_get(given) or f"give {KINDS}"
        raise EncoderFileError(f"{given}: no such file or folder; {mend}") from None
    except OSError as error:
        raise EncoderFileError(f"{given}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise EncoderFileError(f"{file}: empty; give {KINDS}")
    if head == _HDF5:
        raise EncoderFileError(f"{file}: an HDF5 file, such as a store, and no encoder; give {KINDS}")
    about, weights = _from_checkpoint(file) if head.startswith(_ZIP) else _from_safetensors(file, head)
    return _checked(file, about, weights)


def _checked(file: Path, about: Mapping[str, Any], weights: dict[str, Tensor]) -> tuple[EncoderFile, dict[str, Tensor]]:
    bad = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise EncoderFileError(f"{file}: its weights {_few(bad)} hold NaN or infinity; its training failed")
    return described(file, about, weights), weights


def _from_safetensors(file: Path, head: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            _check_format(file, metadata)
            about = {key: json.loads(metadata[key]) for key in REQUIRED + OPTIONAL if key in metadata}
            return about, {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if head.startswith(_PICKLE):  # the length that safetensors begin with may look like this too
            reason = "a bare pickle, which runs code when it is opened, so it was not"
            raise EncoderFileError(f"{file}: {reason}; give {KINDS}") from error
        if file.suffix != ".safetensors":
            raise EncoderFileError(f"{file}: neither a checkpoint nor safetensors; give {KINDS}") from error
        raise EncoderFileError(f"{file}: damaged, or no safetensors file ({error}); give {KINDS}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise EncoderFileError(f"{file}: damaged, its description cannot be read ({error})") from error


def _check_format(file: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != ENCODER_FORMAT:
        raise EncoderFileError(f"{file}: safetensors of another program, not of tiles-train; give {KINDS}")
    version = metadata.get("format_version")
    if version != ENCODER_FORMAT_VERSION:
        raise EncoderFileError(
            f"{file}: encoder format version {version}, this package reads version {ENCODER_FORMAT_VERSION}; use the "
            "package version that wrote it, or train again"
        )


def _from_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    content = _unpickled(file)
    whole = content if isinstance(content, dict) else {}
    state, config = whole.get("state_dict"), whole.get("config")
    if config is None and is_published(state):
        return translate(file, whole)
    if not isinstance(state, dict) or not isinstance(config, dict):
        found = f"it has {_few(list(map(str, whole)))}" if whole else f"it holds a {type(content).__name__}"
        raise EncoderFileError(f"{file}: a checkpoint of another program, not of tiles-train ({found}); give {KINDS}")
    about = _about_checkpoint(whole, config)
    prefix = str(about["prefix"])
    weights = {
        str(name).removeprefix(prefix): value.clone()
        for name, value in state.items()
        if str(name).startswith(prefix) and isinstance(value, Tensor) and value.layout == torch.strided
    }
    if not weights:
        raise EncoderFileError(f"{file}: a checkpoint without an encoder (no weight's name begins with {prefix!r})")
    return about, weights


def _unpickled(file: Path) -> Any:
    try:
        return torch.load(str(file), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        asked = found[1] if found else "code"
        raise EncoderFileError(
            f"{file}: not a checkpoint of tiles-train: it asks for {asked} to be run, which was not done; give {KINDS}"
        ) from error
    except Exception as error:  # whatever a damaged or foreign archive leads to
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise EncoderFileError(f"{file}: damaged, or no checkpoint ({reason}); give {KINDS}") from error


def _about_checkpoint(content: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the encoder in a checkpoint; what its config tells, in one of before it held one."""
    kept = content.get("encoder")
    if isinstance(kept, dict) and "prefix" in kept:
        return {**kept, "encoder": kept.get("architecture"), "step": content.get("global_step"), "config": config}
    dataset, windows = config.get("dataset"), content.get("EcgDataModule")
    facts = dataset if isinstance(dataset, dict) else {}
    return {
        "encoder": config.get("encoder"),
        "preprocessing": {k: facts[k] for k in ("sample_rate", "window_s", "n_leads", "normalise") if k in facts},
        "stores": windows.get("stores", []) if isinstance(windows, dict) else [],
        "step": content.get("global_step"),
        "prefix": _WHERE_IN_OLD,
        "config": config,
    }


def _few(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
